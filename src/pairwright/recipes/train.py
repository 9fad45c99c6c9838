"""`pairwright train`: from a file of examples to an aligned model in a run folder. The wiring, and nothing else."""

import dataclasses
import hashlib
import json
import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from pairwright import __version__
from pairwright.backbone import heads, reward_files
from pairwright.backbone import load as loading
from pairwright.backbone.load import Backbone, LoraSettings
from pairwright.backbone.policy import compare_paths
from pairwright.backbone.reference import Cache, default_path, reference_sums
from pairwright.backbone.reference_live import cached_references, live_references
from pairwright.errors import CheckpointError, ConfigError, DataError, MissingExtraError
from pairwright.planning import memory
from pairwright.recipes import methods
from pairwright.recipes.balance import balanced
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.data import Data, read_files, tokenise
from pairwright.recipes.display import Display, counter
from pairwright.recipes.reward_evaluation import evaluate
from pairwright.recipes.samples import Sampler
from pairwright.recipes.signals import stop_on_signals
from pairwright.tokens import trie
from pairwright.tokens.batches import micro_batches, step_indices, steps_per_epoch
from pairwright.tokens.chat import end_ids
from pairwright.tokens.sequences import Example
from pairwright.training import checkpoints, offline
from pairwright.training.files import (
    exists,
    make_folder,
    remove_tree,
    rename,
    storage_error,
    sync_file,
    sync_folder,
    write_json_atomic,
)
from pairwright.training.forwards import Objective, References, passes

FREE_TO_CHANGE = {"out", "resume", "keep_checkpoints", "tracker", "save_every", "data", "eval_data", "model"}
"""Settings that a resumed run may change: they do not touch the result, or are compared by content instead."""


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
    out = Path(config.out)
    accelerator = Accelerator(log_with=None if config.tracker == "none" else config.tracker, project_dir=out)
    display = display or Display(quiet=not accelerator.is_main_process)
    objective = make_objective(config)
    config = dataclasses.replace(config, options=dataclasses.asdict(objective.options))  # every one, to be recorded
    _check(config)
    _enter(out, config)
    accelerator.wait_for_everyone()  # all have looked before the first of them writes
    reports = read_files(config, objective, out, display, first=accelerator.is_main_process)

    load = reward_files.load if objective.scored else loading.load
    backbone = load(
        config.model,
        tuning=config.tuning,
        lora=LoraSettings(config.lora_r, config.lora_alpha, config.lora_dropout, config.lora_targets),
        precision=config.precision,
        attention=config.attention,
        device=accelerator.device,
        trust_remote_code=config.trust_remote_code,
        seed=config.seed,
    )
    data = tokenise(config, objective, reports, backbone, out, display, first=accelerator.is_main_process)
    objective = balanced(objective, data.train, config.pairs_per_step, display.say)
    if not data.train:
        raise DataError(f"nothing is left to train on: --eval-fraction {config.eval_fraction} holds out all examples")
    _check_length(config, backbone)
    steps = config.steps or math.ceil(config.epochs * steps_per_epoch(len(data.train), config.pairs_per_step))
    for line in backbone.notes:
        display.say(line)
    checkpoint = _checkpoint(config, out, display)
    saved = _saved_config(out) if checkpoint else None
    choice = _plan(config, objective, backbone, data, saved["chosen"] if saved else None)
    choice = _agree(choice, accelerator)
    loading.set_gradient_checkpointing(backbone, choice.checkpointing)
    settings = _settings(config, objective, steps, choice)
    fingerprint = _fingerprint(config, backbone, data, steps, accelerator.num_processes)
    display.say(choice.line)
    epochs = steps / steps_per_epoch(len(data.train), config.pairs_per_step)
    display.say(
        f"plan: {steps} steps of {config.pairs_per_step}, {epochs:.2f} "
        f"epochs over {len(data.train):,} examples, {len(data.held_out):,} held out; "
        f"learning rate {settings.learning_rate:g}, {config.schedule}"
    )
    if checkpoint and saved:
        # Before anything is written: a refused run leaves the old one as it was.
        offline.compare_fingerprints(saved["fingerprint"], fingerprint, checkpoint)
    if accelerator.is_main_process:
        _write_config(config, objective, fingerprint, settings, choice.checkpointing, out)

    references = _references(config, objective, backbone, data, steps, choice.tokens_per_batch, display, accelerator)
    _compare(backbone, objective, data.train[: min(4, config.pairs_per_step)], display)
    sampler = Sampler(backbone, [] if objective.scored else data.prompts, config, display)
    if config.tracker != "none":
        _start_tracker(accelerator, config)
    with stop_on_signals() as stop, display.progress("training", steps) as advance:

        def logged(step: int, entry: dict[str, float]) -> None:
            advance(step, entry)
            if config.tracker != "none":
                accelerator.log({k: v for k, v in entry.items() if k != "step"}, step=step)

        metrics = offline.run(
            backbone,
            objective,
            data.train,
            data.held_out,
            references,
            settings,
            out,
            fingerprint,
            checkpoint=checkpoint,
            world=_world(accelerator),
            callbacks=offline.Callbacks(logged, sampler.sample, stop),
        )
    if accelerator.is_main_process:
        _save(backbone, objective, config.chat_template, out / "model", display)
        if objective.scored and data.held_out:
            evaluate(backbone, data.held_out, choice.tokens_per_batch, config.seed, out, display)
    if config.tracker != "none":
        accelerator.end_training()
    display.outcome(metrics, out)
    return TrainResult(out, out / "model", steps, metrics)


