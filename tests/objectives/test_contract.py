"""What every objective keeps. Runs over all files of objectives/ by itself: a new one joins by being there.

A new kind of input needs a maker in MAKERS below. What an objective's formula is, its own test says with numbers.
"""

import dataclasses
import importlib
import inspect
from pathlib import Path

import pytest
import torch

import pairwright.objectives
from pairwright.objectives.inputs import Answers, Labelled, Pairs, Sampled, Scores

FOLDER = Path(pairwright.objectives.__file__).parent
NAMES = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem not in ("__init__", "inputs"))
MODULES = {name: importlib.import_module(f"pairwright.objectives.{name}") for name in NAMES}
PAIRS = [name for name in NAMES if MODULES[name].INPUT in ("pairs", "steps")]

N = 7
TOKENS = torch.tensor([3, 1, 9, 4, 4, 2, 30])


VARIANTS = {
    "dpo": (
        {"label_smoothing": 0.2},
        {"length_normalised": True},
        {"f_divergence": "forward_kl"},
        {"f_divergence": "js"},
        {"f_divergence": "alpha"},
    ),
    "dmpo": ({"gamma": 1.0},),
    "ipo": ({"reduction": "sum"},),
    "reward": ({"eta": 0.0},),
    "rpo": (
        {"variant": "iterative"},
        {"variant": "reward_aware", "distance": "squared"},
        {"variant": "reward_aware", "distance": "backward_kl"},
        {"variant": "reward_aware", "distance": "forward_kl"},
    ),
}
"""Settings with which an objective takes another formula; each keeps the contract as the defaults do."""


def draw(seed: int, dtype=torch.float32, spread: float = 5.0) -> torch.Tensor:
    """(N,) log-probabilities of answers: -20 give or take `spread`."""
    return torch.randn(N, generator=torch.Generator().manual_seed(seed), dtype=dtype) * spread - 20


def pairs(reference: bool, dtype=torch.float32, spread: float = 5.0) -> Pairs:
    """With ratings that rank as the pairs do."""
    one, two, three, four = (draw(seed, dtype, spread) for seed in range(4))
    references = (three, four) if reference else (None, None)
    ratings = torch.linspace(1, 5, N, dtype=dtype)
    return Pairs(one, two, TOKENS, TOKENS.flip(0), *references, ratings + 1, ratings / 2)


def answers(reference: bool, dtype=torch.float32, spread: float = 5.0) -> Answers:
    return Answers(draw(0, dtype, spread), TOKENS)


LABEL = torch.tensor([True, False, True, True, False, False, True])


def labelled(reference: bool, dtype=torch.float32, spread: float = 5.0) -> Labelled:
    return Labelled(draw(0, dtype, spread), TOKENS, LABEL, torch.full((N,), 0.5, dtype=dtype), draw(2, dtype, spread))


ADVANTAGES = torch.tensor([2.0, -1.0, 0.5, -3.0, 1.0, -0.2, 1.5])


def sampled(reference: bool, dtype=torch.float32, spread: float = 5.0) -> Sampled:
    return Sampled(*(draw(seed, dtype, spread) for seed in (0, 1)), ADVANTAGES.to(dtype), draw(2, dtype, spread))


def scores(reference: bool, dtype=torch.float32, spread: float = 5.0) -> Scores:
    return Scores(draw(0, dtype, spread) + 20, draw(1, dtype, spread) + 20, torch.linspace(0, 2, N, dtype=dtype))


MAKERS = {
    "pairs": pairs,
    "steps": pairs,
    "labelled": labelled,
    "answers": answers,
    "sampled": sampled,
    "scores": scores,
}
PULLED = {
    "pairs": (("chosen", -1), ("rejected", +1)),
    "steps": (("chosen", -1), ("rejected", +1)),
    "labelled": (("logps", torch.where(LABEL, -1, +1)),),
    "answers": (("logps", -1),),
    "sampled": (("logps", torch.where(ADVANTAGES > 0, -1, +1)),),
    "scores": (("chosen", -1), ("rejected", +1)),
}
"""Fields with a gradient, and its sign: falling loss raises chosen, good and demonstrated answers, lowers rejected and
bad ones."""


def tensors(inputs) -> dict[str, torch.Tensor]:
    values = {f.name: getattr(inputs, f.name) for f in dataclasses.fields(inputs)}
    return {name: value for name, value in values.items() if value is not None}


def made(module, dtype=torch.float32, spread: float = 5.0):
    return MAKERS[module.INPUT](module.REFERENCE, dtype, spread)


