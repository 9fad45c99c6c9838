"""Confidence bias: chosen answers that sound surer than rejected ones, by words of certainty and of doubt."""

from dataclasses import dataclass

from pairwright.audit.findings import Checked
from pairwright.audit.markers import Limits, Words, imbalance
from pairwright.audit.shares import balance
from pairwright.audit.table import Table

TITLE = "Confidence and hedging"
_WHY = (
    "Labels that reward sounding sure teach a model to be confident where it is wrong; its stated confidence then says "
    "little."
)
_SOURCE = "arXiv 2410.09724 (reward models prefer confident answers, right or wrong)"


@dataclass(frozen=True)
class Thresholds(Limits):
    pass


def check(table: Table, limits: Thresholds = Thresholds()) -> Checked:
    sure = balance(*table.sides("boosters"), "words of certainty")
    chosen, rejected = table.sides("hedges")
    unsure = balance(rejected, chosen, "hedges, counted for the rejected answer")
    boosters = Words(
        "confidence", "Certainty is chosen", "words of certainty", _WHY, _SOURCE,
        "Ask whether the sure answers are also the right ones; balance the pairs (the filter drops those in which only "
        "the chosen answer is sure), or have facts checked.",
    )  # fmt: skip
    hedges = Words(
        "confidence", "Doubt is rejected", "hedges (here: the rejected answer has more)", _WHY, _SOURCE,
        "Keep pairs in which the doubt is honest: add pairs whose chosen answer says what it does not know.",
    )  # fmt: skip
    findings = imbalance(sure, len(table), boosters, limits) + imbalance(unsure, len(table), hedges, limits)
    return Checked({"certainty": sure.figure, "doubt": unsure.figure}, findings)