def make_objective(config: TrainConfig) -> Objective:
    """The objective that `config.method` names, with its options. Raises ConfigError."""
    name = config.method.replace("-", "_")
    if name not in methods.names():
        raise ConfigError(f"there is no method {config.method!r}; there are {', '.join(methods.names())}")
    module = methods.module(name)
    try:
        options = module.Options(**config.options)
    except (TypeError, ValueError) as error:
        fields = [f.name for f in dataclasses.fields(module.Options)]
        raise ConfigError(f"options of {name}: {error}. Its options are: {', '.join(fields) or 'none'}") from error
    if hasattr(module, "filled"):
        options = module.filled(options)
    if config.nll_weight and module.INPUT != "pairs":
        why = "is that likelihood" if module.INPUT == "answers" else "has no pairs"
        raise ConfigError(f"--nll-weight adds the chosen answer's likelihood to a preference loss; {name} {why}")
    return Objective(module, options, config.nll_weight)


def _check(config: TrainConfig) -> None:
    """Settings that cannot be meant."""
    counts = ("pairs_per_step", "steps", "save_every", "eval_every", "keep_checkpoints", "tokens_per_batch")
    for name in (*counts, "epochs", "learning_rate", "max_length", "lora_r", "lora_alpha"):
        value = getattr(config, name)
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}; it must be above 0 and finite")
    for name in ("seed", "nll_weight", "weight_decay", "max_grad_norm", "sample_prompts", "sample_tokens"):
        value = getattr(config, name)
        if not 0 <= value < math.inf:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}; it must be 0 or more, and finite")
    for name in ("eval_fraction", "warmup", "lora_dropout"):
        value = getattr(config, name)
        if not 0 <= value < 1:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}; it must lie in [0, 1)")


def _check_length(config: TrainConfig, backbone: Backbone) -> None:
    positions = getattr(backbone.base.config.get_text_config(), "max_position_embeddings", None)
    if config.max_length and positions and config.max_length > positions:
        raise ConfigError(f"--max-length is {config.max_length}; the model has {positions} positions")


