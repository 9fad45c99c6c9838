"""Robust DPO: DPO's loss without the bias that flipped labels put into it.

    loss = [(1 - e) L(w, l) - e L(l, w)] / (1 - 2e),   L(w, l) = -log s(beta (d_w - d_l))

Chowdhury, Kini and Natarajan 2024 (arXiv 2403.00409), section 3.1 by TRL's index of papers. Averaged over labels of
which a share e is flipped at random, it is the DPO loss of the labels as they were before. With e = 0 it is DPO.
"""

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from pairwright.objectives.inputs import Pairs

INPUT = "pairs"
REFERENCE = True
REDUCTION = "examples"
# DPO's. The paper's 1e-3 (its section B, by TRL's index of papers) is of GPT-2.
LEARNING_RATE = {"full": 5e-7, "lora": 5e-6, "qlora": 5e-6}


@dataclass(frozen=True)
class Options:
    beta: float = 0.1
    """How strongly the policy is held to the reference: the reward is beta times the log-ratio. Above 0; the default is
    DPO's. (TRL's index of papers has 0.01 for 2403.00409, section B; not confirmed in the paper.)"""
    flip_rate: float = 0.1
    """e: share of the preferences that are the wrong way round, from 0 to below 0.5. (2403.00409,
    section 6, by TRL's index of papers)"""

    def __post_init__(self) -> None:
        if not 0 < self.beta < math.inf:
            raise ValueError(f"beta is {self.beta}; it must be above 0 and finite, and is usually 0.01 to 0.5")
        if not 0 <= self.flip_rate < 0.5:
            raise ValueError(f"flip_rate is {self.flip_rate}; it must lie in [0, 0.5): at a half, labels say nothing")


def loss(pairs: Pairs, options: Options) -> Tensor:
    """(N,) loss of each pair, not averaged. Summed log-probabilities. Has no lower bound where flip_rate is above 0.

    By hand: d_w = 1, d_l = -1, beta 0.5: L(w, l) = -log s(1) = 0.313262 and L(l, w) = -log s(-1) = 1.313262; with
    flip_rate 0.1 the loss is (0.9 * 0.313262 - 0.1 * 1.313262) / 0.8 = 0.188262.
    """
    chosen, rejected = pairs.log_ratios()
    scaled = options.beta * (chosen - rejected)
    e = options.flip_rate
    return (-(1 - e) * logsigmoid(scaled) + e * logsigmoid(-scaled)) / (1 - 2 * e)


def rewards(pairs: Pairs, options: Options) -> tuple[Tensor, Tensor]:
    """(N,) implicit rewards of the chosen and the rejected answers, beta times the log-ratio."""
    return pairs.implicit_rewards(options.beta)
