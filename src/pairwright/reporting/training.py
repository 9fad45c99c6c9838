"""What the page of one training run shows: what was trained and on what, curves, and what the model said over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pairwright.reporting.plots import Curve, curves
from pairwright.reporting.reward import judged
from pairwright.reporting.run_files import Line, Run, last, metric_names, points, read_run
from pairwright.reporting.values import Rows, duration, rows, turns
from pairwright.tokens.rules import RULES

LOGS = ("config.json", "metrics.jsonl")

PANELS: dict[str, tuple[str, ...]] = {
    "Loss": ("loss",),
    "Preference accuracy": ("rewards/accuracies",),
    "Reward margin": ("rewards/margins",),
    "Pairs ranked right": ("accuracy",),
    "Margin of the scores": ("margin",),
    "Scores, smallest and largest": ("min_reward", "max_reward"),
    "Mean score": ("mean_reward",),
    "Rewards": ("rewards/chosen", "rewards/rejected"),
    "Log-probability of an answer": ("logps/chosen", "logps/rejected"),
    "Score, weights and penalties applied": ("score",),
    "Divergence from the reference (k1), nats an answer": ("kl",),
    "Tokens of an answer": ("length",),
    "Share of answers that ended": ("ended",),
    "Entropy, nats a token": ("entropy",),
    "Different answers to a prompt": ("distinct",),
    "Gradient norm": ("grad_norm",),
    "Learning rate": ("learning_rate",),
}
"""Panels in their order. A panel of one metric shows training and held-out values; one of two, training's only."""

COUNTERS = {"step", "epoch", "num_tokens", "tokens_computed", "desirable", "updates"}
TILES = (
    ("rewards/accuracies", "pairs ranked right"),
    ("rewards/margins", "reward margin"),
    ("accuracy", "pairs ranked right"),
    ("margin", "margin of the scores"),
    ("score", "score of the answers"),
    ("kl", "nats from the reference"),
)
"""What a reader asks first, besides the loss."""
SHOWN_STEPS = 4
SHOWN_DROPPED = 50


def training_page(folder: Path) -> dict[str, Any]:
    """The content of training.html.j2."""
    run = read_run(folder)
    config = settings(run)
    dropped = _dropped(run.data)
    method, model = str(config.get("method", "unknown method")), str(config.get("model", "an unknown model"))
    return {
        "title": f"{method.upper()} of {'/'.join(Path(model).parts[-2:]) or model}",
        "method": method,
        "model": model,
        "data_name": str(config.get("data", "unknown data")),
        "tiles": _tiles(run),
        "data": _data(run.data),
        "dropped": dropped[:SHOWN_DROPPED],
        "dropped_more": max(0, len(dropped) - SHOWN_DROPPED),
        "judged": judged(folder, run.remarks),
        "panels": panels([run.metrics]),
        "samples": _samples(run.samples),
        "settings": rows(config, leave_out=("model", "data", "method")),
        "surroundings": _surroundings(run.config, config),
        "remarks": run.remarks,
    }


def settings(run: Run) -> Line:
    """The run's settings: config.json itself, or its part `config` where versions and digests stand beside it."""
    inner = run.config.get("config")
    return inner if isinstance(inner, dict) else run.config


def panels(runs: Sequence[Sequence[Line]]) -> list[Markup]:
    """A plot for every metric that was logged; several runs (seeds) are drawn over each other."""
    names = list(dict.fromkeys(name for lines in runs for name in metric_names(lines)))
    trained = {name.removeprefix("eval_") for name in names} - COUNTERS
    grouped = dict(PANELS)
    known = {name for group in grouped.values() for name in group}
    grouped |= {name: (name,) for name in names if name in trained - known}
    grouped |= {
        name: (name.removeprefix("eval_"),) for name in names if name[5:] in trained - known and name[5:] not in names
    }
    drawn = []
    for title, group in grouped.items():
        shown = _pair(runs, group) if len(group) > 1 else _single(runs, group[0])
        if shown:
            drawn.append(curves(title, shown, share="accurac" in group[0]))
    return drawn


def _single(runs: Sequence[Sequence[Line]], name: str) -> list[Curve]:
    both = [
        ("training", [points(lines, name) for lines in runs]),
        ("held out", [points(lines, f"eval_{name}") for lines in runs]),
    ]
    return [Curve(label, lines, colour) for colour, (label, lines) in zip((2, 1), both) if any(lines)]