def _enter(out: Path, config: TrainConfig) -> None:
    """Make the run's folder, or refuse to write over a run."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; --out needs a folder")
    if not config.resume and (out / "config.json").exists():
        raise ConfigError(f"{out} holds a run already: add --resume to go on with it, or give another --out")
    try:
        make_folder(out)
    except OSError as error:
        raise storage_error(error, "making the run's folder", out) from error


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    import psutil

    return psutil.virtual_memory().available


def _saved_config(out: Path) -> dict[str, Any]:
    """config.json of the run that is resumed. `chosen` is what it decided from its free memory: with other
    micro-batches sums round differently. Raises CheckpointError where the file is not whole."""
    path = out / "config.json"
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        return {"chosen": saved["chosen"], "fingerprint": saved["fingerprint"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is missing or damaged ({type(error).__name__}: {error}): the run cannot be compared with the one "
            "that saved its checkpoints. Restore it, or train into a new folder"
        ) from error


def _agree(choice: memory.Choice, accelerator: Accelerator) -> memory.Choice:
    """The first process's choice, for all: each saw its own free memory."""
    if accelerator.num_processes == 1:
        return choice
    shared = [choice]
    broadcast_object_list(shared)
    return shared[0]


def _plan(
    config: TrainConfig, objective: Objective, backbone: Backbone, data: Data, before: dict[str, Any] | None
) -> memory.Choice:
    parameters = backbone.trainable()
    weights = sum(p.numel() * p.element_size() for p in backbone.model.parameters())
    trained = sum(p.numel() for p in parameters.values())
    width = next(iter(parameters.values())).element_size()
    sizes = sorted((trie.size([e], with_last=objective.scored) for e in data.train), reverse=True)
    return memory.choose(
        memory.Shape.from_config(backbone.base.config.get_text_config().to_dict()),
        memory.Fixed(weights, trained, width),
        _free_bytes(backbone.device),
        backbone.dtype.itemsize,
        longest=sizes[0],
        step_tokens=sum(sizes[: config.pairs_per_step]),
        on_gpu=backbone.device.type == "cuda",
        tokens_per_batch=before["tokens_per_batch"] if before else config.tokens_per_batch,
        checkpointing=before["gradient_checkpointing"] if before else config.gradient_checkpointing,
    )


def _settings(config: TrainConfig, objective: Objective, steps: int, choice: memory.Choice) -> offline.Settings:
    return offline.Settings(
        steps=steps,
        per_step=config.pairs_per_step,
        tokens_per_batch=choice.tokens_per_batch,
        learning_rate=config.learning_rate or objective.module.LEARNING_RATE[config.tuning],
        schedule=config.schedule,
        warmup=config.warmup,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        seed=config.seed,
        save_every=config.save_every,
        keep=config.keep_checkpoints,
        eval_every=config.eval_every or max(1, math.ceil(steps / 10)),
    )


def _fingerprint(config: TrainConfig, backbone: Backbone, data: Data, steps: int, processes: int) -> dict[str, Any]:
    """What a resumed run must share with the run that it goes on with."""
    settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in FREE_TO_CHANGE}
    digest = hashlib.sha256()
    for example in (*data.train, *data.held_out):
        known = (example.weight, example.label, example.scores, example.counts_as, *map(tuple, example.pairs))
        digest.update(repr(known).encode())
        for s in example.sequences:
            digest.update(s.ids.tobytes() + s.supervised.tobytes())
            digest.update(b"" if s.weights is None else s.weights.tobytes())
    return {
        **settings,
        "steps": steps,
        "tokens_per_batch": config.tokens_per_batch,
        "model (weights)": backbone.digest,
        "data (tokens)": digest.hexdigest(),
        "device, precision, attention": f"{backbone.device.type}, {backbone.dtype}, {backbone.backend}",
        "processes": processes,
        "examples": [len(data.train), len(data.held_out)],
    }


def _write_config(
    config: TrainConfig,
    objective: Objective,
    fingerprint: dict,
    settings: offline.Settings,
    checkpointing: bool,
    out: Path,
) -> None:
    import peft
    import transformers

    versions = {
        "pairwright": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
    }
    chosen = {
        **dataclasses.asdict(settings),
        "options": dataclasses.asdict(objective.options),
        "gradient_checkpointing": "on" if checkpointing else "off",
    }
    write_json_atomic(
        out / "config.json",
        {"config": dataclasses.asdict(config), "chosen": chosen, "fingerprint": fingerprint, "versions": versions},
    )


