"""One optimiser step: what it adds up, clips and refuses, by hand; and that how it is cut changes nothing."""

import math
from types import SimpleNamespace

import pytest
import torch
from tests.tiny import backbone, examples, tokens, uniform

from pairwright.errors import NonFiniteError
from pairwright.objectives import dpo, sft
from pairwright.records import Source
from pairwright.tokens.batches import micro_batches
from pairwright.tokens.sequences import Example
from pairwright.training import forwards
from pairwright.training.forwards import Objective
from pairwright.training.step import MOST_SKIPS, Forward, learning_rate_at, make_optimiser, take


def optimiser(parameters, *, max_norm=1.0, weight_decay=0.0, half=False):
    return make_optimiser(parameters, learning_rate=0.1, weight_decay=weight_decay, max_norm=max_norm, half=half)


def named(*values: float):
    return {f"p{n}": torch.nn.Parameter(torch.tensor(value)) for n, value in enumerate(values)}


def fake(number: float, line: int = 1):
    """An example that stands for a number."""
    return SimpleNamespace(number=number, source=Source("made.jsonl", line))


def linear(parameters):
    """A forward whose example losses are number * (3 p0 + 4 p1), of ten tokens a micro-batch."""

    def forward(batch):
        p0, p1 = parameters.values()
        numbers = torch.tensor([e.number for e in batch])
        return Forward(
            numbers * (3 * p0 + 4 * p1), {"numbers": numbers.sum(), "ones": torch.ones(len(batch)).sum()}, 10
        )

    return forward


def test_a_step_by_hand():
    """Numbers 1, 2 | 5, divided by a total of 4: the loss is 8 / 4 * (3 * 1 + 4 * 2) = 22, the gradient 2 * (3, 4), its
    norm 10. Adam's first step moves each weight by the learning rate, whatever the gradient's size."""
    parameters = named(1.0, 2.0)
    opt = optimiser(parameters, max_norm=0)
    batches = [[fake(1), fake(2)], [fake(5)]]
    out = take(opt, parameters, batches, linear(parameters), total=4, learning_rate=0.01)
    assert out == {
        "loss": pytest.approx(22),
        "grad_norm": pytest.approx(10),
        "numbers": 8,
        "ones": 3,
        "tokens_computed": 20,
    }
    assert [p.item() for p in parameters.values()] == pytest.approx([0.99, 1.99])
    assert all(p.grad is None for p in parameters.values())
    # The first moment is a tenth of the gradient: nothing was clipped.
    assert [opt.adamw.state[p]["exp_avg"].item() for p in parameters.values()] == pytest.approx([0.6, 0.8])


def test_clipping_by_hand():
    """A gradient of (6, 8) and norm 10 is scaled to norm 5: (3, 4). The logged norm is the one before."""
    parameters = named(1.0, 2.0)
    opt = optimiser(parameters, max_norm=5)
    out = take(opt, parameters, [[fake(2)]], linear(parameters), total=1, learning_rate=0.01)
    assert out["grad_norm"] == pytest.approx(10)
    assert [opt.adamw.state[p]["exp_avg"].item() for p in parameters.values()] == pytest.approx([0.3, 0.4])


def test_the_gradient_adds_up_over_micro_batches_and_not_over_steps():
    parameters = named(1.0, 2.0)
    opt = optimiser(parameters, max_norm=0)
    for _ in range(2):
        out = take(opt, parameters, [[fake(1)], [fake(1)]], linear(parameters), total=2, learning_rate=0.0)
        assert out["grad_norm"] == pytest.approx(5)


def test_weight_decay_is_decoupled():
    """p0 has gradient 3, p1 is moved by decay only where its gradient is 0: 2 * (1 - 0.1 * 0.5) = 1.9."""
    parameters = named(1.0, 2.0)
    opt = optimiser(parameters, weight_decay=0.5)

    def forward(batch):
        p0, p1 = parameters.values()
        return Forward((3 * p0 + 0 * p1)[None], {}, 1)

    take(opt, parameters, [[fake(1)]], forward, total=1, learning_rate=0.1)
    assert [p.item() for p in parameters.values()] == pytest.approx([0.95 - 0.1, 1.9])


def test_the_sum_over_processes():
    """Two equal processes: gradients, loss and metrics are doubled, the norm is taken after that."""
    parameters = named(1.0, 2.0)
    out = take(
        optimiser(parameters, max_norm=0),
        parameters,
        [[fake(1)]],
        linear(parameters),
        total=2,
        learning_rate=0.01,
        reduce=lambda tensor: tensor * 2,
    )
    assert out["loss"] == pytest.approx(11) and out["grad_norm"] == pytest.approx(5)
    assert (out["numbers"], out["ones"], out["tokens_computed"]) == (2, 2, 20)


