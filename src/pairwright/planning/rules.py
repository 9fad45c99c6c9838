"""When to take which method: rules as data. The first rule whose conditions all hold is the recommendation.

docs/choosing-a-method.md is generated from this table, and each rule has a test. A condition names a field of Facts; a
fact that is not known (None) makes it fail.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Data = Literal["none", "demonstrations", "labelled", "pairs", "rankings", "steps"]
Goal = Literal["style", "facts", "safety", "code", "dialogue"]

NEED: Mapping[str, tuple[int, int]] = {
    "style": (5_000, 10_000),
    "facts": (30_000, 100_000),
    "safety": (5_000, 10_000),
    "code": (5_000, 10_000),
    "dialogue": (5_000, 10_000),
}
"""Pairs that a goal is known to take (docs/how-much-data.md). Only style and facts have published figures; the other
goals are given style's."""
LEAST = 500
"""Below this even curated pairs are too few: 500 to 1,000 curated ones can beat 50,000 crowdsourced ones."""


@dataclass(frozen=True)
class Facts:
    """What is known. None: not known."""

    data: Data = "none"
    rows: int = 0
    goal: Goal = "style"
    multi_turn: bool | None = None
    """Conversations part before their last turn."""
    noise: float | None = None
    """Estimated share of flipped labels."""
    agreement: float | None = None
    """Share of pairs of votes that agree."""
    longest_wins: float | None = None
    """Share of pairs in which the longer answer is chosen."""
    near_identical: float | None = None
    """Share of pairs whose two answers are nearly the same."""
    rated: bool | None = None
    """Both answers of every pair have a rating."""
    tuned: bool | None = None
    """The model has been fine-tuned on demonstrations or chats already."""
    on_policy: bool | None = None
    """The answers are the model's own."""
    verifiable: bool | None = None
    """A program can say whether an answer is right."""
    reward_model: bool | None = None
    """There is a reward model that was checked on held-out pairs."""
    judge: bool | None = None
    """There is a stronger model that may judge answers."""
    memory: float | None = None
    """GiB of the card."""


