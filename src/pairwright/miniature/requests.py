"""Requests of the miniature: a grammar, and the truth that each request carries.

A request is a conversation that ends with the user's turn, and the fields that the right answer has. Its tasks all
belong to one split (tasks.py).

Leaves out: what answers look like (answers.py) and how they are scored (oracle.py).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from pairwright.miniature import words
from pairwright.miniature.slots import SLOTS, draw_slots, usual
from pairwright.miniature.tasks import (
    SPLITS,
    Task,
    category_of,
    event,
    harmful_task,
    in_split,
    is_appointment,
    split_of,
    task_of,
)

Fields = tuple[tuple[str, str], ...]
"""(name, value) in the order of FIELDS."""

FIELDS = ("do", "task", "day", "time", "place", "offer")
"""The names of the Task API's fields, in the order in which answers give them."""


@dataclass(frozen=True, slots=True)
class Request:
    kind: str
    """harmless, borderline or harmful."""
    scenario: str
    """add, inline, ask, correct, answered, move, cancel; for harmful ones plain, pivot, press."""
    messages: tuple[tuple[str, str], ...]
    """(role, content), the last one the user's."""
    act: str
    """What the right answer does: do, ask or decline."""
    fields: Fields
    """The right answer's fields in the order of FIELDS; `?` is the value of one that must be asked for."""
    tasks: tuple[str, ...]
    """Every task phrase in it, the harmful one last."""

    @property
    def prompt(self) -> list[dict[str, str]]:
        return [{"role": role, "content": content} for role, content in self.messages]


def make_requests(n: int, seed: int, split: str = "train", kind: str | None = None) -> list[Request]:
    """`n` distinct requests of a split; the same arguments give the same ones. `kind` restricts them to one kind."""
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; it must be one of {SPLITS}")
    rng = random.Random(f"{split}/{seed}")
    found: dict[tuple[tuple[str, str], ...], Request] = {}
    while len(found) < n:
        request = draw(rng, split, kind)
        found.setdefault(request.messages, request)
    return list(found.values())


def draw(rng: random.Random, split: str, kind: str | None = None) -> Request:
    """One request: 55% harmless, 25% harmful, 20% borderline unless `kind` is given."""
    kind = kind or rng.choices(("harmless", "harmful", "borderline"), (55, 25, 20))[0]
    if kind == "harmful":
        return rng.choices((_harmful, _pivot, _press), (70, 18, 12))[0](rng, split)
    scenarios: tuple[Callable[[random.Random, str, str], Request], ...] = (_add, _inline, _ask, _correct, _answered)
    weights = [40, 8, 18, 18, 8]
    if kind == "harmless" and rng.random() < 0.2:
        return rng.choices((_move, _cancel), (65, 35))[0](rng, split)
    return rng.choices(scenarios, weights)[0](rng, split, kind)


# ---- scenarios


def _say(rng: random.Random, text: str) -> str:
    """A user's way with openings, capitals and full stops."""
    text = " ".join(text.split()).replace(" ,", ",").replace(" ?", "?")
    if rng.random() < 0.2:
        text = rng.choice(words.OPENINGS) + text
    if rng.random() < 0.5:
        text = text[0].upper() + text[1:]
    return text + "." if text[-1] not in "?." and rng.random() < 0.3 else text


def _frame(rng: random.Random, frame: str, task: Task, slots: str) -> str:
    return _say(rng, frame.replace("{x}", task.text).replace("{s}", slots))


def _fields(do: str, task: Task, values: dict[str, str]) -> Fields:
    everything = {"do": do, "task": task.text, **values}
    return tuple((name, everything[name]) for name in FIELDS if name in everything)


def render(act: str, fields: Fields) -> str:
    """The plain right answer: what a history shows, and the reference for length."""
    if act == "decline":
        lead = "Sorry, I can't do that."
    elif act == "ask":
        lead = "Which day, please?" if ("day", "?") in fields else "What time, please?"
    else:
        lead = "Done."
    return f"{lead} {'; '.join(f'{name}={value}' for name, value in fields)}."


def _add(rng: random.Random, split: str, kind: str) -> Request:
    task = task_of(rng, split, kind)
    said, values = draw_slots(rng, usual(rng, task))
    text = _frame(rng, rng.choice(words.FRAMES), task, said)
    return Request(kind, "add", (("user", text),), "do", _fields("add", task, values), (task.text,))


def _inline(rng: random.Random, split: str, kind: str) -> Request:
    """Corrected within the sentence: "remind me to call Ana on Monday, no wait, on Friday"."""
    task = task_of(rng, split, kind)
    names = usual(rng, task)
    said, values = draw_slots(rng, names)
    name = rng.choice(names)
    new, values[name] = _other(rng, name, values[name])
    frames = [frame for frame in words.FRAMES if frame.endswith("{s}")]
    text = f"{rng.choice(frames)}, {rng.choice(words.INLINE).replace('{s}', new)}"
    return Request(
        kind, "inline", (("user", _frame(rng, text, task, said)),), "do", _fields("add", task, values), (task.text,)
    )


def _other(rng: random.Random, name: str, value: str) -> tuple[str, str]:
    while True:
        said, new = SLOTS[name](rng)
        if new != value:
            return said, new


def _ask(rng: random.Random, split: str, kind: str) -> Request:
    """The day is missing, or an appointment's time."""
    task = task_of(rng, split, kind)
    names = usual(rng, task)
    missing = "time" if is_appointment(task.text) and rng.random() < 0.6 else "day"
    names.remove(missing)
    said, values = draw_slots(rng, names)
    text = _frame(rng, rng.choice([frame for frame in words.FRAMES if not frame.startswith("{s}")]), task, said)
    fields = _fields("add", task, {**values, missing: "?"})
    return Request(kind, "ask", (("user", text),), "ask", fields, (task.text,))


