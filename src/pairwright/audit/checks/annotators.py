"""Annotators: how far they agree beyond chance, each against the rest, the pull of the first position, and haste."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pairwright.audit.agreement import cohen, fleiss, interval, krippendorff
from pairwright.audit.findings import Checked, Figure, Finding
from pairwright.audit.shares import between, percent, share, spread
from pairwright.audit.table import Table
from pairwright.audit.votes import Item
from pairwright.records import Vote

TITLE = "Annotators"
TIE = -1


@dataclass(frozen=True)
class Thresholds:
    alpha: float = 0.4
    """Krippendorff's alpha (upper end) below which agreement is called low. His own line for tentative conclusions is
    0.667; preference labels seldom reach it: people agree on 63% (HH-RLHF) to 81% (MT-Bench) of pairs, an alpha of 0.26
    to 0.62 for balanced labels."""
    poor: float = 0.1
    """Alpha below which harm is high. Ours."""
    behind: float = 0.1
    """By how much an annotator's agreement with the rest (upper end) falls short of the others' to be named. Ours."""
    first: float = 0.55
    """Share of votes for the answer shown first, lower end, from which it is said. Ours."""
    hasty: float = 1 / 3
    """An annotator whose median time is below this share of everybody's is named. Ours."""
    least: int = 20
    """Votes that an annotator must have to be named."""


def check(table: Table, limits: Thresholds = Thresholds()) -> Checked:
    if not table.votes:
        return Checked(skipped="the data has no votes of annotators")
    findings: list[Finding] = []
    figures: dict[str, Figure] = {}
    whole = [Item(item.source, tuple(v for v in item.votes if not v.dimension) or item.votes) for item in table.votes]
    counts = _counts(whole)
    if (counts.sum(axis=1) >= 2).any():
        figures |= _agreement(counts)
        findings += _low(table, figures["krippendorff"], figures["agreement"], limits)
    against, pairs = _against_rest(whole, limits.least)
    figures |= {f"annotator {name}": figure for name, figure in against.items()}
    figures |= pairs
    findings += _outliers(against, limits)
    findings += _position(whole, figures, limits)
    findings += _haste(whole, figures, limits)
    plots = {"annotators": [{"name": n, "value": f.value, "low": f.low, "high": f.high} for n, f in against.items()]}
    return Checked(figures, tuple(findings), plots=plots if against else {})


def _category(vote: Vote) -> int:
    return TIE if vote.choice is None else vote.choice


def _counts(items: Sequence[Item]) -> np.ndarray:
    """(items, categories); the last category is the tie.

    Which response of an item is the first is arbitrary, and where data put the better one first, agreement beyond
    chance
    would vanish with the other category. So every second item is turned round.
    """
    most = max((vote.choice or 0 for item in items for vote in item.votes), default=0) + 1
    counts = np.zeros((len(items), most + 1))
    for at, item in enumerate(items):
        for vote in item.votes:
            counts[at, _category(vote)] += 1
    counts[::2, :most] = counts[::2, most - 1 :: -1] if most > 1 else counts[::2, :most]
    return counts


def _agreement(counts: np.ndarray) -> dict[str, Figure]:
    votes = counts.sum(axis=1)
    many = counts[votes >= 2]
    number = many.sum(axis=1)
    same = (many * (many - 1)).sum(axis=1) / (number * (number - 1))
    half = 1.96 * same.std() / np.sqrt(len(same))
    mean = float(same.mean())
    return {
        "agreement": Figure(mean, max(0.0, mean - half), min(1.0, mean + half), "share of pairs of votes that agree"),
        "fleiss": Figure(*interval(fleiss, counts), "Fleiss' kappa"),
        "krippendorff": Figure(*interval(krippendorff, counts), "Krippendorff's alpha, nominal"),
    }


def _low(table: Table, alpha: Figure, agreement: Figure, limits: Thresholds) -> list[Finding]:
    if alpha.high is None or alpha.high >= limits.alpha:
        return []
    lines = {(item.source.file, item.source.line): item for item in table.votes}
    split = []
    for row in range(len(table)):
        source = table.source(row)
        item = lines.get((source.file, source.line))
        top = Counter(_category(vote) for vote in item.votes).most_common(1)[0][1] if item else 1
        if item and top * 3 < 2 * len(item.votes):
            split.append(row)
    rows = np.array(split, dtype=np.int64)
    return [
        Finding(
            "annotators", "Annotators agree little", "high" if alpha.value < limits.poor else "medium",
            f"Krippendorff's alpha is {alpha.value:.2f} ({alpha.low:.2f} to {alpha.high:.2f}); two votes on a pair "
            f"agree in "
            f"{between(agreement)}.", alpha,
            "What people do not agree on, a model cannot learn; held-out accuracy is bounded by it.",
            "Bai et al., arXiv 2204.05862 (63% with crowdworkers); Ouyang et al., arXiv 2203.02155 (72.6 ± 1.5%)",
            "Sharpen the guidelines on the pairs below, and train with the votes' shares as chosen_probability. The "
            "filter "
            "drops pairs without a two-thirds majority.",
            rows, spread(rows, "no two-thirds majority"),
        )
    ]  # fmt: skip


