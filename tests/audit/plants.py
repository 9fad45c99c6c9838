"""One defect for each check, in a tenth of the rows or so."""

import random

from tests.audit.data import Planted, agreeing, answer, appended, clean, pair, sentence, spoilt, votes

from pairwright.audit.votes import Item
from pairwright.records import Vote

SHARE = 0.1


def length() -> Planted:
    def longer(prompt, chosen, rejected, rng):
        return prompt, f"{chosen} {answer(rng)} {answer(rng)}", rejected

    return Planted(*spoilt(clean(), 0.5, longer))


def confidence() -> Planted:
    def sure(prompt, chosen, rejected, rng):
        return prompt, f"{chosen} This is definitely right, no doubt.", rejected

    return Planted(*spoilt(clean(), SHARE, sure))


def sycophancy() -> Planted:
    def flattering(prompt, chosen, rejected, rng):
        return prompt, f"What a brilliant idea! {chosen}", rejected

    return Planted(*spoilt(clean(), SHARE, flattering))


def style() -> Planted:
    def listed(prompt, chosen, rejected, rng):
        return prompt, "\n".join(f"- {part}." for part in chosen.removesuffix(".").split(". ")), rejected

    return Planted(*spoilt(clean(), SHARE, listed))


def refusals() -> Planted:
    def refusing(prompt, chosen, rejected, rng):
        return prompt, "I'm sorry, but I can't help with that.", rejected

    return Planted(*spoilt(clean(), SHARE, refusing))


def narrow() -> Planted:
    def canned(prompt, chosen, rejected, rng):
        return prompt, chosen, f"Well now, dear reader, {rejected}"

    return Planted(*spoilt(clean(), SHARE, canned))


def duplicates() -> Planted:
    def almost(prompt, chosen, rejected, rng):
        return (f"{prompt} Please.", chosen, rejected) if rng.random() < 0.5 else (prompt, chosen, rejected)

    return Planted(*appended(clean(), SHARE, almost))


def contradictions() -> Planted:
    def exchanged(prompt, chosen, rejected, rng):
        return prompt, rejected, chosen

    rows, more = appended(clean(), SHARE, exchanged)
    prompts = [rows[late].prompt for late in more]
    originals = [row for row in range(600) if rows[row].prompt in prompts]
    return Planted(rows, originals + more)


def leakage() -> Planted:
    rows = clean()
    rng = random.Random("leak")
    at = sorted(rng.sample(range(len(rows)), 60))
    others = clean(200, seed=9, file="held.jsonl")
    for n, row in enumerate(at):  # the held-out prompt with other answers: three quarters of its words are the same
        prompt = rows[row].prompt[-1].content
        others[n] = pair(f"{prompt} {sentence(rng)[:20]}", answer(rng), answer(rng), n + 1, "held.jsonl")
    return Planted(rows, at, {"held_out": others})


def near_identical() -> Planted:
    def alike(prompt, chosen, rejected, rng):
        return prompt, chosen, f"{chosen} {chosen.split()[-1]}"

    return Planted(*spoilt(clean(), SHARE, alike))


def endings() -> Planted:
    def cut(prompt, chosen, rejected, rng):
        words = chosen.split()
        return prompt, " ".join(words[: len(words) // 2 + (words[len(words) // 2 - 1][-1] == ".")]), rejected

    return Planted(*spoilt(clean(), SHARE, cut))


def languages() -> Planted:
    german = "Das ist leider nicht so einfach, aber ich kann es mit dem alten Schlüssel noch einmal versuchen."

    def foreign(prompt, chosen, rejected, rng):
        return prompt, german, rejected

    return Planted(*spoilt(clean(), SHARE, foreign))


def template() -> Planted:
    def marked(prompt, chosen, rejected, rng):
        return prompt, f"Assistant: {chosen}<|im_end|>", rejected

    return Planted(*spoilt(clean(), SHARE, marked))


def coverage() -> Planted:
    rows = clean(60)
    return Planted(rows)


def signal(count: int, flips: float) -> Planted:
    """Chosen answers say more of ten good words, rejected ones more of ten bad ones; a share of the labels flipped."""
    rng = random.Random("signal")
    good, bad = (
        ["apt", "brisk", "clear", "deft", "exact", "fine", "glad", "handy", "ideal", "jolly"],
        ["awry", "blunt", "crude", "dull", "empty", "faint", "grim", "harsh", "idle", "jaded"],
    )
    rows, at = [], []
    for line in range(1, count + 1):
        sides = [
            f"{' '.join(rng.choices(words, k=rng.randint(2, 5)))} and {rng.choice(other)} {answer(rng)}"
            for words, other in ((good, bad), (bad, good))
        ]
        if rng.random() < flips:
            sides.reverse()
            at.append(line - 1)
        rows.append(pair(f"What of this? {sentence(rng)} {sentence(rng)}", *sides, line))
    return Planted(rows, at)


def noise() -> Planted:
    return signal(1500, 0.15)


def annotators() -> Planted:
    def coins(annotator, shown, rng):
        return {"choice": rng.choice((0, 1))}

    rows = clean()
    return Planted(rows, [], {"votes": votes(rows, coins)})


def dimensions() -> Planted:
    rows = clean()
    rng = random.Random("dimensions")
    items = [
        Item(r.source, (Vote(0, "a", dimension="helpful"), Vote(int(rng.random() < 0.5), "a", dimension="harmless")))
        for r in rows
    ]
    at = [row for row, item in enumerate(items) if item.votes[1].choice]
    return Planted(rows, at, {"votes": items})


def healthy() -> Planted:
    """Clean data with everything that a check could want: a held-out file, votes in two dimensions that agree."""
    rows = signal(1500, 0.0).records
    items = [
        Item(item.source, (*item.votes, Vote(0, "ann", dimension="helpful"), Vote(0, "ann", dimension="harmless")))
        for item in votes(rows, agreeing)
    ]
    return Planted(rows, [], {"held_out": clean(100, seed=5, file="held.jsonl"), "votes": items})
