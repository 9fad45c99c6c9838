"""The figures of a reward model's evaluation, by hand."""

import numpy as np
import pytest

from pairwright.evaluation import reward
from pairwright.evaluation.reward import Judged
from pairwright.evaluation.statistics import Interval, bootstrap_interval, clustered_interval, wilson_interval


def judged(margin, chosen, rejected, prompt=None, label=None) -> Judged:
    n = len(margin)
    return Judged(
        np.array(margin, float),
        np.array(chosen),
        np.array(rejected),
        np.arange(n) if prompt is None else np.array(prompt),
        np.ones(n) if label is None else np.array(label, float),
    )


def test_right():
    """Ties are half right; a label of 0.75 is three quarters right one way and one quarter the other."""
    difference, label = np.array([2.0, -2.0, 0.0, 2.0, -2.0]), np.array([1, 1, 1, 0.75, 0.75])
    assert reward.right(difference, label).tolist() == [1, 0, 0.5, 0.75, 0.25]


def test_accuracy_and_the_length_rule():
    """Scores right in 3 of 4, lengths in 1.5 of 4 (one is equal): 0.375 apart."""
    found = reward.evaluation(judged([1, 2, -1, 3], [5, 3, 4, 9], [4, 4, 4, 20]), seed=0)
    assert found["accuracy"]["mean"] == 0.75 and found["accuracy"] == wilson_interval(3, 4).as_dict()
    assert found["longest_wins"]["mean"] == 0.375
    assert found["difference"]["mean"] == 0.375
    assert (found["pairs"], found["prompts"], found["intervals"], found["few"]) == (4, 4, "by pair", True)


def test_pairs_of_one_prompt_are_drawn_together():
    """Two prompts of three equal pairs each: the mean is 0, 0.5 or 1, whatever the pairs would say alone."""
    found = reward.evaluation(judged([1, 1, 1, -1, -1, -1], [2] * 6, [1] * 6, [7, 7, 7, 9, 9, 9]), seed=0)
    assert found["accuracy"] == {"mean": 0.5, "low": 0.0, "high": 1.0}
    assert found["intervals"] == "by prompt" and found["prompts"] == 2


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (Interval(0.1, 0.01, 0.2), "beats the longest-wins rule"),
        (Interval(0.1, 0.0, 0.2), "cannot be told from the longest-wins rule"),
        (Interval(-0.1, -0.2, 0.0), "cannot be told from the longest-wins rule"),
        (Interval(-0.1, -0.2, -0.01), "is worse than the longest-wins rule"),
    ],
)
def test_the_verdict_is_the_intervals(interval, words):
    assert reward.verdict(interval) == words


def test_calibration():
    """ln 3 apart is 0.75 sure, ln 9 is 0.9. Of four at 0.75 three are right: 0 off. Of two at 0.9 one is: 0.4 off."""
    margins = [np.log(3), np.log(3), -np.log(3), np.log(3), np.log(9), -np.log(9)]
    found = reward.calibration(judged(margins, [1] * 6, [1] * 6))
    assert found["expected_calibration_error"] == pytest.approx(4 / 6 * 0 + 2 / 6 * 0.4)
    assert [(b["pairs"], b["accuracy"]) for b in found["bins"]] == [(4, 0.75), (2, 0.5)]
    assert [b["confidence"] for b in found["bins"]] == pytest.approx([0.75, 0.9])
    assert found["mean_confidence"] == pytest.approx(0.8)


def test_a_sure_score_is_in_the_last_bin():
    found = reward.calibration(judged([1e4, -1e4], [1, 1], [1, 1]))
    assert found["bins"] == [{"from": 0.95, "pairs": 2, "confidence": 1.0, "accuracy": 0.5}]
    assert found["expected_calibration_error"] == 0.5


def test_by_length():
    """Differences -6, -2, 0, 2, 6: the median size of those that differ is 4."""
    found = reward.by_length(judged([-1, 1, 1, 1, 1], [1, 3, 5, 7, 9], [7, 5, 5, 5, 3]), seed=0)
    assert [(row["group"], row["pairs"], row["mean"]) for row in found] == [
        ("chosen shorter by more than 4", 1, 0.0),
        ("shorter by up to 4", 1, 1.0),
        ("of equal length", 1, 1.0),
        ("longer by up to 4", 1, 1.0),
        ("chosen longer by more than 4", 1, 1.0),
    ]


def test_all_of_one_length():
    found = reward.evaluation(judged([1.0, -1.0], [4, 4], [4, 4]), seed=0)
    assert [row["group"] for row in found["by_length_difference"]] == ["of equal length"]
    assert found["longest_wins"]["mean"] == 0.5


def test_groups_of_one_are_the_plain_bootstrap():
    values = np.random.default_rng(0).normal(size=50).tolist()
    assert clustered_interval(values, range(50), seed=3) == bootstrap_interval(values, seed=3)


def test_groups_widen_the_interval_as_statistics_says():
    """100 values in groups of four equal ones are 25 values: twice as wide, about."""
    draws = np.random.default_rng(1).normal(size=25)
    values = np.repeat(draws, 4)
    grouped = clustered_interval(values.tolist(), np.repeat(np.arange(25), 4).tolist(), seed=0)
    alone = bootstrap_interval(values.tolist(), seed=0)
    fewer = bootstrap_interval(draws.tolist(), seed=0)
    assert grouped.high - grouped.low == pytest.approx(fewer.high - fewer.low, rel=0.05)
    assert (grouped.high - grouped.low) / (alone.high - alone.low) == pytest.approx(2, rel=0.1)


def test_each_value_has_a_group():
    with pytest.raises(ValueError, match="2 values and 3 groups"):
        clustered_interval([1, 2], [0, 1, 2], seed=0)


def test_numbers_of_prompts():
    assert reward.numbered([b"a", b"b", b"a", b"c"]).tolist() == [0, 1, 0, 2]
