"""Each logged metric, defined once. docs/metrics.md explains them to people.

Functions return sums over examples; the loop divides by the number of examples of the whole step. Means therefore do
not depend on how a step was cut.
"""

from torch import Tensor


def pair_metrics(
    chosen: Tensor,
    rejected: Tensor,
    chosen_tokens: Tensor,
    rejected_tokens: Tensor,
    rewards: tuple[Tensor, Tensor] | None,
) -> dict[str, Tensor]:
    """Sums over the N pairs of (N,) log-probabilities and rewards.

    rewards/accuracies counts a tie as half: at the first step every margin is exactly 0, and "0% right" would be
    false.
    """
    out = {"logps/chosen": chosen.detach().sum(), "logps/rejected": rejected.detach().sum()}
    out["num_tokens"] = (chosen_tokens + rejected_tokens).sum()
    if rewards is not None:
        better, worse = rewards
        margin = better - worse
        out["rewards/chosen"] = better.sum()
        out["rewards/rejected"] = worse.sum()
        out["rewards/margins"] = margin.sum()
        out["rewards/accuracies"] = (margin > 0).sum() + 0.5 * (margin == 0).sum()
    return out


def answer_metrics(logps: Tensor, tokens: Tensor) -> dict[str, Tensor]:
    """Sums over the N answers."""
    return {"logps/chosen": logps.detach().sum(), "num_tokens": tokens.sum()}


def per_example(sums: dict[str, float], examples: int) -> dict[str, float]:
    """The metrics of a step from its sums: means, except for what is counted (num_tokens, tokens_computed) and what
    is of the whole step already (loss, grad_norm)."""
    whole = {"loss", "grad_norm", "num_tokens", "tokens_computed"}
    counted = {"num_tokens", "tokens_computed"}
    return {
        name: int(value) if name in counted else value if name in whole else value / examples
        for name, value in sums.items()
    }
