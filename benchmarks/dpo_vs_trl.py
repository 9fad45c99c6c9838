"""DPO with Pairwright and with TRL on the same model, pairs, order, precision and optimiser, in one run.

    python benchmarks/dpo_vs_trl.py --pairs 64 --json [--tuning full|lora] [--precision float32|bfloat16] [--repeats 3]

Each side runs in a process of its own, in turn, with all cores; figures are medians over the repeats. TRL runs at every
batch size of --trl-batch-sizes (pairs in one forward pass; the optimiser step is 8 pairs in all of them, so the result
is the same and only the padding differs). `speedup_*` is held against the first of them, one batch of 8, which is TRL's
default; `speedup_*_best` against whichever was fastest.

Printed: a table, and with --json one JSON object as the last line; also written to results/.
Left out: saving (both sides stop the clock after the last optimiser step), imports, GPUs (gpu.py).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import machine
from flops import Count, count_pair, training_flops
from report import comparison_table, say
from shapes import SMALL, Shape
from workload import Settings, build, load_rows, pair_ids

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "shared" / "data" / "hh-rlhf-harmless" / "pairs.jsonl.gz"
LEARNING_RATE = {"full": 1e-5, "lora": 2e-4}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=64, help="preference pairs; 8 make an optimiser step")
    parser.add_argument("--tuning", choices=["full", "lora"], default="full")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--trl-batch-sizes", default="8,2", help="pairs in one forward pass of TRL, the default first")
    parser.add_argument("--trl-python", type=Path, help="interpreter that has trl (default: this one, or .bench's)")
    parser.add_argument("--data", type=Path, default=DATA, help="an HH-RLHF file, .jsonl.gz")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder for the result file")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, on the last line")
    args = parser.parse_args()
    if not args.data.is_file():
        parser.error(f"{args.data} is missing: give an HH-RLHF file with --data")
    if args.pairs < 16:
        parser.error(f"--pairs {args.pairs}: at least 16, so that there are two steps")
    return args


def trl_interpreter(wanted: Path | None) -> str:
    if wanted:
        return str(wanted)
    if find_spec("trl"):
        return sys.executable
    bench = HERE.parent / ".bench" / "bin" / "python"
    if bench.exists():
        return str(bench)
    raise SystemExit("TRL is not installed here. Run `make bench-env` once, or name an interpreter with --trl-python.")


def half(script: str, python: str, folder: Path, settings: Settings, *extra: str) -> dict:
    """Run one side in its own process and read what it measured. Its output is shown only if it fails."""
    out = folder / "half.json"
    out.unlink(missing_ok=True)
    threads = str(machine.cores())
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    command = [python, str(HERE / script), "--folder", str(folder), "--settings", json.dumps(asdict(settings))]
    done = subprocess.run(
        [*command, "--out", str(out), *extra],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{script} failed with {done.returncode}:\n{done.stdout}")
    return json.loads(out.read_text())


def expected_ids(folder: Path, settings: Settings) -> list:
    """[prompt, chosen, rejected] ids of every pair in the order of training. Makes Pairwright write what TRL needs to
    start from the same adapter and take the pairs in the same order.

    Raises ValueError where Pairwright's ids are not the plain tokenizer's.
    """
    from transformers import AutoTokenizer

    prepared = half("pairwright_dpo.py", sys.executable, folder, settings, "--prepare")
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    plain = [list(pair_ids(row, tokenizer)) for row in load_rows(folder)]
    if prepared["ids"] != [plain[index] for index in prepared["order"]]:
        raise ValueError("Pairwright's token ids are not the tokenizer's: the two sides would not do the same work")
    return prepared["ids"]


def measure(
    args: argparse.Namespace, folder: Path, settings: Settings, rate: Callable[[], dict]
) -> tuple[list[dict], dict[int, list[dict]], list[dict]]:
    """The runs of both sides, alternating, and the machine's matrix rate before each of ours and after the last: on a
    shared machine it changes within minutes."""
    python, sizes = trl_interpreter(args.trl_python), [int(size) for size in args.trl_batch_sizes.split(",")]
    ours: list[dict] = []
    theirs: dict[int, list[dict]] = {size: [] for size in sizes}
    rates: list[dict] = []
    for repeat in range(args.repeats):
        rates.append(rate())
        ours.append(half("pairwright_dpo.py", sys.executable, folder, settings))
        say(f"{repeat + 1}/{args.repeats} Pairwright: {ours[-1]['train_seconds']:.1f} s of training")
        for size in sizes:
            theirs[size].append(half("trl_dpo.py", python, folder, settings, "--batch-size", str(size)))
            say(f"{repeat + 1}/{args.repeats} TRL, batches of {size}: {theirs[size][-1]['train_seconds']:.1f} s")
    return ours, theirs, [*rates, rate()]


def median(runs: list[dict], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def spread(runs: list[dict], key: str) -> float:
    """Largest less smallest, as a share of the median."""
    values = [run[key] for run in runs]
    return (max(values) - min(values)) / statistics.median(values)


def side(runs: list[dict]) -> dict:
    keys = ("train_seconds", "train_cpu_seconds", "preparation_seconds", "total_seconds", "tokens", "peak_memory_mb")
    return {key: median(runs, key) for key in keys} | {
        "spread_train": spread(runs, "train_seconds"),
        "losses": runs[0]["losses"],
        "grad_norms": runs[0]["grad_norms"],
        "step_seconds": [run["step_seconds"] for run in runs],
        "threads": runs[0]["threads"],
        "versions": runs[0]["versions"],
    }


def compare(ours: list[dict], theirs: list[dict], ids: list) -> float:
    """Largest difference of a step's loss between any two runs. Raises ValueError where TRL saw other ids."""
    if any(run["ids"] != ids for run in theirs):
        raise ValueError("the two sides did not see the same token ids in the same order")
    return max(
        abs(a - b) for one in ours for other in theirs for a, b in zip(one["losses"], other["losses"], strict=True)
    )


