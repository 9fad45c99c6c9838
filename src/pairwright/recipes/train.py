"""`pairwright train`: from a file of examples to an aligned model in a run folder. The wiring, and nothing else."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import torch

from pairwright.backbone import load as loading
from pairwright.backbone import reward_files
from pairwright.backbone.load import Backbone, LoraSettings
from pairwright.errors import DataError
from pairwright.planning.choose import Choice
from pairwright.recipes import memory_plan, run_folder
from pairwright.recipes.balance import balanced
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.data import Data, read_files, tokenise
from pairwright.recipes.display import Display
from pairwright.recipes.processes import accelerator_of, agree, start_tracker, tracked, world_of
from pairwright.recipes.references import compare_first_batch, make_references
from pairwright.recipes.reward_evaluation import evaluate
from pairwright.recipes.run import Run
from pairwright.recipes.samples import Sampler
from pairwright.recipes.settings import check, check_length, loop_settings, make_objective
from pairwright.recipes.signals import stop_on_signals
from pairwright.tokens.batches import steps_per_epoch
from pairwright.tokens.chat import end_ids
from pairwright.training import offline


@dataclass(frozen=True)
class TrainResult:
    out: Path
    """The run's folder."""
    model: Path
    """What transformers or peft load."""
    steps: int
    metrics: dict[str, float]
    """The last step's metrics and the last evaluation's (eval_...)."""


def train(config: TrainConfig, display: Display | None = None) -> TrainResult:
    """Train as `config` says, and leave a run folder (docs/run-folder.md).

    Raises the errors of pairwright.errors. With `config.resume` it goes on from the newest complete checkpoint, and
    ends with the bits of a run that was never interrupted (CPU, one process).
    """
    # Gradients of pairs that are learned already can get so small that the processor falls back to microcode for
    # them; a CPU matrix product was seen to take 200 times as long (docs/LOG.md).
    torch.set_flush_denormal(True)
    run = _prepare(config, display)
    references = make_references(run)
    compare_first_batch(run)
    sampler = Sampler(run.backbone, [] if run.objective.scored else run.data.prompts, config, run.display)
    start_tracker(run.accelerator, config)
    with stop_on_signals() as stop, run.display.progress("training", run.settings.steps) as advance:
        metrics = offline.run(
            run.backbone,
            run.objective,
            run.data.train,
            run.data.held_out,
            references,
            run.settings,
            run.out,
            run.fingerprint,
            checkpoint=run.checkpoint,
            world=run.world,
            callbacks=offline.Callbacks(tracked(run.accelerator, config, advance), sampler.sample, stop),
        )
    if run.accelerator.is_main_process:
        run_folder.save_model(run.out / "model", lambda folder: _write_model(run, folder))
        if run.objective.scored and run.data.held_out:
            evaluate(run)
    if config.tracker != "none":
        run.accelerator.end_training()
    run.display.outcome(
        metrics, run.out, len(run.data.held_out), shares=all(len(e.pairs) == 1 for e in run.data.held_out)
    )
    return TrainResult(run.out, run.out / "model", run.settings.steps, metrics)


def _prepare(config: TrainConfig, display: Display | None) -> Run:
    """Everything that comes before the first computation: settings, data, model, plan. Writes config.json at its end,
    so that a run that is refused leaves an old one as it was."""
    objective = make_objective(config)
    config = dataclasses.replace(config, options=dataclasses.asdict(objective.options))  # every one, to be recorded
    check(config)
    out = Path(config.out)
    accelerator = accelerator_of(config, out)
    display = display or Display(quiet=not accelerator.is_main_process)
    first = accelerator.is_main_process
    run_folder.enter(out, config)
    accelerator.wait_for_everyone()  # all have looked before the first of them writes
    loading.check(config.model)
    checkpoint = run_folder.find_checkpoint(config, out, display)
    resumed = checkpoint is not None
    reports = read_files(config, objective, out, display, writes=first and not resumed)
    backbone = _load(config, accelerator.device, scored=objective.scored)
    data = tokenise(config, objective, reports, backbone, out, display, writes=first and not resumed)
    objective = balanced(objective, data.train, config.pairs_per_step, display.say)
    if not data.train:
        raise DataError(f"nothing is left to train on: --eval-fraction {config.eval_fraction} holds out all examples")
    check_length(config, backbone)
    for line in backbone.notes:
        display.say(line)
    saved = run_folder.saved_config(out) if checkpoint else None
    choice = memory_plan.plan(config, objective, backbone, data, saved["chosen"] if saved else None)
    choice = agree(choice, accelerator)
    loading.set_gradient_checkpointing(backbone, choice.checkpointing)
    steps = config.steps or math.ceil(config.epochs * steps_per_epoch(len(data.train), config.pairs_per_step))
    settings = loop_settings(config, objective, steps, choice)
    _say_plan(config, settings, data, choice, display)
    fingerprint = run_folder.fingerprint_of(config, backbone, data, steps, accelerator.num_processes)
    if checkpoint and saved:
        offline.compare_fingerprints(saved["fingerprint"], fingerprint, checkpoint)
        run_folder.say_if_complete(checkpoint, steps, display)
    if first:
        run_folder.write_config(config, objective, fingerprint, settings, choice.checkpointing, out)
    world = world_of(accelerator)
    return Run(config, objective, backbone, data, settings, fingerprint, checkpoint, out, accelerator, world, display)


def _load(config: TrainConfig, device: torch.device, *, scored: bool) -> Backbone:
    load = reward_files.load if scored else loading.load
    return load(
        config.model,
        tuning=config.tuning,
        lora=LoraSettings(config.lora_r, config.lora_alpha, config.lora_dropout, config.lora_targets),
        precision=config.precision,
        attention=config.attention,
        device=device,
        trust_remote_code=config.trust_remote_code,
        seed=config.seed,
    )


def _write_model(run: Run, folder: Path) -> None:
    if not run.objective.scored:
        return loading.save_model(run.backbone, folder)
    for line in reward_files.save(run.backbone, folder, end_ids(run.backbone.tokenizer, run.config.chat_template)):
        run.display.say(line)


def _say_plan(config: TrainConfig, settings: offline.Settings, data: Data, choice: Choice, display: Display) -> None:
    epochs = settings.steps / steps_per_epoch(len(data.train), settings.per_step)
    display.say(choice.line)
    display.say(
        f"plan: {settings.steps} steps of {settings.per_step}, {epochs:.2f} "
        f"epochs over {len(data.train):,} examples, {len(data.held_out):,} held out; "
        f"learning rate {settings.learning_rate:g}, {config.schedule}"
    )
