"""How advice looks in the terminal."""

import textwrap

from pairwright.recipes.advise import Advised


def lines(found: Advised) -> list[str]:
    advice = found.advice
    rule = advice.rule
    out = [f"recommendation: {rule.leaf}" + (f" (method {rule.method})" if rule.method else "")]
    out += _block("why", [*advice.reasons, f"source: {rule.source}"])
    out += _block("start with", list(found.settings))
    out += _block("take care", list(advice.cautions))
    out += _block("runner-up", [f"{advice.second.leaf}: {advice.second.why}"])
    out += _block("what would change the choice", list(advice.changes))
    out += ["", found.command or f"no command: {found.missing}"]
    return [*out, f"({found.missing})"] if found.command and found.missing else out


def _block(title: str, items: list[str]) -> list[str]:
    if not items:
        return []
    wrapped = [textwrap.fill(item, 80, initial_indent="  - ", subsequent_indent="    ") for item in items]
    return ["", title, *wrapped]