def _references(
    config: TrainConfig,
    objective: Objective,
    backbone: Backbone,
    data: Data,
    steps: int,
    tokens_per_batch: int,
    display: Display,
    accelerator: Accelerator,
) -> References | None:
    if not objective.module.REFERENCE:
        return None
    if config.reference == "live":
        display.say("reference: computed in every step")
        return live_references(backbone)
    # Later epochs see the same examples again.
    first = range(min(steps, steps_per_epoch(len(data.train), config.pairs_per_step)))
    labels = objective.labels(data.train)
    indices = [step_indices(n, len(data.train), config.pairs_per_step, config.seed, labels) for n in first]
    groups = [*([data.train[i] for i in step] for step in indices), data.held_out]
    worlds = [offline.World(rank, accelerator.num_processes) for rank in range(accelerator.num_processes)]
    parts = [part for group in groups for world in worlds for part in passes(objective, world.share(group))]
    batches = [batch for part in parts for batch in micro_batches(part, tokens_per_batch)]
    total = sum(map(len, batches))
    cache = Cache(default_path())
    try:
        with accelerator.main_process_first(), display.progress("reference", total) as advance:
            known, computed = reference_sums(backbone, batches, tokens_per_batch, cache, counter(advance))
    finally:
        cache.close()
    display.say(f"reference: {computed:,} examples computed, {total - computed:,} found in {cache.path}")
    return cached_references(backbone, known)


def _compare(backbone: Backbone, objective: Objective, examples: Sequence[Example], display: Display) -> None:
    built = trie.build(examples, with_last=objective.scored)
    if objective.scored:
        mean, largest = heads.compare_scores(backbone, built, heads.head_named(backbone))
    else:
        mean, largest = compare_paths(backbone, built)
    of = "an answer" if objective.scored else "a token"
    display.say(
        f"check: the fast path differs from the plain model by {mean:.1e} {of} "
        f"(largest {largest:.1e}) on the first {len(examples)} examples"
    )


def _checkpoint(config: TrainConfig, out: Path, display: Display) -> Path | None:
    if not config.resume:
        return None
    path, warnings = checkpoints.latest(out / "checkpoints")
    for line in warnings:
        display.say(f"warning: {line}")
    display.say(f"resuming from {path}" if path else "no checkpoint yet: starting from the beginning")
    return path


def _world(accelerator: Accelerator) -> offline.World:
    if accelerator.num_processes == 1:
        return offline.World()
    return offline.World(
        accelerator.process_index, accelerator.num_processes, lambda tensor: accelerator.reduce(tensor, "sum")
    )


def _start_tracker(accelerator: Accelerator, config: TrainConfig) -> None:
    if not accelerator.trackers and not accelerator.log_with:
        raise MissingExtraError(f"--tracker {config.tracker} needs its package: pip install 'pairwright[trackers]'")
    plain = {k: v for k, v in dataclasses.asdict(config).items() if isinstance(v, int | float | str | bool)}
    accelerator.init_trackers("pairwright", config=plain)


def _save(backbone: Backbone, objective: Objective, chat_template: str | None, folder: Path, display: Display) -> None:
    """Write the model beside its final place and put it there in one step: model/ is whole, or not there."""
    fresh, old = folder.with_name(".model.tmp"), folder.with_name(".model.old")
    try:
        for left in (fresh, old):
            if exists(left):
                remove_tree(left)
        fresh.mkdir()
        if objective.scored:
            for line in reward_files.save(backbone, fresh, end_ids(backbone.tokenizer, chat_template)):
                display.say(line)
        else:
            loading.save_model(backbone, fresh)
        for path in fresh.iterdir():
            sync_file(path)
        sync_folder(fresh)
        if exists(folder):  # of a run that was complete and is now trained further
            rename(folder, old)
        rename(fresh, folder)
        sync_folder(folder.parent)
        if exists(old):
            remove_tree(old)
    except OSError as error:
        raise storage_error(error, "saving the model", folder, more="The last checkpoint holds its weights.") from error
