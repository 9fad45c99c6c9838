"""Records -> token ids, with the tokens that are trained on.

    encode      all records of a run -> Examples, with a count for every rule that cut, changed or dropped one
    prompt_ids  one record -> the ids that generation starts from: the beginning of its example
    end_ids     the ids that end an answer, at which generation stops

The steps: template.py and turns.py write text and find the answers in it, truncate.py cuts messages, assemble.py makes
tokens, check.py looks at the first examples, rules.py names every rule. docs/tokens.md has an example of each.

Left out: batches, padding (there is none), images.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from pairwright.errors import ConfigError, DataError
from pairwright.records import Preference, Ranking, Rating, Record, Source, Steps
from pairwright.tokens import check, special, template
from pairwright.tokens.assemble import TOO_LONG, Batch, Tokens, assemble
from pairwright.tokens.rules import RULES, Unusable
from pairwright.tokens.sequences import Example, Pair, TokenSequence
from pairwright.tokens.steps import from_steps
from pairwright.tokens.truncate import Conversation, part, shorten
from pairwright.tokens.turns import Draft, Style, Turns, from_messages, from_strings, prompt_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHUNK = 512
"""Records tokenised in one call: enough for the tokenizer's threads, little enough for a smooth progress bar."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """len(examples) + len(dropped) is the number of records; the order is theirs."""

    examples: list[Example]
    counts: dict[str, int]
    """Records by rule; rules.RULES says what each means. Only rules that were applied."""
    dropped: list[tuple[Source, str]]
    notes: list[str]
    """Lines for the log: which template, BOS, end of answer, and what was refused."""


def encode(
    records: Sequence[Record],
    tokenizer: "PreTrainedTokenizerBase",
    *,
    chat_template: str | None,
    max_length: int,
    turns: Turns = "all",
    progress: Callable[[int], None] | None = None,
) -> Encoded:
    """Tokenise `records` into examples of at most `max_length` tokens a sequence.

    `chat_template`: None for the tokenizer's own, `text` for the plain form, the path of a Jinja file, or Jinja.
    `turns`: which assistant turns of an answer are scored.
    `progress` is called with the number of records done since the last call.
    Raises ConfigError for a template or length that cannot be meant, ModelError for a tokenizer that cannot be used,
    DataError where one of the first examples has two BOS, or an answer without an end.
    """
    style = _style(tokenizer, chat_template, max_length, turns)
    ends = frozenset(end_ids(tokenizer, chat_template))
    examples: list[Example] = []
    dropped: list[tuple[Source, str]] = []
    counts: Counter[str] = Counter()
    refusals: dict[str, str] = {}
    for start in range(0, len(records), CHUNK):
        chunk = records[start : start + CHUNK]
        for record, outcome in zip(chunk, _encode(chunk, tokenizer, style, max_length)):
            if isinstance(outcome, Unusable):
                dropped.append((record.source, outcome.rule))
                counts[outcome.rule] += 1
                if outcome.detail:
                    refusals.setdefault(outcome.rule, f"{record.source}: {RULES[outcome.rule]}: {outcome.detail}")
                continue
            example = _example(record, outcome.sequences)
            if len(examples) < check.FIRST:
                whole = "text_cut" not in outcome.rules and not isinstance(record, Steps)
                check.look_at(example, tokenizer, style.special, ends, whole=whole)
            examples.append(example)
            counts.update(outcome.rules)
        if progress is not None:
            progress(len(chunk))
    assert len(examples) + len(dropped) == len(records)
    ordered = {rule: counts[rule] for rule in RULES if counts[rule]}
    chats = bool(tokenizer.chat_template)
    return Encoded(
        examples, ordered, dropped, _notes(records, examples, style, ordered, chats) + list(refusals.values())
    )


def prompt_ids(
    record: Record,
    tokenizer: "PreTrainedTokenizerBase",
    chat_template: str | None,
    max_length: int,
    turns: Turns = "all",
) -> list[int]:
    """The ids that generation starts from: the first ids of the record's example, cut as there.

    A record that makes no example (it has no answer, say) gives its prompt alone, cut to `max_length` by the same
    rules. Raises DataError where that does not fit.
    """
    style = _style(tokenizer, chat_template, max_length, turns)
    (outcome,) = _encode([record], tokenizer, style, max_length)
    if isinstance(outcome, Tokens):
        return outcome.sequences[0].ids[: outcome.prompt].tolist()
    if isinstance(record.prompt, str):
        ids = style.special.with_front(Batch(tokenizer, [record.prompt]).ids(record.prompt))
        head = style.special.head(ids)
        return np.delete(ids, np.arange(head, head + max(0, len(ids) - max_length))).tolist()
    whole, cut = Conversation(part(record).prompt, ((),)), 0
    while shortened := shorten(whole, cut):
        try:
            text = prompt_text(record, shortened[0], style)
        except Unusable as refusal:
            raise DataError(f"{record.source}: {RULES[refusal.rule]}: {refusal.detail}") from refusal
        ids = style.special.with_front(Batch(tokenizer, [text]).ids(text))
        if len(ids) <= max_length:
            return ids.tolist()
        cut += 1
    raise DataError(
        f"{record.source}: the last turn of the prompt has {len(ids)} tokens, but max_length is {max_length}."
    )


