"""Each logged metric, defined once. docs/metrics.md explains them to people.

Functions return sums over examples; the loop divides by the number of examples of the whole step (a ranking counts as
one: tokens/sequences.py). Means therefore do not depend on how a step was cut.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Reduce = Callable[[Tensor], Tensor]

COUNTED = ("num_tokens", "tokens_computed", "desirable")
EXTREMES = {"max_reward": 1, "min_reward": -1}
"""Metrics that are the largest (1) or the smallest (-1) of all instead of a sum."""
WHOLE = ("loss", "grad_norm", *EXTREMES)


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


def score_metrics(chosen: Tensor, rejected: Tensor, share: Tensor, scores: Tensor, tokens: Tensor) -> dict[str, Tensor]:
    """Of a reward model: sums over the P pairs of (P,) scores, by their (P,) share of an example; the smallest and the
    largest of the batch's (Q,) scores. Equal scores count as half right. The names are TRL's RewardTrainer's."""
    margin = (chosen - rejected).detach()
    return {
        "accuracy": (((margin > 0) + 0.5 * (margin == 0)) * share).sum(),
        "margin": (margin * share).sum(),
        "mean_reward": ((chosen + rejected).detach() / 2 * share).sum(),
        "min_reward": scores.detach().min(),
        "max_reward": scores.detach().max(),
        "num_tokens": tokens.sum(),
    }


def combined(one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, Tensor]:
    """The metrics of two parts of a step: sums added up, of extremes the further one."""
    out = dict(one)
    for name, value in other.items():
        sign = EXTREMES.get(name)
        if name not in out:
            out[name] = value
        elif sign is None:
            out[name] = out[name] + value
        else:
            out[name] = sign * torch.maximum(sign * out[name], sign * value)
    return out


def over_processes(sums: dict[str, Tensor], reduce: Reduce | None, largest: Reduce | None) -> tuple[list[str], Tensor]:
    """The names and (n,) float32 values of () metrics, over all processes: `reduce` adds a tensor up over them,
    `largest` takes the largest."""
    signs = [EXTREMES[name] for name in sorted(sums) if name in EXTREMES]
    names = [name for name in sorted(sums) if name not in EXTREMES]
    numbers = torch.stack([sums[name] for name in names]).float()
    if reduce is not None:
        numbers = reduce(numbers)
    if not signs:
        return names, numbers
    far = [name for name in sorted(sums) if name in EXTREMES]
    sign = torch.tensor(signs, dtype=torch.float32, device=numbers.device)
    extremes = torch.stack([sums[name] for name in far]).float() * sign
    if largest is not None:
        extremes = largest(extremes)
    return names + far, torch.cat([numbers, extremes * sign])


def answer_metrics(logps: Tensor, tokens: Tensor) -> dict[str, Tensor]:
    """Sums over the N answers."""
    return {"logps/chosen": logps.detach().sum(), "num_tokens": tokens.sum()}


def per_example(sums: dict[str, float], examples: int) -> dict[str, float]:
    """The metrics of a step from its sums: means, except for what is counted (num_tokens, tokens_computed, desirable)
    and what is of the whole step already (loss, grad_norm, extremes).

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
