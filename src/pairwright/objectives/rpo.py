"""RPO, three methods of one name: DPO with the chosen answer's likelihood beside it, or DPO that knows ratings.

    regularised     loss = -log s(beta D) - eta beta log pi(y_w)
    iterative       loss = -log s(beta D) - eta log pi(y_w) / |y_w|
    reward_aware    loss = (beta D - eta R)^2                       distance squared
                    loss = KL(s(eta R) || s(beta D))                distance backward_kl
                    loss = KL(s(beta D) || s(eta R))                distance forward_kl

    D = d_w - d_l,   R = rating of y_w - rating of y_l,   KL between two coins with these chances of heads

Regularised Preference Optimisation: Liu et al. 2024 (arXiv 2405.16436), values as in its appendix E.1 (by TRL's index
of papers) and its authors' recipes; the factor beta is in their code.
Iterative Reasoning Preference Optimisation: Pang et al. 2024 (2404.19733), eta is its alpha.
Reward-aware Preference Optimisation: Nemotron-4 340B (2406.11704), and Sun et al. 2025 (2502.00203) on its distances.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pairwright.objectives.inputs import Pairs

INPUT = "pairs"
REFERENCE = True
REDUCTION = "examples"
# Full: 5e-7 in the recipes of 2405.16436. Adapters: ten times that.
LEARNING_RATE = {"full": 5e-7, "lora": 5e-6, "qlora": 5e-6}

DEFAULTS = {"regularised": (0.01, 0.005), "iterative": (0.1, 1.0), "reward_aware": (0.2, 1.0)}
"""Variant -> (beta, eta)."""
DISTANCES = ("squared", "backward_kl", "forward_kl")


@dataclass(frozen=True)
class Options:
    variant: Literal["regularised", "iterative", "reward_aware"] = "regularised"
    """Which RPO: likelihood of the chosen answer as a sum over its tokens (2405.16436), as a mean (2404.19733), or
    ratings of both answers (2406.11704), which the data has to have."""
    beta: float | None = None
    """How strongly the policy is held to the reference: the reward is beta times the log-ratio. Above 0. Default: 0.01
    regularised (the authors' recipe), 0.1 iterative (the paper), 0.2 reward_aware (NeMo-Aligner)."""
    eta: float | None = None
    """regularised: weight of the likelihood, as a multiple of beta; iterative: weight of the likelihood; reward_aware:
    scale of the ratings. From 0. Default: 0.005 (the authors' recipe), 1 (the paper), 1 (NeMo-Aligner)."""
    distance: Literal["squared", "backward_kl", "forward_kl"] = "backward_kl"
    """reward_aware only: how far the policy's preference is from the ratings'. In backward_kl the ratings weigh, in
    forward_kl the policy does (NeMo-Aligner's names); backward_kl is Nemotron-4's."""

    def __post_init__(self) -> None:
        if self.variant not in DEFAULTS:
            raise ValueError(f"variant is {self.variant!r}; it must be one of {', '.join(DEFAULTS)}")
        if self.beta is not None and not 0 < self.beta < math.inf:
            raise ValueError(f"beta is {self.beta}; it must be above 0 and finite, and is usually 0.01 to 0.5")
        if self.eta is not None and not 0 <= self.eta < math.inf:
            raise ValueError(f"eta is {self.eta}; it must be 0 or above and finite")
        if self.variant == "reward_aware" and self.eta == 0:
            raise ValueError("eta is 0; reward_aware scales the ratings by it, so it must be above 0")
        if self.distance not in DISTANCES:
            raise ValueError(f"distance is {self.distance!r}; it must be one of {', '.join(DISTANCES)}")


def needs_ratings(options: Options) -> bool:
    return options.variant == "reward_aware"


def loss(pairs: Pairs, options: Options) -> Tensor:
    """(N,) loss of each pair, not averaged. Summed log-probabilities; iterative's likelihood is a mean per token.

    By hand: d_w = 1, d_l = -1, beta 0.5: -log s(1) = 0.313262. log pi(y_w) = -19 over 19 tokens, eta 0.1: regularised
    0.313262 + 0.1 * 0.5 * 19 = 1.263262, iterative 0.313262 + 0.1 * 1 = 0.413262.
    Reward-aware: D = 0 and a rating difference of log 3, eta 1: chances of 1/2 and 3/4. squared (log 3)^2 = 1.206949,
    backward_kl 3/4 log(3/2) + 1/4 log(1/2) = 0.130812, forward_kl 1/2 log(2/3) + 1/2 log 2 = 0.143841.
    """
    beta, eta = _strengths(options)
    chosen, rejected = pairs.log_ratios()
    scaled = beta * (chosen - rejected)
    if options.variant == "reward_aware":
        return _distance(scaled, eta * _rating_difference(pairs), options.distance)
    if options.variant == "iterative":
        return -logsigmoid(scaled) - eta * pairs.chosen / pairs.chosen_tokens
    return -logsigmoid(scaled) - eta * beta * pairs.chosen


def rewards(pairs: Pairs, options: Options) -> tuple[Tensor, Tensor]:
    """(N,) implicit rewards of the chosen and the rejected answers, beta times the log-ratio. reward_aware brings their
    difference to eta times the difference of the ratings."""
    return pairs.implicit_rewards(_strengths(options)[0])


def filled(options: Options) -> Options:
    """With the defaults that depend on the variant."""
    beta, eta = _strengths(options)
    return replace(options, beta=beta, eta=eta)


def _strengths(options: Options) -> tuple[float, float]:
    """beta and eta."""
    beta, eta = DEFAULTS[options.variant]
    return beta if options.beta is None else options.beta, eta if options.eta is None else options.eta


def _rating_difference(pairs: Pairs) -> Tensor:
    chosen, rejected = pairs.ratings()
    return chosen - rejected


def _distance(policy: Tensor, ratings: Tensor, distance: str) -> Tensor:
    """(N,) between two differences of rewards."""
    if distance == "squared":
        return (policy - ratings).square()
    return _coins(ratings, policy) if distance == "backward_kl" else _coins(policy, ratings)


def _coins(p: Tensor, q: Tensor) -> Tensor:
    """(N,) KL(s(p) || s(q)) of two coins. s(-x) stands for 1 - s(x), which would lose its digits near 1."""
    heads = torch.sigmoid(p) * (logsigmoid(p) - logsigmoid(q))
    return heads + torch.sigmoid(-p) * (logsigmoid(-p) - logsigmoid(-q))
