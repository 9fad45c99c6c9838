"""Examples of more than two sequences: rankings, and solutions in steps. By hand with a uniform model, whose tokens
cost ln(1/61) each, and against the same pairs as examples of their own."""

import dataclasses
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.tiny import CPU, backbone, tokens, uniform

from pairwright.backbone.rows import plain_attention
from pairwright.objectives import dpo, ipo, rpo
from pairwright.records import Source
from pairwright.tokens import trie
from pairwright.tokens.sequences import Example, Pair, count
from pairwright.training.comparisons import compared
from pairwright.training.forwards import Objective, forward

HERE = Source("made.jsonl", 1)
PROMPT = list(range(3, 23))
ANSWERS = [[30, 31, 32], [33, 34], [35, 36, 37, 38], [30, 31, 39]]
SEQUENCES = tuple(tokens(PROMPT, answer) for answer in ANSWERS)
ALL = tuple(Pair(i, j) for i in range(4) for j in range(i + 1, 4))
RANKING = Example(SEQUENCES, HERE, pairs=ALL)
PAIR = Example(SEQUENCES[:2], HERE)
DPO = Objective(dpo, dpo.Options(beta=0.5))


def at(values):
    """References that put the policy's log-ratios of the four answers at `values`, and the pair's at the first two."""
    lengths = [len(answer) for answer in ANSWERS]

    def references(batch, built):
        ratios = [values[i] for e in batch for i in range(len(e.sequences))]
        tokens_ = [lengths[i] for e in batch for i in range(len(e.sequences))]
        return torch.tensor([-4.110874 * n - d for n, d in zip(tokens_, ratios)])

    return references


def test_indices_and_shares():
    """A pair (sequences 0 and 1), a ranking of 4 (2 to 5), a solution of two step preferences (6 to 9)."""
    solution = Example(SEQUENCES, HERE, pairs=(Pair(0, 1), Pair(2, 3, margin=2.0)), counts_as=2)
    found = compared([PAIR, RANKING, solution], CPU)
    assert found.better.tolist() == [0, 2, 2, 2, 3, 3, 4, 6, 8]
    assert found.worse.tolist() == [1, 3, 4, 5, 4, 5, 5, 7, 9]
    assert found.example.tolist() == [0, 1, 1, 1, 1, 1, 1, 2, 2]
    assert found.share.tolist() == pytest.approx([1, *[1 / 6] * 6, 1, 1])
    assert found.label is None and found.margin.tolist() == [0] * 8 + [2]
    assert count([PAIR, RANKING, solution]) == DPO.total([PAIR, RANKING, solution]) == 4


def test_a_ranking_by_hand():
    """Log-ratios 4, 2, 0 of three answers, beta 0.5: margins 1, 2 and 1, losses 0.313262, 0.126928, 0.313262. Their
    mean is one example's loss, also beside a pair; the pair's is 0.313262."""
    ranking = Example(SEQUENCES[:3], HERE, pairs=(Pair(0, 1), Pair(0, 2), Pair(1, 2)))
    out = forward(uniform(), DPO, at([4.0, 2.0, 0.0]), [ranking, PAIR])
    assert out.losses.tolist() == pytest.approx([0.251151, 0.313262], abs=1e-5)
    assert out.metrics["rewards/accuracies"].item() == pytest.approx(2)
    assert out.metrics["rewards/margins"].item() == pytest.approx(4 / 3 + 1, abs=1e-5)
    assert out.metrics["num_tokens"].item() == 9 + 5


def test_a_solution_by_hand():
    """Two step preferences with margins 1 and -1: 0.313262 + 1.313262, and it counts as two examples."""
    solution = Example(SEQUENCES, HERE, pairs=(Pair(0, 1), Pair(2, 3)), counts_as=2, weight=0.5)
    out = forward(uniform(), DPO, at([2.0, 0.0, 0.0, 2.0]), [solution])
    assert out.losses.tolist() == pytest.approx([0.5 * 1.626524], abs=1e-5)
    assert DPO.total([solution]) == 2
    assert out.metrics["rewards/accuracies"].item() == pytest.approx(1)  # of two


def test_pairs_weigh_as_they_are_told():
    """Margins 1 and -1 with weights 3 and 1: 0.75 * 0.313262 + 0.25 * 1.313262."""
    ranking = Example(SEQUENCES, HERE, pairs=(Pair(0, 1, weight=3.0), Pair(2, 3, weight=1.0)))
    out = forward(uniform(), DPO, at([2.0, 0.0, 0.0, 2.0]), [ranking])
    assert out.losses.tolist() == pytest.approx([0.563262], abs=1e-5)


def test_every_pair_has_its_own_label():
    """Margins 1 and 1: 0.313262, and with label 0.75 0.563262. Their mean."""
    ranking = Example(SEQUENCES, HERE, pairs=(Pair(0, 1), Pair(2, 3, label=0.75)))
    out = forward(uniform(), DPO, at([2.0, 0.0, 2.0, 0.0]), [ranking])
    assert out.losses.tolist() == pytest.approx([0.438262], abs=1e-5)


