"""Answers in another language than their prompt."""

from dataclasses import dataclass

import numpy as np

from pairwright.audit.findings import Checked, Finding, Shown
from pairwright.audit.language import CODES
from pairwright.audit.markers import harm
from pairwright.audit.shares import EXAMPLES, between, share
from pairwright.audit.table import Table

TITLE = "Answers in the wrong language"


@dataclass(frozen=True)
class Thresholds:
    usual: float = 0.9
    """Share of the prompts of known language that are in one, from which a prompt too short to tell is taken to be in
    it
    too. Ours."""
    medium: float = 0.01
    """Share of rows from which harm is medium. Ours."""
    high: float = 0.05
    """Ours."""


def check(table: Table, limits: Thresholds = Thresholds()) -> Checked:
    prompt, chosen, rejected = table["prompt_language"], *table.sides("language")
    known = np.bincount(prompt[prompt > 0], minlength=len(CODES))
    usual = int(known.argmax())
    if not known.sum() or known[usual] < limits.usual * known.sum():
        usual = 0
    asked = np.where(prompt > 0, prompt, usual)
    wrong = [(asked > 0) & (said > 0) & (said != asked) & ~table["translates"] for said in (chosen, rejected)]
    rows = np.flatnonzero(wrong[0] | wrong[1])
    figure = share(len(rows), len(table), "pairs with an answer in another language than the prompt")
    figures = {"wrong": figure, "chosen": share(int(wrong[0].sum()), len(table), "chosen answers in another language")}
    counts = {CODES[code]: int(count) for code, count in enumerate(np.bincount(chosen)) if code and count}
    plots = {"languages": dict(sorted(counts.items(), key=lambda each: -each[1]))}
    if not len(rows):
        return Checked(figures, plots=plots)

    def note(row: int) -> str:
        said = [f"{side} in {CODES[codes[row]]}" for side, codes, bad in
                (("chosen", chosen, wrong[0]), ("rejected", rejected, wrong[1])) if bad[row]]  # fmt: skip
        return f"prompt in {CODES[asked[row]]}, {' and '.join(said)}"

    finding = Finding(
        "languages", "Answers are in another language than the prompt",
        harm(len(rows) / len(table), limits.medium, limits.high),
        f"{len(rows):,} pairs, {between(figure)}, have an answer in another language; in {int(wrong[0].sum()):,} it "
        f"is the "
        "chosen one.", figure,
        "A chosen one teaches the model to change languages; a rejected one is rejected for its language, which "
        "teaches "
        "nothing about the answer.",
        "Marchisio et al., arXiv 2406.20052 (language confusion)", "Drop them, unless the prompt asks for it.",
        rows, tuple(Shown(int(row), note(int(row))) for row in rows[:EXAMPLES]),
    )  # fmt: skip
    return Checked(figures, (finding,), plots=plots)
