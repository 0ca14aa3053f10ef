"""The result card: a score together with everything that decides what it means."""

import dataclasses
import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from common import outputs
from common.commands.predictor import fingerprint
from common.errors import UserError

if TYPE_CHECKING:  # which writes files with cards
    from common.commands.opened import Opened

UNDECIDED = -1.0
"""COCO's mark of a score where the ground truth has nothing of its kind."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """One evaluation of one model on one data set under one protocol."""

    task: str
    metrics: dict[str, float]
    protocol: dict[str, Any]
    """Every choice that moves the score: box source, flip test, sizes, thresholds."""
    data: dict[str, Any]
    """``root, split, images, fingerprint``: what was scored."""
    model: dict[str, Any]
    """``backbone, parameters, weights, trunk``: what was scored with; trunk is the beginning of a
    hash of all that the trunk's features depend on, equal where runs stand on the same one."""
    checkpoint: dict[str, Any]
    """``file, sha256, epoch``, as `describe_checkpoint` gives them."""
    versions: dict[str, str]
    device: str

    def write(self, path: Path) -> None:
        """Write the card as indented JSON; makes the folder."""
        outputs.make_folder(path.parent)
        outputs.write_text(path, json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    def table(self) -> str:
        """The scores as a text table, the protocol and the data on the lines below it.

        A score that no object decides is "-".
        """
        names = list(self.metrics)
        cells = ["-" if value == UNDECIDED else f"{value:.4f}" for value in self.metrics.values()]
        widths = [max(len(name), len(cell)) for name, cell in zip(names, cells, strict=True)]
        lines = [
            "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True))
            for row in (names, cells)
        ]
        lines += [f"{title}: {_pairs(part)}" for title, part in self._parts()]
        return "\n".join(lines)

    def _parts(self) -> list[tuple[str, dict[str, Any]]]:
        return [("protocol", self.protocol), ("data", self.data), ("model", self.model)]


class Described(Protocol):
    """What a card says of the settings under which a model was opened."""

    @property
    def backbone(self) -> str:
        """Name of the trunk."""
        ...

    @property
    def source(self) -> str | None:
        """Where training began."""
        ...

    @property
    def compile(self) -> bool:
        """Whether the network was compiled."""
        ...

    @property
    def deploy(self) -> bool:
        """Whether its layers were fused."""
        ...


def of(
    opened: "Opened[Any]",
    config: Described,
    *,
    task: str,
    metrics: dict[str, float],
    protocol: dict[str, Any],
    data: dict[str, Any],
    packages: Sequence[str],
    model: Mapping[str, Any] | None = None,
) -> Card:
    """The card of a model that was scored.

    Args:
        opened: what was scored.
        config: how it was opened.
        task: its name.
        metrics: the scores.
        protocol: every choice that moves them; the precision is added.
        data: what was scored on.
        packages: that take part in the score; their versions are listed.
        model: what there is to say of the model besides backbone, parameters and weights.
    """
    running: dict[str, Any] = {}
    published = opened.weights.published
    if published is not None:
        running |= {
            "published": published.name,
            "intended": published.intended,
            "weights": published.name,  # not what a training by its recipe would start from
        }
    if config.compile:
        running["compiled"] = True
    if opened.backend != "torch":
        running["backend"] = opened.backend
    if not config.deploy:
        running["deployed"] = False
    return Card(
        task=task,
        metrics=metrics,
        protocol={**protocol, "precision": opened.precision},
        data=data,
        model={
            **describe_model(opened.model, config.backbone, config.source),
            "trunk": fingerprint(opened.model.backbone)[:16],
            **(model or {}),
            **running,
        },
        checkpoint=describe_checkpoint(opened.weights.file, opened.weights.epoch),
        versions=versions(packages),
        device=describe_device(opened.device),
    )


def read(path: Path) -> Card:
    """Read a card that `Card.write` wrote.

    Raises:
        UserError: there is no such file, or it is not a result card.
    """
    try:
        found = Card(**json.loads(path.read_text()))
        if not all(isinstance(value, int | float) for value in found.metrics.values()):
            raise TypeError(f"metrics: {found.metrics}")
        for name in ("protocol", "data", "model", "checkpoint", "versions"):
            if not isinstance(getattr(found, name), dict):
                raise TypeError(f"{name}: {getattr(found, name)}")
        if not isinstance(found.model.get("parameters", 0), int):
            raise TypeError(f"model: {found.model}")
        return found
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the task's evaluate command first") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a result card ({error})") from error


def describe_checkpoint(path: Path, epoch: int | None) -> dict[str, Any]:
    """The card's checkpoint entry: file name, hash of its bytes, and the epochs it was trained."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": path.name, "sha256": digest, "epoch": epoch}


def describe_model(model: nn.Module, backbone: str, weights: str | None) -> dict[str, Any]:
    """The card's model entry: backbone, number of parameters, and where training began."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {
        "backbone": backbone,
        "parameters": parameters,
        "weights": weights,
    }


def describe_root(root: Path | None) -> str:
    """The folder of a data set as the card names it; none is the generated sample set."""
    return "generated sample data" if root is None else str(root)


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Installed versions of Python, torch and the packages that take part in a score."""
    installed = {name: metadata.version(name) for name in packages}
    return {"python": platform.python_version(), "torch": torch.__version__, **installed}


def describe_device(device: torch.device) -> str:
    """The device as a person names it: the GPU's product name, or the CPU with its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {platform.machine()}, {torch.get_num_threads()} threads"


def _pairs(part: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in part.items())
