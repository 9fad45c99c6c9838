"""Every objective of pairs against its formula written out plainly: numpy, float64, one pair at a time.

Log-ratios of a few nats only, where exp, log and 1 - x lose nothing; what the stable forms are for is in the contract.
"""

from math import exp, log

import numpy as np
import pytest
import torch

from pairwright.objectives import dpo, dpop, hinge, ipo, orpo, r_dpo, robust, rpo, simpo
from pairwright.objectives.inputs import Pairs
from pairwright.training.forwards import Objective, pair_losses

COUNT = 50


def s(x: float) -> float:
    return 1 / (1 + exp(-x))


def coins(p: float, q: float) -> float:
    return p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))


def odds(mean: float) -> float:
    return exp(mean) / (1 - exp(mean))


def u(d: float) -> float:
    """Ratio of probabilities."""
    return exp(d)


# Each takes: w, l log-probabilities; d, g log-ratios of the chosen and the rejected answer; m, n their tokens;
# r difference of the ratings.
CASES = [
    (dpo, {"beta": 0.3}, lambda w, l, d, g, m, n, r: -log(s(0.3 * (d - g)))),
    (
        dpo,
        {"beta": 0.3, "label_smoothing": 0.2},
        lambda w, l, d, g, m, n, r: -0.8 * log(s(0.3 * (d - g))) - 0.2 * log(s(0.3 * (g - d))),
    ),
    (dpo, {"beta": 4, "length_normalised": True}, lambda w, l, d, g, m, n, r: -log(s(4 * (d / m - g / n)))),
    (
        dpo,
        {"beta": 0.3, "f_divergence": "forward_kl"},
        lambda w, l, d, g, m, n, r: -log(s(0.3 * (1 / u(g) - 1 / u(d)))),
    ),
    (
        dpo,
        {"beta": 0.3, "f_divergence": "js"},
        lambda w, l, d, g, m, n, r: -log(s(0.3 * (log(2 * u(d) / (1 + u(d))) - log(2 * u(g) / (1 + u(g)))))),
    ),
    (
        dpo,
        {"beta": 0.3, "f_divergence": "alpha", "alpha_divergence": 0.3},
        lambda w, l, d, g, m, n, r: -log(s(0.3 * (u(d) ** -0.7 - u(g) ** -0.7) / -0.7)),
    ),
    (
        robust,
        {"beta": 0.3, "flip_rate": 0.2},
        lambda w, l, d, g, m, n, r: (-0.8 * log(s(0.3 * (d - g))) + 0.2 * log(1 - s(0.3 * (d - g)))) / 0.6,
    ),
    (ipo, {"tau": 0.2}, lambda w, l, d, g, m, n, r: (d / m - g / n - 2.5) ** 2),
    (ipo, {"tau": 0.2, "reduction": "sum"}, lambda w, l, d, g, m, n, r: (d - g - 2.5) ** 2),
    (hinge, {"beta": 0.3}, lambda w, l, d, g, m, n, r: max(0.0, 1 - 0.3 * (d - g))),
    (
        orpo,
        {"weight": 0.3},
        lambda w, l, d, g, m, n, r: -w / m - 0.3 * log(s(log(odds(w / m) / odds(l / n)))),
    ),
    (
        simpo,
        {"beta": 2.5, "gamma_beta_ratio": 0.4},
        lambda w, l, d, g, m, n, r: -log(s(2.5 * w / m - 2.5 * l / n - 1.0)),
    ),
    (r_dpo, {"beta": 0.3, "alpha": 0.1}, lambda w, l, d, g, m, n, r: -log(s(0.3 * (d - g) + 0.1 * (m - n)))),
    (
        dpop,
        {"beta": 0.3, "penalty": 5},
        lambda w, l, d, g, m, n, r: -log(s(0.3 * (d - g - 5 * max(0.0, -d)))),
    ),
    (
        rpo,
        {"beta": 0.3, "eta": 0.2},
        lambda w, l, d, g, m, n, r: -log(s(0.3 * (d - g))) + 0.2 * 0.3 * -w,
    ),
    (
        rpo,
        {"variant": "iterative", "beta": 0.3, "eta": 0.2},
        lambda w, l, d, g, m, n, r: -log(s(0.3 * (d - g))) + 0.2 * -w / m,
    ),
    (
        rpo,
        {"variant": "reward_aware", "distance": "squared", "beta": 0.3, "eta": 0.2},
        lambda w, l, d, g, m, n, r: (0.3 * (d - g) - 0.2 * r) ** 2,
    ),
    (
        rpo,
        {"variant": "reward_aware", "distance": "backward_kl", "beta": 0.3, "eta": 0.2},
        lambda w, l, d, g, m, n, r: coins(s(0.2 * r), s(0.3 * (d - g))),
    ),
    (
        rpo,
        {"variant": "reward_aware", "distance": "forward_kl", "beta": 0.3, "eta": 0.2},
        lambda w, l, d, g, m, n, r: coins(s(0.3 * (d - g)), s(0.2 * r)),
    ),
]


@pytest.mark.parametrize(
    ("module", "options", "formula"),
    [pytest.param(*case, id=f"{case[0].__name__.rpartition('.')[2]}-{n}") for n, case in enumerate(CASES)],
)
def test_plain_formula(module, options, formula):
    chance = np.random.default_rng(0)
    m, n = chance.integers(1, 30, (2, COUNT))
    w, l = -chance.uniform(0.2, 3, COUNT) * m, -chance.uniform(0.2, 3, COUNT) * n
    d, g = chance.normal(0, 2, (2, COUNT))
    better, worse, label = *chance.uniform(1, 5, (2, COUNT)), chance.uniform(0, 1, COUNT)
    arrays = (w, l, m, n, *((w - d, l - g) if module.REFERENCE else (None, None)), better, worse)
    pairs = Pairs(*(None if array is None else torch.from_numpy(array) for array in arrays))
    rows = list(zip(*(array.tolist() for array in (w, l, d, g, m, n, better - worse))))
    expected = np.array([formula(*row) for row in rows])
    found = module.loss(pairs, module.Options(**options)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    # With soft labels: the mean over both orders, by the label.
    other = np.array([formula(l, w, g, d, n, m, -r) for w, l, d, g, m, n, r in rows])
    found = pair_losses(Objective(module, module.Options(**options)), pairs, torch.from_numpy(label)).numpy()
    np.testing.assert_allclose(found, label * expected + (1 - label) * other, rtol=1e-9, atol=1e-12)
