"""The published weights, and the one way to load weights into a trunk: strictly.

Nothing is downloaded before somebody asks for a file by its name.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from backbone import files
from backbone.blocks import FirstBlock
from backbone.detect import STEMS, detect
from backbone.errors import WeightsError
from backbone.variants import MODELS, first_block_of

__all__ = ["WEIGHTS", "Loaded", "Weights", "WeightsError", "detect", "load"]

CLASSIFIER = ("fc.weight", "fc.bias")
# Published DLA files hold three projections that nothing ever uses.
UNUSED_PROJECTIONS = ("level3.project.", "level4.project.", "level4.tree1.project.")
SHOWN = 10

OFFICIAL = "https://shanghuagao.oss-cn-beijing.aliyuncs.com/res2net/"
TIMM = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-res2net/"
TORCHVISION = "https://download.pytorch.org/models/"
NON_COMMERCIAL = "CC BY-NC-SA 4.0, as the README of Res2Net-PretrainedModels states"
BSD = "BSD-3-Clause, as torchvision states"

Errors = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What is known of one published file. Errors are per cent, top-1 and top-5, on ImageNet val.

    `sha256` is the part of the hash that the file's name gives. `reevaluated` is the error that
    timm measured for the same weights. Pixels go in as (value / 255 - mean) / std.
    """

    name: str
    architecture: str
    file: str
    urls: tuple[str, ...]
    sha256: str
    licence: str
    error: Errors
    reevaluated: Errors | None = None
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    colour: str = "RGB"
    input_size: int = 224
    crop: float = 0.875


@dataclass(frozen=True)
class Loaded:
    """What `load` has put into a trunk; as text, one line for a log or a result card."""

    source: str
    file: Path
    sha256: str
    architecture: str
    dropped: tuple[str, ...]
    card: Weights | None
    averaged: str | None = None
    """The file's entry, if it holds averaged weights beside raw ones; these were taken."""
    first_block: FirstBlock | None = None
    """The rule of first blocks (`Bottle2neck`) under which they were trained, if the source says it
    and it is not the trunk's: the trunk then starts from other features than these weights had."""

    def __str__(self) -> str:
        averaged = f", averaged weights of its {self.averaged}" if self.averaged else ""
        rule = f", trained with {self.first_block} first blocks" if self.first_block else ""
        return f"{self.source} ({self.architecture}, sha256 {self.sha256[:8]}{averaged}{rule})"


def load(trunk: nn.Module, source: str | Path, *, sum_colours: bool = False) -> Loaded:
    """Load weights into a trunk: every one of them, or none and an error.

    Args:
        trunk: built by a function of MODELS.
        source: a name in WEIGHTS (downloaded once), a `.safetensors` or `.pth` file (official,
            torchvision's or timm's), or the run directory of any task, of which `best.pt`, else
            `last.pt`, is taken.
        sum_colours: lets a trunk of one input channel take weights for three: their first
            convolution is summed over the colours, which is its answer to a grey picture.

    Left out by name: the classifier (`fc.weight`, `fc.bias`) and DLA's three unused projections.
    `num_batches_tracked` may be missing, as files older than PyTorch 0.4.1 do not have it. Where a
    file holds averaged weights beside raw ones, the averaged ones are taken, which `Loaded` says.

    Raises:
        WeightsError: the source cannot be read, or it does not fit; then the trunk is unchanged.
    """
    card = WEIGHTS.get(str(source))
    file = fetch(card) if card else find(source)
    found = files.whole(file)
    weights, dropped = without_classifier(files.trunk(found.state))
    own = trunk.state_dict()
    if sum_colours:
        weights = {**weights, **summed_stem(own, weights)}
    check(own, weights, str(source))
    variant = card.architecture if card else found.variant
    rule = first_block_of(variant) if variant in MODELS else None
    loaded = Loaded(
        str(source),
        file,
        files.sha256(file),
        _described(weights),
        dropped=dropped,
        card=card,
        averaged=found.averaged,
        first_block=None if rule == getattr(trunk, "first_block", rule) else rule,
    )
    trunk.load_state_dict({**own, **weights})
    return loaded


