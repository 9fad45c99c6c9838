"""What a run shows: lines, progress bars with the time left, a table at the end. On stderr, so that results can be
piped; plain lines where there is no terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from pairwright.evaluation.statistics import wilson_interval

SHOWN = (
    "loss",
    "rewards/accuracies",
    "rewards/margins",
    "accuracy",
    "margin",
    "eval_loss",
    "eval_rewards/accuracies",
    "score",
    "kl",
    "eval_score",
)
EVERY_SECONDS = 20.0
"""Without a terminal a line is printed this often."""


class Advance(Protocol):
    """(done, metrics, phase): phase says what the step in progress is doing."""

    def __call__(self, done: int, metrics: dict[str, float], phase: str = "", /) -> None: ...


class Display:
    """quiet: nothing at all (processes other than the first). brief: progress only, for runs inside a larger one."""

    def __init__(self, quiet: bool = False, brief: bool = False, prefix: str = "") -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self.brief = brief
        if brief or not self.console.is_terminal:
            _silence_transformers()
        self.prefix = prefix

    def say(self, line: str) -> None:
        if self.brief:
            return
        self.console.print(line, markup=False, soft_wrap=not self.console.is_terminal)

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Advance]:
        """Yields advance(done, metrics). `total` is 0 where nobody knows it."""
        what = self.prefix + what
        if not self.console.is_terminal:
            yield self._lines(what, total)
            return
        columns = [
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
        ]
        with Progress(*columns, console=self.console, transient=self.brief or what != "training") as bar:
            task = bar.add_task(what, total=total or None, metrics="")

            shown = ""

            def advance(done: int, metrics: dict[str, float], phase: str = "") -> None:
                nonlocal shown
                found = [name for name in ("score", "loss") if name in metrics]
                if found:
                    shown = f"{found[0]} {metrics[found[0]]:.3f}"
                bar.update(task, completed=done, metrics=f"{shown} {phase}".strip())

            yield advance

    def _lines(self, what: str, total: int) -> Advance:
        began = said = time.monotonic()

        def advance(done: int, metrics: dict[str, float], phase: str = "") -> None:
            nonlocal said
            now = time.monotonic()
            if now - said >= EVERY_SECONDS and done and not phase:
                said = now
                left = (now - began) / done * (total - done)
                numbers = "".join(f", {name} {metrics[name]:.3f}" for name in SHOWN if name in metrics)
                ahead = f" of {total:,}, about {max(0.0, left):.0f} s left" if total else ""
                self.say(f"{what}: {done:,}{ahead}{numbers}")

        return advance

    def outcome(self, metrics: dict[str, float], out: Path, held_out: int = 0, shares: bool = True) -> None:
        """The last metrics, trained and of the `held_out` examples side by side, and where things are. `shares`: each
        of these is one pair, so that the accuracy is a share of them."""
        if self.brief:
            return
        table = Table(title="Outcome", title_justify="left")
        table.add_column("metric")
        table.add_column("last step", justify="right")
        table.add_column(f"held out ({held_out:,})" if held_out else "held out", justify="right")
        show = lambda value: "" if value is None else f"{value:.4g}"  # noqa: E731
        share = metrics.get("eval_rewards/accuracies")
        sure = wilson_interval(round(share * held_out), held_out) if share is not None and held_out and shares else None
        for name in (
            "loss",
            "rewards/accuracies",
            "rewards/margins",
            "rewards/chosen",
            "rewards/rejected",
            "logps/chosen",
            "logps/rejected",
            "score",
            "reward",
            "kl",
            "length",
            "ended",
            "accuracy",
            "margin",
            "mean_reward",
            "min_reward",
            "max_reward",
        ):
            if name in metrics or f"eval_{name}" in metrics:
                table.add_row(name, show(metrics.get(name)), show(metrics.get(f"eval_{name}")))
            if name == "rewards/accuracies" and sure:
                table.add_row("  95% interval (Wilson)", "", f"{sure.low:.2f} to {sure.high:.2f}")
        self.console.print(table)
        self.say(f"model:   {out / 'model'}")
        self.say(f"run:     {out} (config.json, metrics.jsonl, samples.jsonl, checkpoints)")
        self.say(f"report:  pairwright report {out}")


def _silence_transformers() -> None:
    """No progress bars of transformers. Those who need no model, such as the audit, have not loaded it."""
    if "transformers" in sys.modules:
        sys.modules["transformers"].utils.logging.disable_progress_bar()


def counter(advance: Advance) -> Callable[[int], None]:
    """For those that report how much was done since the last time, not in all."""
    done = 0

    def more(count: int) -> None:
        nonlocal done
        done += count
        advance(done, {})

    return more
