"""Votes of annotators: read from a row, kept, and counted into comparisons of answers with a probability each.

A vote for one answer says that it is better than each of the others that the annotator was shown, and nothing about
these others. A tie is half a vote either way. The share of the votes is the probability that the answer is better.

Several dimensions (helpful, harmless ...): the share is taken in each and averaged by their weights, so that a
dimension with more votes counts no more than another.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pairwright.reading.messages import need, need_key, number
from pairwright.reading.rows import RowError, describe
from pairwright.records import Comparison, Preference, Ranking, Vote


def votes(row: Mapping[str, Any], answers: int) -> tuple[Vote, ...]:
    """The row's column `votes`. RowError names the first vote, counted from 1, that is none."""
    value = need(row, "votes", "a list of votes")
    if not isinstance(value, list) or not value:
        raise RowError(f"column 'votes' holds {describe(value)}, a list of at least one vote expected")
    return tuple(_vote(vote, f"vote {place}", answers) for place, vote in enumerate(value, start=1))


def _vote(vote: Any, where: str, answers: int) -> Vote:
    choice = need_key(vote, "choice", where) if isinstance(vote, dict) else vote
    known = {str(index): index for index in range(answers)} | {"tie": None}
    # Where a file's columns have one type each, the indices are texts.
    if not isinstance(vote, dict) or type(choice) not in (int, str) or str(choice) not in known:
        expected = ", ".join(str(index) for index in range(answers))
        raise RowError(f'{where} is {describe(choice)}, an object whose choice is {expected} or "tie" expected')
    shown = _shown(vote.get("shown_order"), where, answers)
    chosen = known[str(choice)]
    if shown is not None and chosen is not None and chosen not in shown:
        raise RowError(f"{where} chooses {chosen}, which its shown_order does not hold")
    return Vote(
        chosen,
        _text(vote, "annotator", where),
        _text(vote, "reason", where),
        shown,
        _text(vote, "dimension", where),
        number(vote, "seconds"),
    )


def _text(vote: Mapping[str, Any], key: str, where: str) -> str:
    value = vote.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise RowError(f"{where}: {key} is {describe(value)}, text expected")
    return "" if value is None else str(value)


def _shown(value: Any, where: str, answers: int) -> tuple[int, ...] | None:
    if value is None:
        return None
    indices = [int(item) if str(item).isdigit() else -1 for item in value] if isinstance(value, list) else []
    if len(indices) < 2 or len(set(indices)) < len(indices) or not set(indices) <= set(range(answers)):
        raise RowError(f"{where}: shown_order is {describe(value)}, indices of two or more responses expected")
    return tuple(indices)


def compare(given: Sequence[Vote], answers: int, weights: Mapping[str, float] | None = None) -> tuple[Comparison, ...]:
    """Every two answers that a vote compares: which is better, with what probability, by how many votes. `weights` of
    the dimensions; all count the same without.

    By hand: three answers, two votes for the first and one for the second. First and second: 2/3 by 3 votes; first and
    third: 1 by 2 votes; second and third: 1 by 1 vote.
    """
    counts: dict[tuple[int, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0]))
    for vote in given:
        seen = sorted(vote.shown if vote.shown is not None else range(answers))
        for one, other in ((i, j) for i in seen for j in seen if i < j):
            if vote.choice is None or vote.choice in (one, other):
                for_one = 0.5 if vote.choice is None else float(vote.choice == one)
                wins = counts[one, other][vote.dimension]
                wins[0], wins[1] = wins[0] + for_one, wins[1] + 1 - for_one
    found = []
    for (one, other), by_dimension in sorted(counts.items()):
        use = {name: 1.0 if weights is None else weights.get(name, 0.0) for name in by_dimension}
        if not any(use.values()):
            continue
        share = sum(use[name] * a / (a + b) for name, (a, b) in by_dimension.items()) / sum(use.values())
        share = round(share, 12)  # a half is a tie, and must not be missed by a bit
        number_of = sum(a + b for name, (a, b) in by_dimension.items() if use[name])
        better, worse = (one, other) if share >= 0.5 else (other, one)
        found.append(Comparison(better, worse, max(share, 1 - share), number_of))
    return tuple(found)


def weighed(record: Preference | Ranking, weights: Mapping[str, float]) -> Preference | Ranking | None:
    """The record with its votes counted by these weights of dimensions; as it is without votes, None where none of its
    votes is of a dimension with a weight."""
    if not record.votes:
        return record
    found = compare(record.votes, 2 if isinstance(record, Preference) else len(record.answers), weights)
    if not found:
        return None
    if isinstance(record, Ranking):
        return replace(record, comparisons=found)
    (only,) = found
    if only.better == 0:
        return replace(record, label=only.label)
    return replace(
        record,
        chosen=record.rejected,
        rejected=record.chosen,
        label=only.label,
        score_chosen=record.score_rejected,
        score_rejected=record.score_chosen,
        votes=swapped(record.votes),
    )


def swapped(given: Sequence[Vote]) -> tuple[Vote, ...]:
    """Votes on two answers, with the answers the other way round."""
    return tuple(
        replace(
            vote,
            choice=None if vote.choice is None else 1 - vote.choice,
            shown=None if vote.shown is None else tuple(1 - index for index in vote.shown),
        )
        for vote in given
    )
