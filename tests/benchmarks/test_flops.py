"""The count of needed arithmetic, by hand."""

import numpy as np

from flops import Count, count_pair, shared_length, training_flops
from pairwright.records import Source
from pairwright.tokens import trie
from pairwright.tokens.sequences import Example, TokenSequence
from shapes import HALF_B, SEVEN_B, SMALL, Shape


def test_a_pair_counts_each_distinct_token_once():
    # Fed: 1 2 3 4 (5 predicts nothing) and 1 2 3 (6 predicts nothing): 1 2 3 once, then 4. Each sees itself and what
    # stands before: 1 + 2 + 3 + 4 = 10. Scored: 4, 5 and 6.
    assert count_pair([1, 2, 3], [4, 5], [6]) == Count(tokens=4, visible=10, scored=3)


def test_answers_that_begin_alike_share_that_too():
    # 1 2 fed once; 2 scored once, then 3 and 4.
    assert count_pair([1], [2, 3], [2, 4]) == Count(tokens=2, visible=3, scored=3)


def test_branches_see_the_prompt_and_themselves_only():
    # Prompt 1 2 (1 + 2 keys), then 3 4 in one branch (3 + 4) and 6 in the other (3).
    assert count_pair([1, 2], [3, 4, 5], [6, 7]) == Count(tokens=5, visible=1 + 2 + 3 + 4 + 3, scored=5)


def test_the_count_is_what_the_trie_computes():
    sequences = []
    for answer in ([3, 4, 5], [3, 7]):
        ids = np.array([1, 2, *answer])
        sequences.append(TokenSequence(ids, np.arange(len(ids)) >= 2))
    assert count_pair([1, 2], [3, 4, 5], [3, 7]).tokens == trie.size([Example(tuple(sequences), Source("x", 1))])


def test_flops_of_full_and_adapter_training():
    # One layer: q, o 16 each, k, v 8 each, three of 24: 120 weights.
    shape = Shape("by hand", vocabulary=10, hidden=4, layers=1, heads=2, kv_heads=1, intermediate=6, tied=True)
    count = Count(tokens=3, visible=6, scored=2)
    assert training_flops(count, shape, "full", 0) == {"layers": 2160.0, "attention": 288.0, "head": 480.0}
    # Rank 1: adapters of 8 + 6 + 6 + 8 + 10 + 10 + 10 = 58. Not needed in the first layer: 20 + 12 + 12 = 44.
    # (4 * 120 + 6 * 58 - 2 * 44) * 3 = 2220.
    assert training_flops(count, shape, "lora", 1) == {"layers": 2220.0, "attention": 288.0, "head": 320.0}


def test_shapes_have_the_sizes_of_their_names():
    def parameters(shape: Shape) -> int:
        blocks = shape.layers * sum(a * b for a, b in shape.linears().values())
        return blocks + (1 if shape.tied else 2) * shape.vocabulary * shape.hidden

    assert round(parameters(SMALL) / 1e6, 1) == 29.5
    assert round(parameters(HALF_B) / 1e9, 2) == 0.49
    assert round(parameters(SEVEN_B) / 1e9, 2) == 7.24


def test_shared_length_of_lists_that_end():
    assert shared_length([1, 2, 3], [1, 2]) == 2
    assert shared_length([1], [2]) == 0
