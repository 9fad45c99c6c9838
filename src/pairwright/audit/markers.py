"""Something that the chosen answers have more of than the rejected ones: the shared part of the checks that count."""

from dataclasses import dataclass

import numpy as np

from pairwright.audit.findings import Finding, Harm
from pairwright.audit.shares import Balance, between, percent, spread


@dataclass(frozen=True)
class Limits:
    """When an imbalance is worth saying. The literature gives no limits; these are silent on the miniature's clean
    pairs
    (benchmarks/results/audit_planted.json)."""

    share: float = 0.6
    """Lower end of the interval of the share, among the pairs that differ, in which the chosen answer has more."""
    excess: float = 0.01
    """Pairs in which the chosen answer has more, less those in which the rejected one has, as a share of all pairs."""
    medium: float = 0.05
    """Excess from which harm is medium."""
    high: float = 0.15
    """Excess from which harm is high."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a check says of itself."""

    check: str
    title: str
    what: str
    """What is counted, as in `the chosen answer has more WHAT`."""
    why: str
    source: str
    do: str


def imbalance(found: Balance, pairs: int, said: Words, limits: Limits) -> tuple[Finding, ...]:
    """A finding where the chosen answers have more; its filter drops the pairs in which they do."""
    figure, excess = found.figure, (len(found.only_chosen) - len(found.only_rejected)) / max(1, pairs)
    if figure.low is None or figure.low < limits.share or excess < limits.excess:
        return ()
    what = (
        f"Of {figure.of:,} pairs that differ in {said.what}, the chosen answer has more in {between(figure)}; "
        f"that is an excess of {percent(excess)} of all pairs."
    )
    return (
        Finding(
            check=said.check,
            title=said.title,
            harm=harm(excess, limits.medium, limits.high),
            what=what,
            figure=figure,
            why=said.why,
            source=said.source,
            do=said.do,
            rows=found.only_chosen,
            shown=spread(found.only_chosen, f"the chosen answer has more {said.what}"),
        ),
    )


def harm(value: float, medium: float, high: float) -> Harm:
    return "high" if value >= high else "medium" if value >= medium else "low"


def rows_where(*tests: np.ndarray) -> np.ndarray:
    """Indices of the rows for which any of the tests holds."""
    return np.flatnonzero(np.logical_or.reduce(tests))
