"""Kahneman-Tversky optimisation: raise good answers and lower bad ones, which need not come in pairs.

    loss = lambda_D (1 - s(beta (d - z0)))    of a good ("desirable") answer
    loss = lambda_U (1 - s(beta (z0 - d)))    of a bad ("undesirable") one

Ethayarajh et al. 2024 (arXiv 2402.01306), equation 8 (7 in earlier versions). d = log pi(y | x) - log ref(y | x), and
z0 is the reference point from which gains and losses count: how far the policy has moved in general. It is max(0, mean
of d) over mismatched answers, each a prompt's with the answer to another, of the whole optimiser step; no gradient goes
through it.
"""

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pairwright.objectives.inputs import Labelled

INPUT = "labelled"
REFERENCE = True
REDUCTION = "examples"
# DPO's.
LEARNING_RATE = {"full": 5e-7, "lora": 5e-6, "qlora": 5e-6}

HIGHEST = 4 / 3
"""Good answers together should weigh from 1 to this many times what bad ones do. (2402.01306 as TRL and ms-swift quote
it; its latest version has 3/2 in equation 9, by two published notes on it, and 4/3 lies within that.)"""


@dataclass(frozen=True)
class Options:
    beta: float = 0.1
    """How strongly the policy is held to the reference: the reward is beta times the log-ratio. Above 0. (The default
    of the authors' code, ContextualAI/HALOs)"""
    desirable_weight: float | None = None
    """lambda_D, of good answers. Above 0. Default: from the numbers of good and bad answers, such that lambda_D times
    the good ones is 1 to 4/3 of lambda_U times the bad ones. (2402.01306)"""
    undesirable_weight: float | None = None
    """lambda_U, of bad answers. Above 0. Default: as for good ones."""

    def __post_init__(self) -> None:
        if not 0 < self.beta < math.inf:
            raise ValueError(f"beta is {self.beta}; it must be above 0 and finite, and is usually 0.01 to 0.5")
        for name in ("desirable_weight", "undesirable_weight"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} is {value}; it must be above 0 and finite")


def fitted(options: Options, desirable: int, undesirable: int) -> Options:
    """The options with the weights that were not given, for so many good and bad answers. Where it is enough both are
    1; else the lighter side's is raised, or, where that one was given, the other's lowered.

    By hand: 300 good and 100 bad: 300 / (w 100) = 4/3 at w = 2.25. 100 good and 300 bad: w 100 / 300 = 1 at w = 3.
    """
    good, bad = options.desirable_weight or 1.0, options.undesirable_weight or 1.0
    ratio = good * desirable / (bad * undesirable)
    change = max(1.0, ratio / HIGHEST) * min(1.0, ratio)  # what the ratio has to be divided by
    bad_moves = options.undesirable_weight is None and (change > 1 or options.desirable_weight is not None)
    if bad_moves:
        bad *= change
    elif options.desirable_weight is None:
        good /= change
    return dataclasses.replace(options, desirable_weight=good, undesirable_weight=bad)


def loss(answers: Labelled, options: Options) -> Tensor:
    """(N,) loss of each answer, not averaged. Summed log-probabilities. From 0 to the answer's weight.

    By hand: beta 0.5, z0 = 1. A good answer with d = 3: 1 - s(1) = 0.268941; a bad one with d = 3: 1 - s(-1) =
    0.731059, times its weight.
    """
    gain = options.beta * (answers.log_ratios() - answers.kl.detach())
    good = (options.desirable_weight or 1.0) * torch.sigmoid(-gain)  # s(-x) = 1 - s(x), without losing its digits
    bad = (options.undesirable_weight or 1.0) * torch.sigmoid(gain)
    return torch.where(answers.label, good, bad)


def rewards(answers: Labelled, options: Options) -> Tensor:
    """(N,) implicit reward of each answer, beta times the log-ratio, without gradient."""
    return options.beta * answers.log_ratios().detach()
