"""What an audit says: figures with intervals, findings with examples, and the shape of audit.json.

A *figure* is a measured number, always reported; a *finding* is a figure that is worth acting on. The shape of
audit.json is `AuditResult.as_dict()`; docs/audit.md explains each key.
Leaves out: how anything is measured (checks/), what to train with it (planning/).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from pairwright.records import Source

Harm = Literal["high", "medium", "low"]
ORDER: Mapping[str, int] = {"high": 0, "medium": 1, "low": 2}


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured number with its 95% interval."""

    value: float
    low: float | None
    """None where the number is exact, such as a count."""
    high: float | None
    meaning: str
    """What it is a share or a mean of, in words."""
    count: int | None = None
    """How many rows make up the share, and `of` how many."""
    of: int | None = None


@dataclass(frozen=True, slots=True)
class Example:
    source: Source
    note: str
    """What is wrong with this row."""
    prompt: str = ""
    """Beginnings and ends of the texts; a model or a user wrote them."""
    chosen: str = ""
    rejected: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """An example before its texts are fetched: the row's index, and what is wrong with it."""

    row: int
    note: str


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    """Name of the check: of its file in audit/checks and of its page in docs/audit."""
    title: str
    """A few words."""
    harm: Harm
    """How much it is likely to cost, by the check's thresholds."""
    what: str
    """One sentence with the numbers."""
    figure: Figure
    why: str
    """Why it matters."""
    source: str
    """Where that is known from."""
    do: str
    """What to do about it."""
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """(n,) indices of the rows that the check's filter would drop, ascending."""
    shown: tuple[Shown, ...] = ()
    """At most five rows to look at."""
    examples: tuple[Example, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "title": self.title,
            "harm": self.harm,
            "what": self.what,
            "figure": dataclasses.asdict(self.figure),
            "why": self.why,
            "source": self.source,
            "do": self.do,
            "drops": len(self.rows),
            "examples": [
                {"file": e.source.file, "line": e.source.line, "note": e.note}
                | {"prompt": e.prompt, "chosen": e.chosen, "rejected": e.rejected}
                for e in self.examples
            ],
        }


@dataclass(frozen=True, slots=True)
class Checked:
    """What one check gives: its figures by name, and its findings, none where all is well."""

    figures: Mapping[str, Figure] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    skipped: str = ""
    """Why there was nothing to check, where that is so: the data has no votes, there is no held-out file ..."""
    plots: Mapping[str, Any] = field(default_factory=dict)
    """Numbers for the page's plots, ready for JSON."""


@dataclass(frozen=True, slots=True)
class AuditResult:
    data: str
    """Path or hub id, as given."""
    kind: str
    """Kinds of records in it: pairs, votes."""
    rows: int
    """Records audited."""
    prompts: int
    """Distinct prompts among them."""
    reading: Mapping[str, Any]
    """What became of every row of the files (`ReadReport.summary`)."""
    findings: tuple[Finding, ...]
    """Worst first: by harm, then by the share of rows."""
    checks: Mapping[str, Checked]
    """Name of the check -> what it gave, in the order in which they ran."""
    seconds: float = 0.0

    def figure(self, check: str, name: str) -> Figure | None:
        """A figure by its check and name; None where the check was skipped or had too little data."""
        return self.checks[check].figures.get(name) if check in self.checks else None

    def as_dict(self) -> dict[str, Any]:
        """The content of audit.json."""
        return {
            "version": 1,
            "data": self.data,
            "kind": self.kind,
            "rows": self.rows,
            "prompts": self.prompts,
            "reading": dict(self.reading),
            "findings": [finding.as_dict() for finding in self.findings],
            "figures": {
                name: {key: dataclasses.asdict(figure) for key, figure in checked.figures.items()}
                for name, checked in self.checks.items()
                if checked.figures
            },
            "skipped": {name: checked.skipped for name, checked in self.checks.items() if checked.skipped},
            "plots": {name: dict(checked.plots) for name, checked in self.checks.items() if checked.plots},
            "seconds": round(self.seconds, 1),
        }


def ranked(findings: list[Finding]) -> tuple[Finding, ...]:
    """Worst first: harm, then the share of rows or the size of the figure, then the check's name."""
    return tuple(sorted(findings, key=lambda f: (ORDER[f.harm], -len(f.rows), -f.figure.value, f.check, f.title)))
