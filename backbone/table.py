"""Print what every variant costs and what was published of it.

    python -m backbone.table [--json]
    python -m backbone.table --weights     # the published files, by the names that --weights takes

Parameters and multiply-accumulates are measured, not typed in: the net is built and run on one
picture of 224x224 without data ("meta" device), with the 1000-class layer of the published nets.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from backbone.dla import DLA
from backbone.published import WEIGHTS, Errors
from backbone.trunk import Pyramid, Trunk
from backbone.variants import MODELS

CLASSES = 1000
SIZE = 224
# Published in the paper without weights (tables 2 and 3).
WITHOUT_WEIGHTS: dict[str, Errors] = {
    "res2net50_18w_4s": (22.92, 6.67),
    "se_res2net50_26w_4s": (21.56, 5.94),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One variant. Errors are per cent on ImageNet val, published; None where nothing was.

    `published_parameters` also counts what the published network owns but never uses (DLA).
    """

    name: str
    parameters: int
    published_parameters: int
    macs: int
    channels: Pyramid[int]
    strides: Pyramid[int]
    top1_error: float | None
    top5_error: float | None


def measure(name: str) -> Row:
    """Build one variant without data and count."""
    with torch.device("meta"):
        trunk = MODELS[name]()
        picture = torch.empty(1, trunk.in_channels, SIZE, SIZE)
    features = trunk.channels.c5
    parameters = sum(p.numel() for p in trunk.parameters()) + (features + 1) * CLASSES
    leave_out_norms(trunk)
    macs = count_multiplications(trunk, picture)
    top1, top5 = published_errors().get(name, (None, None))
    return Row(
        name=name,
        parameters=parameters,
        published_parameters=parameters + unused(trunk),
        macs=macs + features * CLASSES,
        channels=trunk.channels,
        strides=trunk.strides,
        top1_error=top1,
        top5_error=top5,
    )


def leave_out_norms(trunk: Trunk) -> None:
    """Exchange batch norms for nothing, in place: without data they take most of a trunk's time."""
    for part in list(trunk.modules()):
        for name, layer in part.named_children():
            if isinstance(layer, nn.BatchNorm2d):
                setattr(part, name, nn.Identity())


def count_multiplications(trunk: Trunk, picture: Tensor) -> int:
    """Count the multiply-accumulates of every convolution while the trunk runs on a picture."""
    counted: list[int] = []

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        counted.append(output.numel() * module.weight[0].numel())

    hooks = [
        module.register_forward_hook(count)
        for module in trunk.modules()
        if isinstance(module, nn.Conv2d)
    ]
    with torch.no_grad():
        trunk.eval()(picture)
    for hook in hooks:
        hook.remove()
    return sum(counted)


def published_errors() -> dict[str, Errors]:
    """Top-1 and top-5 error of every variant that has any, by name; of its first published file."""
    return {row.architecture: row.error for row in reversed(WEIGHTS.values())} | WITHOUT_WEIGHTS


def unused(trunk: Trunk) -> int:
    """Count the parameters of the three projections that published DLA nets never use."""
    if not isinstance(trunk, DLA):
        return 0
    _, c2, c3, c4, _ = trunk.channels
    return sum(before * after + 2 * after for before, after in ((c2, c3), (c3, c4), (c3, c4)))


LINE = "{:23} {:>23} {:>6}  {:24} {:12} {:>6} {:>6}"
TITLES = ("name", "parameters", "GMACs", "channels", "strides", "top-1", "top-5")
NOTE = f"""
With a {CLASSES}-class layer, at {SIZE}x{SIZE}. Where there are two numbers of parameters: as
published, with three projections that are never used / here, without them. Errors are those that
were published, in per cent on ImageNet val, single centre crop; - where none was."""


def lines(rows: Sequence[Row]) -> list[str]:
    """Set the rows as text, one line each, under a line of titles."""
    text = [LINE.format(*TITLES)]
    for row in rows:
        parameters = f"{row.parameters:,}"
        if row.published_parameters != row.parameters:
            parameters = f"{row.published_parameters:,} / {parameters}"
        text.append(
            LINE.format(
                row.name,
                parameters,
                f"{row.macs / 1e9:.2f}",
                " ".join(map(str, row.channels)),
                " ".join(map(str, row.strides)),
                *(
                    "-" if error is None else f"{error:.2f}"
                    for error in (row.top1_error, row.top5_error)
                ),
            )
        )
    return text


WEIGHTS_LINE = "{:46} {:>6} {:>6}  {:7}  {}"
WEIGHTS_NOTE = """
Errors as published, in per cent on ImageNet val, single centre crop. By hand: nobody publishes a
hash of the file, so fetch it yourself and give it instead of the name. Remarks say in what a
network differs from the official one with the same names and shapes, and the licence."""


def weights_lines() -> list[str]:
    """The published files as text, one line each, under a line of titles."""
    text = [WEIGHTS_LINE.format("name", "top-1", "top-5", "fetched", "remarks")]
    for row in WEIGHTS.values():
        how = "by hand" if row.sha256 is None else "by name"
        remarks = "; ".join(part for part in (row.differs, f"licence: {row.licence}") if part)
        errors = (f"{error:.2f}" for error in row.error)
        text.append(WEIGHTS_LINE.format(row.name, *errors, how, remarks))
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m backbone.table", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", action="store_true", help="print a list of objects instead")
    parser.add_argument("--weights", action="store_true", help="print the published files instead")
    given = parser.parse_args(arguments)
    if given.weights:
        print("\n".join(weights_lines()), WEIGHTS_NOTE, sep="\n")
        return 0
    rows = [measure(name) for name in MODELS]
    if given.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return 0
    print("\n".join(lines(rows)))
    print(NOTE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