def each(names=NAMES):
    return pytest.mark.parametrize("module", [pytest.param(MODULES[name], id=name) for name in names])


def each_variant(names=NAMES):
    """Every objective with its defaults, and with each of its VARIANTS."""
    cases = [(name, settings) for name in names for settings in ({}, *VARIANTS.get(name, ()))]
    return pytest.mark.parametrize(
        ("module", "options"),
        [
            pytest.param(
                MODULES[name], MODULES[name].Options(**settings), id="-".join([name, *map(str, settings.values())])
            )
            for name, settings in cases
        ],
    )


def test_the_folder_is_seen():
    assert {"dpo", "sft"} <= set(NAMES)
    assert set(VARIANTS) <= set(NAMES)


@each()
def test_it_declares_what_the_recipe_asks(module):
    assert module.INPUT in MAKERS
    assert isinstance(module.REFERENCE, bool)
    assert module.REDUCTION in ("examples", "tokens")
    assert set(module.LEARNING_RATE) == {"full", "lora", "qlora"}
    assert 0 < module.LEARNING_RATE["full"] <= module.LEARNING_RATE["lora"] <= 1e-2
    assert module.__doc__ and "loss =" in module.__doc__
    assert "By hand" in module.loss.__doc__
    assert module.Options.__dataclass_params__.frozen
    module.Options()


@each()
def test_every_option_has_its_text(module):
    """The string under a field is the command's help."""
    body = inspect.getsource(module.Options)
    for field in dataclasses.fields(module.Options):
        after = body.partition(f"    {field.name}:")[2].partition("\n")[2].lstrip()
        assert after.startswith('"""'), field.name


@each_variant()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_loss_per_example(module, options, dtype):
    loss = module.loss(made(module, dtype), options)
    assert loss.shape == (N,)
    assert loss.dtype == dtype
    assert torch.isfinite(loss).all()


@each_variant()
@pytest.mark.parametrize("sign", [-1, 1])
def test_finite_at_extreme_log_ratios(module, options, sign):
    """Log-ratios of +-10,000 on either side: loss and gradient are numbers. No log-probability is above 0."""
    inputs = made(module)
    names = [name for name, _ in PULLED[module.INPUT]]
    references = {name: torch.full((N,), -2e4) for name in tensors(inputs) if name.startswith(("ref_", "old_"))}
    for moved in names:
        far = {name: torch.full((N,), -2e4 + sign * 1e4 * (name == moved)).requires_grad_() for name in names}
        loss = module.loss(dataclasses.replace(inputs, **far, **references), options)
        assert torch.isfinite(loss).all(), moved
        loss.sum().backward()
        for value in far.values():
            assert torch.isfinite(value.grad).all(), moved


@each_variant()
def test_the_gradient_pulls_the_right_way(module, options):
    """Where the policy ranks the answers wrongly or not at all, on both sides and for every example. (Where it ranks
    them right by far, an objective may rest or pull back.)"""
    for wrong_by in (0.0, 1.0, 30.0):
        start = 0.0 if module.INPUT == "scores" else -50.0  # scores are held around 0
        values = {name: torch.full((N,), start) + sign * wrong_by for name, sign in PULLED[module.INPUT]}
        leaves = {name: value.requires_grad_() for name, value in values.items()}
        inputs = made(module)
        same = {name: torch.full((N,), 4) for name in tensors(inputs) if name.endswith("tokens")}
        same |= {name: torch.full((N,), -50.0) for name in tensors(inputs) if name.startswith(("ref_", "old_"))}
        module.loss(dataclasses.replace(inputs, **leaves, **same), options).sum().backward()
        for name, sign in PULLED[module.INPUT]:
            assert (torch.sign(leaves[name].grad) == sign).all(), (name, wrong_by)


@each_variant()
def test_the_gradient_is_that_of_the_loss(module, options):
    """Against finite differences, in float64. Log-ratios of a few nats: an exponential of more has no such digits."""
    inputs = made(module, torch.float64, spread=1.0)
    names = [name for name, _ in PULLED[module.INPUT]]

    def loss(*values):
        return module.loss(dataclasses.replace(inputs, **dict(zip(names, values))), options)

    assert torch.autograd.gradcheck(loss, [getattr(inputs, name).clone().requires_grad_() for name in names])


@each_variant()
def test_float32_has_the_digits(module, options):
    inputs = made(module, torch.float32, spread=1.0)
    double = {name: value.double() for name, value in tensors(inputs).items() if value.is_floating_point()}
    exact = module.loss(dataclasses.replace(inputs, **double), options)
    torch.testing.assert_close(module.loss(inputs, options).double(), exact, atol=1e-5, rtol=1e-5)


