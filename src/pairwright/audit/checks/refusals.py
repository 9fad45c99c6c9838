"""Refusals on each side: pairs in which both refuse, labels that always reward refusing, or always punish it."""

from dataclasses import dataclass

import numpy as np

from pairwright.audit.findings import Checked, Finding
from pairwright.audit.markers import harm
from pairwright.audit.shares import balance, between, percent, share, spread
from pairwright.audit.table import Table

TITLE = "Refusals"


@dataclass(frozen=True)
class Thresholds:
    """Ours; none are published. Silent on the miniature's clean pairs."""

    both: float = 0.15
    """Share of pairs in which both answers refuse, from which it is said."""
    one_sided: float = 0.85
    """Among pairs in which one answer refuses, the share of one kind from which the labels are called one-sided."""
    often: float = 0.02
    """Share of all pairs in which one answer refuses, from which that matters."""
    high: float = 0.3
    """The same, from which it is likely to turn the model's refusals as a whole."""


def check(table: Table, limits: Thresholds = Thresholds()) -> Checked:
    chosen, rejected = table.sides("refuses")
    pairs = len(table)
    one = balance(chosen, rejected, "refusing")
    both = np.flatnonzero(chosen & rejected)
    figures = {
        "chosen": share(int(chosen.sum()), pairs, "chosen answers that refuse"),
        "rejected": share(int(rejected.sum()), pairs, "rejected answers that refuse"),
        "both": share(len(both), pairs, "pairs in which both answers refuse"),
        "refusal_chosen": one.figure,
    }
    findings = [*_one_sided(table, one, limits)]
    if len(both) >= limits.both * pairs and len(both):
        findings.append(
            Finding(
                "refusals", "Both answers refuse", harm(len(both) / pairs, 0.1, 0.3),
                f"In {len(both):,} pairs, {between(figures['both'])}, both answers refuse.", figures["both"],
                "Such a pair teaches how to refuse, not when; many of them teach that refusing is what is done.",
                "Röttger et al., XSTest, arXiv 2308.01263", "Replace one side by an answer that helps, or drop them.",
                both, spread(both, "both refuse"),
            )
        )  # fmt: skip
    return Checked(
        figures, tuple(findings), plots={"shares": {k: figures[k].value for k in ("chosen", "rejected", "both")}}
    )


def _one_sided(table: Table, one, limits: Thresholds) -> list[Finding]:
    figure, count = one.figure, len(one.only_chosen) + len(one.only_rejected)
    assert figure.low is not None and figure.high is not None
    if count < limits.often * len(table):
        return []
    where = (
        f"one answer refuses in {count:,} pairs ({percent(count / len(table))}), and there the refusal is chosen in "
    )
    if figure.low >= limits.one_sided:
        return [
            Finding(
                "refusals", "Refusing always wins", harm(count / len(table), 0.1, limits.high),
                f"{where.capitalize()}{between(figure)}.", figure,
                "Loss falls and held-out accuracy nears 99% while the model begins to refuse harmless prompts.",
                "Röttger et al., XSTest, arXiv 2308.01263; Bai et al., arXiv 2212.08073",
                "Add prompts that sound unsafe and are fine, with the helpful answer chosen; raise beta; compare "
                "refusals "
                "on safe and unsafe prompts before and after.",
                one.only_chosen, spread(one.only_chosen, "the refusal is chosen"),
            )
        ]  # fmt: skip
    if 1 - figure.high >= limits.one_sided:
        return [
            Finding(
                "refusals", "Refusing always loses", harm(count / len(table), 0.1, limits.high),
                f"{where.capitalize()}only {between(figure)}.", figure,
                "The model learns to comply with everything, harmful requests among it.",
                "Qi et al., arXiv 2310.03693 (fine-tuning undoes safety)",
                "Look at the pairs: where the request is harmful, exchange the labels; add pairs whose chosen answer "
                "declines.",
                one.only_rejected, spread(one.only_rejected, "the refusal is rejected"),
            )
        ]  # fmt: skip
    return []
