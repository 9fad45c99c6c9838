"""Speed and memory of `pairwright audit` with all checks, on made pairs of 2 x 200 words.

Every size has a process of its own; the time is from its start to its end, imports, reading, the page and audit.json
included. Memory is the largest sum of the resident sets of the process and its workers, looked at ten times a second
(pages that they share count for each, so it is rather too much). The texts are drawn from 20,000 words with Zipf's
frequencies, in sentences of 5 to 20 words; a twentieth of the rows are near-copies, so that the duplicates have work.

    python benchmarks/audit_speed.py [--sizes 10000,100000] [--json]
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
import psutil

from pairwright import __version__

RESULT = Path(__file__).parent / "results" / "audit_speed.json"
VOCABULARY, WORDS, COPIES = 20_000, 200, 0.05


def make(path: Path, pairs: int) -> None:
    """A .jsonl file of that many pairs."""
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    vocabulary = ["".join(rng.choice(letters, size)) for size in rng.integers(2, 10, VOCABULARY)]
    common = "the and of to is in that it you for with this are be have not on was what can"
    vocabulary[:20] = common.split()
    weights = 1 / np.arange(1, VOCABULARY + 1)
    chances = weights / weights.sum()
    last = None
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, pairs, 1000):
            drawn = rng.choice(VOCABULARY, size=(min(1000, pairs - start), 2 * WORDS + 20), p=chances)
            for row in drawn:
                if last is not None and rng.random() < COPIES:
                    row = last.copy()
                    row[5] = rng.integers(VOCABULARY)
                last = row
                said = [vocabulary[at] for at in row]
                parts = said[:20], said[20 : 20 + WORDS], said[20 + WORDS :]
                texts = [sentences(part, rng) for part in parts]
                columns = zip(("prompt", "chosen", "rejected"), ("user", "assistant", "assistant"), texts)
                pair = {name: [{"role": role, "content": text}] for name, role, text in columns}
                file.write(json.dumps(pair) + "\n")


def sentences(words: list[str], rng: np.random.Generator) -> str:
    said, at = [], 0
    while at < len(words):
        length = int(rng.integers(5, 21))
        said.append(" ".join(words[at : at + length]).capitalize() + ".")
        at += length
    return " ".join(said)


def resident(process: psutil.Process) -> int:
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_info().rss
        except psutil.NoSuchProcess:  # a worker that has just ended
            continue
    return total


def timed(path: Path, folder: Path) -> dict:
    """Seconds and MiB of one audit."""
    began, peak, used = time.monotonic(), 0, _processor_seconds()
    command = [sys.executable, "-m", "pairwright", "audit", str(path), "--out", str(folder / "audit")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        process = psutil.Process(run.pid)
        while run.poll() is None:
            peak = max(peak, resident(process))
            time.sleep(0.1)
    if run.returncode:
        raise SystemExit(f"the audit of {path.name} ended with {run.returncode}")
    seconds = {
        "seconds": round(time.monotonic() - began, 1),
        "processor_seconds": round(_processor_seconds() - used, 1),
    }
    return seconds | {"peak_mib": round(peak / 2**20)}


def _processor_seconds() -> float:
    """Of all processes started so far that have ended: on a machine that others use, less at their mercy."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="10000,100000")
    parser.add_argument("--json", action="store_true", help=f"write {RESULT.name}")
    args = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in map(int, args.sizes.split(",")):
            path = folder / f"pairs-{size}.jsonl"
            make(path, size)
            load = psutil.getloadavg()[0]
            entry = {"pairs": size, "file_mb": round(path.stat().st_size / 1e6)} | timed(path, folder)
            entry |= {"ms_per_pair": round(1000 * entry["seconds"] / size, 3), "load_before": round(load, 1)}
            results.append(entry)
            print(json.dumps(entry), flush=True)
            path.unlink()
    if args.json:
        about = {"date": date.today().isoformat(), "pairwright": __version__, "python": platform.python_version()}
        about |= {"machine": f"{psutil.cpu_count()} cores, {platform.machine()}", "words_per_answer": WORDS}
        RESULT.write_text(json.dumps(about | {"runs": results}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
