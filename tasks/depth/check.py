"""``python -m tasks.depth.check --data.root X``: look at all of a data set before training.

Reads every picture and depth map of both splits as training does, and writes OUT/check/index.html
with what it found. It takes the flags of train. Exit status 1: training would stop.
"""

import sys
from dataclasses import replace
from functools import partial

import numpy as np

from common.check import advice
from common.check.check import check, two_splits
from common.check.examined import Examined, Look
from common.check.findings import Finding, Remark
from common.check.pictures import header
from common.commands import command
from common.commands.config import parse
from common.reading import image
from common.reading.left_out import OnError
from tasks.depth.config import Config, DataConfig
from tasks.depth.data import Split, read
from tasks.depth.draw import STRIP, coloured

_SPARSE = 0.5
"""Share of measured pixels below which a note says so."""


def examined(config: Config, split: str, on_error: OnError) -> Examined:
    """A split as the check reads it; raises UserError as `data.read` does."""
    config = replace(config, data=replace(config.data, on_error=on_error))
    found, data = read(config, split), config.data

    def draw(index: int) -> image.Picture:
        sample = found.read(index)
        depth = coloured(sample.depth)
        below = np.full((STRIP, sample.image.shape[1], 3), 255, np.uint8)
        return np.concatenate([np.concatenate([sample.image, below]), depth], axis=1)

    return Examined(
        name=split,
        summary=found.summary(),
        files=[str(file) for file in found.files],
        kind=image.PICTURES,
        unit="pixels",
        classes=("measured",),
        content=lambda index: image.content(found.files[index]),
        header=partial(header, data.orientation),
        look=partial(_look, found, data),
        draw=draw,
        samples=lambda: len(found),
        advice=lambda sizes: [advice.short_side(sizes, "--data.short_side", data.short_side)],
        findings=_without_depth(found),
    )


def _without_depth(split: Split) -> tuple[Finding, ...]:
    if not split.without:
        return ()
    text = f"{split.without:,} pictures of the list have no depth map (None)"
    return (Finding("note", split.name, "pictures without depth", text, "they do not count"),)


def _look(split: Split, data: DataConfig, index: int) -> Look:
    """Pixels that were measured, and that are too far away to count."""
    depth = split.read(index).depth
    measured = depth > 0
    beyond = int(np.count_nonzero(depth > data.max_depth))
    share = float(measured.mean())
    remarks = []
    if beyond:
        mend = f"pixels beyond --data.max_depth {data.max_depth:g} neither teach nor count"
        detail = f"{beyond / measured.sum():.1%} of what is measured, up to {depth.max():.4g} m"
        remarks.append(Remark("note", "depth maps go beyond the maximum", detail, mend))
    if share < _SPARSE:
        detail = f"{share:.1%} of the pixels"
        mend = "sparse depth teaches less: train longer"
        remarks.append(Remark("note", "depth maps are measured at less than half", detail, mend))
    nearest, farthest = float(depth[measured].min()), float(depth.max())
    return Look(
        measures={"nearest (m)": nearest, "farthest (m)": farthest, "measured share": share},
        counts={"measured": int(measured.sum()), "holes": int((~measured).sum())},
        remarks=tuple(remarks),
    )


def main() -> None:
    """Read the flags and all the files, and write the page."""
    config = parse(Config)
    data = config.data
    parts = two_splits(data.train_split, data.val_split, partial(examined, config))
    report = check("depth", config, data.on_error, parts)
    sys.exit(report.status)


if __name__ == "__main__":
    command.run(main)
