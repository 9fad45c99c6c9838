"""Records to rows of the public formats: the way back from formats.py, rankings.py and steps.py.

Each writer gives the rows that the reader makes the same record of, or refuses with RowError what its format cannot
hold.
What is not part of the record (columns that nobody reads) is gone. Text becomes one user's and one assistant's message
where a format has messages only.
Leaves out: files (recipes/convert.py).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pairwright.reading.formats import TURN
from pairwright.reading.recognition import Kind
from pairwright.reading.rows import RowError
from pairwright.records import Demonstration, Message, Preference, Ranking, Rating, Steps, Text, Vote

Columns = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Writer:
    name: str
    kind: Kind
    """What the data is read as to be written so."""
    rows: Callable[[Any], Iterator[Columns]]


def pairs(record: Preference | Ranking) -> Iterator[Preference]:
    """The record as pairs: of a ranking one for each comparison that is no tie."""
    if isinstance(record, Preference):
        yield record
        return
    for comparison in record.comparisons:
        if not comparison.tied:
            scores = record.scores
            yield Preference(
                record.prompt,
                record.answers[comparison.better],
                record.answers[comparison.worse],
                record.source,
                record.weight,
                None,
                record.tools,
                record.template_kwargs,
                comparison.label,
                None if scores is None else scores[comparison.better],
                None if scores is None else scores[comparison.worse],
            )


def _of_pairs(write: Callable[[Preference], Columns]) -> Callable[[Preference | Ranking], Iterator[Columns]]:
    def rows(record: Preference | Ranking) -> Iterator[Columns]:
        for pair in pairs(record):
            yield write(pair) | _extras(pair)

    return rows


def _extras(record: Any) -> Columns:
    """The optional columns, those that say something."""
    found: Columns = {} if record.weight == 1 else {"weight": record.weight}
    if isinstance(record, Preference):
        named = {"margin": record.margin, "chosen_probability": record.label}
        named |= {"score_chosen": record.score_chosen, "score_rejected": record.score_rejected}
        found |= {name: value for name, value in named.items() if value is not None}
    if record.tools is not None:
        found["tools"] = list(record.tools)
    if record.template_kwargs:
        found["chat_template_kwargs"] = dict(record.template_kwargs)
    return found


def _plain(text: Text) -> Any:
    """Text as it is, messages as objects with role and content."""
    return text if isinstance(text, str) else [_object(message) for message in text]


def _object(message: Message) -> Columns:
    return {"role": message.role, "content": message.content, **message.extra}


def _messages(text: Text, role: str) -> tuple[Message, ...]:
    return (Message(role, text),) if isinstance(text, str) else text


def _asked(record: Any) -> tuple[Message, ...]:
    if record.prompt == "":
        raise RowError("there is no prompt, and a user's message must not be empty")
    return _messages(record.prompt, "user")


def _said(text: Text) -> tuple[Message, ...]:
    return _messages(text, "assistant")


def _bare(message: Message) -> Message:
    if message.extra:
        raise RowError(f"this format has no place for {', '.join(message.extra)} of a message")
    return message


def _only(text: Text) -> str:
    """The text of an answer that is one message."""
    (message, *more) = _said(text)
    if more:
        raise RowError("this format holds answers of one message; this one has several turns")
    return _bare(message).content


def trl(pair: Preference) -> Columns:
    return {"prompt": _plain(pair.prompt), "chosen": _plain(pair.chosen), "rejected": _plain(pair.rejected)}


def openai(pair: Preference) -> Columns:
    given: Columns = {"messages": _plain(_asked(pair))}
    sides = {"preferred_output": _plain(_said(pair.chosen)), "non_preferred_output": _plain(_said(pair.rejected))}
    return {"input": given, **sides}


def _openai_rows(record: Preference | Ranking) -> Iterator[Columns]:
    for pair in pairs(record):
        extras = _extras(pair)
        row = openai(pair)
        if "tools" in extras:
            row["input"]["tools"] = extras.pop("tools")
        yield row | extras


_SPEAKER = {"user": "Human", "assistant": "Assistant"}


def hh(pair: Preference) -> Columns:
    asked = _asked(pair)
    return {
        "chosen": _transcript((*asked, *_said(pair.chosen))),
        "rejected": _transcript((*asked, *_said(pair.rejected))),
    }


def _transcript(said: Sequence[Message]) -> str:
    parts = []
    for message in said:
        if message.role not in _SPEAKER:
            raise RowError(f"a transcript has no place for a message of role {message.role}")
        if TURN.search(f"\n{_bare(message).content}"):
            raise RowError("a message holds 'Human:' or 'Assistant:' after a blank line; it would part there")
        parts.append(f"\n\n{_SPEAKER[message.role]}: {message.content}")
    return "".join(parts)


_FROM = {"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}


def _sharegpt_turns(said: Sequence[Message]) -> list[Columns]:
    return [{"from": _FROM[_bare(message).role], "value": message.content} for message in said]


def sharegpt(pair: Preference) -> Columns:
    sides = {
        side: _sharegpt_turns(_said(text)) for side, text in (("chosen", pair.chosen), ("rejected", pair.rejected))
    }
    one = {side: turns[0] if len(turns) == 1 else turns for side, turns in sides.items()}
    return {"conversations": _sharegpt_turns(_asked(pair)), **one}


def messages_pair(pair: Preference) -> Columns:
    asked = _asked(pair)
    return {
        f"{side}_messages": [_object(message) for message in (*asked, *_said(text))]
        for side, text in (("chosen", pair.chosen), ("rejected", pair.rejected))
    }


def _alpaca_prompt(asked: tuple[Message, ...]) -> Columns:
    row: Columns = {}
    for message in asked:
        _bare(message)
    if asked[0].role == "system":
        row["system"], asked = asked[0].content, asked[1:]
    roles = [message.role for message in asked]
    if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        raise RowError(f"this format holds questions and answers in turn, not roles {', '.join(roles)}")
    history = [[one.content, other.content] for one, other in zip(asked[0:-1:2], asked[1::2])]
    return {"instruction": asked[-1].content, **row} | ({"history": history} if history else {})


def alpaca(pair: Preference) -> Columns:
    return {**_alpaca_prompt(_asked(pair)), "chosen": _only(pair.chosen), "rejected": _only(pair.rejected)}


def _answers(record: Preference | Ranking) -> tuple[tuple[Text, ...], list[float] | None]:
    if isinstance(record, Ranking):
        return record.answers, None if record.scores is None else list(record.scores)
    rated = record.score_chosen is not None and record.score_rejected is not None
    return (record.chosen, record.rejected), [record.score_chosen, record.score_rejected] if rated else None  # type: ignore[list-item]


def _common(record: Any) -> Columns:
    """The extras that formats of several answers have: the comparison says the rest."""
    pair_only = ("chosen_probability", "score_chosen", "score_rejected")
    return {name: value for name, value in _extras(record).items() if name not in pair_only}


def completions(record: Preference | Ranking) -> Iterator[Columns]:
    answers, scores = _answers(record)
    row: Columns = {"prompt": _plain(record.prompt), "completions": [_plain(answer) for answer in answers]}
    yield row | ({"ranking": _order(record)} if scores is None else {"scores": scores}) | _common(record)


def _order(record: Preference | Ranking) -> list[Any]:
    """Indices best first, ties as lists. RowError where the comparisons are no order, or not sure."""
    if isinstance(record, Preference):
        if record.label not in (None, 1.0, 0.5):
            raise RowError("a ranking has no place for chosen_probability")
        return [[0, 1]] if record.label == 0.5 else [0, 1]
    wins: dict[int, int] = dict.fromkeys(range(len(record.answers)), 0)
    for comparison in record.comparisons:
        if comparison.label not in (None, 1.0, 0.5):
            raise RowError("a ranking has no place for votes or probabilities; write them as annotated")
        wins[comparison.better] += not comparison.tied
    levels = [[index for index in wins if wins[index] == level] for level in sorted(set(wins.values()), reverse=True)]
    place = {index: number for number, level in enumerate(levels) for index in level}
    full = len(record.comparisons) == len(place) * (len(place) - 1) // 2
    fits = all(
        place[each.better] == place[each.worse] if each.tied else place[each.better] < place[each.worse]
        for each in record.comparisons
    )
    if not full or not fits:
        raise RowError("the comparisons make no ranking: some are missing, or go round in a circle")
    return [level if len(level) > 1 else level[0] for level in levels]


def ultrafeedback(record: Preference | Ranking) -> Iterator[Columns]:
    answers, scores = _answers(record)
    asked = _asked(record)
    if scores is None or len(asked) > 1 or _bare(asked[0]).role != "user":
        raise RowError("this format holds one user's message and rated answers")
    found = [{"response": _only(answer), "overall_score": score} for answer, score in zip(answers, scores)]
    yield {"instruction": asked[0].content, "completions": found} | _common(record)


def vertex(record: Preference | Ranking) -> Iterator[Columns]:
    answers, scores = _answers(record)
    if scores is None:
        order = _order(record)
        levels = [level if isinstance(level, list) else [level] for level in order]
        scores = [
            float(len(levels) - 1 - next(n for n, level in enumerate(levels) if at in level))
            for at in range(len(answers))
        ]
    asked = _asked(record)
    row: Columns = {}
    if asked[0].role == "system":
        row["system_instruction"], asked = {"parts": [{"text": _bare(asked[0]).content}]}, asked[1:]
    row["contents"] = [_content(message) for message in asked]
    row["completions"] = [
        {"score": score, "completion": {"role": "model", "parts": [{"text": _only(answer)}]}}
        for answer, score in zip(answers, scores)
    ]
    yield row | _common(record)


def _content(message: Message) -> Columns:
    if message.role not in _SPEAKER:
        raise RowError(f"contents have no place for a message of role {message.role}")
    return {"role": "model" if message.role == "assistant" else "user", "parts": [{"text": _bare(message).content}]}


def annotated(record: Preference | Ranking) -> Iterator[Columns]:
    if not record.votes:
        raise RowError("there are no votes to write")
    answers, _ = _answers(record)
    row: Columns = {"prompt": _plain(record.prompt), "responses": [_plain(answer) for answer in answers]}
    yield row | {"votes": [_vote(vote) for vote in record.votes]} | _common(record)


def _vote(vote: Vote) -> Columns:
    row: Columns = {"annotator": vote.annotator, "choice": "tie" if vote.choice is None else vote.choice}
    named = {
        "reason": vote.reason,
        "shown_order": list(vote.shown or ()),
        "dimension": vote.dimension,
        "seconds": vote.seconds,
    }
    return {name: value for name, value in (row | named).items() if value not in ("", [], None)}


def labelled(record: Rating | Preference) -> Iterator[Columns]:
    prompt, extras = {"prompt": _plain(record.prompt)}, _common(record)
    extras.pop("margin", None)
    sides: tuple[tuple[Text, bool], ...]
    sides = (
        ((record.completion, record.label),)
        if isinstance(record, Rating)
        else ((record.chosen, True), (record.rejected, False))
    )
    for text, label in sides:
        yield {**prompt, "completion": _plain(text), "label": label} | extras


def prompt_completion(record: Demonstration) -> Iterator[Columns]:
    yield {"prompt": _plain(record.prompt), "completion": _plain(record.completion)} | _extras(record)


def messages(record: Demonstration) -> Iterator[Columns]:
    yield {"messages": [_object(m) for m in (*_weighted(record), *_said(record.completion))]} | _extras(record)


def _weighted(record: Demonstration) -> tuple[Message, ...]:
    """The prompt; an assistant's turn in it is one that is not learned from."""
    return tuple(
        Message(m.role, m.content, {**m.extra, "weight": 0}) if m.role == "assistant" else m for m in _asked(record)
    )