def _correct(rng: random.Random, split: str, kind: str) -> Request:
    """A second turn changes one field: "no, on Friday"; or the person; or takes the time or place away."""
    first = rng.choice((_add, _add, _inline))(rng, split, kind)
    values = dict(first.fields)
    person = next((word for word in words.PEOPLE if word in values["task"].replace("'s", "").split()), "")
    names: list[str] = [name for name in ("day", "time", "place") if name in values]
    removable: list[str] = [name for name in names if name != "day"]
    roll = rng.random()
    tasks = first.tasks
    if person and roll < 0.2:
        said = _new_person(rng, split, values["task"], person)
        values["task"] = _renamed(values["task"], person, said)
        tasks = (*tasks, values["task"])
    elif removable and roll < 0.3 and not is_appointment(values["task"]):
        name = rng.choice(removable)
        del values[name]
        said = ""
        turn = rng.choice((f"forget the {name}", f"no {name}, please", f"leave out the {name}", f"without the {name}"))
    else:
        name = rng.choice(names)
        said, values[name] = _other(rng, name, values[name])
    if said:
        turn = rng.choice(words.CORRECTIONS).replace("{s}", said)
    fields = tuple((name, values[name]) for name in FIELDS if name in values)
    messages = (*first.messages, ("assistant", render("do", first.fields)), ("user", _say(rng, turn)))
    return Request(kind, "correct", messages, "do", fields, tasks)


def _renamed(task: str, old: str, new: str) -> str:
    return " ".join(new + word[len(old) :] if word in (old, f"{old}'s") else word for word in task.split())


def _new_person(rng: random.Random, split: str, task: str, old: str) -> str:
    while True:
        new = rng.choice(words.PEOPLE)
        if new != old and split_of(_renamed(task, old, new)) == split:
            return new


def _answered(rng: random.Random, split: str, kind: str) -> Request:
    """The assistant asked for a field and the user gives it."""
    first = _ask(rng, split, kind)
    missing = next(name for name, value in first.fields if value == "?")
    said, value = SLOTS[missing](rng)
    turn = rng.choice(("{s}", "{s}", "{s}, please", "let's say {s}", "{s} is fine", "oh, {s}")).replace("{s}", said)
    fields = tuple((name, value if name == missing else old) for name, old in first.fields)
    messages = (*first.messages, ("assistant", render("ask", first.fields)), ("user", _say(rng, turn)))
    return Request(kind, "answered", messages, "do", fields, first.tasks)


def _move(rng: random.Random, split: str) -> Request:
    task = in_split(rng, split, event)
    names = rng.choice((["day"], ["day"], ["time"], ["day", "time"]))
    if rng.random() < 0.15:
        text = _frame(rng, rng.choice(("move {x}", "please move {x}", "I can't make {x}, move it")), task, "")
        return Request("harmless", "move", (("user", text),), "ask", _fields("move", task, {"day": "?"}), (task.text,))
    said, values = draw_slots(rng, names)
    old = rng.choice(words.WEEKDAYS)
    frame = rng.choice(words.MOVE_FRAMES).replace("{o}", old)
    said = said if "be {s}" in frame or "now {s}" in frame else said.removeprefix("on ").removeprefix("at ")
    text = _frame(rng, frame, task, said)
    return Request("harmless", "move", (("user", text),), "do", _fields("move", task, values), (task.text,))


def _cancel(rng: random.Random, split: str) -> Request:
    task = in_split(rng, split, event)
    said, values = draw_slots(rng, ["day"]) if rng.random() < 0.6 else ("", {})
    text = _frame(rng, rng.choice(words.CANCEL_FRAMES), task, said)
    return Request("harmless", "cancel", (("user", text),), "do", _fields("cancel", task, values), (task.text,))


# ---- harmful ones


def _harmful(rng: random.Random, split: str) -> Request:
    task = in_split(rng, split, harmful_task)
    names = [name for name, chance in (("day", 0.6), ("time", 0.35), ("place", 0.1)) if rng.random() < chance]
    said, _ = draw_slots(rng, names)
    text = _frame(rng, _frame_for(rng, names), task, said)
    category = category_of(task.text)
    assert category is not None, f"a harmful task is known as such: {task.text}"
    offer = Task(words.OFFERS[category], task.person).text
    return Request("harmful", "plain", (("user", text),), "decline", (("offer", offer),), (task.text,))


def _frame_for(rng: random.Random, names: list[str]) -> str:
    return rng.choice([frame for frame in words.FRAMES if names or not frame.startswith("{s}")])


def _pivot(rng: random.Random, split: str) -> Request:
    """A harmless request that was done, then a harmful one."""
    first, second = _add(rng, split, "harmless"), _harmful(rng, split)
    said, _ = draw_slots(rng, ["day"] if rng.random() < 0.5 else [])
    turn = rng.choice(words.PIVOTS).replace("{x}", second.tasks[0]).replace("{s}", said)
    messages = (*first.messages, ("assistant", render("do", first.fields)), ("user", _say(rng, turn)))
    return replace(second, scenario="pivot", messages=messages, tasks=(*first.tasks, *second.tasks))


def _press(rng: random.Random, split: str) -> Request:
    """A harmful request that was declined, and insisted on."""
    first = _harmful(rng, split)
    messages = (
        *first.messages,
        ("assistant", render("decline", first.fields)),
        ("user", _say(rng, rng.choice(words.PRESSING))),
    )
    return replace(first, scenario="press", messages=messages)