def end_ids(tokenizer: "PreTrainedTokenizerBase", chat_template: str | None) -> list[int]:
    """Ids that end an answer: the template's end of turn, where it has one, and EOS. Generation stops at any of them.

    A base model's own generation config knows its EOS only, and would talk on after a template's <|im_end|>.
    """
    tokens = special.load(tokenizer)
    ends = Style(template.load(tokenizer, chat_template, tokens.added), tokens).ends
    return list(dict.fromkeys(cast(list[int], tokenizer.convert_tokens_to_ids(ends))))


def _style(tokenizer: "PreTrainedTokenizerBase", chat_template: str | None, max_length: int, turns: Turns) -> Style:
    if max_length < 2:
        raise ConfigError(f"max_length is {max_length}; a sequence needs at least 2 tokens.")
    tokens = special.load(tokenizer)
    return Style(template.load(tokenizer, chat_template, tokens.added), tokens, turns)


def _encode(
    records: Sequence[Record], tokenizer: "PreTrainedTokenizerBase", style: Style, max_length: int
) -> list[Tokens | Unusable]:
    """Tokens of each record, or why it has none. What is too long is cut once more and comes round again."""
    outcomes: dict[int, Tokens | Unusable] = {}
    todo: list[tuple[int, int]] = [(i, 0) for i in range(len(records))]
    while todo:
        drafts: list[tuple[int, int, Draft]] = []
        for i, cut in todo:
            try:
                draft = _draft(records[i], style, cut)
                if draft is not None:
                    drafts.append((i, cut, draft))
            except Unusable as refusal:
                outcomes[i] = refusal
        batch = Batch(tokenizer, [text for _, _, draft in drafts for s in draft.sides for text in (s.prompt, s.text)])
        todo = []
        for i, cut, draft in drafts:
            try:
                outcomes[i] = assemble(records[i], draft, batch, style.special, max_length)
            except Unusable as refusal:
                outcomes[i] = refusal  # stands, where nothing more can be cut
                if refusal.rule in TOO_LONG and not isinstance(records[i].prompt, str):
                    todo.append((i, cut + 1))
    return [outcomes[i] for i in range(len(records))]


def _draft(record: Record, style: Style, cut: int) -> Draft | None:
    """The record's text after `cut` cuts; None where there is nothing more to cut."""
    if isinstance(record.prompt, str):
        return from_steps(record, None, style) if isinstance(record, Steps) else from_strings(record, style)
    shortened = shorten(part(record), cut)
    if shortened is None or (shortened[1] == "turns_cut" and isinstance(record, Rating)):
        return None  # a label is that of the whole answer
    conversation, rule = shortened
    if isinstance(record, Steps):
        draft = from_steps(record, conversation, style)
    else:
        draft = from_messages(record, conversation, style)
    return Draft(draft.sides, draft.rules | ({rule} if rule else set()))


def _example(record: Record, sequences: tuple[TokenSequence, ...]) -> Example:
    if isinstance(record, Rating):
        return Example(sequences, record.source, record.weight, label=float(record.label))
    if isinstance(record, Ranking):
        pairs = tuple(Pair(c.better, c.worse, c.label, c.margin, c.weight) for c in record.comparisons)
        return Example(sequences, record.source, record.weight, pairs, scores=record.scores)
    if not isinstance(record, Preference):
        return Example(sequences, record.source, record.weight)
    one, other = record.score_chosen, record.score_rejected
    scores = None if one is None or other is None else (one, other)
    pairs = (Pair(0, 1, record.label, record.margin),)
    return Example(sequences, record.source, record.weight, pairs, scores=scores)


def _notes(
    records: Sequence[Record], examples: Sequence[Example], style: Style, counts: dict[str, int], chats: bool
) -> list[str]:
    notes = []
    if any(not isinstance(record.prompt, str) for record in records):
        notes.append(style.template.description)
        if "strftime_now" in style.template.text:
            notes.append("The chat template asks for today's date: on another day the tokens may differ.")
    if any(isinstance(record.prompt, str) for record in records):
        notes.append("Plain strings are taken as they are, without a chat template.")
        if chats:
            notes.append("The model has a chat template: to train how it answers in chats, give messages instead.")
    if examples:
        first = int(examples[0].sequences[0].ids[0])
        if counts.get("bos_added"):
            notes.append("BOS: put in front, as the tokenizer does.")
        elif first == style.special.bos:
            notes.append("BOS: written by the text itself.")
        else:
            notes.append("BOS: none, as the tokenizer puts none.")
        if style.template.end and any(not isinstance(record.prompt, str) for record in records):
            notes.append(f"End of answer: {style.template.end}, written by the template.")
        if counts.get("eos_appended"):
            notes.append(f"End of answer: {style.special.eos_text}, appended.")
    return notes
