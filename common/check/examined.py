"""A split as the check sees it: a task says how one sample is read and drawn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from common.check.findings import Finding, Remark
from common.reading.folders import Kind
from common.reading.image import Picture

Content = NDArray[np.uint8]
"""Bytes of a file (N,)."""


@dataclass(frozen=True)
class Look:
    """What is seen in one file."""

    measures: Mapping[str, float] = field(default_factory=dict)
    """Numbers such as "width" in pixels and "seconds"."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Words such as the format; files of equal words are counted."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How much of each class: objects, pixels or 1 for the file itself."""
    remarks: tuple[Remark, ...] = ()


def joined(first: Look, second: Look) -> Look:
    """Two looks at one file."""
    return Look(
        {**first.measures, **second.measures},
        {**first.attributes, **second.attributes},
        {**first.counts, **second.counts},
        first.remarks + second.remarks,
    )


@dataclass(frozen=True)
class Examined:
    """A split, and how the task reads it."""

    name: str
    """As a summary calls it."""
    summary: str
    """One line: what was read, and in which layout."""
    files: Sequence[str]
    """(N,) names of its pictures or recordings."""
    kind: Kind
    """What they are: pictures or recordings."""
    unit: str
    """What is counted for each class: "pixels", "objects"."""
    classes: Sequence[str]
    """That should occur."""
    content: Callable[[int], Content]
    """Bytes of a file, by number; raises DamagedFile where they cannot be had."""
    header: Callable[[Content], Look]
    """What the bytes of a file say without being decoded."""
    look: Callable[[int], Look]
    """Reads a sample as training does; raises DamagedFile or UserError as it would."""
    draw: Callable[[int], Picture | None]
    """A sample with its labels (H, W, 3), RGB; None where there is nothing to look at."""
    samples: Callable[[], int]
    """How many samples training has; raises UserError where it would refuse the split."""
    advice: Callable[[NDArray[np.int64]], Sequence[str]] = lambda _: ()
    """What to set, from the height and width (N, 2) of the pictures."""
    kinds: str = "classes"
    """What the classes are, if they are called otherwise."""
    title: Callable[[int], str] | None = None
    """What stands above a drawn sample; None for the name of its file."""
    findings: tuple[Finding, ...] = ()
    """What was found while the split was read."""

    @property
    def noun(self) -> str:
        """What the files are, in the plural."""
        return f"{self.kind.name}s"

    def __len__(self) -> int:
        """Number of files."""
        return len(self.files)
