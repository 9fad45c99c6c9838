"""The online loop on a tiny model: against plain twins, cut into micro-batches, stopped where it must stop."""

import dataclasses

import pytest
import torch
from tests.tiny import backbone, lines

from pairwright.backbone import roles as role_files
from pairwright.backbone.adapters import LoraSettings
from pairwright.errors import Interrupted, NonFiniteError, ParityError
from pairwright.feedback.generate import Generated, generate
from pairwright.objectives import grpo, ppo, rloo
from pairwright.records import Source
from pairwright.training import online, rollouts
from pairwright.training.forwards import Objective
from pairwright.training.online_metrics import distinct, explained_variance
from pairwright.training.rollouts import Prompt, Scored, collect, plan_batches, targets

SETTINGS = online.Settings(
    steps=2, per_step=3, samples=3, temperature=0.8, tokens_per_batch=10_000, learning_rate=1e-3,
    value_learning_rate=1e-3, schedule="constant", warmup=0.0, weight_decay=0.0, max_grad_norm=1.0, seed=0,
    save_every=100, keep=1, eval_every=100, sampler_tolerance=1e-3,
)  # fmt: skip
PROMPTS = [
    Prompt((5, 9, 11, 7), Source("made.jsonl", 1), None),
    Prompt((8, 3), Source("made.jsonl", 2), None),
    Prompt((40, 41, 42, 43, 44), Source("made.jsonl", 3), None),
    Prompt((12, 13, 14), Source("made.jsonl", 4), None),
]
LIKED = set(range(30, 61))
"""Tokens that the scorer likes: half of the vocabulary."""


def objective(module=ppo, **settings) -> Objective:
    return Objective(module, module.Options(**settings))


def sampler_of(model, temperature=0.8):
    def sampler(prompts, samples, seed):
        ids = [prompt.ids for prompt in prompts]
        return generate(
            model, ids, end_ids=[2], per_prompt=samples, temperature=temperature, max_new_tokens=8, seed=seed
        )

    return sampler


def scorer(prompts, answers):
    flat = [answer for own in answers for answer in own]
    liked = [sum(token in LIKED for token in answer.ids) / len(answer.ids) for answer in flat]
    return Scored([4 * value for value in liked], {"liked": liked})


def roles_of(tuning="lora", value=True):
    return role_files.make(backbone(tuning), LoraSettings(r=4), value=value)


def rolled(roles, method, samples=3, tokens_per_batch=10_000, seed=(0, 0)):
    answers = sampler_of(roles.policy)(PROMPTS, samples, 7)
    scored = scorer(PROMPTS, answers)
    made = collect(
        roles, PROMPTS, answers, scored, values=method.module.VALUE, temperature=0.8,
        minibatches=method.options.minibatches, tokens_per_batch=tokens_per_batch, seed=seed, bound=1e-3,
    )  # fmt: skip
    return made, targets(method, made, method.options.kl_coef)


def run(tmp_path, roles=None, method=None, sampler=None, score=scorer, settings=SETTINGS, **more):
    roles, method = roles or roles_of(), method or objective()
    sampler = sampler or sampler_of(roles.policy, settings.temperature)
    return online.run(roles, method, PROMPTS, (), sampler, score, settings, tmp_path, {}, **more)


def plain_logprobs(roles, rollout, temperature=0.8):
    """(S,) of the policy with a graph, one sequence at a time through the whole model, its own logits."""
    model = roles.policy.base
    used = model.config._attn_implementation
    model.set_attn_implementation(roles.policy.plain)
    found = []
    for prompt, own in zip(rollout.prompts, rollout.answers):
        for answer in own:
            ids = torch.tensor([[*prompt.ids, *answer.ids]])
            logits = model(input_ids=ids).logits[0].float() / temperature
            picked = logits.log_softmax(-1)[len(prompt.ids) - 1 : -1]
            found.append(picked.gather(1, torch.tensor(answer.ids)[:, None])[:, 0])
    model.set_attn_implementation(used)
    return torch.cat(found)


