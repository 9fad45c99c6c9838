"""A micro-batch's losses and metrics, by hand: a uniform model gives every token ln(1/61) = -4.110874."""

import math
from dataclasses import replace

import pytest
import torch
from tests.tiny import tokens, uniform

from pairwright.backbone.heads import attach, new_head
from pairwright.objectives import dpo, hinge, ipo, kto, r_dpo, reward, robust, rpo, sft
from pairwright.objectives.inputs import Pairs
from pairwright.records import Source
from pairwright.tokens.labelled import with_mismatched
from pairwright.tokens.sequences import Example, Pair
from pairwright.training.forwards import Objective, forward, log_ratio_sum, pair_losses, passes

TOKEN = 4.110874
"""ln 61"""
# Two pairs: answers of 2 and 3 tokens, of 1 and 4. Tries: 3 + 1 + 2 = 6 tokens, 3 + 0 + 3 = 6 tokens.
FIRST = Example((tokens([3, 4, 5], [6, 7]), tokens([3, 4, 5], [8, 9, 10])), Source("made.jsonl", 1))
SECOND = Example((tokens([11, 12, 13], [14]), tokens([11, 12, 13], [15, 16, 17, 18])), Source("made.jsonl", 2))
DPO = Objective(dpo, dpo.Options(beta=0.5))
SFT = Objective(sft, sft.Options())


def references(batch, built):
    """The first pair's policy is 1 above the reference on the chosen side and 1 below on the other: D = 2.
    The second the other way round: D = -2."""
    assert built.sequences == 2 * len(batch)
    known = {1: [-2 * TOKEN - 1, -3 * TOKEN + 1], 2: [-1 * TOKEN + 1, -4 * TOKEN - 1]}
    return torch.tensor([value for example in batch for value in known[example.source.line]])


def test_pairs():
    """beta D = 1 and -1: losses 0.313262 and 1.313262."""
    out = forward(uniform(), DPO, references, [FIRST, SECOND])
    assert out.losses.tolist() == pytest.approx([0.313262, 1.313262], abs=1e-5)
    assert out.losses.requires_grad and out.tokens == 12
    assert {name: value.item() for name, value in out.metrics.items()} == {
        "logps/chosen": pytest.approx(-3 * TOKEN, abs=1e-5),
        "logps/rejected": pytest.approx(-7 * TOKEN, abs=1e-5),
        "num_tokens": 10,
        "rewards/chosen": pytest.approx(0.0, abs=1e-5),  # 0.5 - 0.5
        "rewards/rejected": pytest.approx(0.0, abs=1e-5),
        "rewards/margins": pytest.approx(0.0, abs=1e-5),  # 1 - 1
        "rewards/accuracies": 1.0,  # of two
    }


def test_the_first_sequence_is_the_chosen_one():
    out = forward(uniform(), DPO, references, [FIRST])
    assert out.metrics["logps/chosen"].item() == pytest.approx(-2 * TOKEN, abs=1e-5)
    assert out.metrics["rewards/chosen"].item() == pytest.approx(0.5, abs=1e-5)
    assert out.metrics["rewards/rejected"].item() == pytest.approx(-0.5, abs=1e-5)


def test_a_weight_multiplies_the_loss_and_no_metric():
    plain = forward(uniform(), DPO, references, [FIRST, SECOND])
    weighted = forward(uniform(), DPO, references, [replace(FIRST, weight=3.0), replace(SECOND, weight=0.0)])
    assert weighted.losses.tolist() == pytest.approx([3 * 0.313262, 0.0], abs=1e-5)
    assert weighted.metrics == plain.metrics


def test_added_likelihood_is_per_token_of_the_chosen_answer():
    """2 * ln 61 on top, however long the chosen answer is, and before the weight."""
    objective = replace(DPO, nll_weight=2.0)
    out = forward(uniform(), objective, references, [FIRST, replace(SECOND, weight=0.5)])
    assert out.losses.tolist() == pytest.approx([0.313262 + 2 * TOKEN, 0.5 * (1.313262 + 2 * TOKEN)], abs=1e-5)


