"""Proximal policy optimisation on a model's own samples: tokens that did better than expected rise, a little at a time.

    loss = max(-A rho, -A clip(rho, 1 - e, 1 + e)),    rho = pi(token) / pi_old(token)

Schulman et al. 2017 (arXiv 1707.06347), equation 7, of one token. The reward of a token is -kl_coef (log pi_old - log
ref), the last one's also the answer's score (Ziegler et al. 2019, 1909.08593; InstructGPT, 2203.02155). Advantages A
come from generalised advantage estimation (1506.02438, equations 11 and 12) and are whitened over the whole batch of
samples. The value role learns with an optimiser of its own, so its loss needs no coefficient (value_loss).

Legend: S sampled tokens of all answers, one answer after the other; Q answers; T the longest answer's tokens.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pairwright.objectives.inputs import Sampled

INPUT = "sampled"
REFERENCE = True
REDUCTION = "tokens"
LEARNING_RATE = {"full": 3e-6, "lora": 1e-5, "qlora": 1e-5}
UNIT = "token"
"""What one of the N inputs of the loss is: a sampled token."""
VALUE = True
"""A value role says what was to be expected."""

LIMIT = 20.0
"""Exponent from which e^x goes on as a straight line: a token that has become e^20 times as likely is pulled back, and
nothing overflows."""
HORIZON = 10_000
"""Samples over which an adaptive coefficient follows a constant error by a factor e^0.2. (1909.08593, section 2.2)"""


@dataclass(frozen=True)
class Options:
    clip: float = 0.2
    """e: how far a token's probability ratio may move in one batch of samples before its gradient is cut off. In
    (0, 1). (1707.06347)"""
    value_clip: float = 0.2
    """How far a value may move in one batch of samples. Above 0. (InstructGPT's baselines)"""
    gamma: float = 1.0
    """Discount of later rewards per token. In (0, 1]."""
    gae_lambda: float = 0.95
    """Between one-step errors of the value role (0) and whole returns (1). (1506.02438)"""
    kl_coef: float = 0.05
    """Reward taken away per nat that a sampled token moved from the reference. 0 or more."""
    target_kl: float | None = None
    """Nats an answer (k1) that the coefficient is steered to; `kl_coef` is then where it starts. Default: it is fixed.
    (1909.08593)"""
    update_epochs: int = 4
    """Passes over each batch of samples."""
    minibatches: int = 1
    """Optimiser steps in one pass over a batch of samples."""
    value_learning_rate: float = 9e-6
    """Peak learning rate of the value role."""

    def __post_init__(self) -> None:
        check_common(self)
        if not 0 < self.gamma <= 1 or not 0 <= self.gae_lambda <= 1:
            raise ValueError(f"gamma is {self.gamma} and gae_lambda {self.gae_lambda}; both lie between 0 and 1")
        for name in ("value_clip", "value_learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0 and finite")


def check_common(options: "Options | object") -> None:
    """Raise ValueError for settings, shared by the methods on sampled answers, that cannot be meant."""
    get = lambda name: getattr(options, name)  # noqa: E731
    if not 0 < get("clip") < 1:
        raise ValueError(f"clip is {get('clip')}; it lies between 0 and 1, and is usually 0.1 to 0.3")
    if not 0 <= get("kl_coef") < math.inf:
        raise ValueError(f"kl_coef is {get('kl_coef')}; it must be 0 or more, and finite")
    target = getattr(options, "target_kl", None)
    if target is not None and not (0 < target < math.inf and get("kl_coef") > 0):
        raise ValueError(f"target_kl is {target} with kl_coef {get('kl_coef')}; both must be above 0 to be steered")
    for name in ("update_epochs", "minibatches"):
        if get(name) < 1:
            raise ValueError(f"{name} is {get(name)}; it must be 1 or more")


def loss(sampled: Sampled, options: Options) -> Tensor:
    """(N,) loss of each sampled token, not averaged.

    By hand, clip 0.2: rho = 1.5 and A = 2: max(-3, -2.4) = -2.4, no gradient. rho = 0.5 and A = -1: max(0.5, 0.8) =
    0.8, none. rho = 0.5 and A = 2: max(-1, -1.6) = -1.
    """
    return clipped(sampled, options.clip)


def clipped(sampled: Sampled, clip: float) -> Tensor:
    """(N,) the pessimistic one of the plain and the clipped surrogate, as a loss."""
    ratio = exp(sampled.log_ratios())
    advantages = sampled.advantages.detach()
    return torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip))


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> Tensor:
    """(S,) 0.5 max((V - R)^2, (V_clip - R)^2), V_clip at most `clip` from the value before the update.

    By hand, clip 0.2: V = 1, old 0, R = 2: V_clip = 0.2, 0.5 max(1, 3.24) = 1.62. V = 1, old 0, R = 0: 0.5 max(1,
    0.04) = 0.5.
    """
    if not values.shape == old_values.shape == returns.shape:
        raise ValueError(f"values {tuple(values.shape)}, old {tuple(old_values.shape)}, returns {tuple(returns.shape)}")
    near = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns) ** 2, (near - returns) ** 2)