# --- what is refused ---


def state_of(parameters, opt):
    return [p.detach().clone() for p in parameters.values()], len(opt.adamw.state)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_a_loss_that_is_no_number_names_its_example(number):
    parameters = named(1.0, 2.0)
    opt = optimiser(parameters)
    before = state_of(parameters, opt)
    batches = [[fake(1, 1)], [fake(2, 2), fake(number, 3)], [fake(4, 4)]]
    with pytest.raises(NonFiniteError, match=r"the loss of made.jsonl:3 is -?(inf|nan); nothing was changed"):
        take(opt, parameters, batches, linear(parameters), total=4, learning_rate=0.1)
    assert state_of(parameters, opt) == before


def test_a_gradient_that_is_no_number_names_its_parameter():
    """sqrt(0) is 0 with an infinite slope."""
    parameters = named(1.0, 0.0)
    opt = optimiser(parameters)

    def forward(batch):
        p0, p1 = parameters.values()
        return Forward((p0 + p1.sqrt())[None], {}, 1)

    before = state_of(parameters, opt)
    with pytest.raises(NonFiniteError, match=r"the gradient of p1 \(and 0 more\) is not finite .* made.jsonl:7"):
        take(opt, parameters, [[fake(1, 7)]], forward, total=1, learning_rate=0.1)
    assert state_of(parameters, opt) == before


def test_a_metric_that_is_no_number_stops_too():
    parameters = named(1.0, 2.0)

    def forward(batch):
        return Forward(3 * parameters["p0"][None], {"odd": torch.tensor(math.nan)}, 1)

    with pytest.raises(NonFiniteError, match=r"a logged value is not finite in the step over made.jsonl:1"):
        take(optimiser(parameters), parameters, [[fake(1)]], forward, total=1, learning_rate=0.1)


def test_float16_skips_a_step_that_overflows_and_halves_the_scale():
    """The scale starts at 65,536: a slope of 1e36 overflows float32 under it, and no longer after eight halvings
    (1e36 * 256 = 2.6e38 < 3.4e38)."""
    parameters = named(1.0)
    opt = optimiser(parameters, half=True)
    forward = lambda batch: Forward(parameters["p0"][None] * 1e36, {}, 1)  # noqa: E731
    for skipped in range(1, 9):
        out = take(opt, parameters, [[fake(1)]], forward, total=1, learning_rate=0.1)
        assert out["skipped"] == 1 and "grad_norm" not in out  # JSON has no infinity
        assert opt.skipped == skipped
        assert opt.scaler.get_scale() == 65536 / 2**skipped
        assert parameters["p0"].item() == 1.0
    out = take(opt, parameters, [[fake(1)]], forward, total=1, learning_rate=0.1)
    assert out["grad_norm"] == pytest.approx(1e36, rel=1e-3)
    assert opt.skipped == 0
    assert parameters["p0"].item() == pytest.approx(0.9)


def test_float16_stops_when_halving_does_not_help():
    parameters = named(0.0)
    opt = optimiser(parameters, half=True)
    forward = lambda batch: Forward(parameters["p0"].sqrt()[None], {}, 1)  # noqa: E731
    for _ in range(MOST_SKIPS):
        take(opt, parameters, [[fake(1)]], forward, total=1, learning_rate=0.1)
    with pytest.raises(NonFiniteError, match="the gradient of p0"):
        take(opt, parameters, [[fake(1)]], forward, total=1, learning_rate=0.1)
    assert parameters["p0"].item() == 0.0


# --- a step does not depend on how it was cut ---

OBJECTIVES = {
    "sft": (Objective(sft, sft.Options()), 1),
    "dpo": (Objective(dpo, dpo.Options(), nll_weight=0.3), 2),
}


class KeepsGradients:
    """In the place of the loss scaler: keeps the gradient that an update would use, and updates nothing."""

    def scale(self, loss):
        return loss

    def unscale_(self, adamw):
        pass

    def is_enabled(self):
        return False

    def step(self, adamw):
        self.gradient = torch.cat([p.grad.double().flatten() for g in adamw.param_groups for p in g["params"]])

    def update(self):
        pass


def fixed_references(batch, built):
    """A number for each answer that stays the same however a step is cut."""
    return torch.tensor([-3.0 * len(s.ids) - e.source.line / 7 for e in batch for s in e.sequences])


