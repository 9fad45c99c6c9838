"""Log-probabilities of scored tokens from hidden states: numbers by hand, and whole logits as the yardstick.

The yardstick is plain torch in float64. Tolerances: float32 has 24 bits, so 1e-5 leaves room for sums over 50 logits;
bfloat16 has 8, and its tests say what they allow.
"""

import math

import pytest
import torch

from pairwright.backbone import logprobs
from pairwright.backbone.logprobs import Head, token_logprobs

S, H, V = 7, 6, 50


def setting(*, bias: bool, trained: bool = True, dtype=torch.float32, seed: int = 0):
    """hidden (S, H), weight (V, H), bias (V,) or None, target (S,)."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator).to(dtype)  # noqa: E731
    hidden, weight = draw(S, H).requires_grad_(), draw(V, H).requires_grad_(trained)
    offset = draw(V).requires_grad_(trained) if bias else None
    return hidden, weight, offset, torch.randint(V, (S,), generator=generator)


def yardstick(hidden, weight, bias, target, scale, softcap):
    """Values, and gradients of sum(factor * value) by hidden, weight and bias, in float64 from whole logits."""
    wide = [None if x is None else x.detach().double().requires_grad_() for x in (hidden, weight, bias)]
    logits = wide[0] @ wide[1].T
    if bias is not None:
        logits = logits + wide[2]
    logits = logits * scale
    if softcap is not None:
        logits = softcap * (logits / softcap).tanh()
    values = logits.log_softmax(-1)[torch.arange(len(target)), target]
    values.backward(factor_of(target).double())
    return values.detach(), [None if x is None else x.grad for x in wide]


def factor_of(target):
    """What the loss hands down for each token: different for each, of both signs."""
    return torch.linspace(-2, 3, len(target))


def found(hidden, weight, bias, target, scale, softcap):
    values = token_logprobs(hidden, Head(weight, bias, scale, softcap), target)
    assert values.shape == target.shape and values.dtype == torch.float32
    values.backward(factor_of(target))
    return values.detach(), [None if x is None else x.grad for x in (hidden, weight, bias)]


def close(got, expected, tolerance=1e-5):
    torch.testing.assert_close(got.double(), expected, atol=tolerance, rtol=tolerance)


# Three tokens with logits ln 1, ln 2, ln 5: probabilities 1/8, 2/8, 5/8.
LOGITS = torch.tensor([[0.0], [math.log(2)], [math.log(5)]])


def test_by_hand():
    """hidden 1, weight the logits. log(1/8), log(2/8), log(5/8). The derivative by hidden is the target's logit minus
    the mean logit, 2/8 ln 2 + 5/8 ln 5 = 1.179186."""
    hidden = torch.ones(3, 1, requires_grad=True)
    values = token_logprobs(hidden, Head(LOGITS), torch.tensor([0, 1, 2]))
    assert values.tolist() == pytest.approx([-2.079442, -1.386294, -0.470004], abs=1e-6)
    values.sum().backward()
    assert hidden.grad[:, 0].tolist() == pytest.approx([-1.179186, -0.486039, 0.430252], abs=1e-6)


def test_weight_gradient_by_hand():
    """Of the third token: one minus its probability for its own row, minus their probability for the others."""
    weight = LOGITS.clone().requires_grad_()
    token_logprobs(torch.ones(1, 1), Head(weight), torch.tensor([2])).sum().backward()
    assert weight.grad[:, 0].tolist() == pytest.approx([-1 / 8, -2 / 8, 3 / 8], abs=1e-6)


def test_scale_by_hand():
    """Logits halved: ln 1, ln sqrt 2, ln sqrt 5, whose sum of exponentials is 1 + 1.414214 + 2.236068 = 4.650282."""
    values = token_logprobs(torch.ones(1, 1), Head(LOGITS, scale=0.5), torch.tensor([0]))
    assert values.item() == pytest.approx(-1.536928, abs=1e-6)


def test_softcap_by_hand():
    """Cap 1 on logits 0 and 1000 gives 0 and 1: log(e / (1 + e)) = -0.313262."""
    values = token_logprobs(torch.ones(1, 1), Head(torch.tensor([[0.0], [1000.0]]), softcap=1.0), torch.tensor([1]))
    assert values.item() == pytest.approx(-0.313262, abs=1e-6)


def test_scale_comes_before_the_cap():
    """Logits 0 and 0.5 times 1000, then the cap of 2: 0 and 2. log(1 / (1 + e^2)) = -2.126928."""
    head = Head(torch.tensor([[0.0], [0.5]]), scale=1000.0, softcap=2.0)
    assert token_logprobs(torch.ones(1, 1), head, torch.tensor([0])).item() == pytest.approx(-2.126928, abs=1e-6)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("scale", [1.0, 0.25, 3.0])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, 3, 7, 100])
def test_values_and_gradients(rows, bias, scale, softcap, monkeypatch):
    """Chunks of 1, 3, all and more than all rows; with one chunk the logits are kept, else they are made again."""
    monkeypatch.setattr(logprobs, "CHUNK_BYTES", rows * 4 * V)
    case = setting(bias=bias)
    expected, expected_gradients = yardstick(*case, scale, softcap)
    values, gradients = found(*case, scale, softcap)
    close(values, expected)
    for got, wanted in zip(gradients, expected_gradients):
        assert (got is None) == (wanted is None)
        if wanted is not None:
            close(got, wanted)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_a_frozen_head_gets_no_gradient(rows, softcap, monkeypatch):
    monkeypatch.setattr(logprobs, "CHUNK_BYTES", rows * 4 * V)
    case = setting(bias=True, trained=False)
    expected, expected_gradients = yardstick(*case, 3.0, softcap)
    values, gradients = found(*case, 3.0, softcap)
    close(values, expected)
    close(gradients[0], expected_gradients[0])
    assert gradients[1] is None and gradients[2] is None


def test_only_the_bias_trained():
    hidden, weight, bias, target = setting(bias=True, trained=False)
    bias.requires_grad_()
    expected = yardstick(hidden, weight, bias, target, 1.0, None)[1]
    gradients = found(hidden, weight, bias, target, 1.0, None)[1]
    close(gradients[0], expected[0])
    assert gradients[1] is None
    close(gradients[2], expected[2])


def test_only_the_weight_trained():
    """Hidden states from a frozen decoder under a trained head."""
    hidden, weight, _, target = setting(bias=False)
    frozen = hidden.detach()
    expected = yardstick(hidden, weight, None, target, 1.0, None)[1]
    close(found(frozen, weight, None, target, 1.0, None)[1][1], expected[1])


def test_gradients_by_differences():
    """Against (f(x + d) - f(x - d)) / 2d of the values themselves, d = 0.01. The values are float32, good to 2e-7 of
    about 5: the difference is good to 1e-6 / 0.02 = 5e-5, and the third derivative adds about as much."""
    hidden, weight, _, target = setting(bias=False)
    _, (by_hidden, by_weight, _) = found(hidden, weight, None, target, 1.0, 2.0)

    def value(h, w):
        with torch.no_grad():
            return float(token_logprobs(h, Head(w, None, 1.0, 2.0), target).double() @ factor_of(target).double())

    generator = torch.Generator().manual_seed(3)
    for at, gradient in ((0, by_hidden), (1, by_weight)):
        for _ in range(5):
            direction = torch.randn(gradient.shape, generator=generator)
            direction /= direction.norm()
            steps = [[x.detach() for x in (hidden, weight)] for _ in range(2)]
            steps[0][at] = steps[0][at] + 0.01 * direction
            steps[1][at] = steps[1][at] - 0.01 * direction
            slope = (value(*steps[0]) - value(*steps[1])) / 0.02
            assert slope == pytest.approx(float((gradient * direction).sum()), abs=2e-3)


def test_the_softmax_of_bfloat16_is_float32():
    """4,096 equal logits: -ln 4096 = -8.3177662. bfloat16 has only -8.3125 and -8.375 there."""
    values = token_logprobs(
        torch.zeros(2, 3, dtype=torch.bfloat16), Head(torch.zeros(4096, 3, dtype=torch.bfloat16)), torch.tensor([0, 5])
    )
    assert values.tolist() == pytest.approx([-8.3177662, -8.3177662], abs=1e-6)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("rows", [3, 100])
def test_bfloat16(rows, trained, monkeypatch):
    """Logits are rounded to 8 bits: 2^-9 of up to 10 is 0.02, twice in a difference. A gradient is a sum of rounded
    numbers: 3% of its largest entry."""
    monkeypatch.setattr(logprobs, "CHUNK_BYTES", rows * 4 * V)
    case = setting(bias=False, trained=trained, dtype=torch.bfloat16)
    expected, expected_gradients = yardstick(*case, 1.0, None)
    values, gradients = found(*case, 1.0, None)
    close(values, expected, 0.04)
    assert gradients[0].dtype == torch.bfloat16
    for got, wanted in list(zip(gradients, expected_gradients))[: 2 if trained else 1]:
        assert float((got.double() - wanted).abs().max()) < 0.03 * float(wanted.abs().max())


@pytest.mark.parametrize("trained", [False, True])
def test_extreme_logits_stay_finite(trained):
    """Logits of 0 and 10,000: the likely token has log-probability 0, the other -10,000; no NaN in the gradient."""
    hidden = torch.ones(2, 1, requires_grad=True)
    weight = torch.tensor([[0.0], [1e4]], requires_grad=trained)
    values = token_logprobs(hidden, Head(weight), torch.tensor([0, 1]))
    assert values.tolist() == [-1e4, 0.0]
    values.sum().backward()
    assert hidden.grad[:, 0].tolist() == [-1e4, 0.0]


@pytest.mark.parametrize("trained", [False, True])
def test_no_scored_tokens(trained):
    hidden = torch.zeros(0, H, requires_grad=True)
    weight = torch.zeros(V, H, requires_grad=trained)
    values = token_logprobs(hidden, Head(weight), torch.zeros(0, dtype=torch.int64))
    assert values.shape == (0,)
    values.sum().backward()
    assert hidden.grad.shape == (0, H)


def test_without_gradients_nothing_is_kept():
    hidden, weight, _, target = setting(bias=False)
    with torch.no_grad():
        values = token_logprobs(hidden, Head(weight), target)
    assert not values.requires_grad
    close(values, yardstick(hidden, weight, None, target, 1.0, None)[0])
