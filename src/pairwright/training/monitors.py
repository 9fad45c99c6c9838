"""Each logged metric, defined once. docs/metrics.md explains them to people.

Functions return sums over examples; the loop divides by the number of examples of the whole step (a ranking counts as
one: tokens/sequences.py). Means therefore do not depend on how a step was cut.
"""

from torch import Tensor

COUNTED = ("num_tokens", "tokens_computed", "desirable")
WHOLE = ("loss", "grad_norm")


def pair_metrics(
    chosen: Tensor,
    rejected: Tensor,
    share: Tensor,
    tokens: Tensor,
    rewards: tuple[Tensor, Tensor] | None,
) -> dict[str, Tensor]:
    """Sums over the P pairs of (P,) log-probabilities and rewards, by their (P,) share of an example; `tokens` is (Q,)
    the supervised tokens of the batch's sequences, each of which may stand in several pairs.

    rewards/accuracies counts a tie as half: at the first step every margin is exactly 0, and "0% right" would be
    false.
    """
    out = {"logps/chosen": (chosen.detach() * share).sum(), "logps/rejected": (rejected.detach() * share).sum()}
    out["num_tokens"] = tokens.sum()
    if rewards is not None:
        better, worse = rewards
        margin = better - worse
        out["rewards/chosen"] = (better * share).sum()
        out["rewards/rejected"] = (worse * share).sum()
        out["rewards/margins"] = (margin * share).sum()
        out["rewards/accuracies"] = (((margin > 0) + 0.5 * (margin == 0)) * share).sum()
    return out


def labelled_metrics(logps: Tensor, tokens: Tensor, label: Tensor, rewards: Tensor, kl: Tensor) -> dict[str, Tensor]:
    """Sums over the N labelled answers; of rewards and log-probabilities, over the good and over the bad ones. `label`
    is (N,) bool, `kl` (N,) the same number for all."""
    logps = logps.detach()
    return {
        "logps/chosen": (logps * label).sum(),
        "logps/rejected": (logps * ~label).sum(),
        "rewards/chosen": (rewards * label).sum(),
        "rewards/rejected": (rewards * ~label).sum(),
        "desirable": label.sum(),
        "kl": kl.sum(),
        "num_tokens": tokens.sum(),
    }


def answer_metrics(logps: Tensor, tokens: Tensor) -> dict[str, Tensor]:
    """Sums over the N answers."""
    return {"logps/chosen": logps.detach().sum(), "num_tokens": tokens.sum()}


def per_example(sums: dict[str, float], examples: int) -> dict[str, float]:
    """The metrics of a step from its sums: means, except for what is counted (num_tokens, tokens_computed, desirable)
    and what is of the whole step already (loss, grad_norm).

    Of labelled answers `desirable` are good: means over the chosen are over these, means over the rejected over the
    others. A mean over none is left out.
    """
    good = sums.get("desirable")
    over = {} if good is None else {"chosen": good, "rejected": examples - good}
    out: dict[str, float] = {}
    for name, value in sums.items():
        number = over.get(name.rpartition("/")[2], examples)
        if name in COUNTED:
            out[name] = int(value)
        elif name in WHOLE:
            out[name] = value
        elif number:
            out[name] = value / number
    if good and examples - good:
        out["rewards/margins"] = out["rewards/chosen"] - out["rewards/rejected"]
    return out
