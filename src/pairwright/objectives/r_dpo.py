"""Length-regularised DPO: what an answer's length explains of a preference is not learned a second time.

    loss = -log s(beta (d_w - d_l) + alpha (|y_w| - |y_l|))

Park, Rafailov, Ermon and Finn 2024 (arXiv 2403.19159). It is DPO for a reward of r - alpha |y|: annotators like length,
so a chosen answer that is longer has part of its lead already and is pushed less, a shorter one more.
"""

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from pairwright.objectives.inputs import Pairs

INPUT = "pairs"
REFERENCE = True
REDUCTION = "examples"
# DPO's; SimPO's authors (2405.14734) searched 3e-7 to 1e-6 for R-DPO as for the others.
LEARNING_RATE = {"full": 5e-7, "lora": 5e-6, "qlora": 5e-6}


@dataclass(frozen=True)
class Options:
    beta: float = 0.1
    """How strongly the policy is held to the reference: the reward is beta times the log-ratio. Above 0; the default is
    DPO's."""
    alpha: float = 0.05
    """Reward that annotators give a token for being there. From 0, which is DPO. The default is the lowest value of
    the search that 2405.14734 made, 0.05 to 1; neither that nor 2403.19159's own value is confirmed."""

    def __post_init__(self) -> None:
        if not 0 < self.beta < math.inf:
            raise ValueError(f"beta is {self.beta}; it must be above 0 and finite, and is usually 0.01 to 0.5")
        if not 0 <= self.alpha < math.inf:
            raise ValueError(f"alpha is {self.alpha}; it must be 0 or above and finite, and is usually 0.01 to 1")


def loss(pairs: Pairs, options: Options) -> Tensor:
    """(N,) loss of each pair, not averaged. Summed log-probabilities; lengths are supervised tokens.

    By hand: d_w = 1, d_l = -1, beta 0.5, alpha 0.25. Answers of 12 and 8 tokens: 1 + 0.25 * 4 = 2, the loss is
    -log s(2) = 0.126928; of 8 and 12 tokens: 1 - 1 = 0, the loss is log 2 = 0.693147.
    """
    chosen, rejected = pairs.log_ratios()
    longer = (pairs.chosen_tokens - pairs.rejected_tokens).to(chosen.dtype)
    return -logsigmoid(options.beta * (chosen - rejected) + options.alpha * longer)


def rewards(pairs: Pairs, options: Options) -> tuple[Tensor, Tensor]:
    """(N,) beta times the log-ratio of the chosen and the rejected answers: the reward with length taken out."""
    return pairs.implicit_rewards(options.beta)
