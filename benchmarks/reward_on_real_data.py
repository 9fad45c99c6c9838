"""A reward model on real preferences: does it learn, and does it beat the rule that the longer answer wins?

    python benchmarks/reward_on_real_data.py [--threads 1]     # some minutes; writes results/reward_on_real_data.json

The model is stories260k, a Llama of 260 thousand parameters that has read children's stories; every weight is trained.
It is small enough for a CPU and knows nothing of the questions, so the figures say that the machinery learns from real
data, and what a model of this size can get from it; they say nothing of larger ones. Settings were fixed before the
first run: they are in SETTINGS, and no other was tried on the held-out parts.

Held-out questions are never among the trained ones. Intervals are the run's own (docs/methods/reward.md): by question
where one has several pairs.
"""

import argparse
import datetime
import json
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch

from machine import describe
from pairwright import TrainConfig, train
from pairwright.recipes.display import Display

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
OUT = Path(__file__).parent / "results" / "reward_on_real_data.json"
DATA = ("qa-feedback", "hh-rlhf harmless")
SETTINGS = {"tuning": "full", "learning_rate": 1e-3, "epochs": 2.0, "pairs_per_step": 16, "eval_fraction": 0.25}


def data_of(name: str, folder: str) -> str:
    """The file to train on. QA-Feedback without its passages: with them most rows have more than the model's 512
    tokens. Its rows stay rankings of four answers with up to six comparisons."""
    if name == "hh-rlhf harmless":
        return str(SHARED / "hh-rlhf-harmless" / "pairs.jsonl.gz")
    rows = json.loads((SHARED / "qa-feedback-prefs" / "dev_feedback.json").read_text(encoding="utf-8"))
    out = Path(folder) / "qa-feedback.jsonl"
    out.write_text("".join(json.dumps(row | {"passages": []}) + "\n" for row in rows), encoding="utf-8")
    return str(out)


def run(name: str, seed: int) -> dict:
    """Train once; the evaluation with what it took."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            model=str(SHARED / "stories260k" / "hf"),
            data=data_of(name, folder),
            out=f"{folder}/run",
            method="reward",
            seed=seed,
            save_every=10**9,
            **SETTINGS,
        )
        result = train(config, Display(quiet=True))
        log = [json.loads(line) for line in (result.out / "metrics.jsonl").read_text().splitlines()]
        evaluation = json.loads((result.out / "evaluation.json").read_text())
        data = json.loads((result.out / "data.json").read_text())["data"]
    losses = [entry["loss"] for entry in log if "loss" in entry]
    part = max(1, len(losses) // 10)
    return {
        "seed": seed,
        "steps": result.steps,
        "seconds": round(time.perf_counter() - began, 1),
        "loss_first_tenth": sum(losses[:part]) / part,
        "loss_last_tenth": sum(losses[-part:]) / part,
        "held_out_loss": [entry["eval_loss"] for entry in log if "eval_loss" in entry],
        "read": {key: data["reading"][key] for key in ("read", "kept", "quarantined", "dropped")},
        "tokens": data["tokens"]["counts"],
        "evaluation": evaluation,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found = {}
    for name in DATA:
        found[name] = one = run(name, args.seed)
        e = one["evaluation"]
        figures = [
            f"{e[key]['mean']:.3f} ({e[key]['low']:.3f} to {e[key]['high']:.3f})"
            for key in ("accuracy", "longest_wins")
        ]
        print(f"{name}: {e['pairs']:,} held-out pairs, {one['steps']} steps in {one['seconds']:.0f} s")
        print(f"  training loss {one['loss_first_tenth']:.3f} -> {one['loss_last_tenth']:.3f}")
        print(f"  right {figures[0]}, longest wins {figures[1]}: it {e['verdict']}")
    result = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": describe(),
        "threads": args.threads,
        "versions": {name: version(name) for name in ("pairwright", "torch", "transformers")},
        "model": "stories260k",
        "settings": SETTINGS,
        "data": found,
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {args.out}")


if __name__ == "__main__":
    main()
