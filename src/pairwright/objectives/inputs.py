"""What objectives are given: log-probabilities of whole answers, as vectors over examples.

Legend: N examples. Log-probabilities are sums over an answer's supervised tokens, float32.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Pairs:
    """Input kind "pairs"."""

    chosen: Tensor
    """(N,) log pi(y_w | x)."""
    rejected: Tensor
    """(N,) log pi(y_l | x)."""
    chosen_tokens: Tensor
    """(N,) |y_w|, supervised tokens."""
    rejected_tokens: Tensor
    """(N,) |y_l|."""
    ref_chosen: Tensor | None = None
    """(N,) log ref(y_w | x); None where the objective says REFERENCE = False."""
    ref_rejected: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("rejected", "chosen_tokens", "rejected_tokens", "ref_chosen", "ref_rejected"):
            other = getattr(self, name)
            if other is not None and other.shape != self.chosen.shape:
                raise ValueError(f"{name} has shape {tuple(other.shape)}, chosen has {tuple(self.chosen.shape)}")

    def log_ratios(self) -> tuple[Tensor, Tensor]:
        """d_w and d_l, (N,) each: how far the policy has moved from the reference on either answer."""
        if self.ref_chosen is None or self.ref_rejected is None:
            raise ValueError("this objective compares with a reference, and none was given")
        return self.chosen - self.ref_chosen, self.rejected - self.ref_rejected


@dataclass(frozen=True)
class Answers:
    """Input kind "answers": one answer per example, to be imitated."""

    logps: Tensor
    """(N,) log pi(y | x)."""
    tokens: Tensor
    """(N,) |y|."""
