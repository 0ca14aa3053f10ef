"""The outcome of a check as a page for people and a file for programs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from common import outputs
from common.check.examine import Examination
from common.check.findings import Finding

_TEMPLATE = Path(__file__).with_name("page.html")
_MOST = 100
"""Files of a finding, and classes, on the page; check.json has all."""


@dataclass(frozen=True)
class Report:
    """All that a check found."""

    task: str
    examinations: tuple[Examination, ...]
    findings: tuple[Finding, ...]
    """Errors first."""
    tips: tuple[str, ...]

    @property
    def stops(self) -> bool:
        """Whether training would stop."""
        return any(finding.severity == "error" for finding in self.findings)

    @property
    def status(self) -> int:
        """Exit status of the command."""
        return int(self.stops)


def write(report: Report, folder: Path, sheets: Mapping[str, str]) -> None:
    """Write index.html and check.json; `sheets` has the file of each split's samples."""
    content = {
        "task": report.task,
        "stops": report.stops,
        "splits": [_split(one) for one in report.examinations],
        "findings": [asdict(finding) for finding in report.findings],
        "advice": list(report.tips),
    }
    outputs.write_text(folder / "check.json", json.dumps(content, indent=1) + "\n")
    text = _TEMPLATE.read_text(encoding="utf-8")
    template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(text)
    page = template.render(**content, sheets=sheets, most=_MOST)
    outputs.write_text(folder / "index.html", page)


def _split(examination: Examination) -> dict[str, Any]:
    split = examination.split
    return {
        "name": split.name,
        "role": examination.role,
        "summary": split.summary,
        "noun": split.noun,
        "files": len(split),
        "sound": sum(one.sound for one in examination.seen),
        "unit": split.unit,
        "kinds": split.kinds,
        "counts": examination.counts(),
        "measures": {
            name: {
                "least": float(values.min()),
                "median": float(np.median(values)),
                "greatest": float(values.max()),
            }
            for name, values in examination.measures().items()
        },
        "attributes": examination.attributes(),
    }