@pytest.mark.parametrize(
    ("tuning", "method", "dtype"),
    [
        ("full", "sft", torch.float32),
        ("full", "dpo", torch.float32),
        ("full", "dpo", torch.float64),
        ("lora", "sft", torch.float32),
        ("lora", "dpo", torch.float32),
    ],
)
def test_how_a_step_is_cut_does_not_matter(tuning, method, dtype):
    """Eight examples in one micro-batch, in eight, and in between: loss, gradient and metrics to 1e-6. The gradient's
    difference is compared with its norm."""
    objective, sides = OBJECTIVES[method]
    model = backbone(tuning, dtype=dtype)
    step = examples(8, seed=3, sides=sides)
    found = []
    for budget in (10_000, 1, 30):
        opt = optimiser(model.trainable(), max_norm=0)
        opt.scaler = KeepsGradients()
        batches = micro_batches(step, budget)
        out = take(
            opt,
            model.trainable(),
            batches,
            lambda batch: forwards.forward(model, objective, fixed_references, batch),
            total=objective.total(step),
            learning_rate=0.0,
        )
        found.append((len(batches), out, opt.scaler.gradient))
    (one, whole, gradient), (eight, *_), (between, *_) = found
    assert one == 1 and eight == 8 and 1 < between < 8
    for _, cut, cut_gradient in found[1:]:
        assert cut.keys() == whole.keys()
        for name, value in whole.items():
            assert cut[name] == pytest.approx(value, rel=1e-6, abs=1e-6), name
        assert float(gradient.norm()) > 0
        assert float((cut_gradient - gradient).norm() / gradient.norm()) < 1e-6


def test_weights_and_lengths_enter_the_step_and_not_the_micro_batch():
    """SFT is divided by the tokens of the whole step: an answer of one token beside one of five counts a sixth, in
    whatever micro-batch it stands. The model is uniform: each token costs ln 61 = 4.110874."""
    model = uniform()
    here = Source("made.jsonl", 1)
    step = [Example((tokens([5, 6], [7]),), here), Example((tokens([5], [8, 9, 10, 11, 12]),), here, weight=2.0)]
    objective = OBJECTIVES["sft"][0]
    assert objective.total(step) == 6
    for batches in ([step], [[step[0]], [step[1]]]):
        parameters = model.trainable()
        out = take(
            optimiser(parameters),
            parameters,
            batches,
            lambda batch: forwards.forward(model, objective, None, batch),
            total=6,
            learning_rate=0.0,
        )
        # (1 * 1 + 2 * 5) / 6 tokens, each 4.110874
        assert out["loss"] == pytest.approx(11 / 6 * 4.110874, abs=1e-5)
        assert out["num_tokens"] == 6


# --- the learning rate ---


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("linear", 0.2, [0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        ("linear", 2.0, [0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),  # two steps
        ("linear", 0.0, [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]),
        ("constant", 0.3, [1 / 3, 2 / 3, 1, 1, 1, 1, 1, 1, 1, 1]),
        ("constant", 0.0, [1] * 10),
    ],
)
def test_learning_rate_by_hand(schedule, warmup, expected):
    """Ten steps at a peak of 2: up in a line, the peak at the end of the rise, then down to 0 after the tenth."""
    found = [learning_rate_at(step, 10, 2.0, schedule, warmup) for step in range(10)]
    assert found == pytest.approx([2 * share for share in expected])


def test_cosine_by_hand():
    """Two steps up, then half a cosine over eight: at its quarter (1 + cos 45 degrees) / 2 = 0.853553, half 0.5."""
    at = lambda step: learning_rate_at(step, 10, 1.0, "cosine", 0.2)  # noqa: E731
    assert [at(0), at(1), at(2)] == pytest.approx([0.5, 1, 1])
    assert [at(4), at(6), at(8)] == pytest.approx([0.853553, 0.5, 0.146447], abs=1e-6)
    assert at(9) == pytest.approx(0.038060, abs=1e-6)


def test_a_short_warm_up_takes_at_least_one_step():
    """A tenth of 4 steps is 0.4: one step, and that is at the peak."""
    assert [learning_rate_at(s, 4, 1.0, "linear", 0.1) for s in range(4)] == pytest.approx([1, 1, 2 / 3, 1 / 3])
    assert learning_rate_at(0, 1, 1.0, "linear", 0.1) == 1.0
    assert learning_rate_at(0, 1, 1.0, "linear", 0.0) == 1.0
