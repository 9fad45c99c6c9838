"""Items with the votes of annotators, as the checks of agreement read them; and pairs made of rankings."""

from dataclasses import dataclass

from pairwright.records import Preference, Ranking, Source, Vote


@dataclass(frozen=True, slots=True)
class Item:
    source: Source
    votes: tuple[Vote, ...]


def as_pair(record: Preference | Ranking) -> Preference | None:
    """The record as one pair, of a ranking its best and its worst answer; None where no answer is preferred."""
    if record.tied:
        return None
    if isinstance(record, Preference):
        return record
    wins = [0.0] * len(record.answers)
    for comparison in record.comparisons:
        sure = 1.0 if comparison.label is None else comparison.label
        wins[comparison.better] += sure
        wins[comparison.worse] -= sure
    best, worst = (wins.index(edge(wins)) for edge in (max, min))
    return Preference(record.prompt, record.answers[best], record.answers[worst], record.source)
