"""Dimension trade-offs: pairs in which what is better in one respect is worse in another, by votes that name a
dimension."""

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from pairwright.audit.findings import Checked, Finding
from pairwright.audit.shares import between, share, spread
from pairwright.audit.table import Table

TITLE = "Dimension trade-offs"


@dataclass(frozen=True)
class Thresholds:
    conflict: float = 0.25
    """Share of the items decided in both dimensions in which they differ (lower end), from which it is said. Ours."""


def check(table: Table, limits: Thresholds = Thresholds()) -> Checked:
    better: dict[str, dict[tuple[str, int], int]] = defaultdict(dict)
    for item in table.votes:
        tally: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for vote in item.votes:
            if vote.dimension and vote.choice is not None:
                tally[vote.dimension][vote.choice] += 1
        for dimension, votes in tally.items():
            order = sorted(votes.items(), key=lambda each: -each[1])
            if len(order) == 1 or order[0][1] > order[1][1]:
                better[dimension][(item.source.file, item.source.line)] = order[0][0]
    if len(better) < 2:
        return Checked(skipped="the data has no votes in two dimensions")
    places = {(s.file, s.line): row for row in range(len(table)) for s in [table.source(row)]}
    figures, findings = {}, []
    for one, other in combinations(sorted(better), 2):
        both = better[one].keys() & better[other].keys()
        differ = sorted(key for key in both if better[one][key] != better[other][key])
        name = f"{one} against {other}"
        figure = share(len(differ), len(both), f"items on which {one} and {other} prefer different answers")
        figures[name] = figure
        if both and figure.low is not None and figure.low >= limits.conflict:
            rows = np.array(sorted(places[key] for key in differ if key in places), dtype=np.int64)
            findings.append(
                Finding(
                    "dimensions", f"{one} and {other} pull apart", "medium",
                    f"{one} and {other} prefer different answers in {between(figure)} of {len(both):,} items.", figure,
                    "One label for both hides the trade-off: whichever has more votes wins, and the model loses the "
                    "other.",
                    "Bai et al., arXiv 2204.05862 (helpful against harmless)",
                    "Train a reward for each, or choose the weighting yourself and write it down. The filter drops the "
                    "pairs in which they differ.",
                    rows, spread(rows, f"{one} and {other} differ"),
                )
            )  # fmt: skip
    return Checked(figures, tuple(findings), plots={"conflicts": {k: f.value for k, f in figures.items()}})