def test_added_likelihood_pulls_the_chosen_answer_up():
    """Gradient of the head: -beta s(-1) = -0.134471 without, -0.134471 - 2 / |y_w| = -1.134471 with it, on the logits
    of both chosen tokens. The rejected answer's does not change."""

    def target_gradient(objective, token):
        model = uniform()
        bias = torch.zeros(61, requires_grad=True)
        model.base.get_output_embeddings().bias = torch.nn.Parameter(bias)
        forward(model, objective, references, [FIRST]).losses.sum().backward()
        # The bias of a token that is a target once, less that of one that is never: what all logits share drops out.
        gradient = model.base.get_output_embeddings().bias.grad
        return (gradient[token] - gradient[60]).item()

    with_it = replace(DPO, nll_weight=2.0)
    assert target_gradient(DPO, 6) == pytest.approx(-0.134471, abs=1e-5)
    assert target_gradient(with_it, 6) == pytest.approx(-1.134471, abs=1e-5)
    assert target_gradient(DPO, 9) == pytest.approx(0.134471, abs=1e-5)
    assert target_gradient(with_it, 9) == pytest.approx(0.134471, abs=1e-5)


# Soft labels


def soft(example: Example, label: float) -> Example:
    return replace(example, pairs=(Pair(0, 1, label),))


@pytest.mark.parametrize(
    ("label", "options", "expected"),
    [
        (1, {}, 0.313262),
        (0, {}, 1.313262),  # the pair is the other way round
        (0.75, {}, 0.563262),  # 0.75 * 0.313262 + 0.25 * 1.313262
        (0.5, {}, 0.813262),  # a tie
        (1, {"label_smoothing": 0.1}, 0.413262),  # as if it had no label
        (0.75, {"label_smoothing": 0.1}, 0.613262),  # 0.1 + 0.8 * 0.75 = 0.7 of the right order
    ],
)
def test_soft_labels(label, options, expected):
    """beta D = 1: losses 0.313262 one way round and 1.313262 the other."""
    objective = Objective(dpo, dpo.Options(beta=0.5, **options))
    out = forward(uniform(), objective, references, [soft(FIRST, label), SECOND])
    plain = forward(uniform(), objective, references, [FIRST, SECOND])
    assert out.losses[0].item() == pytest.approx(expected, abs=1e-5)
    assert out.losses[1].item() == plain.losses[1].item()  # sure, and untouched by its neighbour
    assert out.metrics == plain.metrics


@pytest.mark.parametrize(
    ("module", "options", "expected"),
    [
        (ipo, {"tau": 0.5, "reduction": "sum"}, 3.0),  # 0.75 (2 - 1)^2 + 0.25 (-2 - 1)^2
        (hinge, {"beta": 0.25}, 0.75),  # 0.75 (1 - 0.5) + 0.25 (1 + 0.5)
        (r_dpo, {"beta": 0.5, "alpha": 0.0}, 0.563262),
        (robust, {"beta": 0.5, "flip_rate": 0.0}, 0.563262),
        # Of the likelihood too: 0.75 (0.313262 + 2 ln 61) + 0.25 (1.313262 + 3 ln 61)
        (rpo, {"beta": 1.0, "eta": 1.0}, 0.75 * (0.126928 + 2 * TOKEN) + 0.25 * (2.126928 + 3 * TOKEN)),
    ],
)
def test_soft_labels_go_with_every_method(module, options, expected):
    out = forward(uniform(), Objective(module, module.Options(**options)), references, [soft(FIRST, 0.75)])
    assert out.losses.tolist() == pytest.approx([expected], abs=1e-4)


def test_soft_labels_weigh_the_added_likelihood_as_the_method():
    """0.563262 + 2 (0.75 + 0.25) ln 61: both answers cost ln 61 a token."""
    out = forward(uniform(), replace(DPO, nll_weight=2.0), references, [soft(FIRST, 0.75)])
    assert out.losses.tolist() == pytest.approx([0.563262 + 2 * TOKEN], abs=1e-5)


