"""Marks of a chat template left in the text, such as "<|im_end|>" or "Human:" at the start of a line."""

from dataclasses import dataclass

import numpy as np

from pairwright.audit.findings import Checked, Finding
from pairwright.audit.markers import harm
from pairwright.audit.shares import EXAMPLES, between, share, spread
from pairwright.audit.table import Table

TITLE = "Template left in the text"


@dataclass(frozen=True)
class Thresholds:
    medium: float = 0.001
    """Share of rows from which harm is medium. Ours: a few rows are enough to teach a model to speak for the user."""
    high: float = 0.01
    """Ours."""


def check(table: Table, limits: Thresholds = Thresholds()) -> Checked:
    chosen, rejected = table.sides("template")
    rows = np.flatnonzero(chosen | rejected | table["prompt_template"])
    figure = share(len(rows), len(table), "pairs with marks of a template in the text")
    figures = {
        "marked": figure,
        "chosen": share(int(chosen.sum()), len(table), "chosen answers with marks of a template"),
    }
    if not len(rows):
        return Checked(figures)
    sides = {"prompt": table["prompt_template"], "chosen": chosen, "rejected": rejected}
    places = [f"in {' and '.join(side for side, has in sides.items() if has[row])}" for row in rows[:EXAMPLES]]
    finding = Finding(
        "template", "Marks of a template stand in the text", harm(len(rows) / len(table), limits.medium, limits.high),
        f"{len(rows):,} pairs, {between(figure)}, have role names or special tokens of a chat template in the text; "
        f"{int(chosen.sum()):,} in the chosen answer.", figure,
        "The template is added again in training: the model sees it twice, learns to write the user's turn itself, and "
        "does not stop where it should.",
        "SimPO, README (wrong template, two BOS); TRL issue 2382 (answers that never stop)",
        "Split the text into messages, and take the marks out; the filter drops the rows.",
        rows, spread(rows, places),
    )  # fmt: skip
    return Checked(figures, (finding,))
