"""All checks over records: one streaming pass that measures rows (over processes where that pays), then the checks.

    result = audit(records, held_out=others)

Leaves out: files, cleaning, pages (recipes/audit.py).
"""

import importlib
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pairwright.audit.findings import AuditResult, Checked, Finding, ranked
from pairwright.audit.heldout import HeldOut
from pairwright.audit.heldout import held_out as index
from pairwright.audit.measure import Measured, Measurer
from pairwright.audit.table import Table, joined
from pairwright.audit.votes import Item
from pairwright.errors import DataError
from pairwright.records import Preference

CHUNK = 500
"""Rows measured at a time."""
PAYS = 4_000
"""Rows from which several processes are faster than one: starting them takes a second."""
SAMPLE = 20_000
"""Rows in the sample, at most: enough for an interval of a point on the rate of label noise."""

Progress = Callable[[str, int], None]
"""(what is being done, rows done so far)"""


def names() -> list[str]:
    """The checks, in the order in which they run and are listed: the files of checks/."""
    return sorted(path.stem for path in (Path(__file__).parent / "checks").glob("[!_]*.py"))


def module(name: str) -> ModuleType:
    return importlib.import_module(f"pairwright.audit.checks.{name}")


def measure(
    records: Iterable[Preference],
    *,
    held_out: Iterable[Preference] | None = None,
    workers: int | None = None,
    progress: Progress = lambda what, done: None,
    votes: Sequence[Item] = (),
) -> Table:
    """The table of all records, in order. `workers`: processes; default as many as cores, for files that are worth it.

    Memory: about 1 KB a row, and the sample. Raises DataError where there are no records.
    """
    held = None if held_out is None else index(held_out)
    share, kept, total = 1.0, 0, 0
    parts: list[Measured] = []
    files: dict[str, int] = {}
    stream = iter(records)
    head = list(islice(stream, PAYS))
    count = (workers or _cores()) if len(head) == PAYS or workers else 1

    def chunks() -> Iterator[tuple[list[Preference], list[int], int, float]]:
        start = 0
        for source in (iter(head), stream):
            while chunk := list(islice(source, CHUNK)):
                numbers = [files.setdefault(record.source.file, len(files)) for record in chunk]
                yield chunk, numbers, start, share
                start += len(chunk)

    for part in _measured(chunks(), held, count):
        parts.append(part)
        kept, total = kept + len(part.sampled), total + len(part.rows)
        if kept > 2 * SAMPLE:
            share /= 2
            kept //= 2
        progress("measuring", total)
    if not total:
        raise DataError("there are no pairs to audit.")
    while share * total > SAMPLE:
        share /= 2
    return joined(parts, share, list(files), held, list(votes))  # votes may have grown as the records were taken


def _measured(chunks: Iterator[tuple], held: HeldOut | None, count: int) -> Iterator[Measured]:
    """The chunks' measures in order. Ahead of the reader of them are at most four chunks a process."""
    if count == 1:
        measurer = Measurer(held)
        for chunk in chunks:
            yield measurer(*chunk)
        return
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(count, context, initializer=_start, initargs=(held,)) as pool:
        waiting = deque(pool.submit(_work, *chunk) for chunk in islice(chunks, 4 * count))
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(pool.submit(_work, *chunk) for chunk in islice(chunks, 1))
            yield done


_measurer: Measurer | None = None


def _start(held: HeldOut | None) -> None:
    global _measurer
    _measurer = Measurer(held)


def _work(*chunk: Any) -> Measured:
    assert _measurer is not None, "started by the pool"
    return _measurer(*chunk)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_checks(table: Table, progress: Progress = lambda what, done: None) -> dict[str, Checked]:
    """What each check gives, by its name."""
    found: dict[str, Checked] = {}
    for name in names():
        progress(f"check: {name.replace('_', ' ')}", len(table))
        found[name] = module(name).check(table)
    return found


def audit(
    records: Iterable[Preference],
    *,
    data: str = "",
    reading: Mapping[str, Any] | None = None,
    held_out: Iterable[Preference] | None = None,
    votes: Sequence[Item] = (),
    workers: int | None = None,
    progress: Progress = lambda what, done: None,
) -> tuple[AuditResult, Table]:
    """The result, its findings without the examples' texts (`Finding.shown` has the rows), and the table."""
    began = time.monotonic()
    table = measure(records, held_out=held_out, workers=workers, progress=progress, votes=votes)
    found = run_checks(table, progress)
    findings: list[Finding] = [finding for checked in found.values() for finding in checked.findings]
    result = AuditResult(
        data=data,
        kind="votes" if table.votes else "pairs",
        rows=len(table),
        prompts=len(np.unique(table["prompt"])),
        reading=reading or {},
        findings=ranked(findings),
        checks=found,
        seconds=time.monotonic() - began,
    )
    return result, table