def test_a_tie_holds_the_pair_where_the_reference_has_it():
    """Gradients of beta D: s(beta D) - 0.5, so 0 at D = 0; and s(beta D) - 0.8 = 0 at beta D = log 4 for a label of
    0.8."""
    for label, at in ((0.5, 0.0), (0.8, math.log(4) / 0.5)):
        chosen = torch.tensor([at], dtype=torch.float64, requires_grad=True)
        zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.int64)
        pairs = Pairs(chosen, zero, one, one, zero, zero)
        pair_losses(DPO, pairs, torch.tensor([label], dtype=torch.float64)).sum().backward()
        assert chosen.grad.item() == pytest.approx(0, abs=1e-12)


# Ratings


def test_ratings_reach_the_objective():
    """D = 0, a rating difference of 2: squared (0 - 2)^2; swapped labels do not change what ratings say."""
    even = lambda batch, built: torch.tensor([-2 * TOKEN, -3 * TOKEN] * len(batch))  # noqa: E731
    objective = Objective(rpo, rpo.Options(variant="reward_aware", distance="squared"))
    rated = replace(FIRST, scores=(4.0, 2.0))
    out = forward(uniform(), objective, even, [rated, soft(rated, 0.3)])
    assert out.losses.tolist() == pytest.approx([4.0, 4.0], abs=1e-4)
    with pytest.raises(ValueError, match="needs ratings of both answers"):
        forward(uniform(), objective, even, [rated, FIRST])


# Labelled answers

KTO = Objective(kto, kto.Options(beta=0.5, desirable_weight=2.0, undesirable_weight=3.0))
GOOD = Example((FIRST.sequences[0],), FIRST.source, label=1.0)
BAD = Example((SECOND.sequences[1],), SECOND.source, label=0.0)


def apart(batch, built):
    """References such that d = 3 for the answer of 2 tokens and d = -1 for that of 4."""
    known = {2: -2 * TOKEN - 3, 4: -4 * TOKEN + 1}
    return torch.tensor([known[int(s.supervised.sum())] for e in batch for s in e.sequences])


def test_labelled_answers():
    """z0 = 1: beta (d - z0) = 1 for the good answer, 2 s(-1) = 0.537883; -1 for the bad one, 3 s(-1) = 0.806824."""
    out = forward(uniform(), KTO, apart, [GOOD, replace(BAD, weight=2.0)], torch.tensor(1.0, dtype=torch.float64))
    assert out.losses.tolist() == pytest.approx([0.537883, 2 * 0.806824], abs=1e-5)
    assert {name: value.item() for name, value in out.metrics.items()} == {
        "logps/chosen": pytest.approx(-2 * TOKEN, abs=1e-5),
        "logps/rejected": pytest.approx(-4 * TOKEN, abs=1e-5),
        "rewards/chosen": pytest.approx(1.5, abs=1e-5),
        "rewards/rejected": pytest.approx(-0.5, abs=1e-5),
        "desirable": 1,
        "kl": 2.0,  # of two
        "num_tokens": 6,
    }


def test_the_log_ratios_of_mismatched_answers_add_up():
    """3 and -1, in one batch or two; no gradient, and the model's mode stays."""
    for batches in ([[GOOD, BAD]], [[GOOD], [BAD]]):
        for training in (True, False):
            model = uniform()
            model.model.train(training)
            total = log_ratio_sum(model, apart, batches)
            assert total.item() == pytest.approx(2.0, abs=1e-5) and total.dtype == torch.float64
            assert not total.requires_grad and model.model.training is training
    assert log_ratio_sum(uniform(), apart, []).item() == 0


def test_what_goes_through_the_model():
    pair = with_mismatched([GOOD, BAD], 0, 100)
    assert passes(KTO, pair)[0] is pair
    assert [e.sequences[0].ids.tolist() for e in passes(KTO, pair)[1]] == [
        [3, 4, 5, 15, 16, 17, 18],
        [11, 12, 13, 6, 7],
    ]
    assert passes(DPO, [FIRST]) == [[FIRST]]


