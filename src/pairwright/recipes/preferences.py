"""Preferences as they were read -> preferences that are trained on: weights of dimensions, ties, margins.

Each decision is a named rule with a count; nothing is decided where the records are read.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from pairwright.errors import ConfigError, DataError
from pairwright.reading import ReadReport
from pairwright.reading.rows import TIE
from pairwright.reading.votes import weighed
from pairwright.recipes.config import TrainConfig
from pairwright.records import Preference, Ranking

UNWEIGHED = "no votes of a dimension with a weight"
"""Rule by which a preference is dropped."""


def prepare(report: ReadReport, name: str, config: TrainConfig, *, margins: bool) -> None:
    """Decide on dimensions, ties and margins in `report`, whose notes then say what was done. Records that are no
    preferences stay as they are. `margins`: whether the method uses them.

    Raises ConfigError for settings that cannot be meant, DataError where nothing is left.
    """
    if config.dimensions is not None:
        _weigh(report, name, dimension_weights(config.dimensions))
    if config.ties == "half":
        _halve(report)
    else:
        _drop(report)
    _margins(report, config, margins)
    if not report.records:
        raise DataError(f"{name}: nothing but ties. --ties half trains on them, as half a preference either way")


def _margins(report: ReadReport, config: TrainConfig, used: bool) -> None:
    """Margins from the ratings, where they are asked for; a note where the method does not use them."""
    if config.margins == "scores":
        if not used:
            raise ConfigError(f"--margins scores: {config.method} has no margin between the answers; reward has")
        report.records = [_margin_of_scores(record) for record in report.records]
        without = sum(isinstance(r, Preference | Ranking) and not r.rated for r in report.records)
        report.notes.append(
            "margins: the differences of the ratings" + (f"; none for {without:,} rows without both" if without else "")
        )
    number = sum(isinstance(record, Preference) and record.margin is not None for record in report.records)
    if number and not used:
        report.notes.append(f"margins of {number:,} pairs are not used: {config.method} has none, reward has")


def _margin_of_scores(record: Preference | Ranking) -> Preference | Ranking:
    """With the difference of the ratings as the margin of each comparison; as it is where it has no ratings."""
    if isinstance(record, Ranking) and record.scores is not None:
        scores = record.scores
        return replace(
            record, comparisons=tuple(c._replace(margin=scores[c.better] - scores[c.worse]) for c in record.comparisons)
        )
    if isinstance(record, Preference) and record.score_chosen is not None and record.score_rejected is not None:
        return replace(record, margin=record.score_chosen - record.score_rejected)
    return record


def dimension_weights(text: str) -> dict[str, float]:
    """`helpful=2,harmless=1` as a dictionary. Raises ConfigError for anything else."""
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = part.rpartition("=")
        try:
            weights[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not equals:
            raise ConfigError(f"--dimensions is {text!r}; NAME=WEIGHT is expected, several of them parted by commas")
    if not all(0 <= weight < math.inf for weight in weights.values()) or not any(weights.values()):
        raise ConfigError(f"--dimensions is {text!r}; weights are 0 or above and finite, and one is above 0")
    return weights


def _weigh(report: ReadReport, name: str, weights: Mapping[str, float]) -> None:
    """Count the votes by these weights."""
    votes = [vote for r in report.records if isinstance(r, Preference | Ranking) for vote in r.votes]
    there = sorted({vote.dimension for vote in votes})
    if unknown := sorted(weights.keys() - set(there)):
        found = ", ".join(repr(dimension) for dimension in there) or "no votes"
        raise ConfigError(f"--dimensions: {name} has no votes on {', '.join(unknown)}. There are: {found}")
    kept = [weighed(r, weights) if isinstance(r, Preference | Ranking) else r for r in report.records]
    if gone := kept.count(None):
        report.count_dropped(UNWEIGHED, gone)
    report.records = [record for record in kept if record is not None]
    shown = ", ".join(f"{dimension} {weight:g}" for dimension, weight in weights.items())
    unused = [dimension or "(none)" for dimension in there if not weights.get(dimension)]
    report.notes.append(f"dimensions weigh: {shown}" + (f"; not used: {', '.join(unused)}" if unused else ""))
    report.check()


def _halve(report: ReadReport) -> None:
    """Ties get the label 0.5; those of rankings have it."""
    ties = sum(isinstance(record, Preference) and record.tied for record in report.records)
    report.records = [
        replace(record, label=0.5) if isinstance(record, Preference) and record.tied else record
        for record in report.records
    ]
    compared = [c for record in report.records if isinstance(record, Ranking) for c in record.comparisons]
    if ties:
        report.notes.append(f"ties: {ties:,} pairs trained on as half a preference either way")
    if within := sum(c.tied for c in compared):
        report.notes.append(
            f"ties: {within:,} of {len(compared):,} comparisons in rankings trained on as half a preference either way"
        )


def _drop(report: ReadReport) -> None:
    """Ties go: records that are nothing else by a rule, others' comparisons with a note."""
    compared = [c for record in report.records if isinstance(record, Ranking) for c in record.comparisons]
    within = sum(c.tied for c in compared)
    report.drop(TIE, lambda record: isinstance(record, Preference | Ranking) and record.tied)
    report.records = [
        replace(record, comparisons=tuple(c for c in record.comparisons if not c.tied))
        if isinstance(record, Ranking)
        else record
        for record in report.records
    ]
    if within:
        report.notes.append(
            f"ties: {within:,} of {len(compared):,} comparisons in rankings left out; --ties half trains on them"
        )
    if pairs := report.dropped.get(TIE, 0):
        report.notes.append(f"ties: {pairs:,} rows prefer no answer and were left out; --ties half trains on them")
