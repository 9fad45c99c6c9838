"""Rejected answers from a narrow region: they open alike, or are much more alike than the chosen ones."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.preprocessing import normalize

from pairwright.audit.findings import Checked, Figure, Finding
from pairwright.audit.markers import harm
from pairwright.audit.shares import percent, share, spread
from pairwright.audit.table import Table

TITLE = "Rejected answers in a narrow region"
_WHY = (
    "Telling the sides apart then needs one feature, which the loss exploits: margins and accuracy look perfect, "
    "and the "
    "chosen answers teach little."
)


@dataclass(frozen=True)
class Thresholds:
    """Ours; silent on the miniature's clean pairs and on HH-RLHF."""

    opening: float = 0.008
    """Share of the rejected answers that begin with the same words, from which it is said ..."""
    least: int = 8
    """... and how many they are at least ..."""
    ratio: float = 4.0
    """... and how many times as common the opening is among the rejected as among the chosen."""
    alike: float = 1.5
    """Mean similarity among rejected answers over that among chosen ones, from which it is said."""


def check(table: Table, limits: Thresholds = Thresholds()) -> Checked:
    similarity = {side: _mean_similarity(getattr(table.sample, side)) for side in ("chosen", "rejected")}
    chosen, rejected = table.sides("opening")
    distinct = {side: len(np.unique(values)) for side, values in (("chosen", chosen), ("rejected", rejected))}
    rows = _common(chosen, rejected, limits)
    figures = {
        "shared_opening": share(
            len(rows), len(table), "rejected answers that begin with words which are common only there"
        ),
        "similarity_chosen": Figure(similarity["chosen"], None, None, "mean cosine similarity among chosen answers"),
        "similarity_rejected": Figure(
            similarity["rejected"], None, None, "mean cosine similarity among rejected answers"
        ),
        "openings_chosen": Figure(distinct["chosen"], None, None, "distinct first four words of chosen answers"),
        "openings_rejected": Figure(distinct["rejected"], None, None, "distinct first four words of rejected answers"),
    }
    findings = []
    if len(rows):
        findings.append(
            Finding(
                "narrow", "Rejected answers open alike", harm(len(rows) / len(table), 0.1, 0.3),
                f"{len(rows):,} rejected answers ({percent(len(rows) / len(table))}) begin with words that are common "
                f"among rejected and rare among chosen ones.", figures["shared_opening"], _WHY,
                "Razin et al., arXiv 2410.08847, and Tajwar et al., arXiv 2404.14367, on what contrastive losses move",
                "Take rejected answers from several models or temperatures, and drop canned ones.",
                rows, spread(rows, "the rejected answer begins as many others"),
            )
        )  # fmt: skip
    if similarity["rejected"] > limits.alike * similarity["chosen"] > 0 and len(table.sample.rows) >= 100:
        findings.append(
            Finding(
                "narrow", "Rejected answers are alike", "medium",
                f"Rejected answers resemble each other {similarity['rejected'] / similarity['chosen']:.1f} times as "
                f"much as "
                f"chosen ones do (mean cosine {similarity['rejected']:.3f} against {similarity['chosen']:.3f}).",
                figures["similarity_rejected"], _WHY, "Tajwar et al., arXiv 2404.14367",
                "Take rejected answers from several models or temperatures.",
            )
        )  # fmt: skip
    return Checked(figures, tuple(findings))


def _common(chosen: np.ndarray, rejected: np.ndarray, limits: Thresholds) -> np.ndarray:
    """Rows whose rejected answer has an opening that is common among the rejected and rare among the chosen ones."""
    openings, at, counts = np.unique(rejected, return_inverse=True, return_counts=True)
    others, other_counts = np.unique(chosen, return_counts=True)
    place = np.minimum(np.searchsorted(others, openings), len(others) - 1)
    among_chosen = np.where(others[place] == openings, other_counts[place], 0)
    common = (counts >= max(limits.least, limits.opening * len(rejected))) & (counts > limits.ratio * among_chosen)
    return np.flatnonzero(common[at])


def _mean_similarity(side: csr_matrix) -> float:
    """Mean cosine over all pairs of different rows: (|sum of unit vectors|^2 - n) / (n (n - 1))."""
    unit = normalize(side)
    count = int((unit.getnnz(axis=1) > 0).sum())
    if count < 2:
        return 0.0
    total = np.asarray(unit.sum(axis=0)).ravel()
    return float((total @ total - count) / (count * (count - 1)))