def gradients_of_the_first_step(roles, method, tokens_per_batch, monkeypatch):
    """{name: gradient} of policy and value role in the first optimiser step, before clipping."""
    rollout, pulled = rolled(roles, method, tokens_per_batch=tokens_per_batch)
    found = {}
    settings = dataclasses.replace(SETTINGS, max_grad_norm=0.0, tokens_per_batch=tokens_per_batch)
    learners = online._learners(roles, method, settings)

    def keep(optimiser):
        names = {id(p): name for name, p in optimiser.masters.items()}

        def step(closure=None):
            for group in optimiser.adamw.param_groups:
                found.update({names[id(p)]: p.grad.clone() for p in group["params"] if p.grad is not None})

        return step

    for optimiser in filter(None, (learners.policy_optimiser, learners.value_optimiser)):
        monkeypatch.setattr(optimiser.adamw, "step", keep(optimiser))
    from pairwright.training.updates import update

    metrics = update(
        roles, method, learners, rollout, pulled, temperature=0.8, tokens_per_batch=tokens_per_batch, seed=(0, 0),
        learning_rate=0.0, value_learning_rate=0.0,
    )  # fmt: skip
    return rollout, pulled, found, metrics


@pytest.mark.parametrize("tuning", ["lora", "full"])
@pytest.mark.parametrize("module", [ppo, rloo, grpo])
def test_the_first_step_is_that_of_the_plain_twin(tuning, module, monkeypatch):
    """Where rho is 1 the gradient is that of -A log pi (ppo: mean over tokens; rloo: sum over an answer, mean over
    answers; grpo: mean over an answer, mean over answers, and kl_coef (1 - ref/pi) more), by transformers' own forward
    pass."""
    method = objective(module, update_epochs=1)
    roles = roles_of(tuning, value=module.VALUE)
    rollout, pulled, found, metrics = gradients_of_the_first_step(roles, method, 10_000, monkeypatch)
    logps = plain_logprobs(roles, rollout)
    torch.testing.assert_close(logps.detach(), rollout.logps, atol=1e-5, rtol=1e-5)
    tokens = -pulled.advantages * logps
    if module is grpo:
        divergence = 1 - (rollout.ref_logps - rollout.logps).exp()
        tokens = tokens + method.options.kl_coef * divergence * logps
    answers = torch.stack([part.sum() for part in tokens.split(rollout.lengths.tolist())])
    loss = {ppo: tokens.mean(), rloo: answers.mean(), grpo: (answers / rollout.lengths).mean()}[module]
    parameters = roles.policy_parameters()
    expected = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    for name, gradient in zip(parameters, expected):
        if gradient is not None and gradient.abs().max() > 0:
            torch.testing.assert_close(found[name], gradient, atol=2e-5, rtol=2e-3, msg=name)
    assert metrics["ratio_first"] == 0.0
    assert metrics["clip_fraction"] == 0.0 and metrics["ratio"] == pytest.approx(1)


@pytest.mark.parametrize("module", [ppo, rloo, grpo])
def test_cutting_into_micro_batches_does_not_matter(module, monkeypatch):
    method = objective(module, update_epochs=1)
    whole = gradients_of_the_first_step(roles_of(value=module.VALUE), method, 10_000, monkeypatch)
    cut = gradients_of_the_first_step(roles_of(value=module.VALUE), method, 12, monkeypatch)
    assert len(cut[0].examples) > len(whole[0].examples)  # even one prompt's answers are cut apart
    assert whole[2].keys() == cut[2].keys()
    for name, gradient in whole[2].items():
        torch.testing.assert_close(cut[2][name], gradient, atol=1e-5, rtol=1e-3, msg=name)


def test_values_and_returns_stand_where_their_tokens_are():
    """A scorer that likes token t of the third prompt's second answer only: its advantage before whitening is found
    at that answer's places."""
    method = objective(kl_coef=0.0, gae_lambda=1.0)
    roles = roles_of()
    answers = sampler_of(roles.policy)(PROMPTS, 3, 7)
    scores = [0.0] * 12
    scores[7] = 5.0
    made = collect(
        roles, PROMPTS, answers, Scored(scores, {}), values=True, temperature=0.8, minibatches=2, tokens_per_batch=30,
        seed=(3,), bound=1e-3,
    )  # fmt: skip
    returns = targets(method, made, 0.0).returns.split(made.lengths.tolist())
    for number, own in enumerate(returns):
        torch.testing.assert_close(own, torch.full_like(own, 5.0 if number == 7 else 0.0))