def _pair(runs: Sequence[Sequence[Line]], group: tuple[str, ...]) -> list[Curve]:
    found = [(name.rpartition("/")[2], [points(lines, name) for lines in runs]) for name in group]
    return [Curve(label, lines, 1 + colour) for colour, (label, lines) in enumerate(found) if any(lines)]


def _tiles(run: Run) -> list[tuple[str, str, str]]:
    """(figure, name, remark) of what a reader asks first; only what was logged."""
    tiles = []
    losses = points(run.metrics, "eval_loss") or points(run.metrics, "loss")
    where = "held out" if points(run.metrics, "eval_loss") else "training"
    if losses:
        tiles.append((f"{losses[-1][1]:.3g}", f"loss, {where}", f"{losses[0][1]:.3g} at step {losses[0][0]:.0f}"))
    for name, words in TILES:
        held_out, training = last(run.metrics, f"eval_{name}"), last(run.metrics, name)
        value = training if held_out is None else held_out
        if value is not None:
            figure = f"{value:.0%}" if "accurac" in name else f"{value:.3g}"
            tiles.append((figure, words, "training, last step" if held_out is None else "held out"))
    step, tokens = last(run.metrics, "step"), sum(value for _, value in points(run.metrics, "num_tokens"))
    if step is not None:
        tiles.append((f"{step:,.0f}", "steps", f"{tokens:,.0f} answer tokens" if tokens else ""))
    seconds, computed = (sum(value for _, value in points(run.timings, name)) for name in ("seconds", "tokens"))
    if seconds:
        tiles.append((duration(seconds), "in steps", f"{computed / seconds:,.0f} tokens a second" if computed else ""))
    return tiles


def _data(data: Line) -> list[tuple[str, Rows]]:
    """data.json as groups of rows: {"data": {"reading": {...}, "tokens": {...}}, "held out": {...}}."""
    groups = []
    for part, sections in data.items():
        for section, values in sections.items() if isinstance(sections, dict) else ():
            if isinstance(values, dict):
                counts = values.get("counts")
                counted = [(_rule(rule), f"{n:,}") for rule, n in counts.items()] if isinstance(counts, dict) else []
                groups.append((f"{part}: {section}", rows(values, leave_out=("counts",)) + counted))
    return [(name, found) for name, found in groups if found]


def _rule(name: str) -> str:
    """A rule of tokens/rules.py with its meaning; one of a later version by its name alone."""
    return f"{name.replace('_', ' ')}: {RULES[name]}" if name in RULES else name


def _dropped(data: Line) -> list[tuple[str, str]]:
    """(file and line, rule) of every record that became no example."""
    listed = [
        row
        for sections in data.values()
        for values in (sections.values() if isinstance(sections, dict) else ())
        for row in (values.get("dropped") if isinstance(values, dict) else None) or ()
    ]
    return [(str(row.get("source")), str(row.get("rule"))) for row in listed if isinstance(row, dict)]


def _surroundings(whole: Line, config: Line) -> Rows:
    """What stands in config.json beside the settings; of the fingerprint only what is not a setting."""
    beside = {name: value for name, value in whole.items() if name != "config" and name not in config}
    fingerprint = beside.get("fingerprint")
    if isinstance(fingerprint, dict):
        beside["fingerprint"] = {name: value for name, value in fingerprint.items() if name not in config}
    return rows(beside)


def _samples(samples: Sequence[Line]) -> list[dict[str, Any]]:
    """For each prompt its answers at up to SHOWN_STEPS steps, the first and the last among them."""
    steps = sorted({line["step"] for line in samples if isinstance(line.get("step"), int)})
    if len(steps) > SHOWN_STEPS:
        steps = [steps[round(i * (len(steps) - 1) / (SHOWN_STEPS - 1))] for i in range(SHOWN_STEPS)]
    prompts: dict[str, dict[str, Any]] = {}
    for line in samples:
        key = repr(line.get("prompt"))
        chosen = turns(line["chosen"]) if line.get("chosen") else []
        card = prompts.setdefault(key, {"prompt": turns(line.get("prompt", "")), "answers": [], "chosen": chosen})
        if line.get("step") in steps:
            card["answers"].append((line["step"], str(line.get("completion", ""))))
    return list(prompts.values())