@each_variant()
def test_no_gradient_reaches_the_reference(module, options):
    inputs = made(module)
    trained = [name for name, _ in PULLED[module.INPUT]]
    leaves = {
        name: value.clone().requires_grad_()
        for name, value in tensors(inputs).items()
        if name in trained or name.startswith(("ref_", "old_")) or name == "kl"
    }
    module.loss(dataclasses.replace(inputs, **leaves), options).sum().backward()
    assert any(name.startswith("ref_") for name in leaves) == module.REFERENCE
    for name, leaf in leaves.items():
        assert (leaf.grad is None) == (name not in trained), name


@each_variant()
def test_order_does_not_matter(module, options):
    inputs = made(module)
    order = torch.tensor([3, 0, 6, 1, 2, 5, 4])
    turned = dataclasses.replace(inputs, **{name: value[order] for name, value in tensors(inputs).items()})
    torch.testing.assert_close(module.loss(turned, options), module.loss(inputs, options)[order], atol=0, rtol=0)


@each_variant()
@pytest.mark.parametrize("parts", [[1] * 7, [3, 4], [6, 1]])
def test_cutting_does_not_matter(module, options, parts):
    """An example's loss is its own: the same in a batch of seven as alone, to 1e-6 in float64."""
    inputs = made(module, torch.float64)
    pieces, at = [], 0
    for size in parts:
        cut = {name: value[at : at + size] for name, value in tensors(inputs).items()}
        pieces.append(module.loss(dataclasses.replace(inputs, **cut), options))
        at += size
    torch.testing.assert_close(torch.cat(pieces), module.loss(inputs, options), atol=1e-12, rtol=1e-12)


@each()
def test_shapes_that_would_broadcast_are_refused(module):
    inputs = made(module)
    for name, value in list(tensors(inputs).items())[1:]:
        for wrong in (value[:1], value[:, None], value[0]):
            with pytest.raises(ValueError, match=rf"{name} has shape"):
                dataclasses.replace(inputs, **{name: wrong})


@each_variant(PAIRS)
def test_a_missing_reference_is_refused(module, options):
    if not module.REFERENCE:
        pytest.skip("compares with no reference")
    without = dataclasses.replace(made(module), ref_chosen=None, ref_rejected=None)
    with pytest.raises(ValueError, match="reference, and none was given"):
        module.loss(without, options)


@each_variant(PAIRS)
def test_only_what_an_objective_reads_it_needs(module, options):
    """Ratings are of some data only: without them the loss is a number, or the message names them, and the objective
    says so before."""
    bare = dataclasses.replace(made(module), rating_chosen=None, rating_rejected=None)
    if hasattr(module, "needs_ratings") and module.needs_ratings(options):
        with pytest.raises(ValueError, match="needs ratings of both answers"):
            module.loss(bare, options)
    else:
        assert torch.isfinite(module.loss(bare, options)).all()


@each(PAIRS)
def test_swapped_pairs_are_pairs_with_their_sides_changed(module):
    inputs = made(module)
    back = inputs.swapped().swapped()
    for name, value in tensors(inputs).items():
        assert getattr(back, name) is value
    assert inputs.swapped().chosen is inputs.rejected
    assert inputs.swapped().rating_rejected is inputs.rating_chosen
    assert inputs.swapped().ref_chosen is inputs.ref_rejected


@each_variant(PAIRS)
def test_rewards_carry_no_gradient(module, options):
    """Rewards are for the log: (N,) for either side, detached. Zero where the policy is the reference."""
    if not hasattr(module, "rewards"):
        pytest.skip("defines no rewards")
    inputs = made(module)
    trained = dataclasses.replace(inputs, chosen=inputs.chosen.clone().requires_grad_())
    for reward in module.rewards(trained, options):
        assert reward.shape == (N,) and not reward.requires_grad
    if module.REFERENCE:
        same = dataclasses.replace(inputs, ref_chosen=inputs.chosen, ref_rejected=inputs.rejected)
        assert all((reward == 0).all() for reward in module.rewards(same, options))


@each_variant(PAIRS)
def test_a_likelier_answer_has_a_higher_reward(module, options):
    if not hasattr(module, "rewards"):
        pytest.skip("defines no rewards")
    inputs = made(module)
    likelier = dataclasses.replace(inputs, chosen=inputs.chosen + 1, rejected=inputs.rejected + 1)
    for before, after in zip(module.rewards(inputs, options), module.rewards(likelier, options)):
        assert (after > before).all()
