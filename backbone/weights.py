"""The one way to load weights into a trunk: strictly.

Nothing is downloaded before somebody asks for a file by its name.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from backbone import files, layouts
from backbone.blocks import FirstBlock
from backbone.detect import STEMS, detect
from backbone.errors import WeightsError
from backbone.published import WEIGHTS, Weights, recognised
from backbone.variants import first_block_of

__all__ = ["WEIGHTS", "Loaded", "Weights", "WeightsError", "detect", "load"]

CLASSIFIER = ("fc.weight", "fc.bias")
# Published DLA files hold three projections that nothing ever uses.
UNUSED_PROJECTIONS = ("level3.project.", "level4.project.", "level4.tree1.project.")
SHOWN = 10


@dataclass(frozen=True)
class Loaded:
    """What `load` has put into a trunk; as text, one line for a log or a result card."""

    source: str
    file: Path
    sha256: str
    architecture: str
    dropped: tuple[str, ...]
    card: Weights | None
    """The row of a published file, whether named or recognised by its hash."""
    averaged: str | None = None
    """The file's entry, if it holds averaged weights beside raw ones; these were taken."""
    first_block: FirstBlock | None = None
    """The rule of first blocks (`Bottle2neck`) under which they were trained, if the source says it
    and it is not the trunk's: the trunk then starts from other features than these weights had."""

    def __str__(self) -> str:
        averaged = f", averaged weights of its {self.averaged}" if self.averaged else ""
        rule = f", trained with {self.first_block} first blocks" if self.first_block else ""
        return f"{self.source} ({self.architecture}, sha256 {self.sha256[:8]}{averaged}{rule})"


def load(
    trunk: nn.Module,
    source: str | Path,
    *,
    fit_stem: bool = False,
    spread: bool = False,
    variant: str | None = None,
) -> Loaded:
    """Load weights into a trunk: every one of them, or none and an error.

    Args:
        trunk: built by a function of MODELS.
        source: a name in WEIGHTS (downloaded once), a file (`.safetensors`, what `torch.save`
            wrote, or PaddlePaddle's `.pdparams`), or the run directory of any task, of which
            `best.pt`, else `last.pt`, is taken. Of a whole model in a layout that
            `backbone.layouts` knows the trunk is taken.
        fit_stem: lets a trunk of other input channels take weights for three colours: one gets the
            sum of their first convolution, which is its answer to a grey picture; of more, the
            first three get it, and the others keep what they were drawn as.
        spread: with fit_stem, the sum over the colours is spread evenly over all channels instead,
            so that equal channels get the answer to a grey picture.
        variant: the name in MODELS of the net that they were trained as, where the caller knows it
            and the file cannot say it. Only its rule of first blocks counts here.

    Which rule of first blocks they were trained under is known from `variant`, or else as
    `files.first_block` says; of many files it is not known, and nothing is said.

    Left out by name: the classifier (`fc.weight`, `fc.bias`) and DLA's three unused projections.
    `num_batches_tracked` may be missing, as files older than PyTorch 0.4.1 do not have it. Where a
    file holds averaged weights beside raw ones, the averaged ones are taken, which `Loaded` says.

    Raises:
        WeightsError: the source cannot be read, or it does not fit; then the trunk is unchanged.
    """
    named = WEIGHTS.get(str(source))
    file = fetch(named) if named else find(source)
    found, digest = files.whole(file), files.sha256(file)
    weights, dropped = without_classifier(layouts.trunk(found.state))
    own = trunk.state_dict()
    if fit_stem:
        weights = {**weights, **fitted_stem(own, weights, spread)}
    check(own, weights, str(source))
    rule = first_block_of(variant) if variant else found.first_block
    loaded = Loaded(
        str(source),
        file,
        digest,
        _described(weights),
        dropped=dropped,
        card=named or recognised(digest),
        averaged=found.averaged,
        first_block=None if rule == getattr(trunk, "first_block", rule) else rule,
    )
    trunk.load_state_dict({**own, **weights})
    return loaded


