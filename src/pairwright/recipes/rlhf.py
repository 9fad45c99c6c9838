"""`pairwright train ppo|rloo|grpo`: from prompts and a reward to an aligned model in a run folder. The wiring only."""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pairwright.backbone import load as loading
from pairwright.backbone import roles as role_files
from pairwright.backbone.load import Backbone, LoraSettings, folder_digest
from pairwright.backbone.policy import compare_paths
from pairwright.backbone.roles import Roles
from pairwright.errors import ModelError
from pairwright.feedback.generate import generate
from pairwright.feedback.sample import end_ids as model_ends
from pairwright.planning import memory
from pairwright.planning.choose import Choice, choose, without_estimate
from pairwright.recipes import inventory, memory_plan, run_folder
from pairwright.recipes.display import Display
from pairwright.recipes.rewards import Named, make_scorer, named
from pairwright.recipes.rlhf_config import RlhfConfig
from pairwright.recipes.rlhf_data import Prompts, read_prompts, tokenise_prompts
from pairwright.recipes.rlhf_settings import check, make_objective
from pairwright.recipes.signals import stop_on_signals
from pairwright.recipes.train import TrainResult
from pairwright.tokens import trie
from pairwright.tokens.batches import steps_per_epoch
from pairwright.tokens.chat import end_ids
from pairwright.tokens.sequences import Example, TokenSequence
from pairwright.training import online
from pairwright.training.files import write_json_atomic
from pairwright.training.forwards import Objective
from pairwright.training.rollouts import Answer, Prompt, Sampler
from pairwright.training.state import compare_fingerprints

FREE_TO_CHANGE = {
    "out", "resume", "keep_checkpoints", "save_every", "data", "eval_data", "model", "reward_seconds",
    "tokens_per_batch", "gradient_checkpointing",
}  # fmt: skip
"""Settings that a resumed run may change: they do not touch the result (beyond rounding: memory_plan.asked), or are
compared by content instead."""


def rlhf(config: RlhfConfig, display: Display | None = None) -> TrainResult:
    """Train as `config` says, and leave a run folder (docs/run-folder.md).

    Raises the errors of pairwright.errors. With `config.resume` it goes on from the newest complete checkpoint, and
    ends with the bits of a run that was never interrupted (CPU; the reward must be a function of its arguments).
    """
    torch.set_flush_denormal(True)
    display = display or Display()
    objective = make_objective(config)
    config = dataclasses.replace(config, options=dataclasses.asdict(objective.options))  # every one, to be recorded
    check(config)
    rewards = named(config)
    out = Path(config.out)
    run_folder.enter(out, config)
    loading.check(config.model)
    with ExitStack() as stack:
        return _run(config, objective, rewards, out, display, stack)


