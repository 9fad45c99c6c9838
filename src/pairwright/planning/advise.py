"""Facts -> one recommendation, with its reasons, the runner-up, and what would change the choice. Reads rules.py."""

import dataclasses
from dataclasses import dataclass

from pairwright.planning.rules import NEED, RULES, Condition, Facts, Rule


@dataclass(frozen=True)
class Advice:
    rule: Rule
    reasons: tuple[str, ...]
    """Each with its evidence: the fact as it was found."""
    second: Rule
    changes: tuple[str, ...]
    """What would make it another choice."""
    cautions: tuple[str, ...]


def advise(facts: Facts) -> Advice:
    rule = next(r for r in RULES if all(c.holds(facts) for c in r.when))
    evidence = tuple(f"{c.words()} (found: {_found(facts, c)})" for c in rule.when)
    reasons, changes = (rule.why, *evidence), tuple(_changes(facts, rule))
    return Advice(rule, reasons, by_leaf(rule.second), changes, tuple(_cautions(facts)))


def by_leaf(leaf: str) -> Rule:
    return next(rule for rule in RULES if rule.leaf == leaf)


def _found(facts: Facts, condition: Condition) -> str:
    value = getattr(facts, condition.fact)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if isinstance(value, float) else str(value)


def _changes(facts: Facts, chosen: Rule) -> list[str]:
    """Rules that stand above the chosen one and fail by one condition only."""
    found = []
    for rule in RULES[: RULES.index(chosen)]:
        failing = [c for c in rule.when if not c.holds(facts)]
        if len(failing) == 1 and failing[0].fact != "data":
            known = getattr(facts, failing[0].fact)
            state = "not known" if known is None else f"now {_found(facts, failing[0])}"
            found.append(f"{failing[0].words()} ({state}): {rule.leaf}")
    return found


def _cautions(facts: Facts) -> list[str]:
    low, high = NEED[facts.goal]
    said = []
    if facts.data in ("pairs", "rankings", "labelled") and facts.rows < low:
        said.append(f"{facts.rows:,} examples; {facts.goal} usually takes {low:,} to {high:,} (or fewer curated ones)")
    if facts.on_policy is False:
        said.append("the answers are not the model's own: label samples of the model itself as soon as you can")
    unknown = [f.name for f in dataclasses.fields(facts) if getattr(facts, f.name) is None]
    if unknown:
        said.append(f"not known, and so not weighed: {', '.join(unknown)}")
    return said


def tree() -> str:
    """The rules in order, as the decision that they are: for docs/choosing-a-method.md."""
    lines = ["```"]
    for number, rule in enumerate(RULES):
        asked = " and ".join(condition.words() for condition in rule.when) or "otherwise"
        lines += [f"{'' if number == 0 else 'no: '}{asked}?", f"    yes -> {rule.leaf}"]
    return "\n".join([*lines, "```"])
