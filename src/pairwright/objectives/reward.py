"""Reward model: a score for an answer, such that preferred answers score higher.

    loss = -log s(r_w - r_l - margin) + eta (r_w + r_l)^2,   s the logistic function

The Bradley-Terry likelihood of a preference (Bradley and Terry 1952; InstructGPT, Ouyang et al. 2022, arXiv 2203.02155,
equation 1). r is the scalar that a head reads at the answer's last token, its end. `margin` is the data's, where it has
one: how much better the chosen answer is (Llama 2, Touvron et al. 2023, 2307.09288, equation 2). The second term holds
the scores around 0, which the first leaves free (Eisenstein et al. 2023, 2312.09244).
"""

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from pairwright.objectives.inputs import Scores

INPUT = "scores"
REFERENCE = False
REDUCTION = "examples"
LEARNING_RATE = {"full": 9e-6, "lora": 1e-4, "qlora": 1e-4}


@dataclass(frozen=True)
class Options:
    eta: float = 0.01
    """Weight of the squared sum of a pair's scores, which holds scores around 0. 0 for none. (2312.09244)"""

    def __post_init__(self) -> None:
        if not 0 <= self.eta < math.inf:
            raise ValueError(f"eta is {self.eta}; it must be 0 or more, and finite")


def loss(pairs: Scores, options: Options) -> Tensor:
    """(N,) loss of each pair, not averaged.

    By hand: r_w = 1.5, r_l = 0.5, eta 0.01: -log s(1) = 0.313262, and 0.01 * 2^2 = 0.04: 0.353262. With a margin of 2:
    -log s(-1) = 1.313262, so 1.353262.
    """
    ahead = pairs.chosen - pairs.rejected - pairs.margin
    return -logsigmoid(ahead) + options.eta * (pairs.chosen + pairs.rejected) ** 2
