"""Figures of methods_on_miniature.py from its result: means over seeds, and what the literature leads one to expect."""

from collections.abc import Sequence
from dataclasses import dataclass

from miniature_cells import CONDITIONS, METHODS
from pairwright.evaluation.statistics import Interval, mean_interval, paired_difference

START = "start"
SFT = (START, "sft")
DPO = "dpo"


@dataclass(frozen=True)
class Claim:
    """A difference that the literature says is below 0 (or above, as `more` says)."""

    text: str
    difference: Interval
    digits: int
    more: bool = False

    @property
    def verdict(self) -> str:
        """As far as the interval tells."""
        low, high = self.difference.low, self.difference.high
        if low <= 0 <= high:
            return "not clear"
        return "yes" if (low > 0) == self.more else "no, the opposite"


class Figures:
    """A result's cells, by condition, method and measure."""

    def __init__(self, result: dict) -> None:
        self.result = result
        self.seeds: int = result["settings"]["seeds"]

    def has(self, condition: str, name: str) -> bool:
        """Whether every seed of it is there."""
        return all(f"{seed}/{condition}/{name}" in self.result["cells"] for seed in range(self.seeds))

    def values(self, condition: str, name: str, measure: str) -> list[float]:
        return [self.result["cells"][f"{seed}/{condition}/{name}"][measure] for seed in range(self.seeds)]

    def mean(self, condition: str, name: str, measure: str) -> Interval:
        return mean_interval(self.values(condition, name, measure))

    def difference(self, one: tuple[str, str], other: tuple[str, str], measure: str) -> Interval:
        """Of `one` less `other`, seed by seed."""
        return paired_difference(self.values(*one, measure), self.values(*other, measure))

    def data(self, condition: str, name: str) -> Interval:
        return mean_interval([self.result["data"][f"{seed}/{condition}"][name] for seed in range(self.seeds)])

    def loss(self, name: str, clean: str) -> list[float]:
        """Gold reward that flips cost a method, by seed: its own result on clean labels less that on flipped ones."""
        pairs = zip(self.values("clean", clean, "gold"), self.values("flipped", name, "gold"), strict=True)
        return [before - after for before, after in pairs]


def plus_minus(interval: Interval, digits: int = 2, sign: bool = False) -> str:
    """Mean and half the width of the interval."""
    half = interval.high - interval.mean
    return f"{interval.mean:{'+' if sign else ''}.{digits}f} ± {half:.{digits}f}"


def clean_name(name: str) -> str:
    """The method on clean data that one under flips is held against."""
    return METHODS[name].rate_of or name


def claims(figures: Figures) -> list[Claim]:
    """Those whose cells are all there."""
    found = [*length_claims(figures), *flip_claims(figures), *data_claims(figures)]
    return found


def length_claims(figures: Figures) -> list[Claim]:
    if not all(figures.has("longer", name) for name in methods_of("longer")):
        return []
    longer = figures.difference(("longer", DPO), SFT, "length")
    found = [Claim("taste for length: dpo makes answers longer than SFT's, tokens", longer, 1, more=True)]
    for name in methods_of("longer"):
        if name != DPO:
            less = figures.difference(("longer", name), ("longer", DPO), "length")
            found.append(Claim(f"taste for length: {name} makes them less long than dpo, tokens", less, 1))
    return found


def flip_claims(figures: Figures) -> list[Claim]:
    if not all(figures.has("flipped", name) for name in methods_of("flipped")):
        return []
    cost = figures.loss(DPO, DPO)
    found = [Claim("flipped labels: dpo loses gold reward", mean_interval(cost), 3, more=True)]
    for name in methods_of("flipped"):
        if name != DPO:
            own = figures.loss(name, clean_name(name))
            found.append(Claim(f"flipped labels: {name} loses less than dpo", paired_difference(own, cost), 3))
    return found


def data_claims(figures: Figures) -> list[Claim]:
    found = []
    if figures.has("unpaired", "kto"):
        gain = figures.difference(("unpaired", "kto"), SFT, "gold")
        found.append(Claim("unpaired answers: kto gains on SFT", gain, 3, more=True))
    if all(figures.has("no SFT", name) for name in methods_of("no SFT")):
        lead = figures.difference(("no SFT", "orpo"), ("no SFT", DPO), "gold")
        found.append(Claim("without SFT: orpo is ahead of dpo", lead, 3, more=True))
        whole = figures.difference(("no SFT", "orpo"), ("clean", DPO), "gold")
        found.append(Claim("without SFT: orpo is ahead of SFT and dpo after it", whole, 3, more=True))
    return found


def methods_of(condition: str) -> Sequence[str]:
    return next(each.methods for each in CONDITIONS if each.name == condition)
