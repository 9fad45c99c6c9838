"""A reward model's evaluation.json as a part of its run's page: figures with intervals, calibration, length."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pairwright.reporting.plots import intervals, reliability
from pairwright.reporting.run_files import is_number, read_object

FILE = "evaluation.json"
NEEDED = (
    "pairs",
    "prompts",
    "accuracy",
    "longest_wins",
    "difference",
    "calibration",
    "by_length_difference",
    "verdict",
)


def judged(folder: Path, remarks: list[str]) -> dict[str, Any] | None:
    """What the page shows of the evaluation; None where the run has none of this kind."""
    if not (folder / FILE).is_file():
        return None
    found = read_object(folder / FILE, remarks)
    if not all(name in found for name in NEEDED):
        return None
    calibration = found["calibration"]
    shares = {"the reward model": found["accuracy"], "longest wins": found["longest_wins"]}
    groups = {f"{g['group']} ({g['pairs']:,})": g for g in found["by_length_difference"]}
    return {
        "verdict": found["verdict"],
        "table": [(name, *words(value)) for name, value in shares.items()]
        + [("difference", *words(found["difference"], signed=True))],
        "pairs": f"{found['pairs']:,}",
        "prompts": f"{found['prompts']:,}",
        "few": bool(found.get("few")),
        "calibration": f"{calibration['expected_calibration_error']:.3f}",
        "plots": [
            _reliability(calibration),
            intervals("Right, by length difference", {n: [_figure(g)] for n, g in groups.items()}, ["right"]),
        ],
    }


def words(value: Mapping[str, float], *, signed: bool = False) -> tuple[str, str]:
    """Mean and interval, to three places."""
    plus = "+" if signed else ""
    mean, low, high = (round(value[name], 3) + 0.0 for name in ("mean", "low", "high"))  # no -0.000
    return f"{mean:{plus}.3f}", f"{low:{plus}.3f} to {high:{plus}.3f}"


def _figure(value: Mapping[str, Any]) -> tuple[float, float, float] | None:
    parts = [value.get(name) for name in ("mean", "low", "high")]
    return (float(parts[0]), float(parts[1]), float(parts[2])) if all(is_number(p) for p in parts) else None  # type: ignore[arg-type]


def _reliability(calibration: Mapping[str, Any]) -> Markup:
    points = [(float(b["confidence"]), float(b["accuracy"]), int(b["pairs"])) for b in calibration["bins"]]
    return reliability("Sure to, and right in", points)
