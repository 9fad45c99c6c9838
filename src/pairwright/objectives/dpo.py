"""Direct preference optimisation: raise the chosen answer over the rejected one, relative to a reference.

    loss = -(1 - e) log s(beta D) - e log s(-beta D),   D = d_w - d_l,   s the logistic function

Rafailov et al. 2023 (arXiv 2305.18290), equation 7; with e = label_smoothing > 0 it is conservative DPO (Mitchell's
note on noisy preferences), whose gradient is zero where s(beta D) = 1 - e.
"""

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from pairwright.objectives.inputs import Pairs

INPUT = "pairs"
REFERENCE = True
REDUCTION = "examples"
LEARNING_RATE = {"full": 5e-7, "lora": 5e-6, "qlora": 5e-6}


@dataclass(frozen=True)
class Options:
    beta: float = 0.1
    """How strongly the policy is held to the reference: the reward is beta times the log-ratio. (2305.18290)"""
    label_smoothing: float = 0.0
    """Share of the preferences believed to be the wrong way round, from 0 to below 0.5."""

    def __post_init__(self) -> None:
        if not 0 < self.beta < math.inf:
            raise ValueError(f"beta is {self.beta}; it must be above 0 and finite, and is usually 0.01 to 0.5")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"label_smoothing is {self.label_smoothing}; it must lie in [0, 0.5)")


def loss(pairs: Pairs, options: Options) -> Tensor:
    """(N,) loss of each pair, not averaged. Summed log-probabilities.

    By hand: d_w = 1, d_l = -1, beta 0.5: D = 2, loss = -log s(1) = 0.313262; with label_smoothing 0.1 it is
    0.9 * 0.313262 + 0.1 * 1.313262 = 0.413262.
    """
    chosen, rejected = pairs.log_ratios()
    scaled = options.beta * (chosen - rejected)
    e = options.label_smoothing
    return -(1 - e) * logsigmoid(scaled) - e * logsigmoid(-scaled)


def rewards(pairs: Pairs, options: Options) -> tuple[Tensor, Tensor]:
    """(N,) implicit rewards of the chosen and the rejected answers, beta times the log-ratio (2305.18290, eq. 5
    without the prompt's constant)."""
    chosen, rejected = pairs.log_ratios()
    return options.beta * chosen.detach(), options.beta * rejected.detach()
