"""TRL's side of the GPU benchmark: DPOTrainer on the same model object and the same token ids.

Two things are replaced, neither of them timed: the ids are given instead of being tokenised from text, and so are the
reference log-probabilities, which Pairwright has computed for the same pairs.
"""

import statistics
import tempfile
import time

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import DPOConfig, DPOTrainer

from gpu_models import Adapters, lora, tokenizer
from gpu_ours import LEARNING_RATE
from gpu_work import clear, ids_of, peaks_gb, synchronise
from pairwright.tokens.sequences import Example


class Tokenised(DPOTrainer):
    """DPOTrainer on rows that are token ids already."""

    def _prepare_dataset(self, dataset, *args, **kwargs):
        return dataset


class Clock(TrainerCallback):
    """Seconds of each step after the first, with the device idle at both ends."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.moments: list[float] = []

    def on_step_end(self, args, state, control, **kwargs) -> None:
        synchronise(self.device)
        self.moments.append(time.perf_counter())

    def seconds(self) -> list[float]:
        return [b - a for a, b in zip(self.moments, self.moments[1:])]


def rows(examples: list[Example], references: list[float], repeats: int) -> Dataset:
    """The examples, once for each step. references: (chosen, rejected, chosen, rejected ...) log-probabilities."""
    ids = [ids_of(example) for example in examples] * (repeats + 1)
    return Dataset.from_dict(
        {
            "prompt_ids": [prompt for prompt, _, _ in ids],
            "chosen_ids": [chosen for _, chosen, _ in ids],
            "rejected_ids": [rejected for _, _, rejected in ids],
            "ref_chosen_logps": references[0::2] * (repeats + 1),
            "ref_rejected_logps": references[1::2] * (repeats + 1),
        }
    )


def config(folder: str, device: torch.device, batch_size: int, accumulate: int, settings: dict) -> DPOConfig:
    values = {
        "output_dir": folder,
        "per_device_train_batch_size": batch_size,
        "gradient_accumulation_steps": accumulate,
        "num_train_epochs": 1,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        "optim": "adamw_torch_fused",
        "max_length": None,
        "train_sampling_strategy": "sequential",
        "gradient_checkpointing": False,
        "bf16": device.type == "cuda",
        "use_cpu": device.type == "cpu",
        "dataloader_pin_memory": False,
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
        "seed": 0,
    }
    return DPOConfig(**(values | settings))


def measure(
    base,
    device: torch.device,
    examples: list[Example],
    references: list[float],
    *,
    batch_size: int,
    settings: dict,
    repeats: int,
) -> dict:
    """Median seconds of a step over `examples` with `batch_size` pairs in a forward pass; memory. `settings` are more
    fields of DPOConfig. Leaves `base` as it was, except for kernels that `settings` puts into it."""
    clock = Clock(device)
    own_forward = "forward" in base.__dict__
    clear(device)
    with tempfile.TemporaryDirectory() as folder:
        trainer = None
        try:
            trainer = Tokenised(
                model=base,
                args=config(folder, device, batch_size, len(examples) // batch_size, settings),
                train_dataset=rows(examples, references, repeats),
                processing_class=tokenizer(),
                peft_config=lora(Adapters()),
                callbacks=[clock],
            )
            # Only now, since otherwise the constructor hashes all weights to look for kept reference values.
            trainer.precompute_ref_logps = True
            trainer.remove_callback(PrinterCallback)
            trainer.train()
            found = peaks_gb(device)
            losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        finally:
            if trainer is not None:
                trainer.model.unload()
                trainer.model = trainer.model_wrapped = None
            if not own_forward:
                base.__dict__.pop("forward", None)
    seconds = clock.seconds()
    middle = statistics.median(seconds)
    prompt, chosen, rejected = ids_of(examples[0])
    return {
        "seconds": middle,
        "spread": (max(seconds) - min(seconds)) / middle,
        "tokens": 2 * len(examples) * (len(prompt) + max(len(chosen), len(rejected))),
        "batch_size": batch_size,
        "settings": settings,
        "losses": losses,
        **found,
    }
