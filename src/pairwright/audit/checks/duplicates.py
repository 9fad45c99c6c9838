"""Duplicates and near-duplicates: rows whose prompt and answers, together, are almost those of an earlier row."""

from dataclasses import dataclass

import numpy as np

from pairwright.audit.findings import Checked, Finding, Shown
from pairwright.audit.markers import harm
from pairwright.audit.shares import EXAMPLES, between, share
from pairwright.audit.shingles import clusters, similar
from pairwright.audit.table import Table

TITLE = "Duplicates and near-duplicates"


@dataclass(frozen=True)
class Thresholds:
    jaccard: float = 0.7
    """Similarity of the rows' sets of 5-word shingles from which they are near-duplicates (FineWeb, arXiv 2406.17557,
    takes 5-grams and about 0.75; the catalogue 0.7)."""
    medium: float = 0.01
    """Share of rows from which harm is medium. Ours."""
    high: float = 0.1
    """Ours."""


def check(table: Table, limits: Thresholds = Thresholds()) -> Checked:
    exact = _exact(table)
    near = clusters(len(table), similar(table.signatures, limits.jaccard))
    whole = np.arange(len(table))
    # Rows that say the same with sides exchanged are alike too; that is a contradiction and has its own check.
    first = np.where(exact != whole, exact, np.where(_swapped(table, near), whole, near))
    rows = np.flatnonzero(first != whole)
    same = int((exact != whole).sum())
    figures = {
        "duplicates": share(len(rows), len(table), "rows that repeat an earlier one, nearly or exactly"),
        "exact": share(same, len(table), "rows with the very words of an earlier one"),
    }
    sizes = np.bincount(np.bincount(first, minlength=1))
    plots = {"cluster_sizes": {str(size): int(count) for size, count in enumerate(sizes) if size > 1 and count}}
    if not len(rows):
        return Checked(figures, plots=plots)
    shown = tuple(
        Shown(
            int(row), f"{'the same as' if exact[row] != row else 'nearly the same as'} {table.source(int(first[row]))}"
        )
        for row in rows[:EXAMPLES]
    )
    finding = Finding(
        "duplicates", "Rows stand more than once", harm(len(rows) / len(table), limits.medium, limits.high),
        f"{between(figures['duplicates'])} of the rows repeat an earlier one: {len(rows):,}, {same:,} of them word "
        f"for word.",
        figures["duplicates"],
        "Repeated pairs weigh more than others and are learned by heart; where copies fall on both sides of a split, "
        "held-out figures are too good.",
        "Lee et al., arXiv 2107.06499", "Keep the first of each; the filter drops the others.", rows, shown,
    )  # fmt: skip
    return Checked(figures, (finding,), plots=plots)


def _exact(table: Table) -> np.ndarray:
    """(n,) the first row with the same words in prompt and both answers."""
    keys = np.stack([table["prompt"], table["chosen_text"], table["rejected_text"]], axis=1)
    _, first, at = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return first[at.ravel()]


def _swapped(table: Table, near: np.ndarray) -> np.ndarray:
    """(n,) whether a row's answers are exactly those of its cluster's first row, exchanged."""
    return (table["chosen_text"] == table["rejected_text"][near]) & (
        table["rejected_text"] == table["chosen_text"][near]
    )
