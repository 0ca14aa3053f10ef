"""What every check command does with the splits that its task has built."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from common import outputs
from common.check import advice, compare, page
from common.check.examine import Examination, examine
from common.check.examined import Examined
from common.check.findings import ORDER, REFUSED, Finding, refused
from common.check.page import Report
from common.commands import plot
from common.commands.settings import RunConfig
from common.errors import UserError
from common.reading.image import Picture
from common.reading.left_out import OnError

Role = Literal["training", "scoring"]

SHOWN = 12
"""Samples on a sheet."""
_CELL = (220, 280)


@dataclass(frozen=True)
class Part:
    """A split that is to be checked."""

    role: Role
    name: str
    """For findings while it cannot be read."""
    read: Callable[[OnError], Examined]
    """As train and evaluate read it; raises UserError."""


def two_splits(training: str, scoring: str, read: Callable[[str, OnError], Examined]) -> list[Part]:
    """The parts of a data set whose two splits are read alike, by their names."""
    return [
        Part("training", training, partial(read, training)),
        Part("scoring", scoring, partial(read, scoring)),
    ]


def check(
    task: str,
    config: RunConfig,
    on_error: OnError,
    parts: Sequence[Part],
    together: Callable[[], object] = tuple,
    between: Callable[[], Sequence[Finding]] = tuple,
) -> Report:
    """Read all parts, write OUT/check/ with a page, sheets of samples and check.json, and sum up.

    Args:
        task: its name.
        config: of the run that is to be.
        on_error: its --data.on_error.
        parts: the splits; the first is trained on.
        together: what training does with all of them besides; raises UserError.
        between: further findings about several splits.

    Returns:
        what was found; `stops` says whether training would stop.
    """
    folder = config.out / "check"
    outputs.make_folder(folder)
    findings: list[Finding] = []
    examinations: list[Examination] = []
    tips: list[str] = []
    for part in parts:
        split, refusals = _opened(part, on_error)
        findings += refusals
        if split is None:
            continue
        print(split.summary, flush=True)
        examination = examine(split, part.role, on_error)
        findings += [*split.findings, *examination.findings()]
        findings += [*compare.absent(examination), *compare.twice(examination)]
        findings += compare.left_out(examination)
        findings += _nothing_sound(examination, on_error)
        if part.role == "scoring":
            trained = (one for one in examinations if one.role == "training")
            findings += [found for one in trained for found in compare.in_both(one, examination)]
        examinations.append(examination)
        if part is parts[0]:
            found, advised = _training(examination, config.engine.batch_size)
            findings, tips = findings + found, advised
    findings += _refused(task, together)
    with suppress(UserError):  # what cannot be read is told already
        findings += between()
    report = Report(task, tuple(examinations), _told_once(findings), tuple(tips))
    _write(report, folder)
    return report


def _opened(part: Part, on_error: OnError) -> tuple[Examined | None, list[Finding]]:
    """The split, and what training would stop with; then it is read again as far as it goes."""
    try:
        return part.read(on_error), []
    except UserError as error:
        refusal = refused(part.name, error)
    try:
        return part.read("skip"), [refusal]
    except UserError:
        return None, [refusal]


def _refused(split: str, ask: Callable[[], object]) -> list[Finding]:
    """What training would stop with if it asked this."""
    try:
        ask()
    except UserError as error:
        return [refused(split, error)]
    return []


def _nothing_sound(examination: Examination, on_error: OnError) -> list[Finding]:
    """Training and scoring stop where skipping leaves nothing."""
    split = examination.split
    if on_error == "stop" or not len(split) or any(one.sound for one in examination.seen):
        return []
    text = f"none of {len(split):,} {split.noun} can be read, so --data.on_error skip leaves none"
    return [Finding("error", split.name, "nothing can be read", text, "correct the files")]


def _training(examination: Examination, batch_size: int) -> tuple[list[Finding], list[str]]:
    """What training refuses of its split, and what to set."""
    split, sizes = examination.split, examination.sizes()
    try:
        samples = split.samples()
    except UserError as error:
        return [refused(split.name, error)], []
    findings = []
    if samples < batch_size:
        text = f"{samples:,} samples do not fill a batch of {batch_size}"
        mend = f"say --engine.batch_size {max(1, samples)} or less"
        findings.append(Finding("error", split.name, "too few samples", text, mend))
    return findings, [
        advice.batch(samples, batch_size),
        *(split.advice(sizes) if len(sizes) else ()),
    ]


def _told_once(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Errors first; without refusals because of a file, or a split, that another finding names."""
    named = [file for one in findings if one.severity == "error" for file in one.files]
    kept: dict[tuple[str, str, str], Finding] = {}
    for finding in sorted(findings, key=lambda one: ORDER.index(one.severity)):
        refusal = finding.kind == REFUSED
        if refusal and any(file.endswith(finding.message) for file in named):
            continue
        split = "" if refusal else finding.split  # several splits may stop at one fault
        kept.setdefault((split, finding.kind, finding.text), finding)
    return tuple(kept.values())


def _write(report: Report, folder: Path) -> None:
    with outputs.written(folder):
        sheets = {one.split.name: _sheet(one, folder) for one in report.examinations}
        page.write(report, folder, {name: file for name, file in sheets.items() if file})
    for finding in report.findings:
        print(finding.line())
    for tip in report.tips:
        print(f"advice: {tip}")
    print(f"wrote {folder}/index.html and check.json")
    print(
        "training would stop: see the errors above" if report.stops else "training would go through"
    )


def _sheet(examination: Examination, folder: Path) -> str | None:
    """Draw samples spread over what could be read; None if nothing could."""
    sound = [index for index, one in enumerate(examination.seen) if one.sound]
    count = min(SHOWN, len(sound))
    chosen = [sound[place * len(sound) // count] for place in range(count)]
    drawn: list[Picture] = []
    titles: list[str] = []
    for index in chosen:
        picture = examination.split.draw(index)
        if picture is not None:
            drawn.append(picture)
            titles.append(_title(examination.split, index))
    if not drawn:
        return None
    name = f"samples_{examination.role}_{_plain(examination.split.name)}.jpg"
    plot.sheet(drawn, folder / name, 4, titles, _CELL)
    return name


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def _title(split: Examined, index: int) -> str:
    return Path(split.files[index]).name if split.title is None else split.title(index)
