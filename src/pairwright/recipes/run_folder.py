"""The folder of a run: entered, described by config.json, compared on resume, and given the trained model."""

import dataclasses
import hashlib
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pairwright import __version__
from pairwright.backbone.load import Backbone
from pairwright.errors import CheckpointError, ConfigError
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.data import Data
from pairwright.recipes.display import Display
from pairwright.recipes.rlhf_config import RlhfConfig
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
from pairwright.training.forwards import Objective

CONFIG = "config.json"
FREE_TO_CHANGE = {
    "out",
    "resume",
    "keep_checkpoints",
    "tracker",
    "save_every",
    "data",
    "eval_data",
    "model",
    "spike_limit",
    "tokens_per_batch",
    "gradient_checkpointing",
}
"""Settings that a resumed run may change: they do not touch the result (beyond rounding: memory_plan.asked), or are
compared by content instead."""


def enter(out: Path, config: TrainConfig | RlhfConfig) -> None:
    """Make the run's folder, or refuse to write over a run."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; --out needs a folder")
    if not config.resume and (out / CONFIG).exists():
        raise ConfigError(f"{out} holds a run already: add --resume to go on with it, or give another --out")
    try:
        make_folder(out)
    except OSError as error:
        raise storage_error(error, "making the run's folder", out) from error


def saved_config(out: Path) -> dict[str, Any]:
    """config.json of the run that is resumed. `chosen` is what it decided from its free memory: with other
    micro-batches sums round differently. Raises CheckpointError where the file is not whole."""
    path = out / CONFIG
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        return {"chosen": saved["chosen"], "fingerprint": saved["fingerprint"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is missing or damaged ({type(error).__name__}: {error}): the run cannot be compared with the one "
            "that saved its checkpoints. Restore it, or train into a new folder"
        ) from error


def find_checkpoint(config: TrainConfig | RlhfConfig, out: Path, display: Display) -> Path | None:
    if not config.resume:
        return None
    path, warnings = checkpoints.latest(out / "checkpoints")
    for line in warnings:
        display.say(f"warning: {line}")
    display.say(f"resuming from {path}" if path else "no checkpoint yet: starting from the beginning")
    return path


def say_if_complete(checkpoint: Path, steps: int, display: Display) -> None:
    """A resumed run that had ended already computes nothing; without a word that would look like a fault."""
    if checkpoints.step_of(checkpoint) >= steps:
        display.say(f"all {steps} steps were done already: nothing is left to train. The model is written once more.")


def fingerprint_of(config: TrainConfig, backbone: Backbone, data: Data, steps: int, processes: int) -> dict[str, Any]:
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
        "model (weights)": backbone.digest,
        "data (tokens)": digest.hexdigest(),
        "device, precision, attention": f"{backbone.device.type}, {backbone.dtype}, {backbone.backend}",
        "processes": processes,
        "examples": [len(data.train), len(data.held_out)],
    }


def versions() -> dict[str, str]:
    import peft
    import transformers

    return {
        "pairwright": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
    }


def write_config(
    config: TrainConfig,
    objective: Objective,
    fingerprint: dict,
    settings: offline.Settings,
    checkpointing: bool,
    out: Path,
) -> None:
    chosen = {
        **dataclasses.asdict(settings),
        "options": dataclasses.asdict(objective.options),
        "gradient_checkpointing": "on" if checkpointing else "off",
    }
    write_json_atomic(
        out / CONFIG,
        {"config": dataclasses.asdict(config), "chosen": chosen, "fingerprint": fingerprint, "versions": versions()},
    )


def save_model(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` put the model beside its final place and bring it there in one step: model/ is whole, or not
    there."""
    fresh, old = folder.with_name(".model.tmp"), folder.with_name(".model.old")
    try:
        for left in (fresh, old):
            if exists(left):
                remove_tree(left)
        fresh.mkdir()
        write(fresh)
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
