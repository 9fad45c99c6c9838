"""The kinds of input that methods_vs_trl.py compares, and their files, made from HH-RLHF pairs and a seed.

    pairs            dpo, orpo, reward   a pair a row
    labelled         kto                 one answer a row, each to another prompt, half of them good
    demonstrations   sft                 chosen answers
    long_pairs       dpo                 the pairs with the longest prompts
    rankings         dpo                 four answers to each of these prompts, two of them other prompts'
    solutions        step_dpo            ten steps to a question, each with one that is not as good

Left out: anything of trl or pairwright; both halves read this file.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workload import load_rows

Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    name: str
    method: str
    """Pairwright's name of it."""
    data: str
    """Stem of its file."""
    rows: int
    """Examples in all, for STEPS optimiser steps."""
    trainer: str | None
    """The trainer of TRL that has it."""
    paths: tuple[str, ...] = ("trie", "rows")
    """Of Pairwright. orpo's rows are dpo's."""

    @property
    def per_step(self) -> int:
        return self.rows // STEPS

    def ordered(self, folder: Path) -> Path:
        """The rows in the order of training."""
        return folder / f"ordered-{self.name}.jsonl"


STEPS = 2
CASES = (
    Case("dpo", "dpo", "pairs", 16, "DPOTrainer"),
    Case("orpo", "orpo", "pairs", 16, "experimental ORPOTrainer", ("trie",)),
    Case("kto", "kto", "labelled", 16, "KTOTrainer"),
    Case("sft", "sft", "demonstrations", 16, "SFTTrainer"),
    Case("reward", "reward", "pairs", 16, "RewardTrainer"),
    Case("long_pairs", "dpo", "long_pairs", 4, None),
    Case("rankings", "dpo", "rankings", 4, None),
    Case("solutions", "step_dpo", "solutions", 2, None),
)
POOL = 256
"""Pairs that the longest prompts are taken from."""
ANSWERS = 4
SOLUTION_STEPS = 10
STEP_WORDS = 12


def labelled(pairs: list[Row]) -> list[Row]:
    """One answer of each pair, the chosen one and the rejected one in turn."""
    return [
        {"prompt": pair["prompt"], "completion": pair[("chosen", "rejected")[i % 2]], "label": i % 2 == 0}
        for i, pair in enumerate(pairs)
    ]


def demonstrations(pairs: list[Row]) -> list[Row]:
    return [{"prompt": pair["prompt"], "completion": pair["chosen"]} for pair in pairs]


def long_pairs(pairs: list[Row], count: int) -> list[Row]:
    return sorted(pairs, key=lambda pair: -len(pair["prompt"]))[:count]


def rankings(pairs: list[Row], count: int) -> list[Row]:
    """The pair's answers, and others' behind them."""
    rows = []
    for i, pair in enumerate(long_pairs(pairs, count)):
        others = [pairs[ANSWERS * i + j]["rejected"] for j in range(ANSWERS - 2)]
        rows.append(
            {
                "prompt": pair["prompt"],
                "completions": [pair["chosen"], pair["rejected"], *others],
                "ranking": list(range(ANSWERS)),
            }
        )
    return rows


def solutions(pairs: list[Row], count: int) -> list[Row]:
    """A row for each step, of a few words each."""
    rows = []
    for i in range(count):
        mine = pairs[(SOLUTION_STEPS + 1) * i : (SOLUTION_STEPS + 1) * (i + 1)]
        sides = [[first_words(pair[side]) for pair in mine[1:]] for side in ("chosen", "rejected")]
        for place, (right, wrong) in enumerate(zip(*sides, strict=True)):
            rows.append(
                {
                    "prompt": mine[0]["prompt"],
                    "steps": sides[0][:place],
                    "chosen": right,
                    "rejected": f"{wrong} {place}",
                }
            )
    return rows


def first_words(text: str) -> str:
    return " " + " ".join(text.split()[:STEP_WORDS])


MAKERS: dict[str, Callable[[list[Row], int], list[Row]]] = {
    "pairs": lambda pairs, count: pairs[:count],
    "labelled": lambda pairs, count: labelled(pairs[:count]),
    "demonstrations": lambda pairs, count: demonstrations(pairs[:count]),
    "long_pairs": long_pairs,
    "rankings": rankings,
    "solutions": solutions,
}


def write_files(folder: Path, cases: list[Case]) -> None:
    """Each case's rows, from the pairs that workload.build has written."""
    pairs = load_rows(folder)
    for case in cases:
        write_rows(folder / f"rows-{case.data}.jsonl", MAKERS[case.data](pairs, case.rows))


def write_rows(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def read_rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def chosen_cases(names: str, rows: int | None = None) -> list[Case]:
    """Cases by their names, separated by commas; all for an empty string. `rows` is for each, where given. Raises
    ValueError for a name that is none."""
    known = {case.name: case for case in CASES}
    if unknown := [name for name in names.split(",") if name and name not in known]:
        raise ValueError(f"there is no case {unknown[0]!r}; there are {', '.join(known)}")
    cases = [known[name] for name in names.split(",")] if names else list(CASES)
    return [replace(case, rows=rows) if rows else case for case in cases]