def _run(
    config: RlhfConfig, objective: Objective, rewards: Sequence[Named], out: Path, display: Display, stack: ExitStack
) -> TrainResult:
    reports = read_prompts(config, out, display)
    backbone = _load(config)
    prompts = tokenise_prompts(config, reports, backbone, out, display)
    lora = LoraSettings(config.lora_r, config.lora_alpha, 0.0, config.lora_targets)
    shared = [each.text for each in rewards if each.shared]
    roles = role_files.make(backbone, lora, value=objective.module.VALUE, rewards=shared)
    for line in (*backbone.notes, *_role_lines(roles, rewards)):
        display.say(line)
    checkpoint = run_folder.find_checkpoint(config, out, display)
    saved = run_folder.saved_config(out) if checkpoint else None
    before = saved["chosen"] if saved else None
    choice = memory_plan.said(_plan(config, roles, prompts, before), before)
    loading.set_gradient_checkpointing(backbone, choice.checkpointing)
    if roles.frozen is not backbone:
        loading.set_gradient_checkpointing(roles.frozen, choice.checkpointing)
    steps = config.steps or math.ceil(config.epochs * steps_per_epoch(len(prompts.train), config.prompts_per_step))
    settings = _settings(config, objective, steps, choice.tokens_per_batch)
    display.say(choice.line)
    display.say(
        f"plan: {steps} steps of {config.prompts_per_step} prompts with {config.samples_per_prompt} answers each, "
        f"{objective.options.update_epochs} passes over them; {len(prompts.train):,} prompts, "
        f"{len(prompts.held_out):,} held out; learning rate {settings.learning_rate:g}, {config.schedule}"
    )
    scorer = make_scorer(config, rewards, roles, choice.tokens_per_batch, stack)
    fingerprint = _fingerprint(config, backbone, prompts, rewards, steps)
    if checkpoint and saved:
        compare_fingerprints(saved["fingerprint"], fingerprint, checkpoint)
        run_folder.say_if_complete(checkpoint, steps, display)
    chosen = {**dataclasses.asdict(settings), "options": dataclasses.asdict(objective.options)}
    chosen["gradient_checkpointing"] = "on" if choice.checkpointing else "off"
    whole = {"config": dataclasses.asdict(config), "chosen": chosen, "fingerprint": fingerprint}
    write_json_atomic(out / run_folder.CONFIG, {**whole, "versions": run_folder.versions()})
    _compare(roles, prompts.train, display)
    with stop_on_signals() as stop, display.progress("training", steps) as advance:

        def logged(step: int, entry: dict[str, float]) -> None:
            advance(step, entry)
            if entry.get("ratio_first", 0.0) > RATIO:
                display.say(
                    f"warning: step {step}: the first update found a probability ratio {entry['ratio_first']:.1e} away "
                    "from 1; sampler's pass and update should compute the same"
                )

        metrics = online.run(
            roles,
            objective,
            prompts.train,
            prompts.held_out,
            make_sampler(config, roles),
            scorer,
            settings,
            out,
            fingerprint,
            shown=config.sample_prompts,
            checkpoint=checkpoint,
            callbacks=online.Callbacks(
                logged, lambda step, phase: advance(step - 1, {}, phase), _describer(roles), stop
            ),
        )
    run_folder.save_model(out / "model", lambda folder: loading.save_model(backbone, folder))
    display.outcome(metrics, out)
    return TrainResult(out, out / "model", steps, metrics)


RATIO = 1e-3
"""Deviation of the first probability ratio from 1 that is said; it is exactly 0 on CPU."""


def make_sampler(config: RlhfConfig, roles: Roles) -> Sampler:
    """Answers of the policy as it is when the function is called."""
    backbone = roles.policy
    ends = sorted({*end_ids(backbone.tokenizer, config.chat_template), *model_ends(backbone.base, backbone.tokenizer)})

    def sampler(prompts: Sequence[Prompt], samples: int, seed: int) -> Sequence[Sequence[Answer]]:
        return generate(
            backbone,
            [prompt.ids for prompt in prompts],
            end_ids=ends,
            per_prompt=samples,
            temperature=config.temperature,
            max_new_tokens=config.max_new_tokens,
            seed=seed,
            rows=config.sample_rows,
        )

    return sampler


def _load(config: RlhfConfig) -> Backbone:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return loading.load(
        config.model,
        tuning=config.tuning,
        lora=LoraSettings(config.lora_r, config.lora_alpha, 0.0, config.lora_targets),
        precision=config.precision,
        attention=config.attention,
        device=device,
        trust_remote_code=config.trust_remote_code,
        seed=config.seed,
    )


def _role_lines(roles: Roles, rewards: Sequence[Named]) -> list[str]:
    """What each role is, for the log."""
    on = "the same base" if roles.frozen is roles.policy else "one frozen copy of the base"
    start = "the adapter as it was" if roles.reference_adapter else "the base"
    lines = [f"roles: the reference is {start}, on {on}"]
    if roles.value_head is not None:
        like = "started as the reward model's" if roles.reward_heads else "new"
        lines.append(f"roles: the value role is an adapter with a head, {like}, on {on}")
    for each in rewards:
        what = "a Python function" if each.function else f"an adapter on {on}" if each.shared else "a model of its own"
        lines.append(f"reward: {each.name}, {what}, weight {each.weight:g}")
    return lines


