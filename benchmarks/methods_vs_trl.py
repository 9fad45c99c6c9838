"""Each kind of input by Pairwright's trie path, by its plain rows, and by TRL, in one run.

    python benchmarks/methods_vs_trl.py --json [--cases dpo,kto] [--repeats 3]

The same random 29M-parameter Llama, rows, order, float32, AdamW, clipping and constant rate on all sides; two optimiser
steps, of eight pairs or answers; TRL's batch is the step, as by default. Sides take turns, each in a process of its own
with all cores; a speed is the median over the repeats of the ratio within one repeat. Losses are compared step by step.
Nothing else should run on the machine.

Where Pairwright and TRL differ on purpose, TRL is brought to the same work, and its file says how: kto's mismatched
answers (trl_kto.py), orpo's likelihood (trl_orpo.py). Left out: reference and preparation, LoRA, memory (dpo_vs_trl.py
has them); GPUs.
"""

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import machine
from dpo_vs_trl import DATA, HERE, LEARNING_RATE, half, trl_interpreter
from methods_cases import POOL, Case, chosen_cases, write_files
from methods_table import show
from report import say
from shapes import SMALL
from workload import Settings, build

RESULT = HERE / "results" / "methods_vs_trl.json"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="", help="names, separated by commas; all by default")
    parser.add_argument("--rows", type=int, help="rows of each case, for a trial run (default: each case's own)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--trl-python", type=Path, help="interpreter that has trl (default: this one, or .bench's)")
    parser.add_argument("--data", type=Path, default=DATA, help="an HH-RLHF file, .jsonl.gz")
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--json", action="store_true", help="print the result as JSON, on the last line")
    args = parser.parse_args()
    if not args.data.is_file():
        parser.error(f"{args.data} is missing: give an HH-RLHF file with --data")
    return args


def measure(args: argparse.Namespace, folder: Path, cases: list[Case], settings: Settings) -> tuple[list, list, dict]:
    told = ["--cases", ",".join(case.name for case in cases), *(["--rows", str(args.rows)] if args.rows else [])]
    python = trl_interpreter(args.trl_python)
    counted = half("methods_ours.py", sys.executable, folder, settings, *told, "--prepare")["counted"]
    ours, theirs = [], []
    for repeat in range(args.repeats):
        ours.append(half("methods_ours.py", sys.executable, folder, settings, *told))
        say(f"{repeat + 1}/{args.repeats} Pairwright: {seconds(ours[-1]['cases'], 'trie')}")
        theirs.append(half("methods_trl.py", python, folder, settings, *told))
        say(f"{repeat + 1}/{args.repeats} TRL: {seconds(theirs[-1]['cases'], None)}")
    return ours, theirs, counted


def seconds(found: dict, path: str | None) -> str:
    return ", ".join(f"{name} {(one[path] if path else one)['train_seconds']:.1f} s" for name, one in found.items())


def compared(name: str, ours: list[dict], theirs: list[dict]) -> dict:
    """One case's figures from its runs; TRL's only where it has the method."""
    trie = [run["cases"][name]["trie"] for run in ours]
    rows = [run["cases"][name]["rows"] for run in ours if "rows" in run["cases"][name]]
    trl = [run["cases"][name] for run in theirs if name in run["cases"]]
    sides = {"pairwright": trie} | ({"plain_rows": rows} if rows else {}) | ({"trl": trl} if trl else {})
    found: dict = {side: summary(runs) for side, runs in sides.items()}
    for side, runs in list(sides.items())[1:]:
        found[f"speedup_{side}"] = statistics.median(
            other["train_seconds"] / own["train_seconds"] for own, other in zip(trie, runs, strict=True)
        )
        found[f"max_loss_difference_{side}"] = largest_difference(trie, runs)
    return found


def summary(runs: list[dict]) -> dict:
    times = [run["train_seconds"] for run in runs]
    return {
        "train_seconds": statistics.median(times),
        "all_train_seconds": times,
        "tokens": runs[0]["tokens"],
        "losses": runs[0]["losses"],
    }


def largest_difference(ours: list[dict], others: list[dict]) -> float:
    """Of a step's loss between any two runs."""
    return max(
        abs(a - b) for one in ours for other in others for a, b in zip(one["losses"], other["losses"], strict=True)
    )


def main() -> None:
    args = options()
    cases = chosen_cases(args.cases, args.rows)
    settings = Settings(learning_rate=LEARNING_RATE["full"])
    with tempfile.TemporaryDirectory(prefix="methods_vs_trl_") as name:
        folder = Path(name)
        build(folder, args.data, POOL, SMALL, settings.seed)
        write_files(folder, cases)
        ours, theirs, counted = measure(args, folder, cases, settings)
    result = {
        "cases": {
            case.name: {**asdict(case), **counted[case.name], **compared(case.name, ours, theirs)} for case in cases
        },
        "repeats": args.repeats,
        "settings": asdict(settings),
        "model": asdict(SMALL),
        "machine": machine.describe(),
        "threads": ours[0]["threads"],
        "versions": {"pairwright": ours[0]["versions"], "trl": theirs[0]["versions"]},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    args.result.parent.mkdir(parents=True, exist_ok=True)
    args.result.write_text(json.dumps(result, indent=1) + "\n")
    show(result)
    say(f"written to {args.result}")
    if args.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
