"""Labelled answers from pairs, and mismatched answers."""

import numpy as np
import pytest
from tests.tiny import examples, tokens

from pairwright.errors import DataError
from pairwright.records import Source
from pairwright.tokens.labelled import from_pairs, partners, with_mismatched
from pairwright.tokens.sequences import Example, Pair

HERE = Source("made.jsonl", 1)


def one(prompt: list[int], answer: list[int], label: float = 1.0) -> Example:
    return Example((tokens(prompt, answer),), HERE, label=label)


def test_a_pair_makes_a_good_and_a_bad_answer():
    pair = Example(
        (tokens([1, 2], [3]), tokens([1, 2], [4, 5])), HERE, weight=2.0, pairs=(Pair(0, 1, 0.6),), scores=(1.0, 2.0)
    )
    good, bad = from_pairs([pair])
    assert (good.sequences, bad.sequences) == ((pair.sequences[0],), (pair.sequences[1],))
    assert (good.label, bad.label) == (1.0, 0.0)
    assert all((e.weight, e.source, e.scores) == (2.0, HERE, None) for e in (good, bad))


def test_labelled_answers_stay_as_they_are():
    some = [one([1, 2], [3], 0.0), one([1, 2], [4])]
    assert from_pairs(some) == some


def test_a_mismatched_sequence_is_a_prompt_with_the_answer_to_another():
    some = [one([1, 2, 3], [4, 5]), one([6], [7, 8, 9])]
    first, second = (e.mismatched for e in with_mismatched(some, 0, 100))
    assert first.ids.tolist() == [1, 2, 3, 7, 8, 9] and first.supervised.tolist() == [False] * 3 + [True] * 3
    assert second.ids.tolist() == [6, 4, 5] and second.supervised.tolist() == [False, True, True]


@pytest.mark.parametrize("seed", range(20))
def test_no_partner_has_the_same_prompt(seed):
    """Thirty answers to three prompts, one of them with 27. Everything else of an example stays."""
    some = [one([1], [10 + n]) for n in range(27)] + [one([2], [50], 0.0), one([3], [60]), one([3], [61])]
    found = with_mismatched(some, seed, 100)
    for before, after in zip(some, found, strict=True):
        assert (after.sequences, after.label, after.source) == (before.sequences, before.label, before.source)
        assert after.mismatched.ids[0] == before.sequences[0].ids[0]
        answers = {50, 60, 61} if before.sequences[0].ids[0] == 1 else set(range(10, 62)) - {before.sequences[0].ids[1]}
        assert after.mismatched.ids[1] in answers


def test_partners_are_drawn_from_the_seed():
    some = from_pairs(examples(20))
    drawn = lambda seed: [e.mismatched.ids.tolist() for e in with_mismatched(some, seed, 100)]  # noqa: E731
    assert drawn(1) == drawn(1) != drawn(2)


def test_what_is_too_long_is_cut_off_the_other_answer():
    some = [one([1, 2, 3], [4]), one([5], [6, 7, 8])]
    first, second = with_mismatched(some, 0, 4)
    assert first.mismatched.ids.tolist() == [1, 2, 3, 6]
    assert second.mismatched.ids.tolist() == [5, 4]


def test_one_prompt_alone_is_refused():
    with pytest.raises(DataError, match="all 3 examples have the same prompt"):
        with_mismatched([one([1], [n]) for n in (2, 3, 4)], 0, 100)
    assert with_mismatched([], 0, 100) == []


def test_partners_are_examples_of_their_own():
    found = partners(with_mismatched([one([1], [2]), one([3], [4])], 0, 100))
    assert [e.sequences[0].ids.tolist() for e in found] == [[1, 4], [3, 2]]
    assert all(np.array_equal(e.sequences[0].supervised, [False, True]) for e in found)
