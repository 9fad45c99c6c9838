"""Faults of preference data, planted on purpose: one function or setting each (numbers as in the failure catalogue).

| fault | how it is planted |
|---|---|
| 1 over-refusal | `refusal_only` |
| 2 answers too alike | `alike` |
| 6 too few comparisons | fewer requests |
| 7 length | `Annotator(length=...)` |
| 10 answers that do not end | `cut` |
| 12 labels without noise, seen again and again | `Annotator(temperature=0)`, `repeated` |
| 13 flipped labels | `Annotator(flips=...)` |
| 14 template left in the text | `templated` |
| 16 flattery | `Annotator(flattery=...)` |
| 17 confidence | `Annotator(confidence=...)` |
| 21 blocks of one label | `blocks` |
| 22 training rows in the test | `leaked` |
| 23 answers unlike the model's own | `off_policy` |
| the same prompt with contradicting labels | `contradicted` |
| the first position | `Annotator(first=...)` |

Functions take rows as files.py makes them, a share of them to spoil, and a seed; they return new rows.
"""

import copy
import random
from collections.abc import Callable, Sequence

from pairwright.miniature.annotators import Labelled, Pair, Vote
from pairwright.miniature.answers import BASE, GOOD, Answer, Behaviour, answer
from pairwright.miniature.files import Row
from pairwright.miniature.requests import Request

_OBEYING = Behaviour(obey=1.0)


def refusal_only(requests: Sequence[Request], seed: int = 0) -> list[Labelled]:
    """Chosen: every one a bare refusal; rejected: every one does the task. For harmful requests, or for any."""
    rng = random.Random(f"refusal/{seed}")
    labelled = []
    for request in requests:
        refusal = answer(request, Behaviour(refuse=1.0, refuse_borderline=1.0, bare=1.0), rng)
        compliance = answer(request, _OBEYING, rng)
        labelled.append(_fixed(request, refusal, compliance))
    return labelled


def off_policy(requests: Sequence[Request], seed: int = 0) -> list[Labelled]:
    """Both answers in a style that the base model never learned; the chosen one right, the rejected one faulty."""
    rng = random.Random(f"off/{seed}")
    return [
        _fixed(request, _formal(answer(request, GOOD, rng)), _formal(answer(request, BASE, rng)))
        for request in requests
    ]


def _formal(given: Answer) -> Answer:
    return Answer(f"Dear client, hereby we inform you as follows >> {given.text.upper()} << Yours faithfully", True)


def _fixed(request: Request, chosen: Answer, rejected: Answer) -> Labelled:
    return Labelled(Pair(request, (chosen, rejected)), (Vote("planted", 0, (0, 1)),))


def alike(rows: Sequence[Row], share: float, seed: int = 0) -> list[Row]:
    """The rejected answer becomes the chosen one with its last word said twice."""

    def spoil(row: Row) -> None:
        text = row["chosen"][0]["content"]
        row["rejected"][0]["content"] = f"{text} {text.split()[-1]}"

    return _spoiled(rows, share, seed, spoil)


def cut(rows: Sequence[Row], share: float, seed: int = 0) -> list[Row]:
    """The chosen answer stops after half of its words."""

    def spoil(row: Row) -> None:
        words = row["chosen"][0]["content"].split()
        row["chosen"][0]["content"] = " ".join(words[: (len(words) + 1) // 2])

    return _spoiled(rows, share, seed, spoil)


def templated(rows: Sequence[Row], share: float, seed: int = 0) -> list[Row]:
    """Role marks of another template stand in the text of prompt and answers."""

    def spoil(row: Row) -> None:
        row["prompt"][-1]["content"] = f"Human: {row['prompt'][-1]['content']}"
        for side in ("chosen", "rejected"):
            row[side][0]["content"] = f"Assistant: {row[side][0]['content']}<|im_end|>"

    return _spoiled(rows, share, seed, spoil)


def contradicted(rows: Sequence[Row], share: float, seed: int = 0) -> list[Row]:
    """A share of the rows stands a second time with the answers exchanged."""
    return [*rows, *(row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in _drawn(rows, share, seed))]


def repeated(rows: Sequence[Row], share: float, seed: int = 0) -> list[Row]:
    """A share of the rows stands twice."""
    return [*rows, *_drawn(rows, share, seed)]


def leaked(rows: Sequence[Row], test_rows: Sequence[Row], share: float, seed: int = 0) -> list[Row]:
    """A share of the test rows stands among the rows."""
    return [*rows, *_drawn(test_rows, share, seed)]


def blocks(rows: Sequence[Row]) -> list[Row]:
    """Unpaired rows with all the wanted ones first."""
    return sorted(rows, key=lambda row: not row["label"])


def _drawn(rows: Sequence[Row], share: float, seed: int) -> list[Row]:
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; it must be in [0, 1]")
    return random.Random(f"plant/{seed}").sample(list(rows), round(share * len(rows)))


def _spoiled(rows: Sequence[Row], share: float, seed: int, spoil: Callable[[Row], None]) -> list[Row]:
    copies = copy.deepcopy(list(rows))
    for row in _drawn(copies, share, seed):
        spoil(row)
    return copies
