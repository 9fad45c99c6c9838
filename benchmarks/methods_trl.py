"""TRL's half of methods_vs_trl.py: one process trains every case that TRL has a trainer for.

Run with an interpreter that has trl. Timed is training, from on_train_begin to the end of the last optimiser step;
reference log-probabilities are computed beforehand. Tokens are all positions given to the model's forward in that time.
"""

import argparse
import json
import os
import tempfile
from dataclasses import replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import torch
from datasets import load_dataset
from transformers import AutoTokenizer
from trl import DPOTrainer

from methods_cases import Case, chosen_cases
from token_counter import TokenCounter
from trl_dpo import Clock, config
from workload import Settings


def make_trainer(folder: Path, case: Case, settings: Settings, rows, callbacks: list):
    """The trainer of a case: trl_kto.py and so on; DPO's settings are those of dpo_vs_trl.py."""
    if case.name != "dpo":
        return import_module(f"trl_{case.name}").trainer(folder, case, settings, rows, callbacks)
    return DPOTrainer(
        model=str(folder / "model"),
        args=config(folder, replace(settings, pairs_per_step=case.per_step), case.per_step, {}),
        train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(folder / "model"),
        callbacks=callbacks,
    )


def run(folder: Path, case: Case, settings: Settings) -> dict:
    clock = Clock()
    with tempfile.TemporaryDirectory() as cache:
        rows = load_dataset("json", data_files=str(case.ordered(folder)), split="train", cache_dir=cache)
        trainer = make_trainer(folder, case, settings, rows, [clock])
        counter = TokenCounter(trainer.model)
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {"train_seconds": clock.steps[-1] - clock.begin, "tokens": counter.tokens, "losses": losses}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--settings", required=True, help="the fields of workload.Settings, as JSON")
    parser.add_argument("--cases", required=True)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    os.environ["TQDM_DISABLE"] = "1"
    settings, cases = Settings(**json.loads(args.settings)), chosen_cases(args.cases, args.rows)
    names = ("trl", "torch", "transformers", "peft", "accelerate", "datasets")
    result = {
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in names},
        "cases": {case.name: run(args.folder, case, settings) for case in cases if case.trainer},
    }
    args.out.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
