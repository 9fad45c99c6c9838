"""PPO on the miniature: SFT -> reward model from annotators' pairs -> PPO, and a run pushed too far.

    python benchmarks/ppo_on_miniature.py --work DIR --out benchmarks/results/ppo_on_miniature.json

For each seed the SFT model's own answers are compared by the miniature's annotators, a reward model (an adapter on the
SFT model) learns from the pairs, and PPO raises its score. The oracle's gold reward is logged beside it with weight 0:
training never sees it. Gold is measured on held-out requests, one answer each, with the same random numbers before and
after. The pushed run has no price on the divergence, a higher learning rate and more steps; its curve of proxy and gold
against the divergence is kept. Seeds that are in the result file already are not run again.
"""

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import torch

from pairwright import TrainConfig, __version__, miniature, train
from pairwright.evaluation.statistics import mean_interval
from pairwright.miniature.base import processor
from pairwright.recipes import stages
from pairwright.recipes.display import Display
from pairwright.recipes.rlhf import rlhf
from pairwright.recipes.rlhf_config import RlhfConfig

GOLD = f"{Path(__file__).with_name('ppo_gold.py')}:gold"
HELD_OUT = 100
RUN: dict[str, Any] = dict(
    tuning="full", prompts_per_step=16, samples_per_prompt=4, max_new_tokens=64, temperature=1.0, schedule="constant",
    warmup=0.05, sample_prompts=3,
)  # fmt: skip
MILD: dict[str, Any] = dict(steps=16, learning_rate=1e-4, eval_every=8)
MILD_OPTIONS = {"kl_coef": 0.05, "update_epochs": 2, "minibatches": 2, "value_learning_rate": 1e-3}
PUSHED: dict[str, Any] = dict(steps=40, learning_rate=4e-4, eval_every=4)
PUSHED_OPTIONS = {"kl_coef": 0.0, "update_epochs": 4, "minibatches": 2, "value_learning_rate": 1e-3}


def prompts(path: Path, count: int, draw: int, split: str) -> str:
    rows = [
        {"prompt": r.prompt, "count": count, "draw": draw, "split": split, "number": i}
        for i, r in enumerate(miniature.make_requests(count, seed=draw, split=split))
    ]
    return str(miniature.write(path, rows))


def before_ppo(folder: Path, seed: int) -> tuple[Path, Path, dict[str, float]]:
    """The SFT model, the reward model, and the latter's metrics."""
    folder.mkdir(parents=True, exist_ok=True)
    display = Display(brief=True)
    sft = stages.imitate(folder, demonstrations=480, learning_rate=9e-4, seed=seed, display=display)
    pairs = stages.compare(stages.own_pairs(sft, asked=200, seed=seed), most=500, seed=seed)
    data = miniature.write(folder / "pairs.jsonl", miniature.preferences(pairs))
    made = TrainConfig(
        str(sft), str(data), str(folder / "reward"), method="reward", tuning="lora", learning_rate=2e-3,
        pairs_per_step=16, epochs=2, eval_fraction=0.1, seed=seed, keep_checkpoints=1,
    )  # fmt: skip
    reward = train(made, display)
    return sft, reward.model, reward.metrics


def ppo(folder: Path, sft: Path, reward: Path, seed: int, settings: dict, options: dict) -> list[dict[str, float]]:
    """The held-out evaluations of one run, in order."""
    config = RlhfConfig(
        model=str(sft),
        reward=f"{reward},{GOLD}",
        reward_weights="1,0",
        data=prompts(folder.with_suffix(".prompts.jsonl"), 600, 2000 + seed, "train"),
        eval_data=prompts(folder.with_suffix(".unseen.jsonl"), HELD_OUT, 30_000 + seed, "unseen"),
        out=str(folder),
        options=options,
        seed=seed,
        **RUN,
        **settings,
    )
    rlhf(config, Display())
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    kept = {"step": "step", "eval_score/gold": "gold", "eval_score/reward": "proxy", "eval_kl": "kl"}
    kept |= {"eval_length": "length", "eval_ended": "ended"}
    return [{new: row[old] for old, new in kept.items()} for row in rows if "eval_kl" in row]


def summary(seeds: dict[str, Any]) -> dict[str, Any]:
    """Mean and 95% interval over the seeds, Student's t."""
    if len(seeds) < 2:
        return {}
    stages_of = {"sft": 0, "ppo": -1}
    return {
        name: mean_interval([found["curve"][at]["gold"] for found in seeds.values()]).as_dict()
        for name, at in stages_of.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="PPO on the miniature, and a run pushed too far.")
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--out", type=Path, required=True, help="result file")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pushed", action="store_true", help="also the run pushed too far, after seed 0")
    arguments = parser.parse_args()
    torch.set_flush_denormal(True)
    about = {"mild": {**RUN, **MILD, "options": MILD_OPTIONS}, "pushed": {**RUN, **PUSHED, "options": PUSHED_OPTIONS}}
    about |= {"pairwright": __version__, "torch": torch.__version__, "processor": processor()}
    about |= {"threads": torch.get_num_threads(), "system": platform.platform(terse=True), "held_out": HELD_OUT}
    result: dict[str, Any] = {"about": about, "date": time.strftime("%Y-%m-%d"), "seeds": {}, "summary": {}}
    if arguments.out.exists():
        result |= {name: value for name, value in json.loads(arguments.out.read_text()).items() if name != "about"}
    for seed in range(arguments.seeds):
        if str(seed) in result["seeds"]:
            continue
        folder, began = arguments.work / f"seed-{seed}", time.monotonic()
        sft, reward, metrics = before_ppo(folder, seed)
        curve = ppo(folder / "ppo", sft, reward, seed, MILD, MILD_OPTIONS)
        seconds = round(time.monotonic() - began)
        entry = {"reward_accuracy": metrics.get("eval_accuracy"), "curve": curve, "seconds": seconds}
        result["seeds"][str(seed)] = entry
        result["summary"] = summary(result["seeds"])
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
        print(json.dumps({"seed": seed, "first": curve[0], "last": curve[-1]}), flush=True)
    if arguments.pushed:
        folder = arguments.work / "seed-0"
        models = folder / "sft" / "model", folder / "reward" / "model"
        result["pushed"] = ppo(folder / "pushed", *models, 0, PUSHED, PUSHED_OPTIONS)
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["summary"]))


if __name__ == "__main__":
    main()
