"""Tokens that a forward pass computes: shared tries against rows of their own, for each kind of data. No model.

    python benchmarks/token_counts.py

`rows` is what every sequence in a row of its own computes, without padding and without its last token, whose hidden
state nothing needs; peers compute at least that. benchmarks/methods_vs_trl.py takes the functions below.
"""

import random
from collections.abc import Sequence

import numpy as np

from pairwright.records import Source
from pairwright.tokens import trie
from pairwright.tokens.sequences import Example, Pair, TokenSequence


def trie_tokens(examples: Sequence[Example]) -> int:
    """Tokens of the examples' tries, each example by itself, as a run computes them."""
    return sum(trie.size([example]) for example in examples)


def row_tokens(examples: Sequence[Example]) -> int:
    """Tokens of all pairs in rows of their own: what a peer computes that takes pairs, the prompt once in each row."""
    pairs = [(e.sequences[i] for i in (pair.better, pair.worse)) for e in examples for pair in e.pairs]
    return sum(len(sequence.ids) - 1 for sides in pairs for sequence in sides)


def sequence(prompt: list[int], answer: list[int]) -> TokenSequence:
    ids = np.array(prompt + answer, dtype=np.int64)
    return TokenSequence(ids, np.arange(len(ids)) >= len(prompt))


def _draw(chance: random.Random, first: int, number: int) -> list[int]:
    """Tokens that begin with `first`, so that no two answers share one by chance."""
    return [first, *(chance.randrange(100, 30_000) for _ in range(number - 1))]


def ranking(answers: int, prompt: int, length: int, seed: int = 0) -> Example:
    """A ranking of so many answers of `length` tokens, all pairs compared."""
    chance = random.Random(seed)
    asked = _draw(chance, 1, prompt)
    pairs = tuple(Pair(i, j) for i in range(answers) for j in range(i + 1, answers))
    sides = tuple(sequence(asked, _draw(chance, 10 + place, length)) for place in range(answers))
    return Example(sides, Source("made", 1), pairs=pairs)


def solution(steps: int, prompt: int, length: int, seed: int = 0) -> Example:
    """A solution of so many steps of `length` tokens, each compared with a wrong one."""
    chance = random.Random(seed)
    before, sides = _draw(chance, 1, prompt), []
    for _ in range(steps):
        right, wrong = _draw(chance, 10, length), _draw(chance, 11, length)
        sides += [sequence(before, right), sequence(before, wrong)]
        before = before + right
    pairs = tuple(Pair(2 * i, 2 * i + 1) for i in range(steps))
    return Example(tuple(sides), Source("made", 1), pairs=pairs, counts_as=steps)


def main() -> None:
    pair, four, ten = ranking(2, 200, 40), ranking(4, 200, 40), solution(10, 60, 20)
    print(f"{'':44}{'trie':>8}{'rows':>8}{'ratio':>8}")
    for name, example in {
        "a pair, prompt 200, answers 40": pair,
        "a ranking of 4, prompt 200, answers 40": four,
        "10 steps of 20, question 60": ten,
    }.items():
        ours, theirs = trie_tokens([example]), row_tokens([example])
        print(f"{name:44}{ours:8,}{theirs:8,}{ours / theirs:8.3f}")
    print(f"\nthe ranking of 4 computes {trie_tokens([four]) / trie_tokens([pair]):.3f} times the pair's tokens")


if __name__ == "__main__":
    main()