@pytest.mark.parametrize("module", [ppo, rloo, grpo])
def test_the_score_rises(module, tmp_path):
    settings = dataclasses.replace(SETTINGS, steps=8, per_step=4, samples=6, learning_rate=2e-2, temperature=1.0)
    method = objective(module, update_epochs=2)
    run(tmp_path, roles_of(value=module.VALUE), method, settings=settings)
    found = lines(tmp_path / "metrics.jsonl")
    first, last = (sum(row["score"] for row in rows) / 2 for rows in (found[:2], found[-2:]))
    assert last > first + 0.25
    assert found[-1]["kl"] > found[0]["kl"]
    assert all(row["ratio_first"] == 0 for row in found)


def test_minibatches_take_more_steps(tmp_path):
    """Three passes of two steps over three prompts; the epoch's last step has one prompt, which makes one."""
    run(tmp_path, method=objective(update_epochs=3, minibatches=2))
    found = lines(tmp_path / "metrics.jsonl")
    assert [row["updates"] for row in found] == [6, 3]
    assert all(row["ratio_first"] == 0 for row in found)


def test_a_pass_takes_every_example_once():
    made, _ = rolled(roles_of(), objective(minibatches=2))
    orders = []
    for seed in ((0,), (1,)):
        steps = plan_batches(made.examples, 2, 30, seed)
        assert len(steps) == 2 and len(steps[0]) > 1
        taken = [id(example) for batches in steps for batch in batches for example in batch]
        assert sorted(taken) == sorted(map(id, made.examples))
        orders.append(taken)
    assert orders[0] != orders[1]


def test_the_coefficient_is_steered(tmp_path):
    """Error -0.2 at most: 9 samples a step take 0.5 (1 - 0.2 * 9 / 10000) = 0.49991."""
    run(tmp_path, method=objective(kl_coef=0.5, target_kl=1e6))
    assert [row["kl_coef"] for row in lines(tmp_path / "metrics.jsonl")] == pytest.approx([0.5, 0.49991])


def test_a_sampler_of_another_model_stops_the_run(tmp_path):
    with pytest.raises(ParityError, match="not the policy's own"):
        run(tmp_path, sampler=sampler_of(backbone("lora", seed=1)))
    assert (tmp_path / "metrics.jsonl").read_text() == ""


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_stops_the_run(tmp_path, wrong):
    def broken(prompts, answers):
        scored = scorer(prompts, answers)
        return Scored([wrong, *scored.total[1:]], scored.parts)

    with pytest.raises(NonFiniteError, match=r"answer to made\.jsonl:\d is (nan|inf)"):
        run(tmp_path, score=broken)


def test_asked_to_stop_it_saves(tmp_path):
    with pytest.raises(Interrupted, match="after step 1 of 2"):
        run(tmp_path, callbacks=online.Callbacks(stop=lambda: 15))
    assert (tmp_path / "checkpoints" / "step-000001" / "manifest.json").is_file()


def answer(*ids) -> Generated:
    return Generated(ids, (0.0,) * len(ids), True)


def test_distinct():
    """a, a, b, c to one prompt, a, a, a, a to another: (3/4 + 1/4) / 2."""
    a, b, c = answer(1), answer(1, 2), answer(3)
    made = rollouts.Rollout([], [[a, a, b, c], [a] * 4], [], *[None] * 7, 0)  # type: ignore[list-item,arg-type]
    assert distinct(made) == 0.5


def test_explained_variance():
    """Returns 1, 2, 3 with variance 2/3. Said 1, 2, 3: 1. Said 2, 2, 2: 0. Said 3, 2, 1: errors -2, 0, 2 with variance
    8/3: 1 - 4 = -3. Returns that do not differ: 0."""
    returns = torch.tensor([1.0, 2.0, 3.0])
    assert explained_variance(returns, returns) == pytest.approx(1)
    assert explained_variance(torch.full((3,), 2.0), returns) == pytest.approx(0)
    assert explained_variance(returns.flip(0), returns) == pytest.approx(-3)
    assert explained_variance(returns, torch.ones(3)) == 0
