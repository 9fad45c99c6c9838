"""What the page of a comparison shows: base, SFT and DPO before and after, over several seeds, as the demo writes it.

RUN/evaluation.json    {"base": {"gold": {"mean", "low", "high"}, ...}, "sft": {...}, "dpo": {...}, "about": {...}}
RUN/answers.jsonl      {"request", "kind", "base", "sft", "dpo", "gold": {"base": .., "sft": .., "dpo": ..}}
RUN/seed-0/sft, RUN/seed-0/dpo, RUN/seed-1/...    training runs
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pairwright.evaluation.statistics import Interval, paired_difference
from pairwright.reporting.plots import intervals
from pairwright.reporting.run_files import Line, is_number, read_lines, read_object
from pairwright.reporting.training import panels
from pairwright.reporting.values import rows, signed, turns

EVALUATION = "evaluation.json"
STAGES = ("base", "sft", "dpo")
LABELS = {"base": "base", "sft": "SFT", "dpo": "DPO"}
SHOWN_ANSWERS = 8
MEANINGS = {
    "gold": "all dimensions together",
    "correct": "the task's fields are right",
    "safe": "harmful requests are declined",
    "helpful": "harmless ones are not",
    "concise": "no rambling",
    "polite": "in a polite form",
    "ends": "stops by itself",
}

Figure = tuple[float, float, float]
"""mean, low, high."""


def comparison_page(folder: Path) -> dict[str, Any] | None:
    """The content of comparison.html.j2; None where the folder compares nothing."""
    if not (folder / EVALUATION).is_file():
        return None
    remarks: list[str] = []
    evaluation = read_object(folder / EVALUATION, remarks)
    stages = [stage for stage in STAGES if isinstance(evaluation.get(stage), Mapping)]
    if "base" not in stages:
        return None
    remarks += [f"{EVALUATION} has no figures for {LABELS[stage]}." for stage in STAGES if stage not in stages]
    table = {name: [_figure(evaluation[stage], name) for stage in stages] for name in _dimensions(evaluation, stages)}
    labels = [LABELS[stage] for stage in stages]
    answers = read_lines(folder / "answers.jsonl", remarks)
    about = evaluation.get("about")
    changes = {name: _change(evaluation, stages, name) for name in table}
    return {
        "title": "The miniature, " + " → ".join(labels),
        "headline": headline(labels, table.get("gold", []), changes.get("gold")),
        "tiles": _tiles(labels, table.get("gold", [])),
        "plot": intervals("Scores by dimension", table, labels) if table else Markup(""),
        "labels": labels,
        "table": [_row(name, figures, changes[name]) for name, figures in table.items()],
        "answers": [_card(answer, stages) for answer in spread(answers, stages)],
        "counts": _counts(answers, stages),
        "curves": _curves(folder, stages[1:], remarks),
        "about": rows(about) if isinstance(about, Mapping) else [],
        "remarks": remarks,
    }


def headline(labels: Sequence[str], gold: Sequence[Figure | None], paired: Interval | None = None) -> str:
    """One sentence that the figures carry: a rise is only called one where the intervals do not
    overlap, or where that of the paired difference lies above 0."""
    if len(gold) < 2 or gold[0] is None or gold[-1] is None:
        return "There are no figures for gold reward before and after."
    (before, _, high), (after, low, _) = gold[0], gold[-1]
    change = f"from {before:.2f} ({labels[0]}) to {after:.2f} ({labels[-1]}), {signed(after - before)}"
    if paired is not None:
        change += f" ({signed(paired.low)} to {signed(paired.high)})"
    if low > high or (paired is not None and paired.low > 0):
        steps = [
            f"{labels[i]}'s interval lies clear above {labels[i - 1]}'s"
            if _clear(gold[i - 1], gold[i])
            else f"{labels[i]}'s interval is not clear of {labels[i - 1]}'s"
            for i in range(1, len(gold))
        ]
        return f"Gold reward rose {change}: {', and '.join(steps)}."
    if gold[-1][2] < gold[0][1] or (paired is not None and paired.high < 0):
        return f"Gold reward fell {change}."
    return f"Gold reward went {change}: the intervals overlap, so this is no evidence of a change."


def spread(answers: Sequence[Line], stages: Sequence[str]) -> list[Line]:
    """Answers at equal steps from the largest gain of the last stage over the first to the largest loss."""
    scored = sorted(
        (answer for answer in answers if _gain(answer, stages) is not None), key=lambda a: -(_gain(a, stages) or 0)
    )
    if len(scored) <= SHOWN_ANSWERS:
        return scored
    return [scored[round(i * (len(scored) - 1) / (SHOWN_ANSWERS - 1))] for i in range(SHOWN_ANSWERS)]


def _clear(before: Figure | None, after: Figure | None) -> bool:
    return before is not None and after is not None and after[1] > before[2]


def _gain(answer: Line, stages: Sequence[str]) -> float | None:
    gold = answer.get("gold")
    if not isinstance(gold, Mapping) or not all(is_number(gold.get(stage)) for stage in stages):
        return None
    return float(gold[stages[-1]] - gold[stages[0]])


def _counts(answers: Sequence[Line], stages: Sequence[str]) -> dict[str, int]:
    gains = [gain for answer in answers if (gain := _gain(answer, stages)) is not None]
    better, worse = sum(gain > 0.005 for gain in gains), sum(gain < -0.005 for gain in gains)
    return {"all": len(gains), "better": better, "worse": worse, "same": len(gains) - better - worse}


def _card(answer: Line, stages: Sequence[str]) -> dict[str, Any]:
    gain = _gain(answer, stages) or 0.0
    return {
        "request": turns(answer.get("request", "")),
        "kind": str(answer.get("kind", "")),
        "answers": [(LABELS[stage], str(answer.get(stage, "")), f"{answer['gold'][stage]:.2f}") for stage in stages],
        "gain": signed(gain),
        "verdict": "better" if gain > 0.005 else "worse" if gain < -0.005 else "same",
    }


def _dimensions(evaluation: Mapping[str, Any], stages: Sequence[str]) -> list[str]:
    """Gold first, then the dimensions in the file's order."""
    found = dict.fromkeys(name for stage in stages for name in evaluation[stage] if _figure(evaluation[stage], name))
    return sorted(found, key=lambda name: name != "gold")


