"""Records -> text, with the characters of each answer: what is trained on, and what stands before it.

A side of a record becomes one text that ends with its last answer's end token. `spans` are the answers in it, each
through its end token. Only assistant turns after the prompt are answers.

Where an answer stands is found by rendering, not by searching for role names, so it holds for any template and no text
in the data can fool it: generation would start at the end of render(messages before it, generation prompt) and the
turn ends inside render(messages through it). A template with {% generation %} says it itself. Where the template
writes an earlier turn differently once others follow (Qwen3 drops earlier thinking), the two disagree: such a turn is
not what the model would have generated, and it is not trained on.

Left out: tokens (chat.py), cutting (truncate.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pairwright.errors import ModelError
from pairwright.records import Demonstration, Message, Record, answers
from pairwright.tokens.rules import Unusable
from pairwright.tokens.special import Special, strip_ends
from pairwright.tokens.template import Template
from pairwright.tokens.truncate import Conversation

Turns = Literal["last", "all"]
"""Which assistant turns of an answer are scored: its last one, or all from where the answers of a record part."""


@dataclass(frozen=True, slots=True)
class Style:
    """How this run writes text: the template and the special tokens."""

    template: Template
    special: Special
    turns: Turns = "all"

    @property
    def ends(self) -> list[str]:
        """Texts of the tokens that end an answer."""
        return [end for end in (self.template.end, self.special.eos_text) if end is not None]


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a record as text."""

    prompt: str
    """What generation of the first answer would start from."""
    text: str
    spans: tuple[tuple[int, int], ...]
    """(start, stop) characters in `text` of each answer, end token included. The last stop is len(text)."""
    ended: bool = True
    """False for a step, after which the answer goes on: the text has no end token."""


@dataclass(slots=True)
class Draft:
    """The sides of one record, and the names of the rules that were applied to it."""

    sides: list[Side]
    rules: set[str] = field(default_factory=set)


def from_strings(record: Record, style: Style) -> Draft:
    """Prompt and answer as they are, one after the other; EOS where the answer has no end token."""
    assert isinstance(record.prompt, str)
    draft = Draft([])
    for answer in answers(record):
        assert isinstance(answer, str)
        bare, kept, ends = strip_ends(answer, style.ends)
        if not bare.strip():
            raise Unusable("dropped_empty_answer")
        text = record.prompt + (kept if ends else answer + _eos(style, draft))
        if ends > 1:
            draft.rules.add("double_eos_removed")
        if style.special.pattern.search(record.prompt) or style.special.pattern.search(bare):
            draft.rules.add("special_token_text")
        draft.sides.append(Side(record.prompt, text, ((len(record.prompt), len(text)),)))
    return draft


def from_messages(record: Record, parts: Conversation, style: Style) -> Draft:
    """Render each side and find its answers. Raises Unusable where that can't be done truly."""
    draft = Draft([])
    prompt = [_as_dict(message, style, draft) for message in parts.prompt]
    for answer in parts.answers:
        messages = prompt + [_as_dict(message, style, draft) for message in answer]
        draft.sides.append(_side(record, messages, len(prompt), style, draft))
    return draft


def rendered(record: Record, parts: Conversation, number: int, style: Style, draft: Draft) -> tuple[str, int]:
    """The whole conversation with that answer, as the template writes it, and where the answer's turn starts."""
    before = [_as_dict(message, style, draft) for message in parts.prompt]
    messages = before + [_as_dict(message, style, draft) for message in parts.answers[number]]
    full, _ = style.template.render(messages, record)
    prompt, _ = style.template.render(before, record, generation=True)
    return full, _shared_length(prompt, full, before)


def prompt_text(record: Record, parts: Conversation, style: Style) -> str:
    """The generation prompt after the messages of `parts.prompt`."""
    messages = [_as_dict(message, style, Draft([])) for message in parts.prompt]
    return style.template.render(messages, record, generation=True)[0]


def _as_dict(message: Message, style: Style, draft: Draft) -> dict[str, Any]:
    content = message.content
    if message.role == "assistant":
        content, _, ends = strip_ends(content, style.ends)
        if ends:
            draft.rules.add("double_eos_removed")
    if style.special.pattern.search(content):
        draft.rules.add("special_token_text")
    return {**message.extra, "role": message.role, "content": content}


