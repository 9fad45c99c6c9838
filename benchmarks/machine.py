"""What the machine is, and how fast it multiplies matrices: the limit that a training run is held against.

The rate is measured in the same process settings as training (all cores), on square products that fit the caches well
and on the shapes that the benchmark's model really has. `square` is the best single product; `sustained` is the median
over seconds of them, which on a shared or hot machine is what a training run can get.

    python benchmarks/machine.py [--precision float32|bfloat16]
"""

import argparse
import json
import os
import platform
import re
import resource
import statistics
import time
from pathlib import Path

import torch

SQUARES = (1024, 2048, 4096)
"""Sides of the square products."""


def processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_all_cores() -> None:
    torch.set_num_threads(cores())


def describe() -> dict:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": processor_name(),
        "cores": cores(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "memory_gb": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def peak_memory_mb() -> float:
    """Most memory that this process ever held, in MiB. Read from /proc where it exists: getrusage's figure starts, in a
    child, at what the parent held."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1]) / 1024
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def product_rates(rows: int, inner: int, columns: int, dtype: torch.dtype, seconds: float) -> tuple[float, float]:
    """GFLOP/s of x @ w.T for x (rows, inner) and w (columns, inner): the best and the median product of `seconds`."""
    x = torch.randn(rows, inner).to(dtype)
    w = torch.randn(columns, inner).to(dtype)
    torch.nn.functional.linear(x, w)
    times, stop = [], time.perf_counter() + seconds
    while time.perf_counter() < stop:
        begin = time.perf_counter()
        torch.nn.functional.linear(x, w)
        times.append(time.perf_counter() - begin)
    work = 2.0 * rows * inner * columns / 1e9
    return work / min(times), work / statistics.median(times)


def matrix_rate(precision: str, shapes: list[tuple[int, int, int]], seconds: float = 2.0) -> dict:
    """Measured GFLOP/s: `square` is the best product of the squares, `sustained` the best median of any shape,
    `squares` and `shapes` the best and the median of each, shapes as (rows, inner, columns)."""
    dtype = getattr(torch, precision)
    squares = {side: product_rates(side, side, side, dtype, seconds) for side in SQUARES}
    ours = {"x".join(map(str, shape)): product_rates(*shape, dtype, seconds) for shape in shapes}
    return {
        "square": max(best for best, _ in squares.values()),
        "sustained": max(median for _, median in [*squares.values(), *ours.values()]),
        "squares": squares,
        "shapes": ours,
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--rows", type=int, default=1752, help="tokens in a step")
    args = parser.parse_args()
    use_all_cores()
    shapes = [(args.rows, 512, 512), (args.rows, 512, 1376), (args.rows, 1376, 512), (args.rows // 2, 512, 8192)]
    print(json.dumps(describe() | {"gflops": matrix_rate(args.precision, shapes)}, indent=2))


if __name__ == "__main__":
    main()
