"""Length bias: how often the longer answer is the chosen one, and how far "the longest wins" gets against the
labels."""

from dataclasses import dataclass

import numpy as np

from pairwright.audit.findings import Checked, Figure, Finding, Shown
from pairwright.audit.markers import harm
from pairwright.audit.shares import EXAMPLES, between, share
from pairwright.audit.table import Table

TITLE = "Length bias"


@dataclass(frozen=True)
class Thresholds:
    low: float = 0.55
    """Share of pairs that "the longest wins" gets right, lower end of its interval, from which it is said at all."""
    medium: float = 0.6
    """From which harm is medium. Ours, as `low` and `short` are; the literature measures the bias and sets no limit."""
    high: float = 0.7
    """Above it a judge would be called unusable for length (AlpacaEval; the catalogue's rule 8)."""
    short: float = 0.3
    """Upper end of the interval below which "the shortest wins" is said."""


def check(table: Table, limits: Thresholds = Thresholds()) -> Checked:
    chosen, rejected = table.sides("words")
    longer, shorter, equal = chosen > rejected, chosen < rejected, chosen == rejected
    figure = share(
        int(longer.sum()), int(longer.sum() + shorter.sum()), "pairs of unequal length whose chosen answer is longer"
    )
    wins = _rule(longer, shorter, equal)
    figures = {
        "longer_chosen": figure,
        "longest_wins": wins,
        "mean_words_chosen": _mean(chosen, "words in a chosen answer"),
        "mean_words_rejected": _mean(rejected, "words in a rejected answer"),
    }
    return Checked(figures, _findings(table, figures, limits), plots={"difference": _histogram(chosen - rejected)})


def _rule(longer: np.ndarray, shorter: np.ndarray, equal: np.ndarray) -> Figure:
    """Accuracy of "the longest wins"; a tie counts half, as a coin would."""
    meaning = 'accuracy of "the longest answer wins" against the labels, ties half'
    interval = share(round(int(longer.sum()) + equal.sum() / 2), len(longer), meaning)
    return Figure(
        (longer.sum() + equal.sum() / 2) / len(longer), interval.low, interval.high, meaning, None, len(longer)
    )


def _mean(values: np.ndarray, meaning: str) -> Figure:
    half = 1.96 * values.std() / np.sqrt(len(values))
    return Figure(float(values.mean()), float(values.mean() - half), float(values.mean() + half), f"mean {meaning}")


def _findings(table: Table, figures: dict[str, Figure], limits: Thresholds) -> tuple[Finding, ...]:
    wins = figures["longest_wins"]
    assert wins.low is not None and wins.high is not None
    lengths = f"{figures['mean_words_chosen'].value:.0f} words against {figures['mean_words_rejected'].value:.0f}"
    if wins.low >= limits.low:
        rows = _excess(*table.sides("words"))
        return (
            Finding(
                "length", "The longer answer is chosen", harm(wins.low, limits.medium, limits.high),
                f'"The longest wins" agrees with {between(wins)} of the labels (chosen answers have {lengths} on '
                f'average).',
                wins,
                "A model learns length before it learns quality: answers grow, and raw win rates with them, while "
                "length-controlled ones do not.",
                "Park et al., arXiv 2403.19159; Singhal et al., arXiv 2310.03716",
                "Train with simpo, r_dpo or dpo's length normalisation, and judge by length-controlled win rates; or "
                "balance the data: the filter drops, largest difference first, the surplus of pairs won by length.",
                rows, _shown(table, rows),
            ),
        )  # fmt: skip
    if wins.high <= limits.short:
        return (
            Finding(
                "length", "The shorter answer is chosen", "low",
                f'"The longest wins" agrees with only {between(wins)} of the labels (chosen answers have {lengths} on '
                "average).",
                wins, "The model will learn to be brief. That may be meant; if not, it costs helpfulness.",
                "the mirror image of Singhal et al., arXiv 2310.03716", "Look whether the rejected answers ramble, or "
                "whether length stands in for something else.",
                shown=_shown(table, np.argsort(table["chosen_words"] - table["rejected_words"], kind="stable")),
            ),
        )  # fmt: skip
    return ()


def _excess(chosen: np.ndarray, rejected: np.ndarray) -> np.ndarray:
    """The pairs to drop so that the longer answer is chosen as often as the shorter: those that length parts most."""
    ahead = int((chosen > rejected).sum() - (chosen < rejected).sum())
    ratio = (chosen + 1) / (rejected + 1)
    return np.sort(np.argsort(-ratio, kind="stable")[: max(0, ahead)])


def _shown(table: Table, rows: np.ndarray) -> tuple[Shown, ...]:
    chosen, rejected = table.sides("words")
    return tuple(
        Shown(int(row), f"{chosen[row]:,} words chosen, {rejected[row]:,} rejected") for row in rows[:EXAMPLES]
    )


def _histogram(difference: np.ndarray) -> dict[str, list]:
    """Counts of chosen - rejected words in 31 equal bins that hold 98% of the pairs; the rest is in the outer ones."""
    edge = max(5.0, float(np.quantile(np.abs(difference), 0.98)))
    edges = np.linspace(-edge, edge, 32)
    counts, _ = np.histogram(np.clip(difference, -edge, edge), edges)
    return {"edges": [round(float(at), 2) for at in edges], "counts": counts.tolist()}
