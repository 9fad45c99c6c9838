"""What methods_on_miniature.py shows: docs/methods-compared.md, and an example on the page of each method in it.

Written from the result file alone; tests/benchmarks/test_miniature_pages.py fails when they differ from it.
"""

import re
from pathlib import Path

from miniature_cells import CONDITIONS, FLIPS, GOOD, LENGTH, METHODS
from miniature_figures import DPO, SFT, START, Claim, Figures, claims, methods_of, plus_minus
from pairwright.miniature import DIMENSIONS

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "methods-compared.md"
BLOCK = re.compile(r"(<!-- miniature -->\n).*?(<!-- /miniature -->)", re.DOTALL)
COLUMNS = ("gold", "length", "divergence")

ABOUT = """# Methods compared

Every offline method on the [miniature](miniature.md), where the real quality of each answer is known. Written by
`python benchmarks/methods_on_miniature.py` from `benchmarks/results/methods_on_miniature.json`; do not edit.

**It is a model of one million parameters in a world of one task.** The tables show what the methods do
here, not which is best for a large model: data, sizes and learning rates decide that. So near to the reference dpo,
robust, hinge and rpo are almost one method under Adam, and their figures almost the same.
"""


def write(result: dict) -> None:
    PAGE.write_text(compared(result), encoding="utf-8")
    for path, text in examples(result).items():
        path.write_text(text, encoding="utf-8")


