"""Each metric of a batch of sampled answers, defined once. docs/metrics.md explains them to people."""

import torch
from torch import Tensor

from pairwright.objectives import ppo
from pairwright.training.rollouts import Rollout, answer_sums


def rollout_metrics(rollout: Rollout, kl_coef: float) -> dict[str, float]:
    """Of the answers as they were sampled, before the update."""
    kl = answer_sums(ppo.k1(rollout.logps, rollout.ref_logps), rollout.lengths)
    mean, largest = rollout.difference
    out: dict[str, float] = {
        **score_metrics(rollout),
        "reward": float((rollout.scores - kl_coef * kl).mean()),
        "kl": float(kl.mean()),
        "kl_k3": float(answer_sums(ppo.k3(rollout.logps, rollout.ref_logps), rollout.lengths).mean()),
        "kl_coef": kl_coef,
        "entropy": float(-rollout.logps.mean()),
        "distinct": distinct(rollout),
        "sampler_difference": mean,
        "sampler_difference_max": largest,
        "num_tokens": int(rollout.lengths.sum()),
    }
    return out


def value_metrics(values: Tensor, returns: Tensor) -> dict[str, float]:
    """Of the value role, before the update. (S,) each."""
    return {
        "value": float(values.mean()),
        "return": float(returns.mean()),
        "explained_variance": explained_variance(values, returns),
    }


def score_metrics(rollout: Rollout) -> dict[str, float]:
    """What the scorer said, and the answers' form."""
    ended = [answer.ended for own in rollout.answers for answer in own]
    spread = float(rollout.scores.std()) if len(rollout.scores) > 1 else 0.0
    return {
        "score": float(rollout.scores.mean()),
        "score_std": spread,
        **{f"score/{name}": float(values.double().mean()) for name, values in rollout.parts.items()},
        "length": float(rollout.lengths.double().mean()),
        "ended": sum(ended) / len(ended),
    }


def distinct(rollout: Rollout) -> float:
    """Mean over the prompts of the share of different answers among a prompt's own.

    By hand: answers a, a, b, c to one prompt and a, a, a, a to another: (3/4 + 1/4) / 2 = 0.5.
    """
    shares = [len({answer.ids for answer in own}) / len(own) for own in rollout.answers]
    return sum(shares) / len(shares)


def explained_variance(values: Tensor, returns: Tensor) -> float:
    """1 - var(R - V) / var(R): 1 for a value role that knows the return, 0 for one that says the same of all; 0 where
    the returns do not differ."""
    spread = returns.double().var(unbiased=False)
    left = (returns - values).double().var(unbiased=False)
    return float(torch.where(spread > 0, 1 - left / spread.clamp(min=1e-30), torch.zeros_like(spread)))
