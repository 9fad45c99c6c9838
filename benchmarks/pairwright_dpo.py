"""Pairwright's half of the comparison: one process, one call of pairwright.train, one JSON file.

Run by dpo_vs_trl.py. The same moments as in trl_dpo.py are timed, by a display that looks at the clock:

    preparation   reading, tokenising, the reference log-probabilities, the check of the fast path
    train         from the start of the loop to the end of the last optimiser step
    total         from the model folder and the pairs file to that same moment (imports are left out)

With --prepare it trains nothing and writes what TRL needs to do the same work: the pairs in Pairwright's order
(ordered.jsonl), the ids it will see, and the adapter that Pairwright starts from.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch

from machine import peak_memory_mb
from pairwright.backbone import load as loading
from pairwright.reading import read
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.display import Advance, Display
from pairwright.recipes.train import train
from pairwright.records import Preference
from pairwright.tokens.batches import step_indices, steps_per_epoch
from pairwright.tokens.chat import encode
from workload import Settings, load_rows


class Clock(Display):
    """Says nothing; notes when the loop began and when each step ended."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.begin = 0.0
        self.cpu_begin = 0.0
        self.steps: list[float] = []
        self.cpu_end = 0.0

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Advance]:
        if what == "training":
            self.begin, self.cpu_begin = time.perf_counter(), time.process_time()
            yield self.step
        else:
            yield lambda done, metrics: None

    def step(self, done: int, metrics: dict[str, float]) -> None:
        self.steps.append(time.perf_counter())
        self.cpu_end = time.process_time()


def config(folder: Path, settings: Settings, out: str) -> TrainConfig:
    return TrainConfig(
        model=str(folder / "model"),
        data=str(folder / "pairs.jsonl"),
        out=out,
        method="dpo",
        options={"beta": settings.beta},
        eval_fraction=0.0,
        tuning=settings.tuning,
        lora_r=settings.lora_r,
        lora_alpha=settings.lora_alpha,
        precision=settings.precision,
        gradient_checkpointing="off",
        epochs=1.0,
        pairs_per_step=settings.pairs_per_step,
        learning_rate=settings.learning_rate,
        schedule="constant",
        warmup=0.0,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        seed=settings.seed,
        sample_prompts=0,
        save_every=10**9,
    )


def run(folder: Path, settings: Settings) -> dict:
    clock = Clock()
    with tempfile.TemporaryDirectory() as scratch:
        # An empty cache: the reference log-probabilities are computed in every run.
        os.environ["PAIRWRIGHT_CACHE"] = f"{scratch}/cache"
        start = time.perf_counter()
        train(config(folder, settings, f"{scratch}/run"), clock)
        lines = (Path(scratch) / "run" / "metrics.jsonl").read_text().splitlines()
    log = [entry for entry in map(json.loads, lines) if "loss" in entry]
    return {
        "preparation_seconds": clock.begin - start,
        "train_seconds": clock.steps[-1] - clock.begin,
        "train_cpu_seconds": clock.cpu_end - clock.cpu_begin,
        "total_seconds": clock.steps[-1] - start,
        "step_seconds": [end - begin for begin, end in zip([clock.begin, *clock.steps], clock.steps)],
        "losses": [entry["loss"] for entry in log],
        "grad_norms": [entry["grad_norm"] for entry in log],
        "tokens": sum(entry["tokens_computed"] for entry in log),
        "peak_memory_mb": peak_memory_mb(),
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("pairwright", "torch", "transformers", "peft", "accelerate")},
    }


def prepare(folder: Path, settings: Settings) -> dict:
    backbone = loading.load(
        str(folder / "model"),
        tuning=settings.tuning,
        lora=loading.LoraSettings(settings.lora_r, settings.lora_alpha),
        precision=settings.precision,
        device=torch.device("cpu"),
        seed=settings.seed,
    )
    if settings.tuning == "lora":
        backbone.model.save_pretrained(folder / "adapter")
    records = read(str(folder / "pairs.jsonl"), Preference).records
    encoded = encode(records, backbone.tokenizer, chat_template=None, max_length=2048)
    count = len(encoded.examples)
    rows = load_rows(folder)
    if count != len(rows):
        raise ValueError(f"Pairwright keeps {count} of {len(rows)} pairs; the benchmark needs all: {encoded.dropped}")
    steps = steps_per_epoch(count, settings.pairs_per_step)
    order = [int(i) for n in range(steps) for i in step_indices(n, count, settings.pairs_per_step, settings.seed)]
    with (folder / "ordered.jsonl").open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(rows[i], ensure_ascii=False) + "\n" for i in order)
    return {"order": order, "ids": [split_ids(encoded.examples[i]) for i in order]}


def split_ids(example) -> list[list[int]]:
    """[prompt, chosen, rejected] ids of a pair of one turn."""
    prompts, answers = [], []
    for sequence in example.sequences:
        first = int(sequence.supervised.argmax())
        prompts.append(sequence.ids[:first].tolist())
        answers.append(sequence.ids[first:].tolist())
    if prompts[0] != prompts[1]:
        raise ValueError(f"{example.source}: the two answers do not have the same prompt ids")
    return [prompts[0], *answers]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--settings", required=True, help="the fields of workload.Settings, as JSON")
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    settings = Settings(**json.loads(args.settings))
    result = prepare(args.folder, settings) if args.prepare else run(args.folder, settings)
    args.out.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
