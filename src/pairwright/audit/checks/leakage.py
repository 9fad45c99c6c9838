"""Leakage: held-out items of which more than half stands in a training row (the two-file mode)."""

from dataclasses import dataclass

import numpy as np

from pairwright.audit.findings import Checked, Finding, Shown
from pairwright.audit.markers import harm
from pairwright.audit.shares import EXAMPLES, between, percent, share
from pairwright.audit.table import Table

TITLE = "Leakage between training and held-out data"


@dataclass(frozen=True)
class Thresholds:
    """That an item counts as leaked above a half is heldout.COVERED (Lambert et al., arXiv 2411.15124, section 3.2)."""

    medium: float = 0.01
    """Share of the held-out items from which harm is medium. Ours."""
    high: float = 0.02
    """The share of an evaluation from which Lambert et al. (arXiv 2411.15124) clean the training data."""


def check(table: Table, limits: Thresholds = Thresholds()) -> Checked:
    if table.held_out is None:
        return Checked(skipped="no held-out file was given (--held-out)")
    items = len(table.held_out.sources)
    leaked = {item for _, item, _ in table.leaks}
    figure = share(len(leaked), items, "held-out items of which more than half stands in a training row")
    if not leaked:
        return Checked({"leaked": figure})
    best: dict[int, tuple[float, int]] = {}
    for row, item, covered in table.leaks:
        best[row] = max(best.get(row, (0.0, -1)), (covered, -item))
    rows = np.array(sorted(best), dtype=np.int64)
    shown = tuple(
        Shown(row, f"{percent(best[row][0])} of {table.held_out.sources[-best[row][1]]} stands in it")
        for row in rows[:EXAMPLES].tolist()
    )
    finding = Finding(
        "leakage", "Held-out items stand in the training data", harm(figure.value, limits.medium, limits.high),
        f"{len(leaked):,} of {items:,} held-out items, {between(figure)}, stand to more than half in {len(rows):,} "
        "training rows.", figure,
        "What was trained on is no test: held-out accuracy is too good, and choices made by it are wrong.",
        "Lambert et al., Tulu 3, arXiv 2411.15124", "Drop the training rows; the filter does.", rows, shown,
    )  # fmt: skip
    return Checked({"leaked": figure}, (finding,))
