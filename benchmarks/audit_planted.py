"""What the audit finds of defects that were planted on purpose, and what it says of data that nobody spoilt.

Each defect goes into 1%, 5% and 20% of the rows of two data sets: clean pairs of the miniature (figures from it prove
the
machinery) and HH-RLHF harmless (../shared/data, real text; where it is absent, that half is left out and said).

    recall      spoilt rows that the check's filter would drop, of all spoilt rows
    precision   spoilt rows among those that it would drop and would not have dropped before
    false alarm rows that it would drop from the untouched data

A row of the untouched data may well be faulty (HH-RLHF has cut answers and marks of templates): such alarms are not all
false. Label noise is no defect of a row: the table has the rate that was planted, the one that was told, its interval.

    python benchmarks/audit_planted.py [--json results/audit_planted.json]
"""

import argparse
import copy
import json
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from difflib import SequenceMatcher
from pathlib import Path

from pairwright import __version__, miniature
from pairwright.audit.run import measure, module, names
from pairwright.miniature import Annotator, plant
from pairwright.miniature.files import Row, preferences, write
from pairwright.reading import read
from pairwright.records import Preference

HH = Path(__file__).resolve().parents[2] / "shared" / "data" / "hh-rlhf-harmless" / "pairs.jsonl.gz"
SHARES = (0.01, 0.05, 0.2)
NOISE = (0.0, 0.05, 0.1, 0.2, 0.3)
PAIRS, NOISE_PAIRS, HELD_OUT = 1_500, 5_000, 200
ALIKE = 0.85
FOREIGN = (
    "Das kann ich leider nicht genau sagen, aber ich werde es mit dem Kalender noch einmal für Sie prüfen.",
    "Je ne sais pas encore si cela est possible, mais je vais regarder dans le calendrier avec vous.",
    "No lo sé todavía, pero voy a mirar en el calendario y te digo si es posible para el lunes.",
    "К сожалению, я пока не могу этого сказать, но завтра я проверю календарь ещё раз.",
    "申し訳ありませんが、まだ分かりません。カレンダーをもう一度確認します。",
)
Spoil = Callable[[str, str, random.Random], tuple[str, str]]


