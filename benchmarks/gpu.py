"""The GPU benchmark: one script, one call, under nine minutes.

    python benchmarks/gpu.py --out results.json [--seconds 530] [--tiny]

Sections, the most important first; each starts only if its share of time is left, and the file is written after every
measurement, so that a run that is cut short keeps what it has:

    environment   the GPU, versions, the rate of a large bf16 matrix product
    parity        every attention backend against the dense mask, float32 and bf16, forward and gradient
    memory        a 7B QLoRA step at 1,024 tokens, process capped at 15 GB
    speed         0.5B LoRA, 7B LoRA, 7B QLoRA against TRL: prompts of 128, 512, 2,048, answers of 128, 512 tokens

--tiny does the same with toy models on any device, CPU too, to know that the script runs. Where TRL or bitsandbytes is
missing, what needs it is skipped and the file says so.
"""

import argparse
import faulthandler
import json
import os
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch

import gpu_memory
import gpu_parity
import machine
from gpu_speed import PROBE, Cell, Speed, peak_tflops
from gpu_work import clear, matrix_rate
from shapes import HALF_B, SEVEN_B, TINY, Shape

CELLS: list[Cell] = [(512, 128), (2048, 512), (128, 128), (2048, 128), (512, 512), (128, 512)]
TINY_CELLS: list[Cell] = [(24, 8), (8, 4)]
PACKAGES = ("pairwright", "torch", "transformers", "peft", "accelerate", "trl", "bitsandbytes", "liger-kernel")


class Benchmark:
    """The clock, and the result file that grows."""

    def __init__(self, out: Path, seconds: float, device: torch.device, tiny: bool) -> None:
        self.out, self.device, self.tiny = out, device, tiny
        self.end = time.monotonic() + seconds
        self.result: dict = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "tiny": tiny, "sections": {}}

    def left(self) -> float:
        return self.end - time.monotonic()

    def write(self) -> None:
        fresh = self.out.with_name(self.out.name + ".new")
        fresh.write_text(json.dumps(self.result, indent=1) + "\n")
        fresh.replace(self.out)

    def section(self, name: str, least_seconds: float, run: Callable[[Callable[[dict], None]], dict]) -> None:
        """Run one section, given a function that saves what it has so far. A failure is written down, with its
        traceback, and the next section begins."""
        entry: dict = {}
        self.result["sections"][name] = entry
        if not self.tiny and self.left() < least_seconds:
            entry["skipped"] = f"{self.left():.0f} s left, {least_seconds:.0f} s wanted"
            self.write()
            return
        began = time.monotonic()

        def save(found: dict) -> None:
            entry.update(found)
            entry["took_seconds"] = round(time.monotonic() - began, 1)
            self.write()

        print(f"{name} ... ({self.left():.0f} s left)", flush=True)
        try:
            save(run(save))
        except Exception:
            entry["failed"] = traceback.format_exc()
            print(entry["failed"], flush=True)
            save({})
        clear(self.device)

    def failures(self) -> list[str]:
        return [name for name, entry in self.result["sections"].items() if "failed" in entry]


def environment(device: torch.device, tiny: bool) -> dict:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    found = {"versions": versions, "machine": machine.describe(), "device": str(device)}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found["gpu"] = {
            "name": properties.name,
            "memory_gb": properties.total_memory / 1e9,
            "capability": list(torch.cuda.get_device_capability(device)),
            "cuda": torch.version.cuda,
            "data_sheet_tflops": peak_tflops(device),
        }
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    found["measured_tflops"] = matrix_rate(device, dtype, 256 if tiny else 8192) / 1e12
    return found


def parity(bench: Benchmark, seconds: float, save) -> dict:
    stop = time.monotonic() + seconds
    return gpu_parity.run(bench.device, bench.tiny, lambda: stop - time.monotonic(), save)


def speed(bench: Benchmark, shape: Shape, tuning: str, tokens_per_batch: int, share: float, save) -> dict:
    """One model's cells, in at most `share` of the time that is left. flex takes its place among the backends on one
    model only, because it is compiled anew for each."""
    stop = time.monotonic() + share * bench.left()
    measured = bench.result["sections"]["environment"].get("measured_tflops", 0.0)
    if not measured:
        raise RuntimeError("the matrix rate was not measured, so there is nothing to hold the speed against")
    run = Speed(
        TINY if bench.tiny else shape,
        tuning,
        bench.device,
        tokens_per_batch=tokens_per_batch,
        repeats=1 if bench.tiny else 3,
        backends=("segments", "varlen", "flex") if (shape, tuning) == (SEVEN_B, "lora") else ("segments", "varlen"),
        measured_tflops=measured,
        left=lambda: 1e9 if bench.tiny else stop - time.monotonic(),
        save=save,
    )
    return run.run(*((TINY_CELLS, TINY_CELLS[0]) if bench.tiny else (CELLS, PROBE)))


def memory(bench: Benchmark) -> dict:
    if not find_spec("bitsandbytes"):
        return {"skipped": "bitsandbytes is not installed"}
    if bench.tiny:
        return gpu_memory.run(TINY, bench.device, prompt=16, answer=8, pairs=2, with_trl=True)
    return gpu_memory.run(SEVEN_B, bench.device, prompt=512, answer=512, pairs=2, with_trl=True)


def qlora(bench: Benchmark, share: float, save) -> dict:
    if not find_spec("bitsandbytes"):
        return {"skipped": "bitsandbytes is not installed"}
    return speed(bench, SEVEN_B, "qlora", 10_500, share, save)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="result file (default: $OUT/gpu.json, or gpu.json here)")
    parser.add_argument("--seconds", type=float, default=530.0, help="the script ends itself after this")
    parser.add_argument("--tiny", action="store_true", help="toy models, to see that everything runs")
    args = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not args.tiny:
        parser.error("there is no GPU here; --tiny runs everything with toy models on the CPU")
    faulthandler.dump_traceback_later(args.seconds + 5, exit=True)
    out = args.out or Path(os.environ.get("OUT", ".")) / "gpu.json"
    bench = Benchmark(out, args.seconds, device, args.tiny)
    bench.section("environment", 0, lambda save: environment(device, args.tiny))
    bench.section("parity", 40, lambda save: parity(bench, 100.0, save))
    bench.section("memory_7b_qlora", 60, lambda save: memory(bench))
    bench.section("speed_0.5b_lora", 40, lambda save: speed(bench, HALF_B, "lora", 48_000, 0.3, save))
    bench.section("speed_7b_lora", 60, lambda save: speed(bench, SEVEN_B, "lora", 10_500, 0.6, save))
    bench.section("speed_7b_qlora", 60, lambda save: qlora(bench, 1.0, save))
    bench.result["took_seconds"] = round(args.seconds - bench.left(), 1)
    bench.write()
    faulthandler.cancel_dump_traceback_later()
    print(f"written to {out} after {bench.result['took_seconds']} s", flush=True)
    if failures := bench.failures():
        raise SystemExit(f"failed: {', '.join(failures)}; the tracebacks are in {out}")


if __name__ == "__main__":
    main()
