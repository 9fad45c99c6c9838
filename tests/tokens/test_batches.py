"""Which examples make a step, and how a step is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairwright.records import Source
from pairwright.tokens.batches import micro_batches, step_indices, steps_per_epoch
from pairwright.tokens.sequences import Example, TokenSequence


def of_size(size: int) -> Example:
    """A demonstration whose trie has `size` tokens: its last token is supervised and predicts nothing."""
    ids = np.arange(3, 3 + size + 1)
    return Example((TokenSequence(ids, np.arange(size + 1) == size),), Source("made in the test", size))


@pytest.mark.parametrize(("examples", "per_step", "steps"), [(10, 4, 3), (8, 4, 2), (1, 4, 1), (9, 1, 9)])
def test_steps_of_an_epoch(examples, per_step, steps):
    assert steps_per_epoch(examples, per_step) == steps


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**31), st.integers(0, 5))
def test_each_epoch_visits_each_example_once(examples, per_step, seed, epoch):
    first = epoch * steps_per_epoch(examples, per_step)
    parts = [
        step_indices(first + n, examples, per_step, seed).tolist() for n in range(steps_per_epoch(examples, per_step))
    ]
    assert sorted(i for part in parts for i in part) == list(range(examples))
    assert all(len(part) == per_step for part in parts[:-1])
    assert 1 <= len(parts[-1]) <= per_step


def test_order_depends_on_epoch_and_seed_and_on_nothing_else():
    epoch = lambda number, seed: step_indices(number, 50, 50, seed).tolist()  # noqa: E731
    np.random.seed(0)
    before = epoch(0, 7)
    np.random.seed(1)
    assert epoch(0, 7) == before
    assert epoch(1, 7) != before
    assert epoch(0, 8) != before
    assert before != list(range(50))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 12), st.integers(0, 2**31), st.integers(0, 3))
def test_labels_are_dealt_out_evenly(labels, per_step, seed, epoch):
    flags = np.array(labels)
    steps = steps_per_epoch(len(labels), per_step)
    parts = [step_indices(epoch * steps + n, len(labels), per_step, seed, flags) for n in range(steps)]
    assert sorted(int(i) for part in parts for i in part) == list(range(len(labels)))
    for count in (len, lambda part: int(flags[part].sum()), lambda part: int((~flags[part]).sum())):
        counts = [count(part) for part in parts]
        assert max(counts) - min(counts) <= 1
    assert all(len(part) <= per_step for part in parts)


def test_each_epoch_deals_anew():
    flags = np.arange(50) % 3 == 0
    first, again, other = (step_indices(n, 50, 25, 7, flags).tolist() for n in (0, 0, 2))
    assert first == again != other


def sizes(batches) -> list[list[int]]:
    return [[example.source.line for example in batch] for batch in batches]


def test_cut_by_hand():
    step = [of_size(n) for n in (10, 20, 30, 5, 26, 40, 1, 2)]
    # 10 + 20 fill the budget exactly; 30 too; 5 + 26 would be 31; 40 is over it and stands alone, though 1 follows.
    assert sizes(micro_batches(step, 30)) == [[10, 20], [30], [5], [26], [40], [1, 2]]
    assert sizes(micro_batches(step, 1)) == [[n] for n in (10, 20, 30, 5, 26, 40, 1, 2)]
    assert sizes(micro_batches(step, 134)) == [[10, 20, 30, 5, 26, 40, 1, 2]]
    assert micro_batches([], 30) == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 20), max_size=20), st.integers(1, 40))
def test_order_and_budget_are_kept(wanted, budget):
    batches = sizes(micro_batches([of_size(n) for n in wanted], budget))
    assert [n for batch in batches for n in batch] == wanted
    for batch, following in zip(batches, [*batches[1:], None]):
        assert sum(batch) <= budget or len(batch) == 1
        if following is not None:  # nothing that would still have fitted was put off
            assert sum(batch) + following[0] > budget
