"""Days, times and places of the miniature: what the user says, and the value that the Task API wants.

A time without a word for the part of the day is in the afternoon from one to six, else in the morning or at noon.
"""

import random

from pairwright.miniature import words
from pairwright.miniature.tasks import Task, is_appointment


def _day(rng: random.Random) -> tuple[str, str]:
    roll = rng.random()
    if roll < 0.25:
        value = rng.choice(("today", "tomorrow"))
        return value, value
    if roll < 0.7:
        value = rng.choice(words.WEEKDAYS)
        return rng.choice((f"on {value}", f"on {value}", f"this {value}", value)), value
    number, month = rng.randint(1, 28), rng.choice(words.MONTHS)
    suffix = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd"}.get(number, "th")
    said = (f"on {number} {month}", f"on {month} {number}", f"on the {number}{suffix} of {month}")
    return rng.choice(said), f"{number} {month}"


def _time(rng: random.Random) -> tuple[str, str]:
    """Without a word for the part of the day, one to six is the afternoon, seven to twelve the morning and noon."""
    hour, minute = rng.randint(7, 21), rng.choice((0, 0, 0, 15, 30, 30, 45))
    value, short = f"{hour}:{minute:02d}", (hour - 1) % 12 + 1
    number = f"{short}:{minute:02d}" if minute else str(short)
    name, following = words.HOURS[hour % 12], words.HOURS[(hour + 1) % 12]
    spoken = {0: name, 15: f"quarter past {name}", 30: f"half past {name}", 45: f"quarter to {following}"}[minute]
    forms = [f"at {value}", f"at {number} {'am' if hour < 12 else 'pm'}"]
    if hour < 19:
        forms += [f"at {number}", f"at {spoken}", f"at {spoken}"]
    if hour != 12:
        part = "morning" if hour < 12 else "afternoon" if hour < 18 else "evening"
        forms.append(f"at {spoken} in the {part}")
    elif minute == 0:
        forms.append("at noon")
    return rng.choice(forms), value


def _place(rng: random.Random) -> tuple[str, str]:
    said = rng.choice(words.PLACES)
    return said, said.removeprefix("at ").removeprefix("in ").removeprefix("the ")


SLOTS = {"day": _day, "time": _time, "place": _place}


def draw_slots(rng: random.Random, names: list[str]) -> tuple[str, dict[str, str]]:
    """The named slots said in a random order, and their values."""
    drawn = {name: SLOTS[name](rng) for name in names}
    order = rng.sample(names, len(names))
    return " ".join(drawn[name][0] for name in order), {name: drawn[name][1] for name in names}


def usual(rng: random.Random, task: Task) -> list[str]:
    """Slots of a complete request to add: a day; a time where the task is an appointment; others now and then."""
    names = ["day"]
    if is_appointment(task.text) or rng.random() < 0.45:
        names.append("time")
    if rng.random() < 0.25:
        names.append("place")
    return names
