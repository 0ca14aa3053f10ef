"""From a checkpoint to a model, and from crops to joints in their pictures."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from common import checkpoint
from common.errors import UserError
from tasks.pose.config import Config
from tasks.pose.metrics import decode, flip_back
from tasks.pose.model import PoseModel, build, from_published, is_published, load_weights
from tasks.pose.skeleton import COCO, MPII, Skeleton
from tasks.pose.transforms import to_image

SKELETONS: dict[str, Skeleton] = {"coco": COCO, "mpii": MPII}
"""The joints of each --data.format."""

# What torch.load raises for a file that is cut short or none of its own.
_UNREADABLE = (
    pickle.UnpicklingError, RuntimeError, OSError, EOFError, LookupError, TypeError, ValueError,
    AttributeError,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TestedConfig(Config):
    """A run's config together with what decides which of its models is used, and how."""

    __test__ = False  # Its name makes pytest take it for a test.

    run: Path | None = None
    """Run directory; its config is taken, and flags win over it."""
    checkpoint: str = "best"
    """best or last of the run, or a file: of this project, or in the published layout."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of the forward pass."""


@dataclass(frozen=True)
class Checkpoint:
    """A model's weights under the names of `PoseModel`, and where they are from."""

    file: Path
    state: Mapping[str, Tensor]
    epoch: int | None
    """Epochs trained; None where the file does not say."""


def finished_run(config: Config) -> TestedConfig:
    """What scores the best checkpoint of a run that has just ended, under its own config."""
    settings = {field.name: getattr(config, field.name) for field in fields(config)}
    return TestedConfig(**settings, run=config.out)


def with_run_config(words: list[str], config: TestedConfig, out: Path) -> list[str]:
    """The command's words with the run's config and a default --out put before them.

    Raises:
        UserError: neither a run nor a checkpoint file is given, or the run has no config.
    """
    if config.run is None and config.checkpoint in ("best", "last"):
        raise UserError(
            "--run is missing: give a run directory, or --config RECIPE.yaml and --checkpoint FILE"
        )
    defaults = ["--out", str(out)]
    if config.run is not None:
        file = config.run / "config.yaml"
        if not file.is_file():
            found = "has no config.yaml" if config.run.is_dir() else "no such folder"
            raise UserError(f"--run {config.run}: {found}; give the folder that train wrote")
        defaults += ["--config", str(file)]
    return [*defaults, *words]


def find_checkpoint(config: TestedConfig) -> Checkpoint:
    """Read the checkpoint that --run and --checkpoint name.

    Raises:
        UserError: it is missing, damaged or no checkpoint of a pose model.
    """
    if config.checkpoint not in ("best", "last"):
        return read_checkpoint(Path(config.checkpoint))
    if config.run is None:
        raise UserError(f"--checkpoint {config.checkpoint}: needs --run, or give a file")
    return _own(config.run / f"{config.checkpoint}.pt")


def read_checkpoint(file: Path) -> Checkpoint:
    """Read a checkpoint of this project or one in the published layout, told apart by its keys."""
    if not file.is_file():
        raise UserError(f"--checkpoint {file}: no such file; give best, last or a file")
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise UserError(
            f"--checkpoint {file}: is cut short or not a checkpoint of plain weights "
            f"({file.stat().st_size:,} bytes); copy it again"
        ) from error
    if isinstance(content, dict) and "format" in content:
        return _own(file)
    if not isinstance(content, dict) or not is_published(content):
        raise UserError(
            f"--checkpoint {file}: holds no pose model; weights of a backbone alone are given to "
            "train as --weights"
        )
    return Checkpoint(file, from_published(content), None)


def _own(file: Path) -> Checkpoint:
    payload = checkpoint.read(file)
    # Of last.pt the averaged weights, if the run averages, are what training evaluates.
    state = payload["model"] if payload["ema"] is None else payload["ema"]
    return Checkpoint(file, state, int(payload["progress"]["epoch"]))


def restore(config: Config, weights: Checkpoint, device: torch.device) -> PoseModel:
    """The config's model with a checkpoint's weights, ready for inference.

    Raises:
        UserError: the weights are of another model.
    """
    model = build(config.backbone, SKELETONS[config.data.format].joints, config.model.head_channels)
    load_weights(model, weights.state, str(weights.file))
    return model.to(device=device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload,no-any-return]


def estimate(
    model: nn.Module,
    images: Tensor,
    centers: NDArray[np.float64],
    extents: NDArray[np.float64],
    config: Config,
) -> NDArray[np.float64]:
    """Joints (B, J, 3) as x, y in pixels of the picture and score, of one crop a person.

    Args:
        model: in eval mode, on the images' device.
        images: crops (B, 3, H, W), bytes, in the recipe's colour order.
        centers: (B, 2) of the crops in the picture.
        extents: (B, 2) width and height of the crops in the picture.
        config: of the data (coding, sigma) and the test (flip, shift).

    Raises:
        UserError: the heat maps are not finite; the model is broken.
    """
    skeleton, data = SKELETONS[config.data.format], config.data
    if config.test.flip:
        # Both in one forward pass, which is faster than two.
        direct, mirrored = model(torch.cat((images, images.flip(-1)))).float().chunk(2)
        # In unbiased coding a mirrored crop's heat maps already lie where they should.
        shift = config.test.shift and not data.unbiased
        heatmaps = (direct + flip_back(mirrored, skeleton.flip_pairs, shift)) / 2
    else:
        heatmaps = model(images)
    # The decoding's products need more digits than a forward pass in bfloat16.
    with torch.autocast(heatmaps.device.type, enabled=False):
        decoded = decode(heatmaps, data.unbiased, sigma=data.sigma)
    points, scores = (part.cpu() for part in decoded)
    if not torch.isfinite(scores).all():
        raise UserError("the model's heat maps are not finite: this checkpoint is of a failed run")
    joints = np.empty((*scores.shape, 3))
    joints[..., 2] = scores
    for person, (center, extent) in enumerate(zip(centers, extents, strict=True)):
        joints[person, :, :2] = to_image(
            points[person].double().numpy(), center, extent, data.heatmap_wh, data.unbiased
        )
    return joints
