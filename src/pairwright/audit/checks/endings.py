"""Answers that are empty, cut, or never come to an end."""

from dataclasses import dataclass

import numpy as np

from pairwright.audit.endings import CUT, EMPTY, LOOP, PROPER, UNMARKED
from pairwright.audit.findings import Checked, Finding, Shown
from pairwright.audit.markers import harm
from pairwright.audit.shares import EXAMPLES, between, share
from pairwright.audit.table import Table

TITLE = "Empty, cut and non-ending answers"
_SAID = {CUT: "cut", UNMARKED: "ends without a mark", LOOP: "repeats itself at the end", EMPTY: "has no words"}


@dataclass(frozen=True)
class Thresholds:
    marked: float = 0.75
    """Where so many answers of either side end properly, an answer without a mark at its end was cut. Below it that is
    the data's style, and only signs such as a comma or an open bracket count. Ours."""
    medium: float = 0.01
    """Share of rows whose chosen answer does not end, from which harm is medium. Ours."""
    high: float = 0.05
    """Ours."""


def check(table: Table, limits: Thresholds = Thresholds()) -> Checked:
    chosen, rejected = table.sides("ending")
    marked = max((chosen == PROPER).mean(), (rejected == PROPER).mean())
    bad = [CUT, LOOP, EMPTY, *([UNMARKED] if marked >= limits.marked else [])]
    faulty = np.isin(chosen, bad), np.isin(rejected, bad)
    rows = np.flatnonzero(faulty[0] | faulty[1])
    figures = {
        "chosen": share(int(faulty[0].sum()), len(table), "chosen answers that are empty, cut or do not end"),
        "rejected": share(int(faulty[1].sum()), len(table), "rejected answers that are empty, cut or do not end"),
    }
    if not len(rows):
        return Checked(figures)

    def note(row: int) -> str:
        sides = (("chosen", chosen, faulty[0]), ("rejected", rejected, faulty[1]))
        return "; ".join(f"{side} {_SAID[int(kinds[row])]}" for side, kinds, wrong in sides if wrong[row])

    ordered = np.concatenate([np.flatnonzero(faulty[0]), np.flatnonzero(faulty[1] & ~faulty[0])])
    finding = Finding(
        "endings", "Answers are empty, cut or do not end", harm(figures["chosen"].value, limits.medium, limits.high),
        f"{int(faulty[0].sum()):,} chosen answers, {between(figures['chosen'])}, and {int(faulty[1].sum()):,} rejected "
        f"ones, {between(figures['rejected'])}, do not end as an answer does.", figures["chosen"],
        "A model trained on cut answers stops in mid-sentence; one trained on answers without an end never stops. Cut "
        "rejected answers are rejected for a fault that the model does not have.",
        "TRL issue 2382 (answers that never stop)",
        "Find out where they were cut (a token limit, a column's width) and sample them again; the filter drops the "
        "rows.",
        rows, tuple(Shown(int(row), note(int(row))) for row in ordered[:EXAMPLES]),
    )  # fmt: skip
    return Checked(figures, (finding,))
