"""The miniature's gold reward as a verifier function, for ppo_on_miniature.py: requests are drawn again from the
columns `draw` (their seed), `split` and `number`."""

from functools import cache

from pairwright.miniature import Request, make_requests, score


@cache
def requests(count: int, draw: int, split: str) -> list[Request]:
    return make_requests(count, seed=draw, split=split)


def gold(completions, ended, count, draw, split, number):
    rows = zip(completions, ended, count, draw, split, number)
    return [score(requests(c, d, s)[n], said, end)["gold"] for said, end, c, d, s, n in rows]
