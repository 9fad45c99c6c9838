"""Identity preference optimisation: bring the margin to a fixed size instead of pushing it without end.

    loss = (h - 1 / (2 tau))^2
    h = d_w / |y_w| - d_l / |y_l|    reduction mean
    h = d_w - d_l                    reduction sum

Azar et al. 2023 (arXiv 2310.12036), equation 17. The paper writes log-probabilities of whole answers, a sum. TRL takes
the mean per token and says that the paper's authors confirmed it: with a sum, the same tau asks a long answer for a
smaller change of each token. Two objectives of one name, so the run says which.
"""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from pairwright.objectives.inputs import Pairs

INPUT = "pairs"
REFERENCE = True
REDUCTION = "examples"
# DPO's; SimPO's authors (2405.14734) searched 3e-7 to 1e-6 for IPO as for the others.
LEARNING_RATE = {"full": 5e-7, "lora": 5e-6, "qlora": 5e-6}

REDUCTIONS = ("mean", "sum")


@dataclass(frozen=True)
class Options:
    tau: float = 0.1
    """How strongly the policy is held to the reference: the margin aimed at is 1 / (2 tau). Above 0; 0.01 to 1 was
    searched by 2405.14734. TRL calls it beta and has the same default."""
    reduction: Literal["mean", "sum"] = "mean"
    """Log-ratios as means per token (TRL, which says that the paper's authors confirmed it), or as sums (the paper)."""

    def __post_init__(self) -> None:
        if not 0 < self.tau < math.inf:
            raise ValueError(f"tau is {self.tau}; it must be above 0 and finite, and is usually 0.01 to 1")
        if self.reduction not in REDUCTIONS:
            raise ValueError(f"reduction is {self.reduction!r}; it must be one of {', '.join(REDUCTIONS)}")


def loss(pairs: Pairs, options: Options) -> Tensor:
    """(N,) loss of each pair, not averaged. Means per token, or sums, as `reduction` says.

    By hand: d_w = 3 over 3 tokens, d_l = -4 over 4 tokens, tau 0.5: the target is 1; with means h = 1 + 1 = 2 and the
    loss (2 - 1)^2 = 1, with sums h = 7 and the loss (7 - 1)^2 = 36.
    """
    chosen, rejected = _log_ratios(pairs, options)
    return (chosen - rejected - 1 / (2 * options.tau)).square()


def rewards(pairs: Pairs, options: Options) -> tuple[Tensor, Tensor]:
    """(N,) tau times the log-ratio, reduced as in the loss, of the chosen and the rejected answers: the loss is zero at
    a margin of a half."""
    chosen, rejected = _log_ratios(pairs, options)
    return options.tau * chosen.detach(), options.tau * rejected.detach()


def _log_ratios(pairs: Pairs, options: Options) -> tuple[Tensor, Tensor]:
    chosen, rejected = pairs.log_ratios()
    return pairs.per_token(chosen, rejected) if options.reduction == "mean" else (chosen, rejected)
