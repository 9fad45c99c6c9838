"""The public formats of several answers to one prompt: scored, ranked, compared or voted on.

Two answers make a pair; more make a ranking, whose comparisons hold ties too. What is done with ties is not decided
here (recipes/preferences.py).
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from pairwright.reading.messages import need, need_key, number, template_kwargs, text, text_or_turns, tools, turns
from pairwright.reading.messages import weight as row_weight
from pairwright.reading.prompts import answer, prompt, unrepeated
from pairwright.reading.rows import RowError, describe
from pairwright.reading.votes import compare, swapped, votes
from pairwright.records import Comparison, Message, Preference, Ranking, Source, Text, Vote

Columns = Mapping[str, Any]


def completions(row: Columns, source: Source) -> Preference | Ranking:
    """{prompt, completions: [...], scores: [...]} or {..., ranking: [...]}, all text or all messages.

    `ranking` holds indices of the completions from 0, best first; a list among them are completions that tie.
    """
    asked, said = _texts(row, "completions")
    if row.get("scores") is None:
        return _ranked(row, source, asked, said, _by_order(row["ranking"], len(said)), "completion")
    return _ranked(row, source, asked, said, None, "completion", _scores(row["scores"], len(said)))


def ultrafeedback(row: Columns, source: Source) -> Preference | Ranking:
    """{instruction, completions: [{response, overall_score}]}; without it the mean of `ratings` (a number, or one for
    each dimension), or of `annotations`, {dimension: {Rating}}. Text that becomes messages."""
    asked = (Message("user", text(row, "instruction")),)
    found = _objects(row, "completions")
    said = [(Message("assistant", _own_text(item, "response", where)),) for item, where in found]
    return _ranked(row, source, asked, said, None, "completion", [_rating(item, where) for item, where in found])


def vertex(row: Columns, source: Source) -> Preference | Ranking:
    """{contents: [{role, parts: [{text}]}], system_instruction: {parts}, completions: [{score, completion}]}."""
    system = row.get("system_instruction") or row.get("systemInstruction")
    before = [] if system is None else [{"role": "system", **_content(system, "'system_instruction'")}]
    contents = need(row, "contents", "a list of contents")
    if not isinstance(contents, list):
        raise RowError(f"column 'contents' holds {describe(contents)}, a list of contents expected")
    said = [_content(item, f"content {place} of 'contents'") for place, item in enumerate(contents, start=1)]
    asked = prompt(turns(before + said, "contents"), "contents")
    found = _objects(row, "completions")
    answers = []
    for item, where in found:
        given = _content(need_key(item, "completion", where), f"the completion in {where}")
        answers.append(answer(turns([{"role": "assistant", **given}], "completions"), "completions"))
    scores = [_number(item, "score", where) for item, where in found]
    return _ranked(row, source, asked, answers, None, "completion", scores)


def qa_feedback(row: Columns, source: Source) -> Preference | Ranking:
    """{question, passages, prediction 1, prediction 2 ..., preference: [...]}, the QA-Feedback data of fine-grained
    RLHF (2306.01693): for every two predictions in order 1 where the first is better, 2 where the second is, 0 for
    neither. A passage is its title and its sentences."""
    asked = (Message("user", "\n\n".join([*_passages(row), text(row, "question")])),)
    names = [f"prediction {place}" for place in range(1, len(row) + 1) if f"prediction {place}" in row]
    said = [(Message("assistant", text(row, name)),) for name in names]
    preferred = row["preference"]
    expected = list(combinations(range(len(names)), 2))
    if not isinstance(preferred, list) or len(preferred) != len(expected) or not set(map(str, preferred)) <= set("012"):
        raise RowError(
            f"column 'preference' holds {describe(preferred)}, a list of {len(expected)} numbers 0, 1 or 2 expected: "
            f"one for every two of {len(names)} predictions"
        )
    found = []
    for (one, other), value in zip(expected, map(str, preferred)):
        better, worse = (other, one) if value == "2" else (one, other)
        found.append(Comparison(better, worse, 0.5 if value == "0" else None))
    return _ranked(row, source, asked, said, found, "prediction")


def annotated(row: Columns, source: Source) -> Preference | Ranking:
    """{prompt, responses: [two or more], votes: [{annotator, choice, reason, shown_order, dimension}]}: each two
    responses that a vote compares, with the share of the votes as their probability. The votes are kept."""
    asked, said = _texts(row, "responses")
    given = votes(row, len(said))
    return _ranked(row, source, asked, said, compare(given, len(said)), "response", None, given)


def _ranked(
    row: Columns,
    source: Source,
    asked: Text,
    said: Sequence[Text],
    comparisons: Sequence[Comparison] | None,
    noun: str,
    scores: Sequence[float] | None = None,
    given: tuple[Vote, ...] = (),
) -> Preference | Ranking:
    """A record of the answers; the scores make the comparisons where there are none."""
    for (i, one), (j, other) in combinations(enumerate(said, start=1), 2):
        if one == other:
            raise RowError(f"{noun}s {i} and {j} are identical")
    if comparisons is None:
        comparisons = _by_score(scores or ())
    if len(said) > 2:
        return Ranking(
            asked,
            tuple(said),
            tuple(comparisons),
            source,
            row_weight(row),
            tools(row.get("tools")),
            template_kwargs(row),
            None if scores is None else tuple(scores),
            given,
        )
    ((better, worse, label, *_),) = comparisons
    return Preference(
        asked,
        said[better],
        said[worse],
        source,
        row_weight(row),
        number(row, "margin"),
        tools(row.get("tools")),
        template_kwargs(row),
        label,
        None if scores is None else scores[better],
        None if scores is None else scores[worse],
        given if better == 0 else swapped(given),
    )


def _by_score(scores: Sequence[float]) -> list[Comparison]:
    found = []
    for one, other in combinations(range(len(scores)), 2):
        better, worse = (one, other) if scores[one] >= scores[other] else (other, one)
        found.append(Comparison(better, worse, 0.5 if scores[one] == scores[other] else None))
    return found


def _by_order(order: Any, answers: int) -> list[Comparison]:
    """Of indices, best first; a list among them are ties."""
    levels = [item if isinstance(item, list) else [item] for item in order] if isinstance(order, list) else []
    flat = [index for level in levels for index in level]
    if any(type(index) is not int for index in flat) or sorted(flat) != list(range(answers)):
        hint = "; they start at 0" if answers in flat else ""
        raise RowError(
            f"column 'ranking' holds {flat or describe(order)}, each index from 0 to {answers - 1} once, best first, "
            f"expected{hint}"
        )
    place = {index: number for number, level in enumerate(levels) for index in level}
    return _by_score([-float(place[index]) for index in range(answers)])


def _scores(value: Any, answers: int) -> list[float]:
    if not isinstance(value, list) or len(value) != answers:
        raise RowError(f"column 'scores' holds {describe(value)}, a list of {answers} numbers expected")
    return [_number({"score": item}, "score", f"item {place} of 'scores'") for place, item in enumerate(value, start=1)]


def _texts(row: Columns, column: str) -> tuple[Text, list[Text]]:
    """The prompt and the answers in a column, all text or all messages."""
    value = need(row, column, "a list of answers")
    if not isinstance(value, list) or len(value) < 2:
        raise RowError(f"column '{column}' holds {describe(value)}, a list of two or more answers expected")
    given = text_or_turns(row, "prompt")
    said = [text_or_turns({column: item}, column) for item in value]
    if isinstance(given, str):
        if not all(isinstance(item, str) for item in said):
            raise RowError(f"'prompt' holds text and '{column}' holds messages; all text or all messages expected")
        return given, [item for item in said if isinstance(item, str)]
    if any(isinstance(item, str) for item in said):
        raise RowError(f"'prompt' holds messages and '{column}' holds text; all text or all messages expected")
    whole = [item for item in said if not isinstance(item, str)]
    return prompt(given, "prompt"), [answer(unrepeated(given, item), column) for item in whole]


def _objects(row: Columns, column: str) -> list[tuple[Mapping[str, Any], str]]:
    """The objects in a column, two or more, each with what a message calls it."""
    value = need(row, column, "a list of objects")
    if not isinstance(value, list) or len(value) < 2 or not all(isinstance(item, dict) for item in value):
        raise RowError(f"column '{column}' holds {describe(value)}, a list of two or more objects expected")
    return [(item, f"item {place} of '{column}'") for place, item in enumerate(value, start=1)]


def _own_text(item: Mapping[str, Any], key: str, where: str) -> str:
    value = need_key(item, key, where)
    if not isinstance(value, str) or not value.strip():
        raise RowError(f"{where}: {key} is {describe(value)}, text expected")
    return value


def _number(item: Mapping[str, Any], key: str, where: str) -> float:
    """item[key] as a finite number; a number in a text is one."""
    value = need_key(item, key, where)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise RowError(f"{where}: {key} is {describe(value)}, a number expected") from None
    try:
        found = number({key: value}, key)
    except RowError:
        raise RowError(f"{where}: {key} is {describe(value)}, a number expected") from None
    assert found is not None
    return found


def _rating(item: Mapping[str, Any], where: str) -> float:
    if item.get("overall_score") is not None:
        return _number(item, "overall_score", where)
    given = item.get("ratings") if item.get("ratings") is not None else item.get("annotations")
    if given is None:
        raise RowError(f"{where} has no rating: no overall_score, ratings or annotations")
    if not isinstance(given, dict | list):
        return _number({"ratings": given}, "ratings", where)
    named = given.items() if isinstance(given, dict) else enumerate(given, start=1)
    values = [
        _number(value, "Rating", f"{where}, {name}") if isinstance(value, dict) else _number({"r": value}, "r", where)
        for name, value in named
    ]
    if not values:
        raise RowError(f"{where} has no rating: its ratings are empty")
    return sum(values) / len(values)


def _content(value: Any, where: str) -> dict[str, Any]:
    """A Vertex content, {role, parts: [{text}]}, as a message of the OpenAI family; without a role it has none."""
    parts = value.get("parts") if isinstance(value, dict) else None
    if not isinstance(parts, list) or not parts:
        raise RowError(f"{where} is {describe(value)}, an object with parts expected")
    odd = [part for part in parts if not isinstance(part, dict) or not isinstance(part.get("text"), str)]
    if odd:
        raise RowError(f"{where} has a part {describe(odd[0])}; only text can be read")
    role = value.get("role")
    named = {} if role is None else {"role": "assistant" if role == "model" else role}
    return {**named, "content": "".join(part["text"] for part in parts)}


def _passages(row: Columns) -> list[str]:
    value = row.get("passages") or []
    if not isinstance(value, list) or not all(
        isinstance(one, list) and one and all(isinstance(part, str) for part in one) for one in value
    ):
        raise RowError(f"column 'passages' holds {describe(value)}, lists of a title and sentences expected")
    return [f"{one[0]}: {' '.join(one[1:])}" for one in value]
