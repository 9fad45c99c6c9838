"""Several processes through Accelerate: their sums, what they have to agree on, and the trackers."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list

from pairwright.planning.choose import Choice
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.display import Advance
from pairwright.training.offline import World


def accelerator_of(config: TrainConfig, out: Path) -> Accelerator:
    """This process's place among all of the run.

    Processes wait for each other without an end in sight: the first one computes the reference for all, which may
    take longer than the ten minutes after which NCCL would give up. Apple's GPUs are left alone, and the CPU computes:
    they have no float64, in which log-probabilities are summed.
    """
    patient = InitProcessGroupKwargs(timeout=timedelta(days=30))
    tracker = None if config.tracker == "none" else config.tracker
    apple = torch.backends.mps.is_available()
    return Accelerator(cpu=apple, log_with=tracker, project_dir=out, kwargs_handlers=[patient])


def world_of(accelerator: Accelerator) -> World:
    if accelerator.num_processes == 1:
        return World()
    return World(accelerator.process_index, accelerator.num_processes, lambda tensor: accelerator.reduce(tensor, "sum"))


def agree(choice: Choice, accelerator: Accelerator) -> Choice:
    """The first process's choice, for all: each saw its own free memory."""
    if accelerator.num_processes == 1:
        return choice
    shared = [choice]
    broadcast_object_list(shared)
    return shared[0]


def start_tracker(accelerator: Accelerator, config: TrainConfig) -> None:
    if config.tracker != "none":
        plain = {k: v for k, v in dataclasses.asdict(config).items() if isinstance(v, int | float | str | bool)}
        accelerator.init_trackers("pairwright", config=plain)


def tracked(accelerator: Accelerator, config: TrainConfig, advance: Advance) -> Callable[[int, dict[str, float]], None]:
    """What the loop tells of each step, to the progress bar and to the tracker."""

    def logged(step: int, entry: dict[str, float]) -> None:
        advance(step, entry)
        if config.tracker != "none":
            accelerator.log({name: value for name, value in entry.items() if name != "step"}, step=step)

    return logged
