"""A reward model on held-out pairs: evaluation.json, and a table for people."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from rich.table import Table

from pairwright.backbone.heads import head_named, scores
from pairwright.backbone.load import Backbone
from pairwright.evaluation.reward import Judged, evaluation, numbered
from pairwright.recipes.display import Display, counter
from pairwright.recipes.run import Run
from pairwright.tokens import trie
from pairwright.tokens.batches import micro_batches
from pairwright.tokens.sequences import Example
from pairwright.training.files import write_json_atomic


@torch.no_grad()
def score_examples(
    backbone: Backbone, examples: Sequence[Example], tokens: int, progress: Callable[[int], None] = lambda _: None
) -> list[np.ndarray]:
    """For each example the (K,) float32 scores of its sequences, without dropout; at most `tokens` in one pass."""
    backbone.model.eval()
    head = head_named(backbone)
    found: list[np.ndarray] = []
    for batch in micro_batches(examples, tokens, with_last=True):
        values = scores(backbone, trie.build(batch, with_last=True), head).cpu().numpy()
        found += np.split(values, np.cumsum([len(e.sequences) for e in batch])[:-1])
        progress(len(batch))
    backbone.model.train()
    return found


def evaluate(run: Run) -> dict[str, Any]:
    """Score the held-out pairs, write evaluation.json and show it."""
    held_out, tokens = run.data.held_out, run.settings.tokens_per_batch
    with run.display.progress("scoring", len(held_out)) as advance:
        values = score_examples(run.backbone, held_out, tokens, counter(advance))
    pairs = judged(held_out, values)
    if not len(pairs.margin):
        run.display.say("evaluation: all held-out pairs are ties, which no score can be right about")
        return {}
    found = evaluation(pairs, seed=run.settings.seed)
    write_json_atomic(run.out / "evaluation.json", found)
    show(found, run.display)
    return found


def judged(examples: Sequence[Example], found: Sequence[np.ndarray]) -> Judged:
    """Every pair of the examples with the scores of its answers; a tie says of no answer that it is better."""
    every = [(example, values, pair) for example, values in zip(examples, found) for pair in example.pairs]
    pairs = [(example, values, pair) for example, values, pair in every if pair.label != 0.5]
    lengths = [[int(e.sequences[i].supervised.sum()) for i in (p.better, p.worse)] for e, _, p in pairs]
    prompts = []
    for example, _, _ in pairs:
        first = example.sequences[0]
        prompts.append(first.ids[: int(first.supervised.argmax())].tobytes())
    return Judged(
        margin=np.array([v[p.better] - v[p.worse] for _, v, p in pairs], dtype=np.float64),
        chosen_tokens=np.array([a for a, _ in lengths]),
        rejected_tokens=np.array([b for _, b in lengths]),
        prompt=numbered(prompts),
        label=np.array([1.0 if p.label is None else p.label for _, _, p in pairs]),
    )


def show(found: dict[str, Any], display: Display) -> None:
    """The figures as a table that fits 80 columns."""
    if display.brief:
        return
    table = Table(title="On held-out pairs", title_justify="left")
    table.add_column("")
    for heading in ("pairs", "right", "95% interval"):
        table.add_column(heading, justify="right")
    rows = [("the reward model", found["accuracy"]), ("longest wins", found["longest_wins"])]
    for name, value in rows:
        table.add_row(name, f"{found['pairs']:,}", f"{value['mean']:.3f}", f"{value['low']:.3f} to {value['high']:.3f}")
    table.add_row("difference", "", *_interval(found["difference"], signed=True), end_section=True)
    for group in found["by_length_difference"]:
        table.add_row(group["group"], f"{group['pairs']:,}", *_interval(group))
    display.console.print(table)
    few = "; with so few prompts the intervals are too narrow" if found["few"] else ""
    display.say(f"It {found['verdict']} (intervals {found['intervals']}{few}).")
    scale = found["calibration"]
    display.say(
        f"calibration: expected error {scale['expected_calibration_error']:.3f}; it is sure to "
        f"{scale['mean_confidence']:.3f} on average and right in {found['accuracy']['mean']:.3f}"
    )


def _interval(value: dict[str, float], *, signed: bool = False) -> tuple[str, str]:
    plus = "+" if signed else ""
    mean, low, high = (round(value[name], 3) + 0.0 for name in ("mean", "low", "high"))  # no -0.000
    return f"{mean:{plus}.3f}", f"{low:{plus}.3f} to {high:{plus}.3f}"