def fetch(card: Weights) -> Path:
    """Give the path of a published file, downloading it if it is not in the cache.

    Raises:
        WeightsError: its publisher states no hash, or it cannot be downloaded.
    """
    from backbone import download  # only here: nothing else of this project needs the network

    if card.sha256 is None:
        raise WeightsError(
            f"{card.name}: its publisher states no hash, so it is not fetched by name; fetch "
            f"{' or '.join(card.urls)} yourself, and give the file instead of the name (licence: "
            f"{card.licence})"
        )

    path = download.cache() / card.file
    return download.fetch(card.urls, path, digest=card.sha256, licence=card.licence)


def find(source: str | Path) -> Path:
    """Give the file that a path stands for: itself, or the checkpoint of a run directory."""
    path = Path(source)
    if path.is_file():
        return path
    for name in ("best.pt", "last.pt"):
        if (path / name).is_file():
            return path / name
    if path.is_dir():
        raise WeightsError(f"{path}: holds no best.pt and no last.pt; needed: a run directory")
    close = difflib.get_close_matches(str(source), WEIGHTS, n=3, cutoff=0.5) or sorted(WEIGHTS)[:3]
    raise WeightsError(
        f"{source}: neither a file, nor a run directory, nor one of the {len(WEIGHTS)} published "
        f"weights such as {', '.join(close)}"
    )


def without_classifier(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Split a file's state dict into a trunk's weights and the names of what no trunk has."""
    dropped = tuple(key for key in state if key in CLASSIFIER or key.startswith(UNUSED_PROJECTIONS))
    return {key: value for key, value in state.items() if key not in dropped}, dropped


def fitted_stem(
    own: Mapping[str, Tensor], weights: Mapping[str, Tensor], spread: bool = False
) -> dict[str, Tensor]:
    """The first convolution for other inputs than three colours; nothing where none is needed.

    One input channel gets the sum over the colours. More than three get them as their first three,
    and keep what they were drawn as in the others; or all share their sum evenly if `spread`.
    """
    fitted = {}
    for key in STEMS:
        if key not in own or key not in weights or weights[key].shape[1] != 3:
            continue
        channels = own[key].shape[1]
        if channels == 1 or (spread and channels != 3):
            grey = weights[key].sum(dim=1, keepdim=True) / channels
            fitted[key] = grey.repeat(1, channels, 1, 1)
        elif channels > 3:
            fitted[key] = torch.cat([weights[key], own[key][:, 3:].to(weights[key])], dim=1)
    return fitted


def check(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], source: str) -> None:
    """Raise WeightsError unless the weights fit a trunk whose state dict is `own`."""
    missing = [
        key for key in own if key not in weights and not key.endswith(".num_batches_tracked")
    ]
    unexpected = [key for key in weights if key not in own]
    misshapen = [
        f"{key} {tuple(weights[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own.keys() & weights.keys()
        if own[key].shape != weights[key].shape
    ]
    mistyped = [
        f"{key} of {weights[key].dtype}"
        for key in own.keys() & weights.keys()
        if own[key].is_floating_point() and not weights[key].is_floating_point()
    ]
    if not missing and not unexpected and not misshapen and not mistyped:
        return
    needed, found = _described(own), _described(weights)
    problems = [
        f"{len(keys)} {kind}: {_some(keys)}"
        for kind, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", sorted(misshapen)),
            ("of another type", sorted(mistyped)),
        )
        if keys
    ]
    raise WeightsError(
        f"{source}: made for {found}, does not fit {needed}; {'; '.join(problems)}; nothing was "
        f"loaded: take weights made for {needed}, or build {found}"
    )


def _described(state: Mapping[str, Tensor]) -> str:
    try:
        return detect(state)
    except WeightsError:
        return "another network"


def _some(keys: list[str]) -> str:
    more = ", ..." if len(keys) > SHOWN else ""
    return ", ".join(keys[:SHOWN]) + more
