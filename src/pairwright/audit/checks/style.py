"""Format bias: lists, headings, emoji and exclamation marks that the chosen answers have more of."""

from dataclasses import dataclass

from pairwright.audit.findings import Checked, Finding
from pairwright.audit.markers import Limits, Words, imbalance
from pairwright.audit.shares import balance
from pairwright.audit.table import Table

TITLE = "Format bias"
_WHY = "Form is the easiest thing to learn: the model puts everything into it, and judges like that no less."
_SOURCE = "Zhang et al., arXiv 2409.11704 (format biases in preference data and reward models)"
_WHAT = {
    "lists": ("list items", "Lists are chosen"),
    "headings": ("headings", "Headings are chosen"),
    "emoji": ("emoji", "Emoji are chosen"),
    "exclamations": ("exclamation marks", "Exclamation marks are chosen"),
}


@dataclass(frozen=True)
class Thresholds(Limits):
    pass


def check(table: Table, limits: Thresholds = Thresholds()) -> Checked:
    figures = {}
    findings: list[Finding] = []
    for column, (what, title) in _WHAT.items():
        found = balance(*table.sides(column), what)
        figures[column] = found.figure
        said = Words(
            "style", title, what, _WHY, _SOURCE,
            "Balance the form within pairs: write both answers plain, or both formatted. The filter drops the pairs in "
            f"which the chosen answer has more {what}.",
        )  # fmt: skip
        findings += imbalance(found, len(table), said, limits)
    return Checked(figures, tuple(findings))
