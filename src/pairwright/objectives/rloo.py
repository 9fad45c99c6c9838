"""REINFORCE, leave one out: an answer against the mean of the other answers to its prompt, no value role.

    loss = max(-A rho, -A clip(rho, 1 - e, 1 + e)),    rho = pi(answer) / pi_old(answer)
    A = R - mean of R over the prompt's other answers,    R = score - kl_coef (log pi_old - log ref)

Ahmadian et al. 2024 (arXiv 2402.14740), section 3.3: an answer is one action. With one update of a batch rho is 1, and
the gradient is theirs, that of -A log pi; the clip (1707.06347) is for those who update more often.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pairwright.errors import ConfigError
from pairwright.objectives import ppo
from pairwright.objectives.inputs import Sampled

INPUT = "sampled"
REFERENCE = True
REDUCTION = "examples"
LEARNING_RATE = {"full": 3e-6, "lora": 1e-5, "qlora": 1e-5}
UNIT = "answer"
"""What one of the N inputs of the loss is: a sampled answer, log-probabilities summed over its tokens."""
VALUE = False


@dataclass(frozen=True)
class Options:
    clip: float = 0.2
    """e: how far an answer's probability ratio may move in one batch of samples before its gradient is cut off. In
    (0, 1)."""
    kl_coef: float = 0.05
    """Reward taken away per nat that an answer moved from the reference. 0 or more."""
    target_kl: float | None = None
    """Nats an answer (k1) that the coefficient is steered to; `kl_coef` is then where it starts. Default: it is fixed.
    (1909.08593)"""
    update_epochs: int = 1
    """Passes over each batch of samples. (2402.14740: one)"""
    minibatches: int = 1
    """Optimiser steps in one pass over a batch of samples."""

    def __post_init__(self) -> None:
        ppo.check_common(self)


def loss(sampled: Sampled, options: Options) -> Tensor:
    """(N,) loss of each answer, not averaged.

    By hand, clip 0.2: rho = 1.5 and A = 2: max(-3, -2.4) = -2.4.
    """
    return ppo.clipped(sampled, options.clip)


def advantages(scores: Tensor, kl: Tensor, group: Tensor, kl_coef: float, options: Options) -> Tensor:
    """(Q,) advantage of each answer. scores, kl (Q,) score and log pi - log ref of the whole answer; group (Q,) number
    of its prompt, from 0. Raises ConfigError for a prompt with a single answer.

    By hand: rewards 1, 2, 6 of one prompt: 1 - 4, 2 - 3.5, 6 - 1.5 = -3, -1.5, 4.5.
    """
    rewards = scores - kl_coef * kl
    counts = torch.bincount(group)
    if int(counts.min()) < 2:
        raise ConfigError("an answer is compared with the prompt's other answers: --samples-per-prompt 2 or more")
    sums = torch.zeros(len(counts), dtype=rewards.dtype, device=rewards.device).index_add(0, group, rewards)
    others = (sums[group] - rewards) / (counts[group] - 1)
    return rewards - others
