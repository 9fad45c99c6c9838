"""Coverage: how many pairs and distinct prompts there are, what the prompts are about, and what such a volume is good
for."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.feature_extraction.text import TfidfVectorizer

from pairwright.audit.findings import Checked, Figure, Finding, Shown
from pairwright.audit.shares import EXAMPLES, between, share
from pairwright.audit.table import Table

TITLE = "Coverage and volume"

NEEDS = (("style", 5_000, 10_000), ("facts", 30_000, 100_000), ("curated", 500, 1_000))
"""(goal, pairs from, pairs to): rules of thumb of the project's catalogue. Curated: few pairs chosen with care can beat
50,000 crowdsourced ones (Zhou et al., LIMA, arXiv 2305.11206, for demonstrations)."""


@dataclass(frozen=True)
class Thresholds:
    fewest: int = 500
    """Pairs below which even a curated set is small (NEEDS)."""
    reward: int = 2_000
    """Comparisons below which a reward model stays near chance (Gao et al., arXiv 2210.10760)."""
    distinct: float = 0.3
    """Distinct prompts per pair below which it is said. Ours."""
    clustered: int = 100
    """Prompts from which clusters are made."""


def check(table: Table, limits: Thresholds = Thresholds()) -> Checked:
    prompts, at, counts = np.unique(table["prompt"], return_inverse=True, return_counts=True)
    figure = share(len(prompts), len(table), "distinct prompts per pair")
    figures = {"pairs": Figure(len(table), None, None, "pairs"), "distinct_prompts": figure}
    findings = []
    if len(table) < limits.fewest:
        findings.append(
            Finding(
                "coverage", "Few pairs", "medium", f"There are {len(table):,} pairs.", figures["pairs"],
                f"Rules of thumb: style takes {_range(0)}, facts {_range(1)}; {_range(2)} can do where each was "
                f"chosen with "
                f"care. A reward model stays near chance below {limits.reward:,} comparisons.",
                "Gao et al., arXiv 2210.10760; Zhou et al., arXiv 2305.11206", "Collect more before training.",
            )
        )  # fmt: skip
    if figure.value < limits.distinct and len(prompts) < len(table):
        often = np.flatnonzero(np.bincount(at) == counts.max())[0]
        rows = np.flatnonzero(at == often)
        findings.append(
            Finding(
                "coverage", "Few distinct prompts", "low",
                f"{len(table):,} pairs have {len(prompts):,} distinct prompts ({between(figure)}); one stands "
                f"{counts.max():,} times.", figure,
                "More pairs of the same prompts add less than pairs of new ones, and held-out rows must be split by "
                "prompt.",
                "Bukharin and Zhao, arXiv 2311.14736 (diversity of instructions)", "Collect new prompts.",
                shown=tuple(Shown(int(row), "the commonest prompt") for row in rows[:EXAMPLES]),
            )
        )  # fmt: skip
    return Checked(figures, tuple(findings), plots=_clusters(table, limits))


def _range(number: int) -> str:
    _, low, high = NEEDS[number]
    return f"{low:,} to {high:,}"


def _clusters(table: Table, limits: Thresholds) -> dict[str, Any]:
    """The sampled prompts in groups, largest first: share of the prompts, and the words that mark the group."""
    prompts = table.sample.prompts
    if len(prompts) < limits.clustered:
        return {}
    vectorizer = TfidfVectorizer(max_features=3000, min_df=2, sublinear_tf=True, stop_words="english")
    try:
        weights = vectorizer.fit_transform(prompts)
    except ValueError:  # scikit-learn's word for prompts without a word that two of them have
        return {}
    count = int(min(10, max(2, len(prompts) // 50)))
    groups = MiniBatchKMeans(count, random_state=0, n_init=1, batch_size=1024, max_iter=50).fit(weights)
    terms = vectorizer.get_feature_names_out()
    sizes = np.bincount(groups.labels_, minlength=count)
    listed = [
        {
            "share": round(float(sizes[number] / len(prompts)), 4),
            "words": [str(terms[word]) for word in np.argsort(-groups.cluster_centers_[number], kind="stable")[:5]],
        }
        for number in np.argsort(-sizes, kind="stable")
        if sizes[number]
    ]
    return {"clusters": listed}
