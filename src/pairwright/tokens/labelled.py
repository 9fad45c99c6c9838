"""Labelled answers: made from pairs, and given the mismatched answers that KTO measures its reference point on.

A mismatched sequence is a prompt with the answer to another prompt. Which one is drawn once, from the seed, so that its
reference log-probability is computed once and kept, whatever the order of the epochs.
"""

from collections.abc import Sequence

import numpy as np

from pairwright.errors import DataError
from pairwright.tokens.sequences import Example, TokenSequence


def from_pairs(examples: Sequence[Example]) -> list[Example]:
    """Each pair as two labelled answers, the chosen one good and the rejected one bad; other examples as they are."""
    out: list[Example] = []
    for example in examples:
        if len(example.sequences) == 1:
            out.append(example)
            continue
        for pair in example.pairs:
            sides = zip((example.sequences[pair.better], example.sequences[pair.worse]), (1.0, 0.0))
            out += [Example((side,), example.source, example.weight, label=label) for side, label in sides]
    return out


def with_mismatched(examples: Sequence[Example], seed: int, max_length: int) -> list[Example]:
    """The examples, each with the answer of the next one with another prompt, in an order drawn from `seed`. What goes
    beyond `max_length` is cut off that answer's end: nothing is learned from it.

    Raises DataError where all prompts are the same.
    """
    borders = [int(e.sequences[0].supervised.argmax()) for e in examples]
    prompts = [e.sequences[0].ids[:border].tobytes() for e, border in zip(examples, borders)]
    order = np.random.default_rng(seed).permutation(len(examples)).tolist()
    partner: dict[int, int] = {}
    other = None
    for here, after in 2 * list(zip(order, order[1:] + order[:1]))[::-1]:  # twice round: a partner may be past the end
        other = after if prompts[after] != prompts[here] else other
        if other is not None:
            partner[here] = other
    if examples and not partner:
        raise DataError(
            f"all {len(examples):,} examples have the same prompt. KTO compares with answers to other prompts, and "
            "needs two prompts at least."
        )
    return [
        _with(e, e.sequences[0], borders[i], examples[partner[i]].sequences[0], borders[partner[i]], max_length)
        for i, e in enumerate(examples)
    ]


def partners(examples: Sequence[Example]) -> list[Example]:
    """The mismatched sequences of `examples`, as examples of their own."""
    return [Example((e.mismatched,), e.source) for e in examples if e.mismatched is not None]


def _with(
    example: Example, own: TokenSequence, border: int, other: TokenSequence, beginning: int, max_length: int
) -> Example:
    ids = np.concatenate([own.ids[:border], other.ids[beginning:]])[:max_length]
    supervised = np.concatenate([own.supervised[:border], other.supervised[beginning:]])[:max_length]
    return Example(
        example.sequences,
        example.source,
        example.weight,
        label=example.label,
        mismatched=TokenSequence(ids, supervised),
    )