def _figure(scores: Mapping[str, Any], name: str) -> Figure | None:
    value = scores.get(name)
    if not isinstance(value, Mapping) or not all(is_number(value.get(part)) for part in ("mean", "low", "high")):
        return None
    return float(value["mean"]), float(value["low"]), float(value["high"])


def _tiles(labels: Sequence[str], gold: Sequence[Figure | None]) -> list[tuple[str, str, str]]:
    return [
        (f"{figure[0]:.2f}", label, f"{figure[1]:.2f} to {figure[2]:.2f}")
        for label, figure in zip(labels, gold)
        if figure is not None
    ]


def _change(evaluation: Mapping[str, Any], stages: Sequence[str], name: str) -> Interval | None:
    """Last stage less first, paired by seed, where the file has each seed's figures (`per_seed`) and two or more."""
    runs = evaluation.get("per_seed")
    sides = [runs.get(stage) if isinstance(runs, Mapping) else None for stage in (stages[-1], stages[0])]
    values = [
        [run.get(name) for run in side if isinstance(run, Mapping)] if isinstance(side, list) else [] for side in sides
    ]
    after, before = ([value for value in side if is_number(value)] for side in values)
    return paired_difference(after, before) if len(after) == len(before) > 1 else None


def _row(name: str, figures: Sequence[Figure | None], paired: Interval | None) -> dict[str, Any]:
    first, final = figures[0], figures[-1]
    return {
        "name": name,
        "meaning": MEANINGS.get(name, ""),
        "figures": [figure and (f"{figure[0]:.2f}", f"{figure[1]:.2f}–{figure[2]:.2f}") for figure in figures],
        "change": signed(final[0] - first[0]) if first and final else "-",
        "paired": f"{signed(paired.low)} to {signed(paired.high)}" if paired else "",
    }


def _curves(folder: Path, stages: Sequence[str], remarks: list[str]) -> list[tuple[str, int, list[Markup]]]:
    """(stage, seeds, plots) for each trained stage."""
    found = []
    for stage in stages:
        logs = sorted(folder.glob(f"seed-*/{stage}/metrics.jsonl"))
        drawn = panels([read_lines(path, remarks) for path in logs])
        if drawn:
            found.append((LABELS[stage], len(logs), drawn))
        else:
            remarks.append(f"There are no metrics of {LABELS[stage]} (seed-*/{stage}/metrics.jsonl).")
    return found
