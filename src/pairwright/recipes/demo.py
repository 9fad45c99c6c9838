"""`pairwright demo`: the whole road on the miniature, base -> SFT -> DPO, scored by its oracle on unseen requests.

For each seed: demonstrations -> SFT; the SFT model answers each request four times, annotators compare -> DPO;
base, SFT and DPO answer the same unseen requests. Leaves evaluation.json, answers.jsonl, report.html and every run.
"""

import json
import platform
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.box import SIMPLE
from rich.table import Table

from pairwright import __version__, miniature
from pairwright.errors import ConfigError
from pairwright.evaluation.statistics import Interval, mean_interval
from pairwright.feedback.sample import Sample
from pairwright.miniature import Request
from pairwright.recipes import stages
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.display import Display
from pairwright.recipes.train import train
from pairwright.reporting import write_report
from pairwright.training.files import write_json_atomic

STAGES = ("base", "sft", "dpo")
MARK = ".pairwright-demo"
"""A file that says a folder is a demonstration's, so that it may be replaced."""


@dataclass
class DemoConfig:
    """Settings of the demonstration. The defaults take about three minutes on two cores; they were chosen on other
    draws of requests than those that are scored (docs/LOG.md)."""

    out: str = "runs/demo"
    """Folder of the demonstration; an earlier one there is replaced."""
    seeds: int = 3
    """Independent repetitions, each with its own requests, annotators and training order; intervals need two."""
    demonstrations: int = 960
    """Answers by imperfect demonstrators that SFT imitates, for each seed."""
    asked: int = 300
    """Requests that the SFT model answers four times each, for each seed."""
    pairs: int = 800
    """Preference pairs taken at most from these answers: those on which all annotators agree."""
    unseen: int = 500
    """Requests, none like those trained on, that the models are scored on."""
    temperature: float = 0.7
    """Sampling temperature of the answers that are scored; those that annotators compare are drawn at 1."""
    sft_learning_rate: float = 9e-4
    """Peak learning rate of SFT (a model of one million parameters bears a high one)."""
    dpo_learning_rate: float = 2e-4
    """Peak learning rate of DPO."""
    beta: float = 0.1
    """DPO's beta."""
    nll_weight: float = 1.0
    """Weight of the chosen answer's likelihood beside DPO's loss; a small model forgets its fields without it."""


@dataclass(frozen=True)
class DemoResult:
    out: Path
    evaluation: dict[str, dict[str, Interval]]
    """stage -> dimension -> mean and 95% interval over the seeds."""
    report: Path
    seconds: float


def demo(config: DemoConfig, display: Display | None = None) -> DemoResult:
    """Run the demonstration. Raises ConfigError for settings that cannot be meant, else what train() raises."""
    if config.seeds < 2:
        raise ConfigError(f"--seeds is {config.seeds}; an interval needs at least 2")
    for name in ("demonstrations", "asked", "pairs", "unseen"):
        if getattr(config, name) < 1:
            raise ConfigError(f"--{name} is {getattr(config, name)}; it must be 1 or more")
    torch.set_flush_denormal(True)
    display = display or Display()
    began = time.monotonic()
    out = Path(config.out)
    _clear(out)
    unseen = miniature.make_requests(config.unseen, seed=10_000, split="unseen")
    scores: dict[str, list[dict[str, float]]] = {stage: [] for stage in STAGES}
    answers: dict[str, list[Sample]] = {}
    for seed in range(config.seeds):
        display.say(f"seed {seed}: {seed + 1} of {config.seeds}")
        folder = out / f"seed-{seed}"
        models = {"base": miniature.BASE_MODEL, **_align(config, seed, folder, display)}
        for stage, path in models.items():
            with display.progress(f"  {stage}: answering {len(unseen)} unseen requests", 1) as advance:
                given = stages.answer(path, unseen, each=1, temperature=config.temperature, seed=20_000 + seed)
                advance(1, {})
            found = [miniature.score(r, a[0].text, a[0].ended) for r, a in zip(unseen, given, strict=True)]
            scores[stage].append(miniature.mean_scores(found))
            answers.setdefault(stage, [a[0] for a in given])  # the report shows the first seed's
        said = ", ".join(f"{stage} {scores[stage][-1]['gold']:.3f}" for stage in STAGES)
        display.say(f"  gold reward: {said}")
    seconds = time.monotonic() - began
    evaluation = {stage: _intervals(runs) for stage, runs in scores.items()}
    _write(config, out, evaluation, scores, unseen, answers, seconds)
    report = write_report(out)
    display.console.print(table(evaluation))
    display.say(f"{seconds:.0f} s. Figures: {out / 'evaluation.json'}   Report: {report}")
    return DemoResult(out, evaluation, report, seconds)