def test_demonstrations():
    batch = [Example((FIRST.sequences[1],), FIRST.source), Example((SECOND.sequences[0],), SECOND.source, weight=2.0)]
    out = forward(uniform(), SFT, None, batch)
    assert out.losses.tolist() == pytest.approx([3 * TOKEN, 2 * TOKEN], abs=1e-5)
    assert {name: value.item() for name, value in out.metrics.items()} == {
        "logps/chosen": pytest.approx(-4 * TOKEN, abs=1e-5),
        "num_tokens": 4,
    }


def test_what_a_step_divides_by():
    """Two pairs; 3 + 4 ... supervised tokens of all answers: 2 + 3 + 1 + 4."""
    assert DPO.total([FIRST, SECOND]) == 2.0
    assert SFT.total([FIRST, SECOND]) == 10.0


def test_the_reference_gets_no_gradient():
    kept = torch.zeros(2, requires_grad=True)
    forward(uniform(), DPO, lambda batch, built: kept * 1.0, [FIRST]).losses.sum().backward()
    assert kept.grad is None


# Scores


def test_scores():
    """A head of zeros but for one bias-like row: scores worked out from what the decoder gives, losses by hand."""
    backbone = scored(0.0)
    objective = Objective(reward, reward.Options(eta=0.5))
    out = forward(backbone, objective, None, [FIRST, SECOND])
    assert out.losses.tolist() == pytest.approx([math.log(2)] * 2, abs=1e-6)  # all scores are 0, ties half right
    assert {name: float(value) for name, value in out.metrics.items()} == {
        "accuracy": 1.0,
        "margin": 0.0,
        "mean_reward": 0.0,
        "min_reward": 0.0,
        "max_reward": 0.0,
        "num_tokens": 10.0,
    }
    assert out.tokens == (3 + 2 + 3) + (3 + 1 + 4)  # the last tokens are among them


def test_scores_of_a_pair_of_a_ranking_and_of_margins(monkeypatch):
    """Scores 1.5 and 0.5; then 2, 0 and 1 with all three pairs, and a margin of 1 on the last.

    Losses: -log s(1) = 0.313262. -log s(2) = 0.126928, -log s(1) = 0.313262, -log s(-1 - 1) = 2.126928: mean 0.855706.
    """
    known = torch.tensor([1.5, 0.5, 2.0, 0.0, 1.0], requires_grad=True)
    monkeypatch.setattr("pairwright.training.forwards.scores", lambda *_: known * 1)
    three = Example(
        (*FIRST.sequences, tokens([3, 4, 5], [12])),
        Source("made.jsonl", 3),
        pairs=(Pair(0, 1), Pair(0, 2), Pair(1, 2, margin=1.0)),
    )
    out = forward(scored(0.0), Objective(reward, reward.Options(eta=0.0)), None, [FIRST, three])
    assert out.losses.tolist() == pytest.approx([0.313262, 0.855706], abs=1e-5)
    metrics = {name: float(value) for name, value in out.metrics.items()}
    assert metrics["accuracy"] == pytest.approx(1 + 2 / 3)
    assert metrics["margin"] == pytest.approx(1 + (2 + 1 - 1) / 3)
    assert metrics["mean_reward"] == pytest.approx(1 + 1)
    assert (metrics["min_reward"], metrics["max_reward"]) == (0.0, 2.0)
    soft = replace(FIRST, pairs=(Pair(0, 1, label=0.75),))
    known = torch.tensor([1.5, 0.5])
    out = forward(scored(0.0), Objective(reward, reward.Options(eta=0.0)), None, [soft])
    assert out.losses.tolist() == pytest.approx([0.563262], abs=1e-5)  # 0.75 * 0.313262 + 0.25 * 1.313262


def scored(value: float):
    out = uniform()
    attach(out, new_head(32, seed=0, std=value))
    return out