def sharegpt_demonstration(record: Demonstration) -> Iterator[Columns]:
    asked = _asked(record)
    if any(message.role == "assistant" for message in asked):
        raise RowError("this format learns from every answer; this prompt holds one that is not to be learned from")
    yield {"conversations": _sharegpt_turns((*asked, *_said(record.completion)))} | _extras(record)


def alpaca_demonstration(record: Demonstration) -> Iterator[Columns]:
    yield {**_alpaca_prompt(_asked(record)), "output": _only(record.completion)} | _extras(record)


def steps(record: Steps) -> Iterator[Columns]:
    row: Columns = {"prompt": _plain(record.prompt), "steps": [record.before] if record.before else []}
    yield row | {"chosen": record.chosen, "rejected": record.rejected} | _extras(record)


def step_dpo(record: Steps) -> Iterator[Columns]:
    row: Columns = {"prompt": _plain(record.prompt), "initial_reason_steps": record.before}
    yield row | {"chosen": record.chosen, "rejected": record.rejected} | _extras(record)


WRITERS: Mapping[str, Writer] = {
    writer.name: writer
    for writer in (
        Writer("trl-preference", Ranking, _of_pairs(trl)),
        Writer("openai-preference", Ranking, _openai_rows),
        Writer("hh-rlhf", Ranking, _of_pairs(hh)),
        Writer("sharegpt-preference", Ranking, _of_pairs(sharegpt)),
        Writer("messages-preference", Ranking, _of_pairs(messages_pair)),
        Writer("alpaca-preference", Ranking, _of_pairs(alpaca)),
        Writer("annotated", Ranking, annotated),
        Writer("completions", Ranking, completions),
        Writer("ultrafeedback", Ranking, ultrafeedback),
        Writer("vertex", Ranking, vertex),
        Writer("labelled", Rating, labelled),
        Writer("prompt-completion", Demonstration, prompt_completion),
        Writer("messages", Demonstration, messages),
        Writer("sharegpt", Demonstration, sharegpt_demonstration),
        Writer("alpaca", Demonstration, alpaca_demonstration),
        Writer("steps", Steps, steps),
        Writer("step-dpo", Steps, step_dpo),
    )
}
"""Every format that can be written, by the name by which it is read."""

SHORT = {"trl": "trl-preference", "openai": "openai-preference", "hh": "hh-rlhf", "llamafactory": "sharegpt-preference",
         "kto": "labelled", "unpaired": "labelled", "sft": "prompt-completion"}  # fmt: skip
"""Shorter names."""