def test_ratings_go_with_the_sequences():
    """D = 0 in every pair; squared distances of ratings 4, 2, 1, 1: 4, 9, 9, 1, 1, 0, mean 4."""
    rated = dataclasses.replace(RANKING, scores=(4.0, 2.0, 1.0, 1.0))
    objective = Objective(rpo, rpo.Options(variant="reward_aware", distance="squared"))
    out = forward(uniform(), objective, at([0.0] * 4), [rated])
    assert out.losses.tolist() == pytest.approx([4.0], abs=1e-4)


def random_examples(seed: int, number: int = 5) -> list[Example]:
    """Rankings, pairs and solutions, with labels, weights and prompts of their own."""
    rng = np.random.default_rng(seed)
    out = []
    for line in range(1, number + 1):
        prompt = rng.integers(3, 61, rng.integers(2, 30)).tolist()
        answers = [rng.integers(3, 61, rng.integers(1, 6)).tolist() for _ in range(rng.integers(2, 6))]
        every = [(i, j) for i in range(len(answers)) for j in range(len(answers)) if i != j]
        chosen = rng.permutation(len(every))[: rng.integers(1, len(every) + 1)]
        pairs = tuple(
            Pair(*every[c], rng.choice([None, 0.3, 1.0]), None, float(rng.choice([1.0, 0.5]))) for c in chosen
        )
        counts_as = len(pairs) if rng.random() < 0.3 else 1
        sequences = tuple(tokens(prompt, answer) for answer in answers)
        out.append(Example(sequences, Source("made.jsonl", line), float(rng.choice([1.0, 2.0])), pairs, counts_as))
    return out


def as_pairs(example: Example) -> list[Example]:
    """The plain twin: every pair an example of its own, with the prompt in it twice."""
    whole = sum(pair.weight for pair in example.pairs)
    return [
        Example(
            (example.sequences[pair.better], example.sequences[pair.worse]),
            example.source,
            example.weight * example.counts_as * pair.weight / whole,
            (Pair(0, 1, pair.label),),
        )
        for pair in example.pairs
    ]


def by_length(batch, built):
    return torch.tensor([-4.0 * int(s.supervised.sum()) for e in batch for s in e.sequences])


def loss_and_gradient(objective, batches, backend="segments"):
    model = dataclasses.replace(backbone("full"), backend=backend)
    with plain_attention(model.base, model.plain) if backend == "rows" else nullcontext():
        total = sum(forward(model, objective, by_length, batch).losses.sum() for batch in batches)
    total.backward()
    gradient = torch.cat([p.grad.flatten() for p in model.trainable().values()])
    return total.item(), gradient


@pytest.mark.parametrize("objective", [DPO, Objective(ipo, ipo.Options(), nll_weight=0.3)], ids=["dpo", "ipo"])
@pytest.mark.parametrize("seed", range(3))
def test_the_shared_trie_is_the_pairs_one_by_one(objective, seed):
    """Loss and gradient to 1e-5, against every pair in a batch of its own on plain rows of transformers."""
    some = random_examples(seed)
    loss, gradient = loss_and_gradient(objective, [some])
    plain_loss, plain_gradient = loss_and_gradient(objective, [[p] for e in some for p in as_pairs(e)], "rows")
    assert loss == pytest.approx(plain_loss, rel=1e-5)
    assert (gradient - plain_gradient).norm() <= 1e-5 * plain_gradient.norm()


def test_how_a_batch_is_cut_does_not_matter():
    some = random_examples(7, 6)
    loss, gradient = loss_and_gradient(DPO, [some])
    cut_loss, cut_gradient = loss_and_gradient(DPO, [[e] for e in some])
    assert loss == pytest.approx(cut_loss, rel=1e-6)
    assert (gradient - cut_gradient).norm() <= 1e-5 * gradient.norm()


@given(st.lists(st.tuples(st.integers(2, 5), st.booleans()), min_size=1, max_size=6), st.randoms())
def test_the_shares_of_an_example_add_up_to_what_it_counts(kinds, chance):
    some = []
    for answers, solution in kinds:
        pairs = tuple(Pair(i, j, weight=chance.uniform(0.1, 9)) for i in range(answers) for j in range(i))
        some.append(Example(SEQUENCES[:1] * answers, HERE, 1.0, pairs, len(pairs) if solution else 1))
    found = compared(some, CPU)
    sums = found.per_example(torch.ones(len(found.share)))
    assert sums.tolist() == pytest.approx([e.counts_as for e in some], rel=1e-5)
    assert sums.sum().item() == pytest.approx(count(some), rel=1e-5)


def test_a_ranking_of_four_costs_little_more_than_a_pair():
    """A prompt of 200 tokens and answers of 40, of which the last token is only predicted: 356 against 278."""
    rng = np.random.default_rng(0)
    prompt = rng.integers(3, 61, 200).tolist()
    four = tuple(tokens(prompt, [number, *rng.integers(3, 61, 39).tolist()]) for number in range(3, 7))
    assert trie.size([Example(four, HERE, pairs=ALL)]) == 356
    assert trie.size([Example(four[:2], HERE)]) == 278
