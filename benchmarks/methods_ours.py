"""Pairwright's half of methods_vs_trl.py: one process trains every case, by the trie path and by plain rows.

    --prepare   trains nothing and writes what TRL needs to do the same work: each case's rows in Pairwright's order,
                and for kto the mismatched answers that its reference point is measured on

Timed is training, from the start of the loop to the end of the last optimiser step. Tokens are positions given to the
model's forward in that time, kto's mismatched answers included; plain rows are padded as the path pads them.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from methods_cases import Case, chosen_cases, read_rows, write_rows
from pairwright.backbone import load as loading
from pairwright.backbone import reward_files
from pairwright.recipes.balance import balanced
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.data import read_files, tokenise
from pairwright.recipes.display import Advance, Display
from pairwright.recipes.train import make_objective, train
from pairwright.tokens.batches import step_indices, steps_per_epoch
from pairwright_dpo import Clock, config
from token_counter import TokenCounter
from token_counts import row_tokens
from workload import Settings

PATHS = {"trie": "auto", "rows": "rows"}
"""Path -> --attention."""
REWARD_MODEL = "reward-model"


class CountingClock(Clock):
    """Counts tokens as well, from when the loop begins."""

    def __init__(self) -> None:
        super().__init__()
        self.counter: TokenCounter | None = None

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Advance]:
        if what == "training" and self.counter:
            self.counter.tokens = 0
        with super().progress(what, total) as advance:
            yield advance


def case_config(folder: Path, case: Case, settings: Settings, out: str, attention: str = "auto") -> TrainConfig:
    options: dict[str, Any] = {"beta": settings.beta} if case.method in ("dpo", "kto") else {}
    if case.method == "kto":
        options |= {"desirable_weight": 1.0, "undesirable_weight": 1.0}
    told = config(folder, settings, out)
    if case.method == "reward":
        told.model = str(folder / REWARD_MODEL)
    told.data = str(folder / f"rows-{case.data}.jsonl")
    told.method, told.options, told.attention = case.method, options, attention  # type: ignore[assignment]
    told.pairs_per_step = case.per_step
    return told


def run(folder: Path, case: Case, settings: Settings, path: str) -> dict:
    clock = CountingClock()
    load = loading.load

    def counted(*args: Any, **kwargs: Any) -> loading.Backbone:
        backbone = load(*args, **kwargs)
        clock.counter = TokenCounter(backbone.base.get_decoder())
        return backbone

    with tempfile.TemporaryDirectory() as scratch:
        os.environ["PAIRWRIGHT_CACHE"] = f"{scratch}/cache"
        loading.load = counted
        try:
            train(case_config(folder, case, settings, f"{scratch}/run", PATHS[path]), clock)
        finally:
            loading.load = load
        lines = (Path(scratch) / "run" / "metrics.jsonl").read_text().splitlines()
    losses = [entry["loss"] for entry in map(json.loads, lines) if "loss" in entry]
    assert clock.counter is not None
    return {"train_seconds": clock.steps[-1] - clock.begin, "tokens": clock.counter.tokens, "losses": losses}


def save_reward_model(folder: Path, settings: Settings) -> None:
    """The reward model that both sides begin with: the model and a head of the seed."""
    backbone = reward_files.load(
        str(folder / "model"),
        seed=settings.seed,
        tuning="full",
        lora=loading.LoraSettings(1, 1),
        precision=settings.precision,
        device=torch.device("cpu"),
    )
    out = folder / REWARD_MODEL
    out.mkdir()
    reward_files.save(backbone, out, [backbone.tokenizer.eos_token_id])


def prepare(folder: Path, case: Case, settings: Settings) -> dict[str, int]:
    """Write the case's rows in Pairwright's order, where TRL takes part; count what its pairs would be in rows of their
    own, unpadded."""
    if case.method == "reward":
        save_reward_model(folder, settings)
    rows = read_rows(folder / f"rows-{case.data}.jsonl")
    quiet = Display(quiet=True)
    with tempfile.TemporaryDirectory() as scratch:
        told = case_config(folder, case, settings, scratch)
        objective = make_objective(told)
        backbone = loading.load(
            told.model,
            tuning="full",
            lora=loading.LoraSettings(1, 1),
            precision=settings.precision,
            device=torch.device("cpu"),
        )
        reports = read_files(told, objective, Path(scratch), quiet, first=False)
        data = tokenise(told, objective, reports, backbone, Path(scratch), quiet, first=False)
    counted = {"pair_rows": row_tokens(data.train)} if len(data.train[0].sequences) > 1 else {}
    if not case.trainer:
        return counted
    if len(data.train) != len(rows):
        raise ValueError(f"{case.name}: Pairwright keeps {len(data.train)} of {len(rows)} rows; all are needed")
    labels = balanced(objective, data.train, case.per_step, quiet.say).labels(data.train)
    order = [
        int(i)
        for n in range(steps_per_epoch(len(rows), case.per_step))
        for i in step_indices(n, len(rows), case.per_step, settings.seed, labels)
    ]
    for i in order:
        if data.train[i].mismatched is not None:
            rows[i]["mismatched"] = answer_ids(data.train[i].mismatched)
    write_rows(case.ordered(folder), [rows[i] for i in order])
    return counted


def answer_ids(sequence: Any) -> list[int]:
    return sequence.ids[int(sequence.supervised.argmax()) :].tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--settings", required=True, help="the fields of workload.Settings, as JSON")
    parser.add_argument("--cases", required=True)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    settings, cases = Settings(**json.loads(args.settings)), chosen_cases(args.cases, args.rows)
    result: dict[str, Any] = {"threads": torch.get_num_threads()}
    if args.prepare:
        result["counted"] = {case.name: prepare(args.folder, case, settings) for case in cases}
    else:
        names = ("pairwright", "torch", "transformers", "peft", "accelerate")
        result["versions"] = {name: version(name) for name in names}
        result["cases"] = {c.name: {path: run(args.folder, c, settings, path) for path in c.paths} for c in cases}
    args.out.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
