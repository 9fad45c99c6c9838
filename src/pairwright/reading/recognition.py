"""Which format a file has: told from the columns of its first rows, never from its name.

A format fits a file when at least a tenth of the sampled rows look like it; so a few broken rows don't hide it, and a
file of two kinds of rows is ambiguous. No format, or more than one, is a FormatError that says what was found and what
to do.
Leaves out: whether each row can be used (formats.py).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pairwright.errors import FormatError
from pairwright.reading import formats, rankings, steps
from pairwright.reading.formats import TURN, Columns
from pairwright.reading.messages import LABELS
from pairwright.records import Demonstration, Preference, Ranking, Rating, Record, Source, Steps

SAMPLE = 100
"""Rows from which a file's format is told."""

OPTIONAL = ("weight", "tools", "chat_template_kwargs")
"""Columns that every format may have."""
PREDICTION = "prediction "
"""Beginning of the columns that hold QA-Feedback's answers."""
OF_PAIRS = ("margin", "chosen_probability", "score_chosen", "score_rejected")
"""Columns that preferences may have besides."""


Kind = type[Preference] | type[Ranking] | type[Steps] | type[Demonstration] | type[Rating]

READS: Mapping[Kind, tuple[Kind, ...]] = {
    Preference: (Preference,),
    Ranking: (Preference, Ranking),
    Steps: (Steps,),
    Demonstration: (Demonstration, Preference, Ranking),
    Rating: (Rating, Preference),
}
"""Kind of record that is wanted -> kinds of data that give it."""


@dataclass(frozen=True, slots=True)
class Format:
    name: str
    """What `format=` and `--format` take."""
    title: str
    """What it is called to a reader."""
    kind: Kind
    needs: tuple[str, ...]
    may: tuple[str, ...]
    """Further columns that it reads."""
    parse: Callable[[Columns, Source], Record]
    looks: Callable[[Columns], bool] = lambda row: True
    """What a row with the needed columns must look like besides."""
    either: bool = False
    """Whether it may hold text or messages, so that which of them it does is worth saying."""

    def fits(self, row: Columns) -> bool:
        return has(row, *self.needs) and self.looks(row)

    def unused(self, row: Columns, kind: Kind) -> set[str]:
        """Names of the row's columns that this format does not read for records of `kind`."""
        known = {*self.needs, *self.may, *OPTIONAL, *(OF_PAIRS if kind in (Preference, Ranking) else ())}
        names = row.keys() - known
        if "preference" in self.needs:
            names = {name for name in names if not name.startswith(PREDICTION)}
        if "input" in self.needs and isinstance(row.get("input"), dict):
            names |= {f"input.{key}" for key in row["input"].keys() - {"messages", "tools"}}
        if "votes" in self.needs and isinstance(row.get("votes"), list):
            names |= {f"votes.{key}" for vote in row["votes"] for key in vote.keys() - _OF_VOTES}
        return set(names)


_OF_VOTES = {"annotator", "choice", "reason", "shown_order", "dimension", "seconds"}
"""Keys of a vote that are kept."""


def has(row: Columns, *columns: str) -> bool:
    return all(row.get(column) is not None for column in columns)


def _transcripts(row: Columns) -> bool:
    sides = (row["chosen"], row["rejected"])
    return row.get("prompt") is None and all(isinstance(side, str) and TURN.match(side) for side in sides)


def _labelled(row: Columns) -> bool:
    return str(row.get("label")).lower() in LABELS


def _not_labelled(row: Columns) -> bool:
    return not _labelled(row)


def _conversation_alone(row: Columns) -> bool:
    return not (has(row, "chosen", "rejected") or _labelled(row))


def _plain_pair(row: Columns) -> bool:
    if _in_steps(row) or has(row, "initial_reason_steps"):
        return False
    return has(row, "prompt") or not (has(row, "conversations") or has(row, "instruction") or _transcripts(row))


def _in_steps(row: Columns) -> bool:
    """An ordinary pair may have a column of that name, with a number in it."""
    return isinstance(row.get("steps"), list)


def _ranked(row: Columns) -> bool:
    return has(row, "scores") or has(row, "ranking")


_SHAREGPT, _ALPACA = ("system",), ("input", "system", "history")

