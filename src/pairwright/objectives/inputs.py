"""What objectives are given: log-probabilities or scores of whole answers, as vectors over examples.

Legend: N examples. Log-probabilities are sums over an answer's supervised tokens; they and scores are float32.
"""

from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor


def _check_shapes(inputs: Any, first: str, *others: str) -> None:
    """Refuse what torch would broadcast without a word."""
    shape = getattr(inputs, first).shape
    for name in others:
        other = getattr(inputs, name)
        if other is not None and other.shape != shape:
            raise ValueError(f"{name} has shape {tuple(other.shape)}, {first} has {tuple(shape)}")


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
    rating_chosen: Tensor | None = None
    """(N,) what an annotator, judge or reward model gave y_w; None where the data has no ratings."""
    rating_rejected: Tensor | None = None

    def __post_init__(self) -> None:
        _check_shapes(self, *(field.name for field in fields(self)))

    def log_ratios(self) -> tuple[Tensor, Tensor]:
        """d_w and d_l, (N,) each: how far the policy has moved from the reference on either answer. No gradient reaches
        the reference."""
        if self.ref_chosen is None or self.ref_rejected is None:
            raise ValueError("this objective compares with a reference, and none was given")
        return self.chosen - self.ref_chosen.detach(), self.rejected - self.ref_rejected.detach()

    def swapped(self) -> "Pairs":
        """The same pairs the other way round: each rejected answer as the chosen one."""
        return Pairs(
            chosen=self.rejected,
            rejected=self.chosen,
            chosen_tokens=self.rejected_tokens,
            rejected_tokens=self.chosen_tokens,
            ref_chosen=self.ref_rejected,
            ref_rejected=self.ref_chosen,
            rating_chosen=self.rating_rejected,
            rating_rejected=self.rating_chosen,
        )

    def ratings(self) -> tuple[Tensor, Tensor]:
        """Ratings of y_w and y_l, (N,) each."""
        if self.rating_chosen is None or self.rating_rejected is None:
            raise ValueError("this objective needs ratings of both answers (rating_chosen, rating_rejected)")
        return self.rating_chosen, self.rating_rejected

    def per_token(self, chosen: Tensor, rejected: Tensor) -> tuple[Tensor, Tensor]:
        """Sums over y_w and over y_l as means per supervised token, (N,) each."""
        return chosen / self.chosen_tokens, rejected / self.rejected_tokens

    def implicit_rewards(self, beta: float) -> tuple[Tensor, Tensor]:
        """beta d_w and beta d_l, (N,) each, without gradient: the reward that a policy stands for (2305.18290, eq. 5
        without the prompt's constant)."""
        chosen, rejected = self.log_ratios()
        return beta * chosen.detach(), beta * rejected.detach()


@dataclass(frozen=True)
class Labelled:
    """Input kind "labelled": one answer per example, good or bad by itself."""

    logps: Tensor
    """(N,) log pi(y | x)."""
    tokens: Tensor
    """(N,) |y|."""
    label: Tensor
    """(N,) bool, True for a good answer."""
    kl: Tensor
    """(N,) how far the policy is from the reference on answers to other prompts: one number for the whole optimiser
    step, repeated. Not below 0."""
    ref_logps: Tensor
    """(N,) log ref(y | x)."""

    def __post_init__(self) -> None:
        _check_shapes(self, *(field.name for field in fields(self)))

    def log_ratios(self) -> Tensor:
        """d, (N,). No gradient reaches the reference."""
        return self.logps - self.ref_logps.detach()


@dataclass(frozen=True)
class Answers:
    """Input kind "answers": one answer per example, to be imitated."""

    logps: Tensor
    """(N,) log pi(y | x)."""
    tokens: Tensor
    """(N,) |y|."""

    def __post_init__(self) -> None:
        _check_shapes(self, "logps", "tokens")


@dataclass(frozen=True)
class Scores:
    """Input kind "scores": pairs of answers, by what a scalar head says of each."""

    chosen: Tensor
    """(N,) r_w."""
    rejected: Tensor
    """(N,) r_l."""
    margin: Tensor
    """(N,) how much better the chosen answer is, by the data; 0 where it does not say."""

    def __post_init__(self) -> None:
        _check_shapes(self, *(field.name for field in fields(self)))

    def swapped(self) -> "Scores":
        """The same pairs the other way round: what was ahead by the margin is behind by it."""
        return Scores(self.rejected, self.chosen, -self.margin)


@dataclass(frozen=True)
class Sampled:
    """Input kind "sampled": what the policy said itself. N tokens, or N whole answers (the objective's UNIT)."""

    logps: Tensor
    """(N,) log pi, of the policy that is trained."""
    old_logps: Tensor
    """(N,) log pi when it was sampled."""
    advantages: Tensor
    """(N,) how much better it did than was to be expected."""
    ref_logps: Tensor | None = None
    """(N,) log ref."""

    def __post_init__(self) -> None:
        _check_shapes(self, *(field.name for field in fields(self)))

    def log_ratios(self) -> Tensor:
        """(N,) log pi - log pi_old. No gradient reaches the old policy."""
        return self.logps - self.old_logps.detach()

    def reference(self) -> Tensor:
        """(N,) log ref, without gradient."""
        if self.ref_logps is None:
            raise ValueError("this objective compares with a reference, and none was given")
        return self.ref_logps.detach()
