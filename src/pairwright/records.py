"""Records: what a row of data means, whatever file and format it came from.

Frozen, free of torch and of tokenizers. Readers make them; audit, tokens and recipes read them.
A text side is either a plain string (no roles, no template) or a tuple of messages (a chat template applies).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Source:
    """Where a record came from, so that every message about it can point at the line."""

    file: str
    """Path as the user gave it, or the data set's hub id."""
    line: int
    """1-based physical line in a line-based file; 1-based row in any other."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Message:
    role: str
    """system, user, assistant or tool."""
    content: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Other keys of the message, untouched, for the chat template (tool_calls, name, tool_call_id ...)."""


Text = str | tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Vote:
    """What one annotator said of the answers to one prompt."""

    choice: int | None
    """Index of the better answer, in the order of the record; None for a tie."""
    annotator: str = ""
    """"" where the data does not say."""
    reason: str = ""
    shown: tuple[int, ...] | None = None
    """Indices of the answers in the order in which the annotator saw them; None for all of them, order unknown."""
    dimension: str = ""
    """What was judged (helpful, harmless ...), "" for the whole."""
    seconds: float | None = None
    """How long it took."""


class Comparison(NamedTuple):
    """Two answers of a ranking, compared."""

    better: int
    """Index of the answer."""
    worse: int
    label: float | None = None
    """Probability in [0.5, 1] that `better` is the better one, 0.5 for a tie; None where the data is sure."""
    weight: float = 1.0
    """How much this comparison weighs beside the others of its ranking, such as its number of votes."""
    margin: float | None = None
    """By how much `better` is better, where that is known."""

    @property
    def tied(self) -> bool:
        return self.label == 0.5


@dataclass(frozen=True, slots=True)
class Preference:
    """One answer preferred over another for the same prompt."""

    prompt: Text
    """Never ends in the middle of an answer; may be empty where the data had no prompt."""
    chosen: Text
    """Continues `prompt`; of the same kind (string or messages)."""
    rejected: Text
    source: Source
    weight: float = 1.0
    """Multiplies the example's loss (annotator confidence, judge probability)."""
    margin: float | None = None
    tools: tuple[Mapping[str, Any], ...] | None = None
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    label: float | None = None
    """Probability in [0, 1] that `chosen` is the better one; None where the data is sure of it."""
    score_chosen: float | None = None
    """What an annotator, a judge or a reward model gave `chosen`, on any scale."""
    score_rejected: float | None = None
    votes: tuple[Vote, ...] = ()
    """Of several annotators, kept as they are; `choice` is 0 for `chosen` and 1 for `rejected`."""

    @property
    def rated(self) -> bool:
        """Whether both answers have a rating."""
        return self.score_chosen is not None and self.score_rejected is not None

    @property
    def tied(self) -> bool:
        """Whether neither answer is preferred: by the label, or by equal ratings where there is no label."""
        return self.label == 0.5 or (self.label is None and self.rated and self.score_chosen == self.score_rejected)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Several answers to the same prompt, compared with each other."""

    prompt: Text
    answers: tuple[Text, ...]
    """Two or more, of the same kind as `prompt`, in the order of the data."""
    comparisons: tuple[Comparison, ...]
    """Ties among them. Not every two answers need be compared."""
    source: Source
    weight: float = 1.0
    tools: tuple[Mapping[str, Any], ...] | None = None
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    scores: tuple[float, ...] | None = None
    """Ratings of the answers, on any scale."""
    votes: tuple[Vote, ...] = ()
    """Of several annotators, kept as they are."""

    @property
    def rated(self) -> bool:
        return self.scores is not None

    @property
    def tied(self) -> bool:
        """Whether no answer is preferred to any other."""
        return all(comparison.tied for comparison in self.comparisons)

    @property
    def best(self) -> tuple[int, ...]:
        """Indices of the answers that are preferred most often: one, or several that tie."""
        wins = [0.0] * len(self.answers)
        for better, worse, label, *_ in self.comparisons:
            wins[better] += 1.0 if label is None else label
            wins[worse] += 0.0 if label is None else 1 - label
        return tuple(index for index, won in enumerate(wins) if won == max(wins))


@dataclass(frozen=True, slots=True)
class Steps:
    """One step of a solution preferred over another, after the same steps before it."""

    prompt: Text
    before: str
    """The steps before, as one text; empty at the first step."""
    chosen: str
    """The better next step. Not the end of the answer, as a rule."""
    rejected: str
    source: Source
    weight: float = 1.0
    tools: tuple[Mapping[str, Any], ...] | None = None
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Demonstration:
    """Text to imitate: the assistant's tokens of `completion` are supervised (all its tokens when it is a string)."""

    prompt: Text
    completion: Text
    source: Source
    weight: float = 1.0
    tools: tuple[Mapping[str, Any], ...] | None = None
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rating:
    """One answer that was judged by itself."""

    prompt: Text
    completion: Text
    label: bool
    """True for a good answer, False for a bad one."""
    source: Source
    weight: float = 1.0
    tools: tuple[Mapping[str, Any], ...] | None = None
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)


Record = Preference | Ranking | Steps | Demonstration | Rating


def answers(record: Record) -> tuple[Text, ...]:
    """The answers of a record: of a pair the chosen one first."""
    if isinstance(record, Ranking):
        return record.answers
    if isinstance(record, Demonstration | Rating):
        return (record.completion,)
    return (record.chosen, record.rejected)
