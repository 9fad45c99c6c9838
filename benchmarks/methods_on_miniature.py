"""Every method on the miniature, where the real quality of each answer is known: three seeds, one table.

    python benchmarks/methods_on_miniature.py            under an hour on one core; goes on where it was stopped
    python benchmarks/methods_on_miniature.py --pages    only writes the pages from the result file

For each seed: SFT once; the SFT model answers each request four times; annotators compare; every method trains one
epoch on the same comparisons from the same model; base, SFT and every trained model answer the same unseen requests,
and the oracle scores them. Conditions are in miniature_cells.py. Learning rates are chosen by one rule for all methods,
on a draw that is not scored: the default times 100 or 400, whichever model has the higher gold reward.

Writes results/methods_on_miniature.json after every cell, then docs/methods-compared.md and the examples on the pages
of the methods (miniature_pages.py). No times are kept: it runs beside other work.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import miniature_pages
from miniature_cells import (
    CONDITIONS,
    METHODS,
    Condition,
    Method,
    Settings,
    comparisons,
    describe,
    divergence,
    rows_of,
    scores,
    trained,
)
from pairwright import miniature
from pairwright.recipes import methods, stages
from pairwright.recipes.display import Display
from pairwright.training.files import write_json_atomic
from report import say

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "methods_on_miniature.json"
WORK = HERE.parent / "runs" / "methods_on_miniature"


@dataclass
class Table:
    """The result file, written after every cell."""

    path: Path
    result: dict[str, Any]

    def cell(self, part: str, name: str, compute: Callable[[], Any]) -> Any:
        """The value of a cell, computed where the file does not have it."""
        cells = self.result.setdefault(part, {})
        if name not in cells:
            began = time.monotonic()
            cells[name] = compute()
            write_json_atomic(self.path, self.result)
            say(f"{part} {name}: {shown(cells[name])} ({time.monotonic() - began:.0f} s)")
        return cells[name]


def shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {number:.3g}" for key, number in value.items() if not isinstance(number, str))
    return f"{value:.3g}"


@dataclass(frozen=True)
class Draw:
    """One seed's models and comparisons, made once and kept in its folder."""

    seed: int
    settings: Settings
    folder: Path

    def sft(self) -> Path:
        model = self.folder / "sft" / "model"
        if not model.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            stages.imitate(
                self.folder,
                demonstrations=self.settings.demonstrations,
                learning_rate=self.settings.sft_learning_rate,
                seed=self.seed,
                display=Display(quiet=True),
            )
        return model

    def start(self, condition: Condition) -> Path:
        return miniature.BASE_MODEL if condition.base else self.sft()

    def pairs(self) -> list[miniature.Pair]:
        """The SFT model's answers two by two; kept as a file, since sampling takes longer than training."""
        path = self.folder / "pairs.json"
        requests = miniature.make_requests(self.settings.asked, seed=1000 + self.seed, split="train")
        if not path.exists():
            made = stages.own_pairs(self.sft(), asked=self.settings.asked, seed=self.seed)
            place = {request: i for i, request in enumerate(requests)}
            rows = [[place[p.request], *([a.text, a.ended] for a in p.answers)] for p in made]
            write_json_atomic(path, {"pairs": rows})
        return [
            miniature.Pair(requests[i], (miniature.Answer(*one), miniature.Answer(*other)))
            for i, one, other in json.loads(path.read_text(encoding="utf-8"))["pairs"]
        ]

    def data(self, condition: str) -> tuple[Path, dict[str, float]]:
        """The training file of a condition and what is in it. Without SFT the comparisons are clean's."""
        labelled = comparisons(condition, self.pairs(), self.settings.pairs, self.seed)
        rows = rows_of(condition, labelled, self.seed)
        return miniature.write(self.folder / f"{condition.replace(' ', '-')}.jsonl", rows), describe(rows)


def rate_name(condition: Condition, method: Method) -> str:
    return f"{method.rate_of or method.name}{', from the base model' if condition.base else ''}"