def _plan(config: RlhfConfig, roles: Roles, prompts: Prompts, before: dict[str, Any] | None) -> Choice:
    """Token budget and gradient checkpointing, for the longest prompt with answers of full length."""
    backbone, new = roles.policy, config.max_new_tokens
    longest = max(prompts.train, key=lambda prompt: len(prompt.ids))
    ids = [np.array([*longest.ids, *[answer] * new], dtype=np.int64) for answer in range(config.samples_per_prompt)]
    group = trie.build(
        [Example(tuple(TokenSequence(s, np.arange(len(s)) >= len(longest.ids)) for s in ids), longest.source)]
    )
    tokens_per_batch, checkpointing = memory_plan.asked(config, before)
    least = len(longest.ids) + new
    try:
        model = inventory.of_loaded(backbone.base)
    except ModelError as reason:
        return without_estimate(
            str(reason), longest=least, tokens_per_batch=tokens_per_batch, checkpointing=checkpointing
        )
    beside = memory.Roles(roles.value_head is not None, len(roles.reward_heads), config.sample_rows, least)
    held = {p.data_ptr(): p for b in (backbone, roles.frozen) for p in b.model.parameters()}
    return choose(
        memory_plan.need(backbone, model, group, "live", beside),
        sum(p.numel() * p.element_size() for p in held.values()),
        memory_plan.free_bytes(backbone.device),
        longest=least,
        step_tokens=config.prompts_per_step * len(group),
        on_gpu=backbone.device.type == "cuda",
        tokens_per_batch=tokens_per_batch,
        checkpointing=checkpointing,
    )


def _settings(config: RlhfConfig, objective: Objective, steps: int, tokens_per_batch: int) -> online.Settings:
    return online.Settings(
        steps=steps,
        per_step=config.prompts_per_step,
        samples=config.samples_per_prompt,
        temperature=config.temperature,
        tokens_per_batch=tokens_per_batch,
        learning_rate=config.learning_rate or objective.module.LEARNING_RATE[config.tuning],
        value_learning_rate=getattr(objective.options, "value_learning_rate", 0.0),
        schedule=config.schedule,
        warmup=config.warmup,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        seed=config.seed,
        save_every=config.save_every,
        keep=config.keep_checkpoints,
        eval_every=config.eval_every or max(1, math.ceil(steps / 10)),
        sampler_tolerance=config.sampler_tolerance,
    )


def _fingerprint(
    config: RlhfConfig, backbone: Backbone, prompts: Prompts, rewards: Sequence[Named], steps: int
) -> dict[str, Any]:
    """What a resumed run must share with the run that it goes on with."""
    settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in FREE_TO_CHANGE}
    digest = hashlib.sha256()
    for prompt in (*prompts.train, *prompts.held_out):
        digest.update(f"{prompt.ids} {sorted(prompt.record.columns.items())!r}".encode())
    return {
        **settings,
        "steps": steps,
        "model (weights)": backbone.digest,
        "data (prompts)": digest.hexdigest(),
        "rewards": [_reward_digest(each) for each in rewards],
        "device, precision, attention": f"{backbone.device.type}, {backbone.dtype}, {backbone.backend}",
        "prompts": [len(prompts.train), len(prompts.held_out)],
    }


def _reward_digest(reward: Named) -> str:
    """What stands for a reward's content: a folder's files, a Python file's text; else its name."""
    place = Path(reward.text.rpartition(":")[0] if reward.function else reward.text)
    if place.is_dir():
        return folder_digest(place)
    return hashlib.sha256(place.read_bytes()).hexdigest() if place.is_file() else reward.text


def _compare(roles: Roles, prompts: Sequence[Prompt], display: Display) -> None:
    """The fast path against the plain model, on the first prompts as text to go on with."""
    first = [
        Example((TokenSequence(ids, np.arange(len(ids)) >= 1),), prompt.source)
        for prompt in prompts[:4]
        if len(ids := np.array(prompt.ids, dtype=np.int64)) > 1
    ]
    if first:
        mean, largest = compare_paths(roles.policy, trie.build(first))
        display.say(
            f"check: the fast path differs from the plain model by {mean:.1e} a token "
            f"(largest {largest:.1e}) on the first {len(first)} prompts"
        )


def _describer(roles: Roles) -> Callable[[Prompt, Answer], dict[str, Any]]:
    tokenizer = roles.policy.tokenizer

    def describe(prompt: Prompt, answer: Answer) -> dict[str, Any]:
        return {
            "prompt": tokenizer.decode(list(prompt.ids), skip_special_tokens=False),
            "completion": tokenizer.decode(list(answer.ids), skip_special_tokens=True),
            "ended": answer.ended,
        }

    return describe
