"""Sycophancy: chosen answers that praise the user, agree with an opinion that the user stated, or say the user's
name."""

from dataclasses import dataclass

from pairwright.audit.findings import Checked
from pairwright.audit.markers import Limits, Words, imbalance
from pairwright.audit.shares import balance
from pairwright.audit.table import Table

TITLE = "Sycophancy and name mention"
_WHY = 'The model learns to please: it agrees with whatever is said and gives way to a mere "are you sure?".'
_SOURCE = "Sharma et al., arXiv 2310.13548"


@dataclass(frozen=True)
class Thresholds(Limits):
    pass


def check(table: Table, limits: Thresholds = Thresholds()) -> Checked:
    praise = balance(*table.sides("praise"), "praise of the user")
    chosen, rejected = table.sides("agrees")
    # Only where there is an opinion to agree with; "good point" after a question is praise.
    agrees = balance(chosen * table["opinion"], rejected * table["opinion"], "agreement with the user's opinion")
    names = balance(*table.sides("names"), "mentions of the user's name")
    said = {
        "praise": (praise, "Praise of the user is chosen", "praise of the user",
                   "Drop the pairs in which only the chosen answer praises, or rewrite the answer without it."),
        "agreement": (agrees, "Agreement with the user's opinion is chosen", "agreement with the user's opinion",
                      "Add the same prompts with the opposite opinion and the same right answer."),
        "names": (names, "Answers that say the user's name are chosen", "mentions of the user's name",
                  "Swap names between prompts, so that saying the name wins nothing."),
    }  # fmt: skip
    findings = [
        finding
        for found, title, what, do in said.values()
        for finding in imbalance(found, len(table), Words("sycophancy", title, what, _WHY, _SOURCE, do), limits)
    ]
    return Checked({name: found.figure for name, (found, *_) in said.items()}, tuple(findings))