def fetch(card: Weights) -> Path:
    """Give the path of a published file, downloading it if it is not in the cache."""
    from backbone import download  # only here: nothing else of this project needs the network

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


def summed_stem(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The first convolution (C, 1, h, w) of weights for colours; nothing where none is needed."""
    return {
        key: weights[key].sum(dim=1, keepdim=True)
        for key in STEMS
        if key in own and own[key].shape[1] == 1 and key in weights and weights[key].shape[1] == 3
    }


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


def _official(
    architecture: str,
    file: str,
    error: Errors,
    reevaluated: Errors,
    *,
    hosts: Iterable[str] = (OFFICIAL, TIMM),
) -> Weights:
    return Weights(
        name=f"{architecture}.imagenet1k_official",
        architecture=architecture,
        file=file,
        urls=tuple(host + file for host in hosts),
        sha256=_hash_in_name(file),
        licence=NON_COMMERCIAL,
        error=error,
        reevaluated=reevaluated,
    )


def _torchvision(architecture: str, file: str, error: Errors) -> Weights:
    return Weights(
        name=f"{architecture}.imagenet1k_torchvision",
        architecture=architecture,
        file=file,
        urls=(TORCHVISION + file,),
        sha256=_hash_in_name(file),
        licence=BSD,
        error=error,
    )


def _hash_in_name(file: str) -> str:
    return Path(file).stem.rpartition("-")[2]


# Weights of 18w_6s, 18w_4s, v1b-152 and the SE nets were never published.
_ROWS = (
    _official("res2net50_48w_2s", "res2net50_48w_2s-afed724a.pth", (22.68, 6.47), (22.472, 6.438)),
    _official("res2net50_26w_4s", "res2net50_26w_4s-06e79181.pth", (22.01, 6.15), (22.006, 6.140)),
    _official("res2net50_14w_8s", "res2net50_14w_8s-6527dddc.pth", (21.86, 6.14), (21.858, 6.148)),
    _official("res2net50_26w_6s", "res2net50_26w_6s-19041792.pth", (21.42, 5.87), (21.414, 5.880)),
    _official("res2net50_26w_8s", "res2net50_26w_8s-2c7c9f12.pth", (20.80, 5.63), (21.050, 5.720)),
    _official(
        "res2net101_26w_4s", "res2net101_26w_4s-02a759a1.pth", (20.81, 5.57), (20.808, 5.534)
    ),
    _official("res2next50", "res2next50_4s-6ef7e7bf.pth", (21.76, 6.09), (21.762, 6.096)),
    _official(
        "res2net50_v1b",
        "res2net50_v1b_26w_4s-3cf99910.pth",
        (19.73, 4.96),
        (19.720, 4.972),
        hosts=(OFFICIAL,),
    ),
    _official(
        "res2net101_v1b",
        "res2net101_v1b_26w_4s-0812c246.pth",
        (18.77, 4.64),
        (18.764, 4.654),
        hosts=(OFFICIAL,),
    ),
    _official(
        "dla60_res2net",
        "res2net_dla60_4s-d88db7f9.pth",
        (21.53, 5.80),
        (21.520, 5.796),
        hosts=(TIMM,),
    ),
    _official(
        "dla60_res2next",
        "res2next_dla60_4s-d327927b.pth",
        (21.55, 5.86),
        (21.512, 5.856),
        hosts=(TIMM,),
    ),
    _torchvision("resnet50", "resnet50-0676ba61.pth", (23.870, 7.138)),
    _torchvision("resnet101", "resnet101-63fe2227.pth", (22.626, 6.454)),
)
WEIGHTS: dict[str, Weights] = {row.name: row for row in _ROWS}
