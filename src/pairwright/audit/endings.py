"""How an answer ends: properly, in mid-sentence, in a loop, or before it began. The words are our own rule."""

import re
from collections.abc import Sequence

PROPER, UNMARKED, CUT, LOOP, EMPTY = range(5)
"""UNMARKED: no mark at the end, which may be the style of the data; CUT: a sign that no style explains."""

_CLOSED = re.compile(r"[.!?…。！？।。:)\]}\"'”’»`*_~>|/%$€°=+]\s*$|[\U0001f300-\U0001faff\u2600-\u27bf]\s*$")
_OPEN = re.compile(r"[,;\-–—([{&/+=]\s*$")
_DANGLING = frozenset(
    [
        "the",
        "a",
        "an",
        "and",
        "or",
        "but",
        "of",
        "to",
        "in",
        "for",
        "with",
        "at",
        "by",
        "from",
        "as",
        "that",
        "which",
        "who",
        "because",
        "if",
        "when",
        "while",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "your",
        "my",
        "our",
        "their",
        "his",
        "its",
        "this",
        "these",
        "those",
        "very",
        "than",
        "into",
        "about",
        "can",
        "will",
        "would",
        "should",
        "could",
        "may",
        "must",
    ]
)
_LAST_LINE = re.compile(r"[^\n]*\S[^\n]*$")
_ITEM = re.compile(r"^\s*(?:[-*•+#>|]|\d{1,3}[.)])|^ {4}\S|https?://|^\s*\w+ ?[=:] ?\S+$")
TAIL, RUN = 60, 4
"""Words at the end in which a loop is looked for; a loop is the same RUN words, ever again."""
LOOPING = 0.34
"""Distinct runs among all runs of the tail, at most: each stands three times on average. Natural text has 0.9 or
more."""


def ending(text: str, said: Sequence[str]) -> int:
    """Which of the five it is. `said` is text.words(text)."""
    if not said:
        return EMPTY
    if _loops(said):
        return LOOP
    if text.count("```") % 2:
        return CUT
    if len(said) > 2 and (_OPEN.search(text) or (said[-1] in _DANGLING and text.rstrip()[-1:].isalpha())):
        return CUT
    if len(said) < 3 or _CLOSED.search(text):
        return PROPER
    last = _LAST_LINE.search(text)
    return PROPER if last and _ITEM.search(last.group()) else UNMARKED


def _loops(said: Sequence[str]) -> bool:
    tail = said[-TAIL:]
    runs = list(zip(*(tail[at:] for at in range(RUN))))
    return len(runs) >= 3 * RUN and len(set(runs)) <= LOOPING * len(runs)
