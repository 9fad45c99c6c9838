"""Votes of annotators on items, as the agreement checks read them."""

from dataclasses import dataclass

from pairwright.records import Source


@dataclass(frozen=True, slots=True)
class Vote:
    annotator: str
    choice: int | None
    """Index of the better response; None for a tie."""
    shown: tuple[int, ...] | None = None
    """Indices of the responses in the order in which the annotator saw them."""
    dimension: str = ""
    """What was judged, "" for the whole."""
    seconds: float | None = None
    """How long it took."""


@dataclass(frozen=True, slots=True)
class Item:
    source: Source
    votes: tuple[Vote, ...]