def choose_rates(table: Table, settings: Settings, work: Path) -> dict[str, float]:
    """The learning rate of each method and start, chosen on the trial draw's clean comparisons."""
    draw = Draw(settings.trial_seed, settings, work / "trial")
    requests = miniature.make_requests(settings.trial_unseen, seed=settings.trial_seed, split="unseen")
    rates = {}
    for condition in CONDITIONS[:2]:
        for name in condition.methods:
            method = METHODS[name]

            def gold(rate: float, method: Method = method, condition: Condition = condition) -> float:
                data, _ = draw.data("clean")
                model = trained(method, draw.start(condition), data, rate, draw.seed, work / "run")
                return scores(model, requests, settings.temperature, draw.seed)["gold"]

            key = rate_name(condition, method)
            default = methods.module(method.objective).LEARNING_RATE["full"]
            tried = [factor * default for factor in settings.factors]
            golds = {r: table.cell("trial", f"{key}, {r:g}", lambda r=r: gold(r)) for r in tried}
            rates[key] = max(golds, key=lambda r: golds[r])
    table.result["rates"] = rates
    return rates


def measure(table: Table, settings: Settings, rates: dict[str, float], work: Path) -> None:
    unseen = miniature.make_requests(settings.unseen, seed=10_000, split="unseen")

    def found(model: Path, reference: Path | None, seed: int) -> dict[str, float]:
        values = scores(model, unseen, settings.temperature, 20_000 + seed)
        if reference is not None:
            values["divergence"] = divergence(model, reference, unseen[: settings.diverging], 30_000 + seed)
        return values

    draws = [Draw(seed, settings, work / f"seed-{seed}") for seed in range(settings.seeds)]
    for draw in draws:
        at = f"{draw.seed}/start"
        table.cell("cells", f"{at}/base", lambda draw=draw: found(miniature.BASE_MODEL, None, draw.seed))
        table.cell("cells", f"{at}/sft", lambda draw=draw: found(draw.sft(), miniature.BASE_MODEL, draw.seed))
    # All seeds of a condition before the next one: what is there early has its intervals.
    for condition in CONDITIONS:
        source = "clean" if condition.base else condition.name
        for draw in draws:
            about = f"{draw.seed}/{condition.name}"
            table.cell("data", about, lambda draw=draw, source=source: draw.data(source)[1])
            for name in condition.methods:
                method = METHODS[name]

                def one(
                    method: Method = method, condition: Condition = condition, draw: Draw = draw, source: str = source
                ) -> dict[str, float]:
                    start, rate = draw.start(condition), rates[rate_name(condition, method)]
                    data, _ = draw.data(source)
                    return found(trained(method, start, data, rate, draw.seed, work / "run"), start, draw.seed)

                table.cell("cells", f"{about}/{name}", one)


def opened(path: Path, settings: Settings) -> Table:
    """The result so far, or a new one. Exits where the file is of other settings."""
    told = json.loads(json.dumps(asdict(settings)))
    fresh = {
        "settings": told,
        "versions": {name: version(name) for name in ("pairwright", "torch", "transformers")},
        "machine": f"{platform.machine()}, one thread",
        "date": time.strftime("%Y-%m-%d"),
    }
    if not path.exists():
        return Table(path, fresh)
    result = json.loads(path.read_text(encoding="utf-8"))
    if result["settings"] != told:
        raise SystemExit(f"{path} was made with other settings: move it away, or give another --result")
    return Table(path, result)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--work", type=Path, default=WORK, help="folder of models and data between the cells")
    parser.add_argument("--pages", action="store_true", help="train nothing, write the pages from the result file")
    args = parser.parse_args()
    if not args.pages:
        torch.set_num_threads(1)  # the figures are of one thread's bits, whatever the machine
        # Reference log-probabilities are the same for most methods: computed once for each model and file.
        os.environ.setdefault("PAIRWRIGHT_CACHE", str(args.work / "cache"))
        settings = Settings()
        table = opened(args.result, settings)
        rates = choose_rates(table, settings, args.work)
        measure(table, settings, rates, args.work)
        write_json_atomic(args.result, table.result)
    miniature_pages.write(json.loads(args.result.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
