"""The logged metrics, by hand."""

import pytest
import torch

from pairwright.training.monitors import (
    answer_metrics,
    combined,
    labelled_metrics,
    over_processes,
    pair_metrics,
    per_example,
)

T = torch.tensor


def test_pairs():
    """Three pairs with margins 3, -0.5 and 0: one right, one wrong, one tie that counts half."""
    sums = pair_metrics(
        chosen=T([-4.0, -6.0, -8.0]),
        rejected=T([-5.0, -7.0, -9.0]),
        share=T([1.0, 1.0, 1.0]),
        tokens=T([2, 10, 3, 20, 4, 30]),
        rewards=(T([1.0, 0.5, 0.25]), T([-2.0, 1.0, 0.25])),
    )
    assert {name: value.item() for name, value in sums.items()} == {
        "logps/chosen": -18.0,
        "logps/rejected": -21.0,
        "num_tokens": 69,
        "rewards/chosen": 1.75,
        "rewards/rejected": -0.75,
        "rewards/margins": 2.5,
        "rewards/accuracies": 1.5,
    }
    step = per_example({name: value.item() for name, value in sums.items()}, 3)
    assert step == {
        "logps/chosen": -6.0,
        "logps/rejected": -7.0,
        "num_tokens": 69,
        "rewards/chosen": pytest.approx(1.75 / 3),
        "rewards/rejected": -0.25,
        "rewards/margins": pytest.approx(2.5 / 3),
        "rewards/accuracies": 0.5,
    }


def test_a_pairs_share():
    """A ranking of three answers, two of whose pairs are right, and a pair that is wrong: 2/3 of one example and 0 of
    the other, 1/3 on average."""
    third = 1 / 3
    sums = pair_metrics(
        chosen=T([-3.0, -3.0, -6.0, -5.0]),
        rejected=T([-6.0, -9.0, -9.0, -7.0]),
        share=T([third, third, third, 1.0]),
        tokens=T([2, 3, 4, 5, 6]),
        rewards=(T([2.0, 2.0, 0.0, 0.0]), T([0.0, 1.0, 1.0, 4.0])),
    )
    step = per_example({name: value.item() for name, value in sums.items()}, 2)
    assert step == {
        "logps/chosen": pytest.approx(-4.5),  # (4 + 5) / 2
        "logps/rejected": pytest.approx(-7.5),  # (8 + 7) / 2
        "num_tokens": 20,
        "rewards/chosen": pytest.approx(2 / 3),
        "rewards/rejected": pytest.approx(7 / 3),
        "rewards/margins": pytest.approx(-5 / 3),
        "rewards/accuracies": pytest.approx(1 / 3),
    }


def test_pairs_without_rewards():
    sums = pair_metrics(T([-4.0]), T([-5.0]), T([1.0]), T([2, 3]), None)
    assert sorted(sums) == ["logps/chosen", "logps/rejected", "num_tokens"]


def test_at_the_start_every_margin_is_0_and_accuracy_a_half():
    zero = torch.zeros(4)
    sums = pair_metrics(zero, zero, zero + 1, zero.int(), (zero, zero))
    assert sums["rewards/accuracies"].item() / 4 == 0.5


def test_labelled_answers():
    """Two good answers and one bad one: means of each side over its own number, the margin between these means."""
    sums = labelled_metrics(
        logps=T([-4.0, -6.0, -8.0]),
        tokens=T([2, 3, 4]),
        label=T([True, False, True]),
        rewards=T([1.0, -0.5, 2.0]),
        kl=T([0.25, 0.25, 0.25]),
    )
    step = per_example({name: value.item() for name, value in sums.items()} | {"loss": 0.5}, 3)
    assert step == {
        "logps/chosen": -6.0,
        "logps/rejected": -6.0,
        "rewards/chosen": 1.5,
        "rewards/rejected": -0.5,
        "rewards/margins": 2.0,
        "desirable": 2,
        "kl": 0.25,
        "num_tokens": 9,
        "loss": 0.5,
    }


@pytest.mark.parametrize(("label", "side"), [(True, "chosen"), (False, "rejected")])
def test_a_mean_over_no_answer_is_left_out(label, side):
    sums = labelled_metrics(T([-4.0]), T([2]), T([label]), T([1.0]), T([0.0]))
    step = per_example({name: value.item() for name, value in sums.items()}, 1)
    assert set(step) == {f"logps/{side}", f"rewards/{side}", "desirable", "kl", "num_tokens"}


def test_answers():
    sums = answer_metrics(T([-4.0, -6.0]), T([2, 3]))
    assert {name: value.item() for name, value in sums.items()} == {"logps/chosen": -10.0, "num_tokens": 5}


def test_nothing_carries_a_gradient():
    leaf = T([-4.0]).requires_grad_()
    labelled = labelled_metrics(leaf, T([2]), T([True]), leaf.detach(), T([0.0]))
    for sums in (pair_metrics(leaf, leaf, T([1.0]), T([2, 3]), None), answer_metrics(leaf, T([2])), labelled):
        assert not any(value.requires_grad for value in sums.values())


def test_what_is_of_the_whole_step_is_not_divided():
    sums = {"loss": 0.5, "grad_norm": 2.0, "num_tokens": 30.0, "tokens_computed": 90.0, "logps/chosen": -8.0}
    assert per_example(sums, 4) == {
        "loss": 0.5,
        "grad_norm": 2.0,
        "num_tokens": 30,
        "tokens_computed": 90,
        "logps/chosen": -2.0,
    }
    assert isinstance(per_example(sums, 4)["num_tokens"], int)


def test_extremes_of_two_parts_of_a_step():
    one = {"max_reward": torch.tensor(1.0), "min_reward": torch.tensor(-1.0), "margin": torch.tensor(2.0)}
    other = {"max_reward": torch.tensor(0.5), "min_reward": torch.tensor(-3.0), "margin": torch.tensor(4.0)}
    found = combined(one, other)
    assert {name: float(value) for name, value in found.items()} == {"max_reward": 1, "min_reward": -3, "margin": 6}
    assert float(one["margin"]) == 2.0  # what was given is as it was


def test_over_processes_sums_and_extremes():
    """Two processes: the other one has a margin of 10, scores from -4 to 3; this one 2, -1 and 5."""
    mine = {"max_reward": torch.tensor(5.0), "min_reward": torch.tensor(-1.0), "margin": torch.tensor(2.0)}
    names, values = over_processes(
        mine, lambda t: t + torch.tensor([10.0]), lambda t: torch.maximum(t, torch.tensor([3.0, 4.0]))
    )
    assert dict(zip(names, values.tolist())) == {"margin": 12.0, "max_reward": 5.0, "min_reward": -4.0}
    assert per_example(dict(zip(names, values.tolist())), 4) == {"margin": 3.0, "max_reward": 5.0, "min_reward": -4.0}
