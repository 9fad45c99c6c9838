"""Encoded examples -> examples in the shape that the objective takes, and what is to be said of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from pairwright.records import Record, Steps
from pairwright.tokens.labelled import from_pairs
from pairwright.tokens.sequences import Example
from pairwright.tokens.steps import gather
from pairwright.tokens.turn_weights import runs, with_turn_weights
from pairwright.tokens.turns import Turns
from pairwright.training.forwards import Objective


@dataclass(frozen=True)
class Shape:
    examples: list[Example]
    prompts: list[str] | None = None
    """Of the examples, where their first sequences do not tell which have the same (recipes/data.py, split)."""


def shaped(
    objective: Objective, examples: list[Example], records: Sequence[Record], turns: Turns, say: Callable[[str], None]
) -> Shape:
    """Labelled answers from pairs, solutions from their steps, weights on the turns: whatever the objective takes."""
    if objective.labelled:
        return Shape(from_pairs(examples))
    if objective.module.INPUT == "steps":
        solutions, prompts = gather([record for record in records if isinstance(record, Steps)], examples)
        say(f"  {len(examples):,} step preferences in {len(solutions):,} solutions, each with its steps once")
        return Shape(solutions, prompts)
    _say_turns(examples, turns, say)
    if hasattr(objective.module, "turn_weight"):
        return Shape(with_turn_weights(examples, partial(objective.module.turn_weight, options=objective.options)))
    return Shape(examples)


def _say_turns(examples: Sequence[Example], turns: Turns, say: Callable[[str], None]) -> None:
    """Which turns are scored, where that is not the one that each answer has."""
    if turns == "last":
        say("  turns: the last assistant turn of each answer is scored, and none before it")
        return
    numbers = [max(len(runs(sequence)) for sequence in example.sequences) for example in examples]
    several = sum(number > 1 for number in numbers)
    if several:
        say(f"  turns: {several:,} of {len(examples):,} examples are scored on several, at most {max(numbers)}")
