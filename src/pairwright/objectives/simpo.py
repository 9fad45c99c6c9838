"""SimPO: the average log-probability of an answer is its reward, without a reference, and has to win by a margin.

    loss = -log s(beta (m_w - m_l) - gamma),   m = log pi(y | x) / |y|,   gamma = gamma_beta_ratio * beta

Meng, Xia and Chen 2024 (arXiv 2405.14734), equation 6.
"""

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from pairwright.objectives.inputs import Pairs

INPUT = "pairs"
REFERENCE = False
REDUCTION = "examples"
# Full: the middle of the three rates that the authors' README says to try (3e-7, 5e-7, 1e-6). Adapters: ten times that.
LEARNING_RATE = {"full": 5e-7, "lora": 5e-6, "qlora": 5e-6}


@dataclass(frozen=True)
class Options:
    beta: float = 2.0
    """Scale of the reward: beta times the mean log-probability per token. Above 0; the paper's models have 2 to 2.5,
    and the authors' README says that 10 can be better."""
    gamma_beta_ratio: float = 0.5
    """Margin that the chosen answer has to win by, as a share of beta: nats per token. From 0; usually 0 to 1, and 0.5
    is where the authors' README starts."""

    def __post_init__(self) -> None:
        if not 0 < self.beta < math.inf:
            raise ValueError(f"beta is {self.beta}; it must be above 0 and finite, and is usually 2 to 10")
        if not 0 <= self.gamma_beta_ratio < math.inf:
            raise ValueError(
                f"gamma_beta_ratio is {self.gamma_beta_ratio}; it must be 0 or above and finite, and is usually 0 to 1"
            )


def loss(pairs: Pairs, options: Options) -> Tensor:
    """(N,) loss of each pair, not averaged. Mean log-probabilities per token.

    By hand: log pi(y_w) = -3 over 3 tokens, log pi(y_l) = -8 over 4 tokens, beta 2, ratio 0.5: 2 (-1 + 2) - 1 = 1, and
    the loss is -log s(1) = 0.313262.
    """
    chosen, rejected = pairs.per_token(pairs.chosen, pairs.rejected)
    return -logsigmoid(options.beta * (chosen - rejected - options.gamma_beta_ratio))


def rewards(pairs: Pairs, options: Options) -> tuple[Tensor, Tensor]:
    """(N,) beta times the mean log-probability of the chosen and the rejected answers (2405.14734, eq. 4). Without a
    reference, so they are below 0 from the start."""
    chosen, rejected = pairs.per_token(pairs.chosen.detach(), pairs.rejected.detach())
    return options.beta * chosen, options.beta * rejected