@dataclass(frozen=True)
class Condition:
    fact: str
    test: Literal["is", "at least", "below", "among"]
    value: Any

    def holds(self, facts: Facts) -> bool:
        found = getattr(facts, self.fact)
        if found is None:
            return False
        if self.test == "is":
            return bool(found == self.value)
        if self.test == "among":
            return found in self.value
        return bool(found >= self.value if self.test == "at least" else found < self.value)

    def words(self) -> str:
        value = ", ".join(map(str, self.value)) if self.test == "among" else self.value
        value = {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value
        value = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value
        return f"{self.fact} {self.test} {value}"


@dataclass(frozen=True)
class Rule:
    leaf: str
    """Name of the recommendation."""
    method: str | None
    """Of `pairwright methods`; None where nothing is to be trained yet."""
    when: tuple[Condition, ...]
    why: str
    source: str
    second: str
    """Leaf that comes next."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the method, where its own defaults are not the start."""
    epochs: float = 1.0


def _is(fact: str, value: Any) -> Condition:
    return Condition(fact, "is", value)


PAIRED = Condition("data", "among", ("pairs", "rankings"))

RULES: tuple[Rule, ...] = (
    Rule(
        "step-dpo",
        "step_dpo",
        (_is("data", "steps"),),
        "The data says which step of a solution goes wrong: the loss then falls on that step, not on the right ones "
        "before it.",
        "Step-DPO, arXiv 2406.18629",
        "dpo",
        {"beta": 0.4},
    ),
    Rule(
        "ppo-verifier",
        "ppo",
        (_is("verifiable", True), _is("tuned", True), Condition("memory", "at least", 14.0)),
        "A program can check answers, so the model can learn from its own tries: no pairs are needed and the reward "
        "cannot be flattered as a learned one can.",
        "Tulu 3, arXiv 2411.15124 (verifiable rewards)",
        "dpo",
    ),
    Rule(
        "constitution",
        "constitution",
        (_is("data", "none"), _is("goal", "safety"), _is("judge", True)),
        "Without data, written principles and a judge give both demonstrations and preferences for harmlessness.",
        "Constitutional AI, arXiv 2212.08073",
        "collect",
    ),
    Rule(
        "rlaif",
        "rlaif",
        (_is("data", "none"), _is("judge", True), _is("tuned", True)),
        "Without data, a stronger model can compare the model's own answers; check it against a hundred comparisons of "
        "your own first.",
        "RLAIF, arXiv 2309.00267",
        "collect",
    ),
    Rule(
        "sft",
        "sft",
        (_is("data", "demonstrations"),),
        "There are good answers and nothing to compare them with: imitate them. Preferences come after.",
        "InstructGPT, arXiv 2203.02155",
        "collect",
        epochs=2.0,
    ),
    Rule(
        "collect",
        None,
        (Condition("rows", "below", LEAST),),
        f"Fewer than {LEAST} comparisons: reward models are near chance below 2,000, and even curated preference data "
        f"starts at {LEAST} to 1,000. Label more before a GPU-hour is spent.",
        "Gao 2023, arXiv 2210.10760; docs/how-much-data.md",
        "sft",
    ),
    Rule(
        "kto",
        "kto",
        (_is("data", "labelled"),),
        "Answers are labelled good or bad one by one and cannot be paired.",
        "KTO, arXiv 2402.01306",
        "sft",
    ),
    Rule(
        "ppo",
        "ppo",
        (PAIRED, _is("reward_model", True), _is("tuned", True), Condition("memory", "at least", 14.0)),
        "There is a checked reward model: it scores the model's own answers as it learns, where pairs made by others "
        "say little. It has to be watched for over-optimisation.",
        "Gao 2023, arXiv 2210.10760; Hydra-RLHF, arXiv 2309.00754",
        "dpo",
    ),
    Rule(
        "multi-turn-dpo",
        "dmpo",
        (PAIRED, _is("multi_turn", True)),
        "Conversations part before their last turn: every assistant turn from there counts, early ones more.",
        "DMPO, arXiv 2406.14868",
        "dpo",
    ),
    Rule(
        "robust",
        "robust",
        (PAIRED, Condition("noise", "at least", 0.1)),
        "A tenth of the labels or more looks flipped; ten points of noise can cost thirty points of win rate. The "
        "robust loss is unbiased under a known rate of flips.",
        "rDPO, arXiv 2403.00409; arXiv 2404.09824",
        "dpo",
    ),
    Rule(
        "rpo",
        "rpo",
        (PAIRED, Condition("near_identical", "at least", 0.1)),
        "Chosen and rejected answers are often nearly the same: plain DPO then pushes both down (likelihood "
        "displacement); an added likelihood of the chosen one holds it.",
        "Razin 2024, arXiv 2410.08847; RPO, arXiv 2404.19733",
        "dpo",
    ),
    Rule(
        "length",
        "r_dpo",
        (PAIRED, Condition("longest_wins", "at least", 0.65)),
        "The longer answer is chosen so often that length itself would be learned; the length-regularised loss takes "
        "that part out.",
        "Park 2024, arXiv 2403.19159",
        "dpo",
    ),
    Rule(
        "ipo",
        "ipo",
        (PAIRED, Condition("agreement", "at least", 0.95), Condition("rows", "below", 5_000)),
        "Few pairs with labels that are almost never in doubt: DPO drives such margins without bound and memorises; "
        "IPO stops at a set margin.",
        "Azar 2023, arXiv 2310.12036",
        "dpo",
    ),
    Rule(
        "orpo",
        "orpo",
        (PAIRED, _is("tuned", False), Condition("memory", "below", 12.0)),
        "The model is a base model and the card is small: ORPO learns to answer and to prefer in one run, without a "
        "reference.",
        "ORPO, arXiv 2403.07691",
        "sft-first",
    ),
    Rule(
        "sft-first",
        "sft",
        (PAIRED, _is("tuned", False)),
        "The model has not learned to answer yet: comparisons of answers that it would never give teach little. "
        "Fine-tune on the chosen answers first, then run DPO on the same pairs.",
        "InstructGPT, arXiv 2203.02155; Tulu 3, arXiv 2411.15124",
        "orpo",
        epochs=1.0,
    ),
    Rule(
        "dpo",
        "dpo",
        (PAIRED,),
        "Pairs, a tuned model, and nothing that speaks for another loss: the plain one is the best understood.",
        "Rafailov 2023, arXiv 2305.18290",
        "ipo",
        {"beta": 0.1},
    ),
    Rule(
        "collect-from-nothing",
        None,
        (),
        "There is nothing to learn from yet: collect prompts of your users and label the model's own answers.",
        "docs/how-much-data.md",
        "sft",
    ),
)
