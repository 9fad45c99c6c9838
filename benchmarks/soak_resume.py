"""Kills runs at random moments, resumes them, and compares the end with a run that nothing disturbed, bit for bit.

    python benchmarks/soak_resume.py --rounds 20 [--seed 0] [--json FILE]

A round is one run of a tiny model (full, LoRA with dropout, SFT in turn), ended again and again by SIGKILL at a random
time, inside a save, between two micro-batches or in the middle of a line of metrics, or by SIGTERM, until its kills
are used up and it finishes. The table's last column says whether all files have the same SHA-256 as they should.
Exit code 1 where one has not.

Left out: several processes, GPUs (their sums need not repeat even without a kill).
"""

import argparse
import importlib.util
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

TESTS = Path(__file__).resolve().parents[1] / "tests" / "training"
STEPS, KILLS = 40, 10
"""Of one run; the kills only as far as they come before its end."""


def tiny_runs() -> ModuleType:
    """The tests' own tiny model, data, command and comparison."""
    spec = importlib.util.spec_from_file_location("test_resume", TESTS / "test_resume.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.STEPS = STEPS
    return module


def start_driver(cache: Path) -> Callable[[list, dict | None], tuple[int, str]]:
    environment = os.environ | {"PAIRWRIGHT_CACHE": str(cache), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    driver = subprocess.Popen(
        [sys.executable, str(TESTS / "resume_driver.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert driver.stdin and driver.stdout
    requests, answers = driver.stdin, driver.stdout

    def run(argv: list, fault: dict | None = None) -> tuple[int, str]:
        requests.write(json.dumps({"argv": [str(word) for word in argv], "fault": fault}) + "\n")
        requests.flush()
        answer = json.loads(answers.readline())
        return answer["code"], answer["output"]

    return run


def random_fault(chance: random.Random, seconds: float) -> tuple[str, dict[str, Any]]:
    """(what it is called in the table, the fault)."""
    kind = chance.choice(["time", "save", "save", "micro-batch", "line", "SIGTERM"])
    if kind == "time":
        return kind, {"kind": "alarm", "seconds": chance.uniform(0.05, 1.1 * seconds)}
    if kind == "save":
        name = chance.choice(
            ["open", "write", "fsync", "close", "mkdir", "rename", "read", "scandir", "unlink", "rmdir"]
        )
        number = chance.randint(1, 2 if name in ("mkdir", "rename", "rmdir") else 12)
        return kind, {"kind": "save", "save": chance.randint(1, 3), "name": name, "number": number, "signal": 9}
    if kind == "line":
        return kind, {"kind": "torn", "line": chance.randint(1, 12)}
    by = int(signal.SIGTERM if kind == "SIGTERM" else signal.SIGKILL)
    return kind, {"kind": "call", "name": "torch.Tensor.backward", "number": chance.randint(1, 25), "signal": by}


def one_round(tiny, run, files, kind, out: Path, chance: random.Random, seconds: float) -> dict[str, Any]:
    """Kill, resume, and again, until the run is done."""
    ended: Counter[str] = Counter()
    redone, resume = 0, ()
    while True:
        name, fault = random_fault(chance, seconds)
        done = tiny.last_step(out)
        code, output = run(tiny.command(files, *kind, *resume, out=out), fault if ended.total() < KILLS else None)
        if "resuming from" in output or "starting from the beginning" in output:
            redone = max(redone, done - (tiny.goes_on_from(output) or 0))
        if code == 0:
            return {"kills": dict(ended), "steps_redone": redone, "files": tiny.digests(out)}
        if code not in (-signal.SIGKILL, -signal.SIGALRM, -signal.SIGTERM, 143):
            raise SystemExit(f"{name} {fault}: exit code {code}\n{output}")
        ended[name] += 1
        resume = ("--resume",)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the result there")
    arguments = parser.parse_args()
    tiny, began = tiny_runs(), time.perf_counter()
    kinds = {"full": tiny.FULL, "lora": tiny.LORA, "sft": tiny.SFT}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {"model": tiny.write_model(folder / "model", 0), "data": tiny.write_pairs(folder / "pairs.jsonl", 0)}
        run = start_driver(folder / "cache")
        whole, seconds = {}, {}
        for kind, words in kinds.items():
            for attempt in ("first", "second"):  # two, so that "the same bits" is known to hold without any kill
                start = time.perf_counter()
                code, output = run(tiny.command(files, *words, out=folder / kind / attempt))
                if code:
                    raise SystemExit(output)
                seconds[kind] = time.perf_counter() - start
            whole[kind] = tiny.digests(folder / kind / "first")
            if whole[kind] != tiny.digests(folder / kind / "second"):
                raise SystemExit(f"{kind}: two undisturbed runs differ on this machine; nothing to compare with")
        print(f"{'round':>5}  {'kind':4}  {'kills':>5}  {'steps redone':>12}  same bits", flush=True)
        for number in range(arguments.rounds):
            kind = list(kinds)[number % len(kinds)]
            chance = random.Random(f"{arguments.seed} {number}")
            row = one_round(tiny, run, files, kinds[kind], folder / f"round{number}", chance, seconds[kind])
            found = row.pop("files")
            differing = sorted(path for path in whole[kind] | found if whole[kind].get(path) != found.get(path))
            row = {"round": number, "kind": kind, **row, "differing": differing}
            rows.append(row)
            count, said = sum(row["kills"].values()), "no: " + ", ".join(differing) if differing else "yes"
            print(f"{number:5}  {kind:4}  {count:5}  {row['steps_redone']:12}  {said}", flush=True)
    kills: Counter[str] = Counter()
    for row in rows:
        kills.update(row["kills"])
    result = {
        "rounds": len(rows),
        "kills": kills.total(),
        "kills_by_kind": dict(sorted(kills.items())),
        "rounds_with_the_same_bits": sum(not row["differing"] for row in rows),
        "most_steps_redone": max((row["steps_redone"] for row in rows), default=0),
        "save_every": tiny.SAVE_EVERY,
        "seed": arguments.seed,
        "seconds": round(time.perf_counter() - began, 1),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(result | {"table": rows}, indent=1) + "\n")
    print(json.dumps(result))
    bad = result["rounds_with_the_same_bits"] < len(rows) or result["most_steps_redone"] > tiny.SAVE_EVERY
    return int(bad)


if __name__ == "__main__":
    raise SystemExit(main())
