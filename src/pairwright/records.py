"""Records: what a row of data means, whatever file and format it came from.

Frozen, free of torch and of tokenizers. Readers make them; audit, tokens and recipes read them.
A text side is either a plain string (no roles, no template) or a tuple of messages (a chat template applies).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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

    @property
    def rated(self) -> bool:
        """Whether both answers have a rating."""
        return self.score_chosen is not None and self.score_rejected is not None


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


Record = Preference | Demonstration | Rating
