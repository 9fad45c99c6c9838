"""Labelled answers: is every step mixed, and how much does each label weigh?"""

import dataclasses
import math
from collections.abc import Callable, Sequence

from pairwright.errors import ConfigError, DataError
from pairwright.tokens.batches import steps_per_epoch
from pairwright.tokens.sequences import Example
from pairwright.training.forwards import Objective

SMALLEST = 4
"""Fewest labelled answers in a step: its reference point is a mean over as many."""


def balanced(objective: Objective, train: Sequence[Example], per_step: int, say: Callable[[str], None]) -> Objective:
    """The objective with the weights that the numbers of good and bad answers give it. Other kinds of input: as it is.

    Raises DataError or ConfigError where a step would have fewer than SMALLEST answers, or one label only.
    """
    labels = objective.labels(train)
    if labels is None:
        return objective
    good, bad = int(labels.sum()), int((~labels).sum())
    most = min(good, bad, len(train) // SMALLEST)  # steps an epoch can have
    if not most:
        raise DataError(
            f"{good:,} good and {bad:,} bad answers to train on: a step needs {SMALLEST} answers at least, of both "
            "labels"
        )
    if steps_per_epoch(len(train), per_step) > most:
        raise ConfigError(
            f"--pairs-per-step is {per_step}: with {good:,} good and {bad:,} bad answers some steps would have fewer "
            f"than {SMALLEST}, or one label only. Take {math.ceil(len(train) / most)} or more"
        )
    options = objective.module.fitted(objective.options, good, bad)
    say(
        f"labels: {good:,} good answers of weight {options.desirable_weight:.4g}, {bad:,} bad ones of weight "
        f"{options.undesirable_weight:.4g}; both labels in every step"
    )
    return dataclasses.replace(objective, options=options)