FORMATS = (
    Format("trl-preference", "TRL preference", Preference,
           ("chosen", "rejected"), ("prompt",), formats.trl_preference, _plain_pair, either=True),
    Format("hh-rlhf", "HH-RLHF transcripts", Preference,
           ("chosen", "rejected"), (), formats.hh_rlhf, _transcripts),
    Format("openai-preference", "OpenAI preference", Preference,
           ("input", "preferred_output", "non_preferred_output"), (), formats.openai_preference),
    Format("sharegpt-preference", "ShareGPT preference", Preference,
           ("conversations", "chosen", "rejected"), _SHAREGPT, formats.sharegpt_preference),
    Format("messages-preference", "LLaMA-Factory v1 preference", Preference,
           ("chosen_messages", "rejected_messages"), (), formats.messages_preference),
    Format("alpaca-preference", "Alpaca preference", Preference,
           ("instruction", "chosen", "rejected"), _ALPACA, formats.alpaca_preference),
    Format("annotated", "votes of annotators", Preference,
           ("prompt", "responses", "votes"), (), rankings.annotated, either=True),
    Format("vertex", "Vertex preference", Preference,
           ("contents", "completions"), ("system_instruction", "systemInstruction"), rankings.vertex),
    Format("completions", "completions with scores or a ranking", Ranking,
           ("prompt", "completions"), ("scores", "ranking"), rankings.completions, _ranked, either=True),
    Format("ultrafeedback", "UltraFeedback", Ranking,
           ("instruction", "completions"), (), rankings.ultrafeedback),
    Format("qa-feedback", "QA-Feedback", Ranking,
           ("question", "prediction 1", "prediction 2", "preference"), ("passages",), rankings.qa_feedback),
    Format("steps", "solutions in steps", Steps,
           ("prompt", "steps", "chosen", "rejected"), (), steps.steps, _in_steps, either=True),
    Format("step-dpo", "Step-DPO", Steps,
           ("prompt", "initial_reason_steps", "chosen", "rejected"), (), steps.step_dpo, either=True),
    Format("labelled", "answers labelled good or bad", Rating,
           ("prompt", "completion", "label"), (), formats.labelled, _labelled, either=True),
    Format("labelled-messages", "conversations labelled good or bad", Rating,
           ("messages", "label"), (), formats.labelled_messages, _labelled),
    Format("prompt-completion", "TRL prompt-completion", Demonstration,
           ("prompt", "completion"), (), formats.prompt_completion, _not_labelled, either=True),
    Format("messages", "conversations", Demonstration,
           ("messages",), (), formats.messages, _not_labelled),
    Format("text", "plain text", Demonstration,
           ("text",), (), formats.plain_text),
    Format("sharegpt", "ShareGPT conversations", Demonstration,
           ("conversations",), _SHAREGPT, formats.sharegpt, _conversation_alone),
    Format("alpaca", "Alpaca", Demonstration,
           ("instruction", "output"), _ALPACA, formats.alpaca),
)  # fmt: skip
"""Every format that can be read."""

OTHERS: tuple[tuple[str, Callable[[Columns], bool]], ...] = (
    ("labels of answers in columns that are not known", _labelled),
    ("completions without scores or a ranking", lambda row: has(row, "completions")),
    ("steps without a preference", lambda row: has(row, "steps")),
    ("Pairwright's own quarantine file", lambda row: has(row, "file", "offset", "reason") or has(row, "reason", "raw")),
)
"""Kinds of data that are known and that no format above reads."""


def named(name: str, kind: Kind) -> Format:
    """The format that the user forces. FormatError for an unknown one, or one of the other kind."""
    found = next((format for format in FORMATS if format.name == name), None)
    if found is None:
        raise FormatError(f"format {name!r} is unknown. Known: {', '.join(format.name for format in FORMATS)}.")
    if found.kind not in READS[kind]:
        raise _wrong_kind(f"format {name!r} holds", [found], kind)
    return found


def recognise(file: str, rows: Sequence[Columns], kind: Kind) -> Format:
    """The one format that fits the sampled rows (columns and values) and can be read as `kind`; else FormatError."""
    enough = max(1, len(rows) // 10)

    def common(test: Callable[[Columns], bool]) -> bool:
        return sum(test(row) for row in rows) >= enough

    fitting = [format for format in FORMATS if common(format.fits)]
    usable = [format for format in fitting if format.kind in READS[kind]]
    columns = ", ".join(_columns(rows))
    if len(usable) == 1:
        return usable[0]
    if usable:
        names = ", ".join(format.name for format in usable)
        raise FormatError(
            f"{file}: the columns {columns} fit more than one format: {names}. Choose one with --format NAME."
        )
    if fitting:
        raise _wrong_kind(f"{file}: holds {' or '.join(format.name for format in fitting)}, which is", fitting, kind)
    other = next((title for title, test in OTHERS if common(test)), None)
    if other:
        raise FormatError(f"{file}: holds {other} (columns {columns}), not {_ROWS[kind]}.")
    raise FormatError(
        f"{file}: the columns {columns} fit no format.\n"
        f"A row of preferences has\n{_choices(Preference)}\na ranking of answers\n{_choices(Ranking)}\n"
        f"steps\n{_choices(Steps)}\na labelled answer\n{_choices(Rating)}\n"
        f"and a row of demonstrations\n{_choices(Demonstration)}\n"
        "Rename the columns; docs/data-formats.md has an example of each."
    )


_ROWS: Mapping[Kind, str] = {
    Preference: "pairs of a chosen and a rejected answer",
    Ranking: "pairs or rankings of answers",
    Steps: "steps of solutions",
    Rating: "answers labelled good or bad",
    Demonstration: "demonstrations",
}


def _wrong_kind(start: str, found: Sequence[Format], kind: Kind) -> FormatError:
    kinds = tuple(dict.fromkeys(format.kind for format in found))
    return FormatError(f"{start} {' or '.join(_ROWS[kind] for kind in kinds)}, not {_ROWS[kind]}.", kinds)


def _choices(kind: Kind) -> str:
    return "\n".join(f"    {format.name}: {', '.join(format.needs)}" for format in FORMATS if format.kind is kind)


def _columns(rows: Sequence[Mapping[str, Any]], most: int = 12) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [*names[:most], f"and {len(names) - most} more"] if len(names) > most else names or ["(none)"]
