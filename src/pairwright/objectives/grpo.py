"""Group-relative policy optimisation: an answer's score against those of its prompt's answers, no value role.

    loss = max(-A rho, -A clip(rho, 1 - e, 1 + e)) + kl_coef k3,    rho = pi(token) / pi_old(token)
    A = (score - mean) / (standard deviation + 0.0001) over the answers to the prompt, the same for all its tokens

Shao et al. 2024 (arXiv 2402.03300), equations 3 and 4: the divergence stands in the loss, not in the reward, estimated
by k3; an answer's loss is the mean over its tokens, a step's the mean over answers.
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
LEARNING_RATE = {"full": 1e-6, "lora": 1e-5, "qlora": 1e-5}
UNIT = "token"
"""What one of the N inputs of the loss is: a sampled token."""
VALUE = False


@dataclass(frozen=True)
class Options:
    clip: float = 0.2
    """e: how far a token's probability ratio may move in one batch of samples before its gradient is cut off. In
    (0, 1)."""
    kl_coef: float = 0.04
    """Weight of the divergence from the reference in the loss. 0 or more. (2402.03300)"""
    scale: bool = True
    """Divide a prompt's advantages by the standard deviation of its scores. Off: prompts on which answers hardly differ
    count less (2503.20783)."""
    update_epochs: int = 1
    """Passes over each batch of samples. (2402.03300: one)"""
    minibatches: int = 1
    """Optimiser steps in one pass over a batch of samples."""

    def __post_init__(self) -> None:
        ppo.check_common(self)


def loss(sampled: Sampled, options: Options) -> Tensor:
    """(N,) loss of each sampled token, not averaged.

    By hand, clip 0.2, kl_coef 0.1: rho = 1.5, A = 2, log pi - log ref = log 2: -2.4 + 0.1 * 0.193147 = -2.380685.
    """
    return ppo.clipped(sampled, options.clip) + options.kl_coef * ppo.k3(sampled.logps, sampled.reference())


def advantages(scores: Tensor, group: Tensor, options: Options) -> Tensor:
    """(Q,) advantage of each answer. scores (Q,); group (Q,) number of its prompt, from 0. Raises ConfigError for a
    prompt with a single answer.

    By hand: scores 1, 2, 6 of one prompt: mean 3, standard deviation (of a sample) 2.645751: -0.7559, -0.3780, 1.1338.
    """
    counts = torch.bincount(group).to(scores.dtype)
    if int(counts.min()) < 2:
        raise ConfigError("an answer is compared with the prompt's other answers: --samples-per-prompt 2 or more")
    sums = lambda values: torch.zeros_like(counts).index_add(0, group, values)  # noqa: E731
    centred = scores - (sums(scores) / counts)[group]
    if not options.scale:
        return centred
    deviation = (sums(centred.square()) / (counts - 1)).sqrt()
    return centred / (deviation[group] + 1e-4)
