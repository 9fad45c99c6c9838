"""Shares with intervals, and whether one side has more of something than the other."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from pairwright.audit.findings import Figure, Shown

EXAMPLES = 5


def share(count: int, of: int, meaning: str) -> Figure:
    """count / of with Wilson's 95% score interval (Wilson, JASA 22, 1927); of nothing, 0 between 0 and 1."""
    if not of:
        return Figure(0.0, 0.0, 1.0, meaning, 0, 0)
    interval = binomtest(int(count), int(of)).proportion_ci(method="wilson")
    return Figure(count / of, float(interval.low), float(interval.high), meaning, int(count), int(of))


@dataclass(frozen=True, slots=True)
class Balance:
    """Of the pairs whose answers differ in something, in how many the chosen one has (more of) it."""

    figure: Figure
    only_chosen: np.ndarray
    """Row indices."""
    only_rejected: np.ndarray


def balance(chosen: np.ndarray, rejected: np.ndarray, what: str) -> Balance:
    """Compares two columns, counts or truth values: a sign test with its interval."""
    one, other = np.asarray(chosen, dtype=np.int64), np.asarray(rejected, dtype=np.int64)
    more, less = np.flatnonzero(one > other), np.flatnonzero(one < other)
    meaning = f"of the pairs that differ in {what}, share in which the chosen answer has more"
    return Balance(share(len(more), len(more) + len(less), meaning), more, less)


def percent(value: float) -> str:
    """0.1234 as 12.3%, 0.5 as 50%."""
    return f"{100 * value:.1f}".rstrip("0").rstrip(".") + "%"


def between(figure: Figure) -> str:
    """`12.3% (10.1% to 14.8%)`."""
    if figure.low is None or figure.high is None:
        return percent(figure.value)
    return f"{percent(figure.value)} ({percent(figure.low)} to {percent(figure.high)})"


def spread(rows: np.ndarray, notes: list[str] | str) -> tuple[Shown, ...]:
    """Five of the rows at most, the first ones in the file. `notes`: one for each row, or one for all."""
    return tuple(
        Shown(int(row), notes if isinstance(notes, str) else notes[at]) for at, row in enumerate(rows[:EXAMPLES])
    )
