"""The files of a run folder, read for a report. What is missing or damaged is said, never fatal.

What it leaves out: judging a run. Checkpoints and the model are not opened.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from pairwright.errors import DataError

Line = dict[str, Any]
Points = list[tuple[float, float]]
"""(step, value), in the order of the file."""


@dataclass(frozen=True, slots=True)
class Run:
    folder: Path
    config: Line
    data: Line
    metrics: list[Line]
    timings: list[Line]
    samples: list[Line]
    remarks: list[str]
    """One sentence for each file that is missing or not whole."""


def require_folder(folder: Path, files: Sequence[str]) -> None:
    """Raises DataError where the folder is none, or holds none of the files that a report is made from."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder. Give the folder of a run, the one that --out named.")
    if not any((folder / name).is_file() for name in files):
        raise DataError(f"{folder} holds no run: there is none of {', '.join(files)} in it.")


def read_run(folder: Path) -> Run:
    """A training run's files."""
    remarks: list[str] = []
    return Run(
        folder=folder,
        config=read_object(folder / "config.json", remarks),
        data=read_object(folder / "data.json", remarks),
        metrics=read_lines(folder / "metrics.jsonl", remarks),
        timings=read_lines(folder / "timings.jsonl", remarks),
        samples=read_lines(folder / "samples.jsonl", remarks),
        remarks=remarks,
    )


def read_object(path: Path, remarks: list[str]) -> Line:
    """A JSON object; empty, with a remark, where the file is missing or holds none."""
    text = _text(path, remarks)
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        remarks.append(f"{path.name} is no JSON: {error}.")
        return {}
    if not isinstance(value, dict):
        remarks.append(f"{path.name} holds no JSON object.")
        return {}
    return value


def read_lines(path: Path, remarks: list[str]) -> list[Line]:
    """The JSON objects of a log, one a line. A line that is none, such as the last of a killed run, is remarked on."""
    text = _text(path, remarks)
    lines = []
    for number, line in enumerate((text or "").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        if isinstance(value, dict):
            lines.append(value)
        else:
            remarks.append(f"{path.name}, line {number}, is not a whole JSON object and is left out.")
    return lines


def points(lines: Sequence[Line], name: str) -> Points:
    """The finite values of one metric by step."""
    found = []
    for line in lines:
        step, value = line.get("step"), line.get(name)
        if is_number(step) and is_number(value) and math.isfinite(value):
            found.append((float(step), float(value)))
    return found


def metric_names(lines: Sequence[Line]) -> list[str]:
    """Names of all numeric metrics, in the order in which they first appear."""
    return list(dict.fromkeys(name for line in lines for name, value in line.items() if is_number(value)))


def last(lines: Sequence[Line], name: str) -> float | None:
    """The metric's last value, or None where it was never logged."""
    found = points(lines, name)
    return found[-1][1] if found else None


def is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(path: Path, remarks: list[str]) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        remarks.append(f"{path.name} is missing.")
    except OSError as error:
        remarks.append(f"{path.name} cannot be read: {error.strerror}.")
    return None
