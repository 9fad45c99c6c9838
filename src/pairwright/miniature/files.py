"""Rows of the miniature in public formats: TRL preferences, TRL prompt and completion, unpaired, and votes.

A missing end token has no place in these formats: an answer that was cut is written as it stands.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pairwright.miniature.annotators import Labelled
from pairwright.miniature.answers import Answer
from pairwright.miniature.requests import Request

Row = dict[str, Any]


def preferences(labelled: Sequence[Labelled]) -> list[Row]:
    """{prompt, chosen, rejected}, each a list of messages; the majority's choice."""
    return [
        {
            "prompt": each.pair.request.prompt,
            "chosen": _assistant(each.chosen.text),
            "rejected": _assistant(each.rejected.text),
        }
        for each in labelled
    ]


def demonstrations(requests: Sequence[Request], answers: Sequence[Answer]) -> list[Row]:
    """{prompt, completion}, each a list of messages."""
    return [
        {"prompt": request.prompt, "completion": _assistant(answer.text)}
        for request, answer in zip(requests, answers, strict=True)
    ]


def unpaired(labelled: Sequence[Labelled]) -> list[Row]:
    """{prompt, completion, label}: two rows of each pair, the preferred answer with label true."""
    return [
        {"prompt": each.pair.request.prompt, "completion": _assistant(answer.text), "label": wanted}
        for each in labelled
        for answer, wanted in ((each.chosen, True), (each.rejected, False))
    ]


def annotated(labelled: Sequence[Labelled]) -> list[Row]:
    """{prompt, responses, votes}: every annotator's vote kept, with the order in which they saw the answers."""
    return [
        {
            "prompt": each.pair.request.prompt,
            "responses": [answer.text for answer in each.pair.answers],
            "votes": [
                {"annotator": vote.annotator, "choice": vote.choice, "shown_order": list(vote.shown_order)}
                for vote in each.votes
            ],
        }
        for each in labelled
    ]


def write(path: Path, rows: Iterable[Row]) -> Path:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def _assistant(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]
