"""Simulated annotators: which of two answers each one prefers, from the gold reward and settable faults.

An annotator values an answer at its gold reward plus its own tastes, and prefers the first answer with probability
sigmoid((value of the first - value of the second) / temperature) (Bradley and Terry, Biometrika 39, 1952); then, with
probability `flips`, says the other. With all faults at 0 and temperature 0 it always names the better answer, and
throws a coin where both are equal.
"""

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pairwright.errors import ConfigError
from pairwright.miniature.answers import BOASTS, FLATTERY, Answer
from pairwright.miniature.oracle import score
from pairwright.miniature.requests import Request

_CERTAIN = re.compile(r"\b(definitely|absolutely|certainly|no doubt|never|for sure)\b", re.IGNORECASE)
_FLATTERING = re.compile("|".join(re.escape(each) for each in FLATTERY), re.IGNORECASE)
assert all(_CERTAIN.search(each) for each in BOASTS)


@dataclass(frozen=True, slots=True)
class Annotator:
    name: str
    temperature: float = 0.05
    """Of the choice, in units of gold reward: a lead of one temperature is preferred with probability 0.73."""
    flips: float = 0.0
    """Probability of saying the opposite of what was meant."""
    length: float = 0.0
    """Taste for length: gold reward that ten more words are worth."""
    confidence: float = 0.0
    """Taste for certainty: what each word of certainty is worth."""
    flattery: float = 0.0
    """Taste for praise: what each praising sentence is worth."""
    first: float = 0.0
    """Taste for the answer shown first: what its place is worth."""


TEAM = (
    Annotator("careful", temperature=0.03),
    Annotator("steady", temperature=0.06),
    Annotator("hasty", temperature=0.12, flips=0.05, first=0.03),
)
"""Three people of ordinary quality; they agree with the gold reward on about nine pairs in ten."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one request."""

    request: Request
    answers: tuple[Answer, Answer]


@dataclass(frozen=True, slots=True)
class Vote:
    annotator: str
    choice: int
    """Index into the pair's answers."""
    shown_order: tuple[int, int]
    """Indices of the answers in the order in which this annotator saw them."""


@dataclass(frozen=True, slots=True)
class Labelled:
    pair: Pair
    votes: tuple[Vote, ...]

    @property
    def choice(self) -> int:
        """The majority's choice."""
        return int(2 * sum(vote.choice for vote in self.votes) > len(self.votes))

    @property
    def chosen(self) -> Answer:
        return self.pair.answers[self.choice]

    @property
    def rejected(self) -> Answer:
        return self.pair.answers[1 - self.choice]


def make_pairs(requests: Sequence[Request], answers: Sequence[Sequence[Answer]]) -> list[Pair]:
    """A request's answers two by two (first and second, third and fourth ...), without pairs of the same text."""
    return [
        Pair(request, (first, second))
        for request, each in zip(requests, answers, strict=True)
        for first, second in zip(each[::2], each[1::2])
        if first.text != second.text
    ]


def label(
    pairs: Sequence[Pair], annotators: Sequence[Annotator] = TEAM, seed: int = 0, votes_per_pair: int | None = None
) -> list[Labelled]:
    """Votes on each pair, by all annotators or by `votes_per_pair` drawn ones: an odd number, so that one side wins.

    Each annotator sees the two answers in an order of their own.
    """
    count = len(annotators) if votes_per_pair is None else votes_per_pair
    if count % 2 == 0 or count > len(annotators):
        raise ConfigError(
            f"{count} votes on each pair from {len(annotators)} annotators: take an odd number, at most all of them"
        )
    rng = random.Random(f"label/{seed}")
    labelled = []
    for pair in pairs:
        golds = [score(pair.request, answer.text, answer.ended)["gold"] for answer in pair.answers]
        panel = rng.sample(list(annotators), count)
        labelled.append(Labelled(pair, tuple(_vote(each, pair, golds, rng) for each in panel)))
    return labelled


def _vote(annotator: Annotator, pair: Pair, golds: list[float], rng: random.Random) -> Vote:
    order = (0, 1) if rng.random() < 0.5 else (1, 0)
    values = [gold + taste(annotator, answer.text) for gold, answer in zip(golds, pair.answers)]
    lead = values[order[0]] - values[order[1]] + annotator.first
    choice = order[0] if rng.random() < _probability(lead, annotator.temperature) else order[1]
    if rng.random() < annotator.flips:
        choice = 1 - choice
    return Vote(annotator.name, choice, order)


def taste(annotator: Annotator, text: str) -> float:
    """What the annotator adds to an answer's gold reward."""
    return (
        annotator.length * len(text.split()) / 10
        + annotator.confidence * len(_CERTAIN.findall(text))
        + annotator.flattery * len(_FLATTERING.findall(text))
    )


def _probability(lead: float, temperature: float) -> float:
    if temperature > 0:
        # beyond 40 temperatures the sigmoid is 0 or 1 to 17 digits, and exp must not overflow
        return 1 / (1 + math.exp(-max(-40.0, min(40.0, lead / temperature))))
    return 0.5 if abs(lead) < 1e-12 else float(lead > 0)
