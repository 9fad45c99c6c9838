"""Token budget and gradient checkpointing for the memory that is free: what `pairwright train` decides before a run."""

from collections.abc import Callable
from dataclasses import dataclass

CPU_TOKENS, GPU_TOKENS = 4096, 32768
"""Largest token budgets. Beyond them a batch only costs memory: the matrix products are at their full rate."""
SHARE = 0.85
"""Of the free memory that is planned with: other programs, and gaps between allocations."""

Need = Callable[[int, bool], int]
"""(tokens of a batch, gradient checkpointing) -> bytes on top of the weights; more tokens never need less."""


@dataclass(frozen=True)
class Choice:
    tokens_per_batch: int
    checkpointing: bool
    line: str
    """What was decided and why, for the log."""


def choose(
    need: Need,
    weights: int,
    free: int,
    *,
    longest: int,
    step_tokens: int,
    on_gpu: bool,
    tokens_per_batch: int | None = None,
    checkpointing: str = "auto",
) -> Choice:
    """Token budget and checkpointing for `free` bytes (after the weights are loaded).

    `longest` is the trie size of the largest example, which has to fit whole; `step_tokens` that of a whole step,
    above which a budget is pointless. Checkpointing is taken only where the longest example would not fit without, or
    where less than a quarter of a step would.
    """
    room = int(free * SHARE)
    cap = max(longest, min(GPU_TOKENS if on_gpu else CPU_TOKENS, step_tokens))
    wanted = tokens_per_batch or max(longest, min(cap, step_tokens // 4))
    on = checkpointing == "on" or (checkpointing == "auto" and need(wanted, False) > room)
    tokens = tokens_per_batch or most(lambda n: need(n, on) <= room, longest, cap)
    needed = need(tokens, on)
    gb = lambda n: f"{n / 2**30:.1f} GB"  # noqa: E731
    fits = "" if needed <= free else "; that is more than is free, and may not fit"
    line = (
        f"memory: {gb(needed)} planned on top of {gb(weights)} of weights, {gb(free)} free; "
        f"{tokens:,} tokens a batch, gradient checkpointing {'on' if on else 'off'}{fits} "
        "(the arithmetic of `pairwright plan`)"
    )
    return Choice(int(tokens), on, line)


def most(fits: Callable[[int], bool], low: int, high: int) -> int:
    """The largest number from `low` to `high` for which `fits` holds, `low` where none does. `fits` never holds again
    once it fails."""
    if fits(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def without_estimate(reason: str, *, longest: int, tokens_per_batch: int | None, checkpointing: str) -> Choice:
    """For a model whose shape is not known: batches of the longest example, which has to fit in any case."""
    tokens, on = tokens_per_batch or longest, checkpointing == "on"
    line = (
        f"memory: not estimated, because {reason}; {tokens:,} tokens a batch, gradient checkpointing "
        f"{'on' if on else 'off'}. --tokens-per-batch and --gradient-checkpointing change that"
    )
    return Choice(tokens, on, line)