def _against_rest(items: Sequence[Item], least: int) -> tuple[dict[str, Figure], dict[str, Figure]]:
    """Each annotator's agreement with the majority of the others, and Cohen's kappa with it, over items that have
    one."""
    said: dict[str, list[tuple[int, int]]] = defaultdict(list)
    largest = max((vote.choice or 0 for item in items for vote in item.votes), default=0)
    for item in items:
        for at, vote in enumerate(item.votes):
            others = Counter(_category(other) for other in (*item.votes[:at], *item.votes[at + 1 :])).most_common(2)
            if others and (len(others) == 1 or others[0][1] > others[1][1]):
                said[vote.annotator].append((_category(vote), others[0][0]))
    agreement, kappas = {}, {}
    for name in sorted(said):
        own, rest = (np.array(side) for side in zip(*said[name]))
        if len(own) >= least:
            meaning = "votes that agree with the majority of the other annotators"
            agreement[name] = share(int((own == rest).sum()), len(own), meaning)
            turn = np.arange(len(own)) % 2 == 0  # as in _counts
            own, rest = (np.where(turn & (side != TIE), largest - side, side) for side in (own, rest))
            kappas[f"kappa {name}"] = Figure(cohen(own, rest), None, None, "Cohen's kappa with the others' majority")
    return agreement, kappas


def _outliers(against: dict[str, Figure], limits: Thresholds) -> list[Finding]:
    findings = []
    for name, figure in against.items():
        others = [other.value for each, other in against.items() if each != name]
        if others and figure.high is not None and figure.high < np.mean(others) - limits.behind:
            findings.append(
                Finding(
                    "annotators", f"Annotator {name} disagrees with the rest", "medium",
                    f"{name} agrees with the others' majority in {between(figure)} of {figure.of:,} votes; the "
                    f"others in "
                    f"{percent(float(np.mean(others)))}.", figure,
                    "One careless or differently minded annotator is noise to everybody's model.",
                    "Dawid and Skene, Applied Statistics 28, 1979", "Talk with them; judge their pairs again "
                    "without them.",
                )
            )  # fmt: skip
    return findings


def _position(items: Sequence[Item], figures: dict[str, Figure], limits: Thresholds) -> list[Finding]:
    shown = [v for item in items for v in item.votes if v.shown and v.choice is not None]
    if not shown:
        return []
    first = sum(vote.choice == vote.shown[0] for vote in shown if vote.shown)
    figures["first"] = figure = share(first, len(shown), "votes for the answer that was shown first")
    if figure.low is None or figure.low < limits.first:
        return []
    return [
        Finding(
            "annotators", "The answer shown first is chosen", "high" if figure.low >= 0.65 else "medium",
            f"{between(figure)} of {figure.of:,} votes are for the answer that was shown first.", figure,
            "The order says nothing about the answers, so what it decides is noise; where order and origin go together "
            "it is bias.", "Zheng et al., arXiv 2306.05685 (position bias, of judges)",
            "Shuffle the order for each vote, ask a share of the pairs both ways round, and drop flips.",
        )
    ]  # fmt: skip


def _haste(items: Sequence[Item], figures: dict[str, Figure], limits: Thresholds) -> list[Finding]:
    times: dict[str, list[float]] = defaultdict(list)
    for item in items:
        for vote in item.votes:
            if vote.seconds is not None:
                times[vote.annotator].append(vote.seconds)
    if not times:
        return []
    median = float(np.median([second for each in times.values() for second in each]))
    figures["seconds"] = Figure(median, None, None, "median seconds a vote takes")
    findings = []
    for name in sorted(times):
        own = float(np.median(times[name]))
        if len(times[name]) >= limits.least and own < limits.hasty * median:
            figure = Figure(own, None, None, f"median seconds of {name}'s votes", len(times[name]))
            findings.append(
                Finding(
                    "annotators", f"Annotator {name} is in haste", "low",
                    f"{name} takes {own:.1f} s for a vote; everybody together {median:.1f} s.", figure,
                    "Votes faster than reading are guesses.", "usual practice of survey research (speeders)",
                    "Look at their votes; leave them out where they agree little with the rest.",
                )
            )  # fmt: skip
    return findings
