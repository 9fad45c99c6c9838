"""How good a reward model is on pairs that it was not trained on. Figures only: who scores and who prints is elsewhere.

    accuracy          share of pairs in which the preferred answer scores higher
    longest wins      the same share for a rule that knows nothing but the answers' lengths, and the difference to it
    calibration       is it right as often as its score differences say? s(difference) against what happened
    by length         accuracy among pairs whose chosen answer is longer, shorter, much longer ...

An equal score, or an equal length, is half right. Where a pair's label is a probability p, agreeing with it counts p
and the opposite 1 - p.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pairwright.evaluation.statistics import Interval, bootstrap_interval, clustered_interval, wilson_interval

BINS = 10
"""Of equal width over confidences from 0.5 to 1."""
FEW_GROUPS = 20
"""Prompts below which a bootstrap's interval is too narrow."""


@dataclass(frozen=True)
class Judged:
    """N pairs and what the model made of them, (N,) each."""

    margin: np.ndarray
    """Score of the chosen answer less that of the rejected one."""
    chosen_tokens: np.ndarray
    rejected_tokens: np.ndarray
    prompt: np.ndarray
    """int: pairs of one prompt have the same number."""
    label: np.ndarray
    """Probability that the chosen answer is the better one; 1 where the data is sure."""


def right(difference: np.ndarray, label: np.ndarray) -> np.ndarray:
    """(N,) how right a rule is that prefers the chosen answer where `difference` is above 0."""
    prefers = (difference > 0) + 0.5 * (difference == 0)
    return prefers * label + (1 - prefers) * (1 - label)


def evaluation(judged: Judged, *, seed: int) -> dict[str, Any]:
    """Everything, as evaluation.json holds it."""
    length = judged.chosen_tokens - judged.rejected_tokens
    ours, longest = right(judged.margin, judged.label), right(length, judged.label)
    difference = share_interval(ours - longest, judged.prompt, seed)
    prompts = len(np.unique(judged.prompt))
    return {
        "pairs": len(ours),
        "prompts": prompts,
        "accuracy": share_interval(ours, judged.prompt, seed).as_dict(),
        "longest_wins": share_interval(longest, judged.prompt, seed).as_dict(),
        "difference": difference.as_dict(),
        "verdict": verdict(difference),
        "intervals": "by pair" if prompts == len(ours) else "by prompt",
        "few": prompts < FEW_GROUPS,
        "calibration": calibration(judged),
        "by_length_difference": by_length(judged, seed),
    }


def share_interval(values: np.ndarray, prompt: np.ndarray, seed: int) -> Interval:
    """Mean of (N,) values with its 95% interval: Wilson's for shares of pairs of different prompts, else a bootstrap,
    which draws prompts where one has several pairs."""
    if len(np.unique(prompt)) < len(values):
        return clustered_interval(values.tolist(), prompt.tolist(), seed=seed)
    if np.isin(values, (0.0, 1.0)).all():
        return wilson_interval(int(values.sum()), len(values))
    return bootstrap_interval(values.tolist(), seed=seed)


def verdict(difference: Interval) -> str:
    """What the interval of accuracy less that of the rule says."""
    if difference.low > 0:
        return "beats the longest-wins rule"
    if difference.high < 0:
        return "is worse than the longest-wins rule"
    return "cannot be told from the longest-wins rule"


def calibration(judged: Judged) -> dict[str, Any]:
    """Expected calibration error (Guo et al. 2017, arXiv 1706.04599, equation 3) and its bins. A pair's confidence is
    s(|difference|), the Bradley-Terry probability of the preference that the scores imply."""
    confidence = 1 / (1 + np.exp(-np.minimum(np.abs(judged.margin), 500)))
    correct = right(judged.margin, judged.label)
    number = np.minimum(((confidence - 0.5) * 2 * BINS).astype(int), BINS - 1)
    bins, error = [], 0.0
    for b in range(BINS):
        inside = number == b
        count = int(inside.sum())
        if count:
            said, seen = float(confidence[inside].mean()), float(correct[inside].mean())
            error += count / len(number) * abs(said - seen)
            bins.append({"from": 0.5 + b / 2 / BINS, "pairs": count, "confidence": said, "accuracy": seen})
    return {"expected_calibration_error": error, "mean_confidence": float(confidence.mean()), "bins": bins}


def by_length(judged: Judged, seed: int) -> list[dict[str, Any]]:
    """Accuracy by how many tokens longer the chosen answer is; a large difference is one above the median."""
    length = judged.chosen_tokens - judged.rejected_tokens
    differing = np.abs(length[length != 0])
    middle = float(np.median(differing)) if len(differing) else 0.0
    ours, prompt = right(judged.margin, judged.label), judged.prompt
    groups = {
        f"chosen shorter by more than {middle:g}": length < -middle,
        f"shorter by up to {middle:g}": (length < 0) & (length >= -middle),
        "of equal length": length == 0,
        f"longer by up to {middle:g}": (length > 0) & (length <= middle),
        f"chosen longer by more than {middle:g}": length > middle,
    }
    return [
        {"group": name, "pairs": int(inside.sum())} | share_interval(ours[inside], prompt[inside], seed).as_dict()
        for name, inside in groups.items()
        if inside.any()
    ]


def numbered(keys: Sequence[bytes]) -> np.ndarray:
    """(N,) the same number for the same key, in the order in which they come."""
    known: dict[bytes, int] = {}
    return np.array([known.setdefault(key, len(known)) for key in keys], dtype=np.int64)