def _side(record: Record, messages: list[dict[str, Any]], first: int, style: Style, draft: Draft) -> Side:
    """The side whose answers are the assistant messages from index `first` on; the last message is one."""
    turns = [i for i in range(first, len(messages)) if messages[i]["role"] == "assistant"]
    if not turns:
        raise Unusable("dropped_no_answer")
    if style.turns == "last":
        turns = turns[-1:]
    if any(_is_empty(messages[i]) for i in turns):
        raise Unusable("dropped_empty_answer")
    full, marks = style.template.render(messages, record)
    prompt, _ = style.template.render(messages[: turns[0]], record, generation=True)
    if marks is not None:
        spans = _marked(full, marks, prompt, messages[: turns[0]], style)
    else:
        spans = _rendered(record, messages, turns, full, prompt, style, draft)
    if not spans:
        raise Unusable("dropped_no_answer")
    return _with_ends(full, prompt, spans, style, draft)


def _rendered(
    record: Record,
    messages: list[dict[str, Any]],
    turns: Sequence[int],
    full: str,
    prompt: str,
    style: Style,
    draft: Draft,
) -> list[tuple[int, int, bool]]:
    """(start, stop, has an end token) of each answer in `full`, by rendering up to it and through it."""
    spans = []
    for i in turns:
        last = i == len(messages) - 1
        opening = prompt if i == turns[0] else style.template.render(messages[:i], record, generation=True)[0]
        closing = full if last else style.template.render(messages[: i + 1], record)[0]
        start = _shared_length(opening, closing, messages[:i])
        if start < len(opening):
            draft.rules.add("border_moved")
        length, ended = _answer_length(closing[start:], messages[i]["content"], style)
        stop = start + length
        if full[:stop] == closing[:stop]:
            spans.append((start, stop, ended))
        elif isinstance(record, Demonstration):
            draft.rules.add("turn_rewritten")
        else:
            raise Unusable("dropped_rewritten_turn")
    return spans


def _marked(
    full: str, marks: Sequence[tuple[int, int]], prompt: str, before: Sequence[Mapping[str, Any]], style: Style
) -> list[tuple[int, int, bool]]:
    """The same from the template's own {% generation %} marks, those after the prompt.

    Some templates close the mark before the end token, some after the white space that follows it.
    """
    border = _shared_length(prompt, full, before)
    spans = []
    for start, stop in marks:
        if stop <= border:
            continue
        start = max(start, border)
        end = style.template.end
        rest = full[stop:]
        if end and end not in full[start:stop] and rest.lstrip().startswith(end):
            stop += len(rest) - len(rest.lstrip()) + len(end)
        length, ended = _answer_length(full[start:stop], "", style)
        spans.append((start, start + length, ended))
    return spans


def _answer_length(turn: str, content: str, style: Style) -> tuple[int, bool]:
    """Characters of `turn` through its end token, or through its text where it has none; whether it has one."""
    end = style.template.end
    if end and (at := turn.rfind(end)) >= 0:
        return at + len(end), True
    stripped = turn.rstrip()
    for match in style.special.pattern.finditer(stripped):
        if match.end() == len(stripped):  # a turn that ends differently, such as Llama 3's tool calls
            return match.end(), True
    at = turn.rfind(content) + len(content) if content and content in turn else 0
    # White space that the answer itself ends with is kept; what the template adds after it is not.
    return (at if at and not turn[at:].strip() else len(stripped)), False


def _shared_length(opening: str, full: str, before: Sequence[Mapping[str, Any]]) -> int:
    """Length of the common beginning of the generation prompt and the whole conversation.

    As a rule it is all of the prompt. Where the generation prompt has more (an opened <think>), it must at least
    reach past the last message before the answer, or something else than the answer would be trained on.
    """
    if full.startswith(opening):
        return len(opening)
    shared = next((i for i, (a, b) in enumerate(zip(opening, full)) if a != b), min(len(opening), len(full)))
    last = before[-1]["content"].strip() if before else ""
    if last and 0 <= opening.rfind(last) <= shared - len(last):
        return shared
    raise Unusable("dropped_template_prefix", f"the generation prompt ends with {opening[shared:][:80]!r}")


def _with_ends(full: str, prompt: str, spans: Sequence[tuple[int, int, bool]], style: Style, draft: Draft) -> Side:
    """Cut `full` after the last answer, and write EOS after each answer that has no end token."""
    text, done, out = "", 0, []
    for start, stop, ended in spans:
        text += full[done:start]
        begin = len(text)
        text += full[start:stop] if ended else full[start:stop] + _eos(style, draft)
        out.append((begin, len(text)))
        done = stop
    return Side(prompt, text, tuple(out))


def _eos(style: Style, draft: Draft) -> str:
    if style.special.eos_text is None:
        raise ModelError("The tokenizer has no EOS token and the text has no end of turn: answers would never end.")
    draft.rules.add("eos_appended")
    return style.special.eos_text


def _is_empty(message: Mapping[str, Any]) -> bool:
    """Without text, and without anything else that a template could write in its place (tool calls)."""
    return not message["content"].strip() and not any(
        value for key, value in message.items() if key not in ("role", "content", "name")
    )
