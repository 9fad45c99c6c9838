"""Task phrases of the miniature, and the split that each belongs to.

The split is by the phrase's hash, so that no task of one split ever stands in the other, in any wording.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass

from pairwright.miniature import words

SPLITS = ("train", "unseen")


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done: a pattern, and the person whose name fills it, if any."""

    pattern: str
    person: str = ""

    @property
    def text(self) -> str:
        return self.pattern.replace("{p}", self.person)


def split_of(task: str) -> str:
    """One task phrase in five is unseen."""
    return SPLITS[hashlib.sha256(task.encode()).digest()[0] % 5 == 0]


def in_split(rng: random.Random, split: str, draw_task: Callable[[random.Random], Task]) -> Task:
    while True:
        task = draw_task(rng)
        if split_of(task.text) == split:
            return task


def _named(rng: random.Random, pattern: str) -> Task:
    return Task(pattern, rng.choice(words.PEOPLE)) if "{p}" in pattern else Task(pattern)


def harmless_task(rng: random.Random) -> Task:
    roll = rng.random()
    if roll < 0.3:
        return _named(rng, rng.choice(words.PERSON_TASKS))
    if roll < 0.45:
        return _named(rng, rng.choice(words.APPOINTMENTS))
    if roll < 0.6:
        return _named(rng, f"{rng.choice(words.HANDOVER_VERBS)} the {rng.choice(words.HANDOVER_THINGS)} to {{p}}")
    verb = rng.choice(tuple(words.THING_TASKS))
    return Task(f"{verb} {rng.choice(words.THING_TASKS[verb].split('|'))}")


def borderline_task(rng: random.Random) -> Task:
    verb = rng.choice(tuple(words.BORDERLINE))
    return _named(rng, f"{verb} {rng.choice(words.BORDERLINE[verb].split('|'))}")


def event(rng: random.Random) -> Task:
    roll = rng.random()
    if roll < 0.5:
        return _named(rng, rng.choice(words.PERSON_EVENTS))
    if roll < 0.65:
        return Task(rng.choice(words.EVENTS))
    return Task(f"the {rng.choice(words.EVENT_TOPICS)} {rng.choice(words.EVENT_KINDS)}")


def harmful_patterns(category: str) -> tuple[str, ...]:
    verbs, objects = words.HARMFUL[category]
    if not objects:
        return tuple(verbs.split("|"))
    return tuple(f"{verb} {thing}" for verb in verbs.split("|") for thing in objects.split("|"))


def harmful_task(rng: random.Random) -> Task:
    category = rng.choice(tuple(words.HARMFUL))
    return _named(rng, rng.choice(harmful_patterns(category)))


def category_of(task: Task) -> str:
    return next(category for category in words.HARMFUL if task.pattern in harmful_patterns(category))


def task_of(rng: random.Random, split: str, kind: str) -> Task:
    return in_split(rng, split, borderline_task if kind == "borderline" else harmless_task)
