"""Which examples make a step, and how a step is cut into micro-batches.

Both are pure functions of numbers, so the step number is the sampler's whole state and a resumed run sees the same
order. How a step is cut changes memory, never the result (training/step.py divides by totals of the step).
"""

import math
from collections.abc import Sequence

import numpy as np

from pairwright.tokens import trie
from pairwright.tokens.sequences import Example


def steps_per_epoch(examples: int, per_step: int) -> int:
    return math.ceil(examples / per_step)


def step_indices(step: int, examples: int, per_step: int, seed: int, labels: np.ndarray | None = None) -> np.ndarray:
    """(<= per_step,) indices of the examples of optimiser step `step` (0-based). Each epoch has its own order; its
    last step takes what is left.

    With `labels`, (examples,) bool, an epoch's examples are dealt out to its steps, the good ones first and the bad
    ones after them: no two steps differ by more than one in either, or in size.
    """
    per_epoch = steps_per_epoch(examples, per_step)
    epoch, within = divmod(step, per_epoch)
    order = np.random.default_rng([seed, epoch]).permutation(examples)
    if labels is not None:
        return order[np.argsort(~labels[order], kind="stable")][within::per_epoch]
    return order[within * per_step : (within + 1) * per_step]


def micro_batches(examples: Sequence[Example], tokens: int, *, with_last: bool = False) -> list[list[Example]]:
    """Cut a step's examples, in order, into runs of at most `tokens` trie tokens (an example longer than that stands
    alone). Counted per example; a prefix shared between examples only makes a batch smaller. `with_last` as the trie
    will be built."""
    batches: list[list[Example]] = []
    room = 0
    for example in examples:
        needed = trie.size([example], with_last=with_last)
        if not batches or needed > room:
            batches.append([])
            room = tokens
        batches[-1].append(example)
        room -= needed
    return batches