def _align(config: DemoConfig, seed: int, folder: Path, display: Display) -> dict[str, Path]:
    """SFT and DPO for one seed; the folders of the two models."""
    brief = Display(brief=True, prefix="  SFT: ")
    folder.mkdir(parents=True)
    sft = stages.imitate(
        folder,
        demonstrations=config.demonstrations,
        learning_rate=config.sft_learning_rate,
        seed=seed,
        display=brief,
    )
    with display.progress("  SFT model answers, annotators choose", 1) as advance:
        pairs = stages.own_pairs(sft, asked=config.asked, seed=seed)
        labelled = stages.compare(pairs, most=config.pairs, seed=seed)
        advance(1, {})
    data = miniature.write(folder / "preferences.jsonl", miniature.preferences(labelled))
    brief.prefix = "  DPO: "
    dpo = train(
        TrainConfig(
            method="dpo",
            model=str(sft),
            data=str(data),
            out=str(folder / "dpo"),
            options={"beta": config.beta},
            learning_rate=config.dpo_learning_rate,
            nll_weight=config.nll_weight,
            epochs=2,
            eval_every=20,
            seed=seed,
            sample_prompts=3,
            **stages.COMMON,
        ),
        brief,
    )
    return {"sft": sft, "dpo": dpo.model}


def _intervals(runs: Sequence[dict[str, float]]) -> dict[str, Interval]:
    return {name: mean_interval([run[name] for run in runs], within=(0, 1)) for name in runs[0]}


def _write(
    config: DemoConfig,
    out: Path,
    evaluation: dict[str, dict[str, Interval]],
    scores: dict[str, list[dict[str, float]]],
    unseen: Sequence[Request],
    answers: dict[str, list[Sample]],
    seconds: float,
) -> None:
    about = {
        **asdict(config),
        "interval": "mean over the seeds, 95% by Student's t, cut to [0, 1]",
        "seconds": round(seconds, 1),
        "pairwright": __version__,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }
    figures: dict[str, Any] = {
        stage: {name: interval.as_dict() for name, interval in found.items()} for stage, found in evaluation.items()
    }
    write_json_atomic(out / "evaluation.json", {**figures, "per_seed": scores, "about": about})
    with (out / "answers.jsonl").open("w", encoding="utf-8") as file:
        for i, request in enumerate(unseen):
            given = {stage: answers[stage][i] for stage in STAGES}
            gold = {stage: miniature.score(request, a.text, a.ended)["gold"] for stage, a in given.items()}
            texts = {stage: answer.text for stage, answer in given.items()}
            row = {"request": request.prompt, "kind": request.kind, **texts, "gold": gold}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def table(evaluation: dict[str, dict[str, Interval]]) -> Table:
    """Mean and interval of each dimension before and after, within 80 columns."""
    title = "Scores on unseen requests, mean and 95% interval over seeds"
    shown = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False)
    shown.add_column("")
    for stage in STAGES:
        shown.add_column(stage.upper() if stage != "base" else stage, justify="right")
    for name in evaluation["base"]:
        figures = [evaluation[stage][name] for stage in STAGES]
        shown.add_row(name, *(f"{i.mean:.3f} ({i.low:.3f}-{i.high:.3f})" for i in figures))
    return shown


def _clear(out: Path) -> None:
    """Remove an earlier demonstration; refuse to remove anything else."""
    if not out.exists():
        _mark(out)
        return
    if not out.is_dir():
        raise ConfigError(f"{out} is a file; --out needs a folder")
    found = {path.name for path in out.iterdir()}
    ours = re.compile(rf"{re.escape(MARK)}|\.?(evaluation\.json|answers\.jsonl|report\.html)(\..*)?|seed-\d+")
    other = sorted(name for name in found if not ours.fullmatch(name) or MARK not in found)
    if other:
        raise ConfigError(f"{out} holds {other[0]}, which no demonstration wrote: give another --out")
    shutil.rmtree(out)
    _mark(out)


def _mark(out: Path) -> None:
    out.mkdir(parents=True)
    (out / MARK).write_text("Made by `pairwright demo`, which replaces this folder.\n", encoding="utf-8")
