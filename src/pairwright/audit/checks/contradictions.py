"""The same prompt with the same two answers, once one way round and once the other."""

from dataclasses import dataclass

import numpy as np

from pairwright.audit.findings import Checked, Finding, Shown
from pairwright.audit.markers import harm
from pairwright.audit.shares import EXAMPLES, between, share
from pairwright.audit.table import Table

TITLE = "Contradicting labels"


@dataclass(frozen=True)
class Thresholds:
    medium: float = 0.01
    """Share of rows that contradict another, from which harm is medium. Ours: each is a label that is wrong for
    sure."""
    high: float = 0.05
    """Ours."""


def check(table: Table, limits: Thresholds = Thresholds()) -> Checked:
    chosen, rejected = table.sides("text")
    low, high = np.minimum(chosen, rejected), np.maximum(chosen, rejected)
    keys = np.stack([table["prompt"], low, high], axis=1)
    _, first, at = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    at = at.ravel()
    upright = chosen == low
    ways = np.bincount(at, upright), np.bincount(at, ~upright)
    both = ((ways[0] > 0) & (ways[1] > 0) & (low[first] != high[first]))[at]
    rows = np.flatnonzero(both)
    figure = share(len(rows), len(table), "rows whose pair stands elsewhere the other way round")
    repeated = int((np.bincount(at) > 1)[at].sum())
    figures = {
        "contradicting": figure,
        "of_repeated": share(len(rows), repeated, "rows of pairs that stand twice or more, contradicting"),
    }
    if not len(rows):
        return Checked(figures)
    other: dict[tuple[int, bool], int] = {}
    for row in rows:
        other.setdefault((int(at[row]), bool(upright[row])), int(row))
    shown = tuple(
        Shown(int(row), f"the other way round at {table.source(other[int(at[row]), not upright[row]])}")
        for row in rows[:EXAMPLES]
    )
    finding = Finding(
        "contradictions", "The same pair is labelled both ways",
        harm(len(rows) / len(table), limits.medium, limits.high),
        f"{len(rows):,} rows, {between(figure)}, have the prompt and the answers of another row with the labels "
        f"exchanged.",
        figure,
        "Their gradients cancel or fight; one of the two labels is wrong, and others of the same origin may be.",
        "Chowdhury et al., arXiv 2403.00409 (flipped labels in DPO)",
        "Have them judged again, or turn them into one row with chosen_probability. The filter drops both ways.",
        rows, shown,
    )  # fmt: skip
    return Checked(figures, (finding,))