def advantages(
    logps: Tensor, ref_logps: Tensor, values: Tensor, scores: Tensor, lengths: Tensor, kl_coef: float, options: Options
) -> tuple[Tensor, Tensor]:
    """(S,) whitened advantages and (S,) returns of sampled answers.

    logps, ref_logps, values (S,) of the policy that sampled, of the reference and of the value role; scores (Q,);
    lengths (Q,) tokens of each answer, at least 1, S in all.
    """
    rewards = token_rewards(k1(logps, ref_logps), scores, lengths, kl_coef)
    found = gae(padded(rewards, lengths), padded(values, lengths), lengths, options.gamma, options.gae_lambda)
    flat = found[_inside(lengths)]
    return whiten(flat), flat + values


def token_rewards(kl: Tensor, scores: Tensor, lengths: Tensor, kl_coef: float) -> Tensor:
    """(S,) reward of each token: -kl_coef kl, and the answer's score on its last token.

    By hand: kl (0.5, 0), (1), scores (2, 3), kl_coef 0.1: (-0.05, 2), (2.9).
    """
    rewards = -kl_coef * kl
    rewards[lengths.cumsum(0) - 1] += scores.to(rewards.dtype)
    return rewards


def gae(rewards: Tensor, values: Tensor, lengths: Tensor, gamma: float, gae_lambda: float) -> Tensor:
    """(Q, T) advantages: A_t = d_t + gamma lambda A_{t+1}, d_t = r_t + gamma V_{t+1} - V_t, with V 0 after an answer's
    last token. rewards, values (Q, T), anything but NaN beyond an answer's length; 0 there in the result.

    By hand, gamma 1, lambda 0.5, rewards (0, 1), values (0.5, 0.25): d = (-0.25, 0.75), A = (0.125, 0.75).
    """
    longest = rewards.shape[1]
    out = torch.zeros_like(rewards)
    later, following = torch.zeros_like(rewards[:, 0]), torch.zeros_like(rewards[:, 0])
    for t in range(longest - 1, -1, -1):
        inside = t < lengths
        delta = rewards[:, t] + gamma * following - values[:, t]
        later = torch.where(inside, delta + gamma * gae_lambda * later, 0.0)
        following = torch.where(inside, values[:, t], 0.0)
        out[:, t] = later
    return out


def whiten(values: Tensor) -> Tensor:
    """(S,) less their mean, over their standard deviation (of a sample, with S - 1); all zero where they do not differ.

    By hand: (1, 2, 3) becomes (-1, 0, 1).
    """
    centred = values - values.mean()
    variance = centred.square().sum() / max(1, len(values) - 1)
    return centred * torch.rsqrt(variance + 1e-8)


def k1(logps: Tensor, ref_logps: Tensor) -> Tensor:
    """log pi - log ref of tokens sampled from pi: its mean is KL(pi, ref), without bias, and single ones may be
    negative. (Schulman, Approximating KL divergence, 2020)"""
    return logps - ref_logps


def k3(logps: Tensor, ref_logps: Tensor) -> Tensor:
    """ref/pi - 1 - log(ref/pi) of tokens sampled from pi: the same mean, never negative, less spread. (Schulman, 2020)

    By hand: log pi - log ref = log 2: 1/2 - 1 + 0.693147 = 0.193147.
    """
    return exp(ref_logps - logps) - 1 + (logps - ref_logps)


def steered(kl_coef: float, kl: float, answers: int, target_kl: float | None) -> float:
    """The coefficient after a batch of `answers` samples with mean `kl` an answer; unchanged without a target.
    (1909.08593, section 2.2)

    By hand: 0.05, kl 12 with target 10 (error clip(0.2) = 0.2), 500 answers: 0.05 (1 + 0.2 * 500 / 10000) = 0.0505.
    """
    if target_kl is None:
        return kl_coef
    error = min(max(kl / target_kl - 1, -0.2), 0.2)
    return kl_coef * (1 + error * answers / HORIZON)


def padded(values: Tensor, lengths: Tensor) -> Tensor:
    """(S,) -> (Q, T), 0 beyond each answer's length."""
    inside = _inside(lengths)
    out = values.new_zeros(inside.shape)
    out[inside] = values
    return out


def _inside(lengths: Tensor) -> Tensor:
    """(Q, T) bool: which places of a padded row hold a token."""
    return torch.arange(int(lengths.max()), device=lengths.device)[None] < lengths[:, None]


def exp(x: Tensor) -> Tensor:
    """e^x, above LIMIT as the straight line that touches it there."""
    return torch.exp(x.clamp(max=LIMIT)) + math.exp(LIMIT) * (x - LIMIT).clamp(min=0)