def clean_rows(count: int, seed: int, annotator: Annotator) -> list[Row]:
    """Pairs of the miniature without the faults that it has by nature: only requests that nobody need decline, and no
    pairs that difflib (which the audit does not use) finds alike: people's answers often differ by one value."""
    requests = [
        *miniature.make_requests(count, seed, kind="harmless"),
        *miniature.make_requests(count // 4, seed, kind="borderline"),
    ]
    random.Random(seed).shuffle(requests)
    answers = [miniature.demonstrate(requests, 10 * seed + turn, miniature.BASE) for turn in (1, 2)]
    rows = preferences(miniature.label(miniature.make_pairs(requests, list(zip(*answers))), [annotator], seed))
    sides = [(row["chosen"][0]["content"].split(), row["rejected"][0]["content"].split()) for row in rows]
    alike = [SequenceMatcher(None, *side, autojunk=False).ratio() > ALIKE for side in sides]
    return [row for row, same in zip(rows, alike) if not same][:count]


def noisy_rows(count: int, seed: int, flips: float) -> list[Row]:
    """The base model's kind of answers, so that there is something to prefer, labelled without noise but for flips."""
    requests = miniature.make_requests(count, seed)
    answers = [miniature.demonstrate(requests, 10 * seed + turn, miniature.BASE) for turn in (1, 2)]
    annotator = Annotator("flipping", temperature=0, flips=flips)
    return preferences(miniature.label(miniature.make_pairs(requests, list(zip(*answers))), [annotator], seed))


def hh_rows() -> list[Row]:
    """HH-RLHF as TRL's messages."""

    def said(messages) -> list[dict]:
        return [{"role": message.role, "content": message.content} for message in messages]

    return [
        {"prompt": said(pair.prompt), "chosen": said(pair.chosen), "rejected": said(pair.rejected)}
        for pair in read(str(HH), Preference).records
    ]


def spoilt(rows: list[Row], share: float, change: Spoil) -> tuple[list[Row], set[int]]:
    """Last messages of the sides changed in a share of the rows."""
    rows, rng = copy.deepcopy(rows), random.Random(f"spoil/{share}")
    at = set(rng.sample(range(len(rows)), round(share * len(rows))))
    for row in sorted(at):
        sides = rows[row]["chosen"][-1], rows[row]["rejected"][-1]
        sides[0]["content"], sides[1]["content"] = change(sides[0]["content"], sides[1]["content"], rng)
    return rows, at


def differing(rows: list[Row], changed: list[Row]) -> tuple[list[Row], set[int]]:
    """For plants of the miniature: which rows they changed, or added at the end."""
    at = {row for row, (old, new) in enumerate(zip(rows, changed)) if old != new}
    return changed, at | set(range(len(rows), len(changed)))


def contradicted(rows: list[Row], share: float) -> tuple[list[Row], set[int]]:
    changed, at = differing(rows, plant.contradicted(rows, share))
    pairs = [(changed[row]["prompt"], changed[row]["rejected"]) for row in at]
    return changed, at | {row for row in range(len(rows)) if (rows[row]["prompt"], rows[row]["chosen"]) in pairs}


def nearly_repeated(rows: list[Row], share: float) -> tuple[list[Row], set[int]]:
    changed, at = differing(rows, copy.deepcopy(plant.repeated(rows, share)))
    for row in at:
        changed[row]["prompt"][-1]["content"] += " Thanks!"
    return changed, at


def cut_inside(chosen: str, rejected: str, rng: random.Random) -> tuple[str, str]:
    """After half of the words, or the next word that does not end a sentence: a cut between sentences is no fault that
    the text shows."""
    words = chosen.split()
    at = (len(words) + 1) // 2
    while 1 < at < len(words) - 1 and words[at - 1][-1] in ".!?\"')…:":
        at += 1
    return " ".join(words[:at]), rejected


def listed(chosen: str, rejected: str, rng: random.Random) -> tuple[str, str]:
    return "\n".join(f"- {part}" for part in [*chosen.split(". "), "That is all."]), rejected


ROW_LEVEL: dict[str, tuple[str, Callable[[list[Row], float], tuple[list[Row], set[int]]]]] = {
    "repeated": ("duplicates", lambda rows, share: differing(rows, plant.repeated(rows, share))),
    "repeated with a word more": ("duplicates", nearly_repeated),
    "contradicted": ("contradictions", contradicted),
    "answers alike": ("near_identical", lambda rows, share: differing(rows, plant.alike(rows, share))),
    "chosen cut in a sentence": ("endings", lambda rows, share: spoilt(rows, share, cut_inside)),
    "chosen repeats itself for ever": (
        "endings", lambda rows, share: spoilt(rows, share, lambda c, r, rng: (c + " and then we go on" * 20, r))),
    "chosen is three dots": ("endings", lambda rows, share: spoilt(rows, share, lambda c, r, rng: ("...", r))),
    "chosen in another language": (
        "languages", lambda rows, share: spoilt(rows, share, lambda c, r, rng: (rng.choice(FOREIGN), r))),
    "template left": ("template", lambda rows, share: differing(rows, plant.templated(rows, share))),
}  # fmt: skip
SET_LEVEL: dict[str, tuple[str, Spoil]] = {
    "chosen longer by forty words": ("length", lambda c, r, rng: (f"{c} {' '.join(['and so it goes on'] * 8)}.", r)),
    "chosen sure of itself": ("confidence", lambda c, r, rng: (f"{c} This is definitely right, without a doubt.", r)),
    "chosen praises": ("sycophancy", lambda c, r, rng: (f"What a brilliant idea! {c}", r)),
    "chosen a list": ("style", listed),
    "chosen refuses": ("refusals", lambda c, r, rng: ("I'm sorry, but I can't help with that.", r)),
    "rejected opens alike": ("narrow", lambda c, r, rng: (c, f"As a helpful assistant, {r}")),
}


def flagged(check: str, rows: list[Row], folder: Path, held_out: list[Row] | None = None) -> set[int]:
    """Rows that the check's filter would drop."""
    return run(check, rows, folder, held_out)[0]


def run(check: str, rows: list[Row], folder: Path, held_out: list[Row] | None = None):
    records = read(str(write(folder / "rows.jsonl", rows)), Preference).records
    held = read(str(write(folder / "held.jsonl", held_out)), Preference).records if held_out else None
    checked = module(check).check(measure(records, held_out=held))
    # a row that could not be read has no index of its own; write gives them line by line
    lines = [record.source.line - 1 for record in records]
    return {lines[row] for finding in checked.findings for row in finding.rows.tolist()}, checked


def measured(found: set[int], before: set[int], at: set[int], rows: int) -> dict:
    new = found - (before - at)
    return {
        "planted": len(at),
        "recall": round(len(found & at) / len(at), 4),
        "precision": round(len(found & at) / len(new), 4) if new else None,
        "rows": rows,
    }


def plant_all(rows: list[Row], others: list[Row], folder: Path, say: Callable[[str], None]) -> dict:
    """All defects in one data set. `others`: rows of the same kind, to leak."""
    held, rest = others[:HELD_OUT], rows
    checks = [name for name in names() if name not in ("annotators", "dimensions", "coverage", "noise")]
    records = read(str(write(folder / "rows.jsonl", rest)), Preference).records
    held_records = read(str(write(folder / "held.jsonl", held)), Preference).records
    table = measure(records, held_out=held_records)
    lines = [record.source.line - 1 for record in records]
    before = {
        name: {lines[row] for finding in module(name).check(table).findings for row in finding.rows.tolist()}
        for name in checks
    }
    alarms = {name: round(len(found) / len(rest), 4) for name, found in before.items()}
    results: dict = {"rows": len(rest), "alarms_on_untouched": alarms, "row_level": {}, "set_level": {}}
    for defect, (check, change) in ROW_LEVEL.items():
        for share in SHARES:
            changed, at = change(rest, share)
            entry = measured(flagged(check, changed, folder), before[check], at, len(changed))
            results["row_level"].setdefault(defect, {"check": check})[f"{share:.0%}"] = entry
        say(f"{defect}: {results['row_level'][defect]}")
    for share in SHARES:
        changed, at = differing(rest, plant.leaked(rest, held, share))
        entry = measured(flagged("leakage", changed, folder, held), before["leakage"], at, len(changed))
        results["row_level"].setdefault("held-out rows leaked", {"check": "leakage"})[
            f"{share:.0%} of the held-out"
        ] = entry
    say(f"leaked: {results['row_level']['held-out rows leaked']}")
    for defect, (check, spoil) in SET_LEVEL.items():
        for share in SHARES:
            changed, at = spoilt(rest, share, spoil)
            found, checked = run(check, changed, folder)
            entry = measured(found, before[check], at, len(changed)) | {"found": bool(checked.findings)}
            results["set_level"].setdefault(defect, {"check": check})[f"{share:.0%}"] = entry
        say(f"{defect}: {results['set_level'][defect]}")
    return results


def noise(folder: Path, say: Callable[[str], None]) -> list[dict]:
    results = []
    for seed in (3,):
        for rate in NOISE:
            _, checked = run("noise", noisy_rows(NOISE_PAIRS, seed, rate), folder)
            figure = checked.figures.get("rate")
            told = (
                {"told": figure.value, "low": figure.low, "high": figure.high}
                if figure
                else {"skipped": checked.skipped}
            )
            results.append({"planted": rate, "seed": seed, "pairs": NOISE_PAIRS} | told)
            say(f"noise: {results[-1]}")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, nargs="?", const=Path(__file__).parent / "results" / "audit_planted.json")
    args = parser.parse_args()
    began = time.monotonic()

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        steady = Annotator("steady", temperature=0.05)
        results = {
            "date": date.today().isoformat(),
            "pairwright": __version__,
            "python": platform.python_version(),
            "miniature": plant_all(clean_rows(PAIRS, 1, steady), clean_rows(HELD_OUT * 2, 77, steady), folder, say),
            "label_noise_miniature": noise(folder, say),
        }
        if HH.exists():
            rows = hh_rows()
            results["hh_rlhf_harmless"] = plant_all(rows[HELD_OUT:], rows[:HELD_OUT], folder, say)
        else:
            say("../shared/data/hh-rlhf-harmless is absent: left out")
    results["seconds"] = round(time.monotonic() - began)
    text = json.dumps(results, indent=1, ensure_ascii=False)
    print(text)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
