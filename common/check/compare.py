"""Findings about splits as a whole: classes, and files that occur twice."""

import os
from collections.abc import Sequence
from pathlib import Path

from common.check.examine import Examination, Seen
from common.check.findings import Finding
from common.commands import classes
from common.reading import folders

ABSENT = "classes that never occur"
TWICE = "equal files"
CONTRADICTING = "equal files with other labels"
IN_BOTH = "files in both splits"
LEFT_OUT = "files of other formats"

_NAMED = 10


def absent(examination: Examination) -> list[Finding]:
    """Classes of which a split has nothing; unknown where none of its files can be read."""
    split, counts = examination.split, examination.counts()
    sound = sum(one.sound for one in examination.seen)
    if not sound:
        return []
    missing = classes.absent([counts[name] for name in split.classes], split.classes)
    if not missing:
        return []
    shown = classes.shortened(missing, _NAMED)
    mend = (
        "they cannot be learnt: add samples that have them, or do without them"
        if examination.role == "training"
        else "they are not scored: divide the samples in another way if they should be"
    )
    text = f"no {split.unit} of {len(missing):,} of {len(split.classes):,} {split.kinds} ({shown})"
    if sound < len(split):
        text += f" in the {sound:,} {split.noun} that can be read"
    return [Finding("warning", split.name, ABSENT, text, mend)]


def left_out(examination: Examination) -> list[Finding]:
    """Files beside those of a split that no reader takes; lists and labels do not count."""
    split = examination.split
    places = sorted({Path(file).parent for file in split.files})
    files = {
        str(place / name): name for place in places if place.is_dir() for name in os.listdir(place)
    }
    rest = {file: name for file, name in files.items() if folders.left_out([name], split.kind)}
    if not rest:
        return []
    counts = folders.left_out(rest.values(), split.kind)
    listed = ", ".join(f"{suffix} {count:,}" for suffix, count in sorted(counts.items()))
    text = f"{len(rest):,} files ({listed}) are no {split.kind.name} format that is read here"
    mend = f"convert them, if they are {split.noun} that belong to the split"
    return [Finding("note", split.name, LEFT_OUT, text, mend, tuple(sorted(rest)))]


def twice(examination: Examination) -> list[Finding]:
    """Files of equal content within a split, and those of them with other labels."""
    split, groups = examination.split, _by_content(examination.seen)
    copies = [group for group in groups.values() if len(group) > 1]
    apart = [group for group in copies if not _agree(group)]
    agreeing = [group for group in copies if _agree(group)]
    findings = []
    for kind, chosen, mend in (
        (TWICE, agreeing, "keep one of each: the others count twice"),
        (CONTRADICTING, apart, "decide which labels are right and remove the other files"),
    ):
        if chosen:
            count = sum(len(group) - 1 for group in chosen)
            text = f"{count:,} of {len(split):,} {split.noun} are copies of another"
            text += " and have other labels" if kind == CONTRADICTING else ""
            files = tuple(" = ".join(one.file for one in group) for group in chosen)
            findings.append(Finding("warning", split.name, kind, text, mend, files))
    return findings


def in_both(training: Examination, scoring: Examination) -> list[Finding]:
    """Files that are trained on and scored."""
    known = {one.digest: one.file for one in training.seen if one.sound}
    both = [(one, known[one.digest]) for one in scoring.seen if one.sound and one.digest in known]
    if not both:
        return []
    split = scoring.split
    text = f"{len(both):,} of {len(split):,} {split.noun} are trained on as well"
    files = tuple(one.file if one.file == other else f"{one.file} = {other}" for one, other in both)
    mend = "take them out of one split: a score on them says nothing"
    return [Finding("warning", split.name, IN_BOTH, text, mend, files)]


def _by_content(seen: Sequence[Seen]) -> dict[str, list[Seen]]:
    groups: dict[str, list[Seen]] = {}
    for one in seen:
        if one.sound:  # empty files are no copies
            groups.setdefault(one.digest, []).append(one)
    return groups


def _agree(group: Sequence[Seen]) -> bool:
    """Whether all have the same labels."""
    return all(one.look.counts == group[0].look.counts for one in group)
