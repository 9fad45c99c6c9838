"""TRL's half of the comparison: one process, one DPOTrainer run, one JSON file.

Run by dpo_vs_trl.py with an interpreter that has trl. Timed here:

    preparation   reading the pairs, tokenising, the reference log-probabilities (all in DPOTrainer's constructor)
    train         from on_train_begin to the end of the last optimiser step
    total         from the model folder and the pairs file to that same moment (imports are left out)

Tokens are counted by a hook on the model's forward: every position of the padded batch, since all are computed.
"""

import argparse
import json
import os
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch
from datasets import load_dataset
from peft import set_peft_model_state_dict
from peft.utils import load_peft_weights
from transformers import AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer

from machine import peak_memory_mb
from token_counter import TokenCounter
from workload import Settings, lora_config


class Clock(TrainerCallback):
    """Moments of the run, in seconds of one monotonic clock. A step ends after its optimiser step."""

    def __init__(self) -> None:
        self.begin = 0.0
        self.steps: list[float] = []

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        self.begin = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self.steps.append(time.perf_counter())


def common(folder: Path, settings: Settings, batch_size: int, per_step: int) -> dict:
    """What every trainer of TRL is told: nothing cut, nothing recomputed, only losses logged."""
    half = settings.precision == "bfloat16"
    return {
        "output_dir": str(folder / "trl"),
        "per_device_train_batch_size": batch_size,
        "gradient_accumulation_steps": per_step // batch_size,
        "num_train_epochs": 1,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "optim": "adamw_torch_fused",
        "max_length": None,
        "train_sampling_strategy": "sequential",
        "gradient_checkpointing": False,
        "bf16": False,
        "model_init_kwargs": {"dtype": "bfloat16" if half else "float32", "attn_implementation": "sdpa"},
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "logging_steps": 1,
        "logging_strategy": "steps",
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
        "seed": settings.seed,
    }


def config(folder: Path, settings: Settings, batch_size: int, extra: dict) -> DPOConfig:
    """TRL's settings for DPO: the reference log-probabilities beforehand."""
    values = common(folder, settings, batch_size, settings.pairs_per_step) | {
        "precompute_ref_log_probs": True,
        "precompute_ref_batch_size": batch_size,
        "beta": settings.beta,
    }
    return DPOConfig(**(values | extra))


def run(folder: Path, settings: Settings, batch_size: int, extra: dict, cache: str) -> dict:
    """One run in the model and pairs of `folder`. `cache` is an empty folder: TRL keeps reference log-probabilities
    there and would not compute them a second time."""
    start = time.perf_counter()
    pairs = load_dataset("json", data_files=str(folder / "ordered.jsonl"), split="train", cache_dir=cache)
    clock = Clock()
    trainer = DPOTrainer(
        model=str(folder / "model"),
        args=config(folder, settings, batch_size, extra),
        train_dataset=pairs,
        processing_class=AutoTokenizer.from_pretrained(folder / "model"),
        peft_config=lora_config(settings) if settings.tuning == "lora" else None,
        callbacks=[clock],
    )
    if settings.tuning == "lora":
        # Its B matrices are zero, so the reference log-probabilities above do not depend on it.
        loaded = set_peft_model_state_dict(trainer.model, load_peft_weights(str(folder / "adapter")))
        if loaded.unexpected_keys:
            raise ValueError(f"Pairwright's first adapter does not fit TRL's: {loaded.unexpected_keys[0]}")
    counter = TokenCounter(trainer.model)
    prepared, cpu = time.perf_counter(), time.process_time()
    trainer.train()
    cpu = time.process_time() - cpu
    steps = [end - begin for begin, end in zip([clock.begin, *clock.steps], clock.steps)]
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    return {
        "preparation_seconds": prepared - start,
        "train_seconds": clock.steps[-1] - clock.begin,
        "train_cpu_seconds": cpu,
        "total_seconds": clock.steps[-1] - start,
        "step_seconds": steps,
        "losses": [entry["loss"] for entry in log],
        "grad_norms": [entry["grad_norm"] for entry in log],
        "tokens": counter.tokens,
        "ids": [[row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]] for row in trainer.train_dataset],
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "trainable_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "peak_memory_mb": peak_memory_mb(),
        "threads": torch.get_num_threads(),
        "versions": {
            name: version(name) for name in ("trl", "torch", "transformers", "peft", "accelerate", "datasets")
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--settings", required=True, help="the fields of workload.Settings, as JSON")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--extra", default="{}", help="more fields of DPOConfig, as JSON")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    os.environ["TQDM_DISABLE"] = "1"
    with tempfile.TemporaryDirectory() as cache:
        result = run(args.folder, Settings(**json.loads(args.settings)), args.batch_size, json.loads(args.extra), cache)
    args.out.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
