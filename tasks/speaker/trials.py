"""Trial lists and score files: pairs of recordings, spoken by one person or by two."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from common.reading.annotations import NAMES_WITH_SPACES, words_of
from tasks.speaker.speakers import lines_of

LABELS = {
    "1": True, "target": True, "true": True, "same": True, "positive": True, "yes": True,
    "genuine": True, "match": True, "client": True,
    "0": False, "nontarget": False, "false": False, "different": False, "negative": False,
    "no": False, "impostor": False, "imposter": False, "nonmatch": False, "diff": False,
}  # fmt: skip
"""Whether a label says that both recordings are of one speaker."""

_FORMS = "`1|0 path path` or `path path target|nontarget`"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trials:
    """A list of trials over its recordings."""

    file: Path
    recordings: tuple[str, ...]
    """Paths as the list gives them, each once, in order of appearance."""
    enrol: NDArray[np.int64]
    """(N,) first recording of each trial, a place in `recordings`."""
    test: NDArray[np.int64]
    """(N,) second recording."""
    target: NDArray[np.bool_]
    """(N,) whether both are of one speaker."""
    fingerprint: str
    """sha256 of the file."""

    def __len__(self) -> int:
        """Number of trials."""
        return len(self.target)

    def summary(self) -> str:
        """One line for the log."""
        return (
            f"{len(self):,} trials ({int(self.target.sum()):,} target) over "
            f"{len(self.recordings):,} recordings in {self.file}"
        )


def speaker_of(recording: str) -> str:
    """Who speaks: the first of a path's last three parts, as in VoxCeleb's lists.

    id10270 of id10270/x6uYqmx31kE/00001.wav, whatever folders are before it.
    """
    return Path(recording).parts[-3:][0]


def read_trials(file: Path) -> Trials:
    """Read `1|0 path path` (VoxCeleb), `path path target|nontarget` (Kaldi) and the like.

    The label is the first or the last word, a number or a word of `LABELS` in any case. Names with
    spaces stand within double quotes, or the three words are parted by tabs.

    Raises:
        UserError: one line that names the file, the line and what is wrong: no labels, another
            form, or no trial of one of both kinds.
    """
    lines = _worded(file, (3,))
    if not lines:
        raise UserError(f"{file}: is empty; needed: `1|0 path path` on each line")
    label = _column(file, lines)
    first, second = (1, 2) if label == 0 else (0, 1)
    places: dict[str, int] = {}
    count = len(lines)
    enrol, test = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    for row, (_, words) in enumerate(lines):
        enrol[row] = places.setdefault(words[first], len(places))
        test[row] = places.setdefault(words[second], len(places))
    target = _targets([words[label] for _, words in lines], file)
    require_both(target, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Trials(file, tuple(places), enrol, test, target, digest)


def _worded(file: Path, counts: Collection[int]) -> list[tuple[int, list[str]]]:
    """Number and words of each line that holds something; `counts` are how many there may be."""
    lines = enumerate(lines_of(file), start=1)
    worded = [(number, words_of(line, counts)) for number, line in lines]
    return [(number, words) for number, words in worded if words]


def _spaced(words: Sequence[str], most: int) -> str:
    """How to write a line that has more words than it may have."""
    return f"; {NAMES_WITH_SPACES}" if len(words) > most else ""


def _column(file: Path, lines: Sequence[tuple[int, list[str]]]) -> int:
    """Place of the label among the three words of every line: 0 or 2."""
    number, words = lines[0]
    if len(words) == 2:
        raise UserError(
            f"{file}, line {number}: has no label; a list without labels cannot be scored. Needed: "
            f"{_FORMS}"
        )
    labelled = [
        [len(words) == 3 and _plain(words[column]) in LABELS for _, words in lines]
        for column in (0, 2)
    ]
    if all(labelled[0]) and all(labelled[1]):
        raise UserError(
            f"{file}, line {number}: the first and the last word are labels, as on all lines, "
            f"found {' '.join(words)!r}; needed: {_FORMS}"
        )
    for column, there in zip((0, 2), labelled, strict=True):
        if all(there):
            return column
    most = max(labelled, key=sum)
    if not any(most):
        raise UserError(
            f"{file}, line {number}: is neither `1|0 path path` (VoxCeleb) nor "
            f"`path path target|nontarget` (Kaldi), found {' '.join(words)!r}{_spaced(words, 3)}"
        )
    (bad, found), (good, _) = lines[most.index(False)], lines[most.index(True)]
    raise UserError(
        f"{file}, line {bad}: needs a label and two recordings as line {good} does, found "
        f"{' '.join(found)!r}{_spaced(found, 3)}"
    )


def _targets(words: Sequence[str], file: Path) -> NDArray[np.bool_]:
    """(N,) what labels say. Raises UserError if they are of more than one kind."""
    kinds = dict.fromkeys(map(_plain, words))
    if len(kinds) > 2:
        raise UserError(
            f"{file}: its labels are {', '.join(kinds)}; needed are two words, one for trials of "
            "one speaker and one for the others"
        )
    return np.array([LABELS[_plain(word)] for word in words], dtype=np.bool_)


def _plain(label: str) -> str:
    """A label in lower case; Non-Target and non_target are nontarget."""
    return label.lower().replace("-", "").replace("_", "")


def require_both(target: NDArray[np.bool_], file: Path) -> None:
    """Refuse trials of one kind only: they have no error rates."""
    if target.all() or not target.any():
        kind = "nontarget" if target.all() else "target"
        raise UserError(f"{file}: has no {kind} trial; an error rate needs both kinds")


def write_scores(
    file: Path, trials: Trials, kept: NDArray[np.int64], scores: Sequence[float] | Floats
) -> None:
    """Write `path path score target|nontarget` lines of the trials that were scored.

    The four are parted by tabs where names have spaces.

    Args:
        file: to write.
        trials: the list.
        kept: (M,) rows of the list that have a score.
        scores: (M,)
    """
    names = ("nontarget", "target")
    gap = "\t" if any(len(name.split()) > 1 for name in trials.recordings) else " "
    rows = zip(
        trials.enrol[kept].tolist(),
        trials.test[kept].tolist(),
        trials.target[kept].tolist(),
        scores,
        strict=True,
    )
    with file.open("w") as text:
        for enrol, test, target, score in rows:
            pair = trials.recordings[enrol], trials.recordings[test]
            text.write(gap.join((*pair, f"{score:.6f}", names[target])) + "\n")


def read_scores(file: Path, labels: Path | None = None) -> tuple[Floats, NDArray[np.bool_]]:
    """Scores (N,) and whether each is of a target trial, of a file as `write_scores` writes it.

    Args:
        file: lines `path path score` with a label behind it, unless there is a list.
        labels: trial list with the labels of a score file that has none.

    Raises:
        UserError: names the line; or a trial of the list has no score.
    """
    wanted = (3, 4) if labels is not None else (4,)
    rows = _worded(file, (3, 4))
    if not rows:
        raise UserError(f"{file}: is empty; needed: `path path score target|nontarget` lines")
    scores = np.empty(len(rows))
    for row, (number, words) in enumerate(rows):
        if len(words) not in wanted or (len(words) == 4 and _plain(words[3]) not in LABELS):
            missing = len(words) == 3
            need = "a label (target or nontarget), or give --labels LIST" if missing else ""
            raise UserError(
                f"{file}, line {number}: needs {need or 'path path score target|nontarget'}; found "
                f"{' '.join(words)!r}{_spaced(words, 4)}"
            )
        scores[row] = _number(file, number, words[2])
    if labels is None:
        target = _targets([words[3] for _, words in rows], file)
        require_both(target, file)
        return scores, target
    places: dict[tuple[str, str], int] = {}
    for row, (number, words) in enumerate(rows):
        earlier = places.setdefault((words[0], words[1]), row)
        if scores[earlier] != scores[row]:
            raise UserError(
                f"{file}, line {number}: the trial {words[0]} {words[1]} has another score on line "
                f"{rows[earlier][0]}; keep one of them"
            )
    said = [LABELS[_plain(words[3])] if len(words) == 4 else None for _, words in rows]
    return _matched(file, places, said, scores, read_trials(labels))


def _matched(
    file: Path,
    places: dict[tuple[str, str], int],
    said: Sequence[bool | None],
    scores: Floats,
    trials: Trials,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Scores in the order of a trial list, with its labels, which the file may say itself."""
    order = np.empty(len(trials), dtype=np.int64)
    for row, (enrol, test) in enumerate(zip(trials.enrol, trials.test, strict=True)):
        pair = trials.recordings[enrol], trials.recordings[test]
        if pair not in places:
            raise UserError(f"{file}: has no score for the trial {' '.join(pair)} of {trials.file}")
        order[row] = places[pair]
        if said[order[row]] not in (None, trials.target[row]):
            raise UserError(
                f"{file}: the trial {' '.join(pair)} has another label than in {trials.file}"
            )
    return scores[order], trials.target


def _number(file: Path, number: int, word: str) -> float:
    try:
        score = float(word)
    except ValueError:
        raise UserError(f"{file}, line {number}: {word!r} is not a score") from None
    if not np.isfinite(score):
        raise UserError(f"{file}, line {number}: the score is {word}; scores must be finite")
    return score