def compared(result: dict) -> str:
    """The page."""
    figures = Figures(result)
    parts = [ABOUT, how(result, figures), "## Ordinary comparisons", main_table(figures), dimensions_table(figures)]
    for condition, heading in HEADINGS.items():
        if any(figures.has(condition, name) for name in methods_of(condition)):
            parts += [f"## {heading[0]}", heading[1], condition_table(figures, condition)]
    found = claims(figures)
    if found:
        parts += ["## What the literature leads one to expect", CLAIMS, claims_table(found)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def how(result: dict, figures: Figures) -> str:
    settings = result["settings"]
    rates = sorted({(rate, name) for name, rate in result["rates"].items()})
    common = max({rate for rate, _ in rates}, key=lambda rate: sum(each == rate for each, _ in rates))
    others = "; ".join(f"{name}: {rate:g}" for rate, name in rates if rate != common)
    but = f", but for these: {others}" if others else ""
    factors = " or ".join(f"{factor:g}" for factor in settings["factors"])
    return (
        f"For each of {settings['seeds']} seeds: SFT on {settings['demonstrations']} demonstrations; the SFT model "
        f"answers {settings['asked']} requests four times; annotators compare, and {settings['pairs']} pairs on which "
        f"all three agree are kept; every method trains one epoch on them, 32 answers a step, with its own settings at "
        f"their defaults. Each model answers the same {settings['unseen']} unseen requests at temperature "
        f"{settings['temperature']:g}, and the oracle scores them. Length is in tokens. Divergence is log pi - log ref "
        f"of a whole answer, a mean over {settings['diverging']} answers of the model's own at temperature 1, against "
        "the model that training started from.\n\n"
        f"Learning rates are those of the miniature, by one rule for all: the method's default for full tuning times "
        f"{factors}, whichever gave the higher gold reward on another draw (seed {settings['trial_seed']}), of which "
        f"no score is shown. It was {common:g} for all{but}.\n\n"
        f"Figures are means over seeds ± half a 95% interval (Student's t; with {settings['seeds']} seeds it spans 2.5 "
        "standard deviations either way, and every seed has its own demonstrations, requests and annotators). "
        f"{versions(result)}"
    )


def versions(result: dict) -> str:
    used = result["versions"]
    return f"Pairwright {used['pairwright']}, torch {used['torch']}, one thread, {result['date']}."


def main_table(figures: Figures) -> str:
    head = ("", "gold reward", "more than SFT's", "answer length", "divergence")
    rows = [line(figures, START, "base", "base model"), line(figures, *SFT, "SFT")]
    rows += [line(figures, "clean", name, linked(name)) for name in methods_of("clean") if figures.has("clean", name)]
    return table(head, rows)


def line(figures: Figures, condition: str, name: str, shown: str) -> tuple[str, ...]:
    gain = "" if condition == START else plus_minus(figures.difference((condition, name), SFT, "gold"), 3, sign=True)
    away = "" if name == "base" else plus_minus(figures.mean(condition, name, "divergence"), 1)
    gold, length = figures.mean(condition, name, "gold"), figures.mean(condition, name, "length")
    return (shown, plus_minus(gold, 3), gain, plus_minus(length, 1), away)


def linked(name: str) -> str:
    return f"[{name}](methods/{METHODS[name].objective}.md)"


def dimensions_table(figures: Figures) -> str:
    places = [(START, "base"), SFT, *(("clean", name) for name in methods_of("clean"))]
    rows = [
        (name, *(plus_minus(figures.mean(condition, name, each)) for each in DIMENSIONS))
        for condition, name in places
        if figures.has(condition, name)
    ]
    return table(("", *DIMENSIONS), rows)


def condition_table(figures: Figures, condition: str) -> str:
    here = [name for name in methods_of(condition) if figures.has(condition, name)]
    rows = [line(figures, condition, name, linked(name)) for name in here]
    return table(("", "gold reward", "more than SFT's", "answer length", "divergence"), rows)


HEADINGS = {
    "no SFT": ("Without SFT", "The same pairs, training starts from the base model; divergence is from that."),
    "longer": (
        "Annotators with a taste for length",
        f"Ten more words are worth {LENGTH:g} of gold reward to each of the three annotators.",
    ),
    "flipped": (
        "Flipped labels",
        f"The ordinary pairs, {100 * FLIPS:.0f}% of them the wrong way round. Label smoothing and robust are told so.",
    ),
    "unpaired": (
        "Unpaired answers",
        f"One answer of each ordinary pair: half the data. {100 * GOOD:.0f}% are good ones, which kto weighs up.",
    ),
}
assert set(HEADINGS) == {condition.name for condition in CONDITIONS} - {"clean"}

CLAIMS = """Differences within a seed; *yes* or *no* where the interval leaves 0 out, else *not clear*: three seeds show
large effects only. What flips cost is a method's own result on clean labels less that on flipped ones."""


def claims_table(found: list[Claim]) -> str:
    rows = [(each.text, plus_minus(each.difference, each.digits, sign=True), each.verdict) for each in found]
    return table(("", "difference", "seen?"), rows)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---", *("---:" for _ in head[1:])), *rows]
    return "\n".join("| " + " | ".join(each) + " |" for each in lines)


def examples(result: dict) -> dict[Path, str]:
    """The methods' pages with the part between their markers replaced."""
    figures = Figures(result)
    pages = {}
    for path in sorted((DOCS / "methods").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if BLOCK.search(text):
            new = example(figures, path.stem)
            pages[path] = BLOCK.sub(lambda found, new=new: f"{found[1]}{new}\n{found[2]}", text)
    return pages


def example(figures: Figures, objective: str) -> str:
    """A line for each way in which the method took part."""
    seeds = f"{figures.seeds} seeds, ± half a 95% interval"
    world = f"On the [miniature](../methods-compared.md) (one million parameters, {seeds})"
    if objective == "sft":
        demonstrations = figures.result["settings"]["demonstrations"]
        return (
            f"{world} SFT on {demonstrations} demonstrations takes the gold reward from "
            f"{gold(figures, START, 'base')} to {gold(figures, *SFT)}."
        )
    said = [
        f"{world}, where the SFT model earns a gold reward of {gold(figures, *SFT)} with answers of "
        f"{tokens(figures, *SFT)} tokens:"
    ]
    for condition in CONDITIONS:
        for name in condition.methods:
            if METHODS[name].objective == objective and figures.has(condition.name, name):
                beside = (
                    "" if name == DPO or condition.name == "unpaired" else f" (dpo: {against(figures, condition.name)})"
                )
                said.append(
                    f"- {name}, {PLACES[condition.name]}: {gold(figures, condition.name, name)}, "
                    f"{tokens(figures, condition.name, name)} tokens{beside}"
                )
    return "\n".join([said[0], "", *said[1:]])


PLACES = {
    "clean": "ordinary pairs",
    "no SFT": "from the base model",
    "longer": "annotators with a taste for length",
    "flipped": "a quarter of the labels flipped",
    "unpaired": "unpaired answers, a quarter of them good",
}


def gold(figures: Figures, condition: str, name: str) -> str:
    return plus_minus(figures.mean(condition, name, "gold"), 3)


def tokens(figures: Figures, condition: str, name: str) -> str:
    return plus_minus(figures.mean(condition, name, "length"), 1)


def against(figures: Figures, condition: str) -> str:
    return f"{gold(figures, condition, DPO)}, {tokens(figures, condition, DPO)} tokens"
