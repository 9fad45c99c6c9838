"""Pairs whose answers are almost the same, word for word."""

from dataclasses import dataclass

import numpy as np

from pairwright.audit.findings import Checked, Finding, Shown
from pairwright.audit.markers import harm
from pairwright.audit.shares import EXAMPLES, between, percent, share
from pairwright.audit.table import Table

TITLE = "Near-identical answers"


@dataclass(frozen=True)
class Thresholds:
    similarity: float = 0.92
    """Share of the words that the answers have in common in the same order (Indel similarity), from which they are
    near-identical: one word in twelve exchanged. Ours."""
    words: int = 1
    """Words that stand in one answer and not in the other, up to which they are near-identical however short. Ours."""
    medium: float = 0.05
    """Share of pairs from which harm is medium. Ours."""
    high: float = 0.2
    """Ours."""


def check(table: Table, limits: Thresholds = Thresholds()) -> Checked:
    same = table["chosen_text"] == table["rejected_text"]
    lengths = np.add(*table.sides("words"))
    apart = np.rint((1 - table["similarity"].astype(np.float64)) * lengths)
    rows = np.flatnonzero((table["similarity"] >= limits.similarity) | (apart <= limits.words) | same)
    figure = share(len(rows), len(table), "pairs whose answers are near-identical")
    figures = {
        "near_identical": figure,
        "identical": share(int(same.sum()), len(table), "pairs with the same words on both sides"),
    }
    counts, _ = np.histogram(table["similarity"], np.linspace(0, 1, 21))
    plots = {"similarity": {"edges": [round(at / 20, 2) for at in range(21)], "counts": counts.tolist()}}
    if not len(rows):
        return Checked(figures, plots=plots)
    shown = tuple(
        Shown(
            int(row),
            "the same words" if same[row] else f"{percent(float(table['similarity'][row]))} of the words in common",
        )
        for row in rows[:EXAMPLES]
    )
    finding = Finding(
        "near_identical", "Both answers are nearly the same", harm(len(rows) / len(table), limits.medium, limits.high),
        f"In {len(rows):,} pairs, {between(figure)}, the answers share {percent(limits.similarity)} of their words "
        "or more, or differ by one word.",
        figure,
        "The loss then pushes on the few tokens that differ and drags those they share along: the chosen answer's "
        "likelihood falls with the rejected one's.",
        "Pal et al., arXiv 2402.13228; Razin et al., arXiv 2410.08847",
        "Where the small difference is the point (a number, a name), train with dpop or add the likelihood of the "
        "chosen "
        "answer (--nll-weight). Else the filter drops them.",
        rows, shown,
    )  # fmt: skip
    return Checked(figures, (finding,), plots=plots)