def result(args: argparse.Namespace, shape: Shape, settings: Settings, folder: Path) -> dict:
    ids = expected_ids(folder, settings)
    count = Count(0, 0, 0)
    for pair in ids:
        count += count_pair(*pair)
    rows = round(count.tokens * settings.pairs_per_step / args.pairs)
    h, i = shape.hidden, shape.intermediate
    shapes = [(rows, h, h), (rows, h, i), (rows, i, h)]
    ours, theirs, rates = measure(
        args, folder, settings, lambda: machine.matrix_rate(settings.precision, shapes, seconds=1.0)
    )
    rate = {name: statistics.median(each[name] for each in rates) for name in ("square", "sustained")}
    flops = training_flops(count, shape, settings.tuning, settings.lora_r)
    default, *_ = theirs
    fastest = min(theirs, key=lambda size: median(theirs[size], "train_seconds"))
    achieved = sum(flops.values()) / median(ours, "train_seconds") / 1e9
    ratio = lambda size, key: median(theirs[size], key) / median(ours, key)  # noqa: E731
    return {
        "speedup_train": ratio(default, "train_seconds"),
        "speedup_total": ratio(default, "total_seconds"),
        "speedup_train_best": ratio(fastest, "train_seconds"),
        "speedup_total_best": ratio(fastest, "total_seconds"),
        "max_loss_difference": max(compare(ours, runs, ids) for runs in theirs.values()),
        "tokens_computed": median(ours, "tokens"),
        "tokens_trl": median(theirs[default], "tokens"),
        "peak_memory_mb": {
            "pairwright": median(ours, "peak_memory_mb"),
            "trl": median(theirs[default], "peak_memory_mb"),
        },
        "flops_fraction": achieved / rate["square"],
        "flops_fraction_sustained": achieved / rate["sustained"],
        "achieved_gflops": achieved,
        "measured_gflops": rate | {"samples": rates},
        "needed_flops": flops,
        "needed": asdict(count),
        "repeats": args.repeats,
        "pairs": args.pairs,
        "steps": len(ours[0]["losses"]),
        "trl_batch_size": default,
        "trl_best_batch_size": fastest,
        "pairwright": side(ours),
        "trl": {str(size): side(runs) for size, runs in theirs.items()},
        "settings": asdict(settings),
        "model": asdict(shape) | {"parameters": theirs[default][0]["parameters"]},
        "machine": machine.describe(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main() -> None:
    args = options()
    settings = Settings(tuning=args.tuning, precision=args.precision, learning_rate=LEARNING_RATE[args.tuning])
    machine.use_all_cores()
    with tempfile.TemporaryDirectory(prefix="dpo_vs_trl_") as name:
        folder = Path(name)
        build(folder, args.data, args.pairs, SMALL, settings.seed)
        measured = result(args, SMALL, settings, folder)
    args.results.mkdir(parents=True, exist_ok=True)
    path = args.results / f"dpo_vs_trl_{args.tuning}_{args.precision}.json"
    path.write_text(json.dumps(measured, indent=1) + "\n")
    comparison_table([measured])
    say(f"written to {path}")
    if args.json:
        print(json.dumps(measured))


if __name__ == "__main__":
    main()
