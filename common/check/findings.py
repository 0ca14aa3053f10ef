"""What a check finds: one finding for each kind of fault, with its files and the way to mend it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from common.errors import UserError

Severity = Literal["error", "warning", "note"]
"""An error stops training; a warning costs quality or makes a score mean less."""

ORDER: tuple[Severity, ...] = ("error", "warning", "note")


REFUSED = "refused"
"""The kind of a finding that training itself would stop with."""


@dataclass(frozen=True)
class Remark:
    """Something about one file."""

    severity: Severity
    kind: str
    """What files of this fault are, in the plural, to follow a number: "pictures cut short"."""
    detail: str
    """What was found in this file; it need not name it."""
    mend: str
    """The flag or step that mends it."""


@dataclass(frozen=True)
class Finding:
    """Something about a split."""

    severity: Severity
    split: str
    kind: str
    """A few words that are the same for all findings of a kind."""
    text: str
    """What was found, with numbers."""
    mend: str
    """The flag or step that mends it; empty where the text says it."""
    files: tuple[str, ...] = ()
    """Files, each with what was found in it."""

    @property
    def message(self) -> str:
        """What was found, and the way to mend it."""
        return f"{self.text}; {self.mend}" if self.mend else self.text

    def line(self) -> str:
        """All in one line, with the first file."""
        first = f" (first {self.files[0]})" if self.files else ""
        mend = f"; {self.mend}" if self.mend else ""
        line = f"{self.severity}: {self.split}: {self.text}{first}{mend}"
        return " ".join(line.splitlines())  # names of files may have line breaks


def gathered(split: str, of: int, remarks: Iterable[tuple[str, Remark]]) -> list[Finding]:
    """The findings that remarks about files add up to, one for each kind and severity.

    Args:
        split: its name.
        of: files of the split.
        remarks: file and remark.
    """
    groups: dict[tuple[Severity, str], list[tuple[str, Remark]]] = {}
    for file, remark in remarks:
        groups.setdefault((remark.severity, remark.kind), []).append((file, remark))
    return [
        Finding(
            severity=severity,
            split=split,
            kind=kind,
            text=f"{len({file for file, _ in group}):,} of {of:,} {kind}",
            mend=group[0][1].mend,
            files=tuple(
                remark.detail if file in remark.detail else f"{file}: {remark.detail}"
                for file, remark in group
            ),
        )
        for (severity, kind), group in groups.items()
    ]


def unused(split: str, reasons: Mapping[str, int]) -> tuple[Finding, ...]:
    """Entries of an annotation file that are not used, by reason."""
    mend = "they are neither trained on nor scored; correct them if they should be"
    return tuple(
        Finding("note", split, "entries that are not used", f"not used: {count:,} {reason}", mend)
        for reason, count in reasons.items()
        if count
    )


def refused(split: str, error: UserError) -> Finding:
    """What training would stop with; the last part of a message says what to do."""
    text, _, mend = str(error).rpartition("; ")
    return Finding("error", split, REFUSED, text or mend, mend if text else "")
