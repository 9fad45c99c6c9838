"""The sizes of a micro-batch on a prefix trie, without its tokens: what memory and time are counted from.

A pair of a prompt of 5 tokens and answers of 3 and 4: of each answer the last token predicts nothing, so the trie has
5 + 2 + 3 = 10 tokens, where one row per sequence takes 2 x 9 = 18.
"""

from collections.abc import Sequence
from dataclasses import dataclass

BLOCK_TOKENS = 128
"""Whole trees of at most this many tokens are one attention block (backbone/attention.py; a test compares)."""


@dataclass(frozen=True)
class Block:
    """Queries that share their keys, and how many such blocks there are."""

    queries: int
    keys: int
    masked: bool
    """False for plain causality."""
    joined: bool = False
    """Its keys come from several blocks, and are copied to stand in one piece."""
    count: int = 1


@dataclass(frozen=True)
class Batch:
    tokens: int
    """N: distinct tokens, those that are computed."""
    needed: int
    """Tokens whose last hidden state predicts a scored token."""
    scored: int
    """S: scored tokens."""
    plain_tokens: int
    """Tokens of the same sequences in padded rows."""
    blocks: tuple[Block, ...]

    @property
    def visible(self) -> int:
        """(query, key) pairs that attention computes."""
        return sum(b.count * (b.queries * b.keys - b.queries * (b.queries - 1) // 2) for b in self.blocks)

    @property
    def longest(self) -> int:
        return max(block.keys for block in self.blocks)


def of(examples: int, prompt: int, answers: Sequence[int], *, blocks: bool = True, shared: bool = True) -> Batch:
    """The batch of `examples` equal examples: a prompt and `answers`, all in tokens.

    `blocks` False: every segment by itself, as one FlashAttention call takes them. `shared` False: each answer in a row
    of its own with its prompt, as models do that the trie cannot serve.
    """
    tails = [answer - 1 for answer in answers]
    plain = examples * len(answers) * (prompt + max(answers))
    scored = examples * sum(answers)
    if not shared:
        rows = Block(prompt + max(answers), prompt + max(answers), masked=True, count=examples * len(answers))
        return Batch(plain, scored, scored, plain, (rows,))
    each = prompt + sum(tails)
    needed = examples * (1 + sum(tails))
    return Batch(
        examples * each,
        needed,
        scored,
        plain,
        _blocks(examples, each, prompt, tails, BLOCK_TOKENS if blocks else 0),
    )


RUN = 128
"""Queries in a block of backbone/blockwise.py (ROWS), and the share of unseen keys above which they are left out."""
HIDDEN = 0.3


def runs(batch: Batch, skipped: int = 0) -> list[Block]:
    """The blocks that backbone/blockwise.py makes of it; without the queries of `skipped` tokens, which stand in the
    prompts."""
    if not batch.blocks:
        return []
    first, *tails = batch.blocks
    if first.masked or not tails or not all(b.joined for b in tails):
        share = 1 - skipped / batch.tokens
        return [b for block in batch.blocks for b in _cut(block, share)]
    each = first.queries + sum(b.queries * b.count // first.count for b in tails)
    left = skipped // first.count
    stops = [0, first.queries]
    for tail in tails:
        stops.append(stops[-1] + tail.queries)
    found = []
    for start in range(0, each, RUN):
        stop = min(start + RUN, each)
        inside = max((s for s in stops if s <= start), default=0)  # where the branch that `start` lies on begins
        seen = stop if start < first.queries else first.queries + stop - inside
        keys = stop if seen >= (1 - HIDDEN) * stop else seen
        queries = stop - max(start, left)
        if queries > 0:
            found.append(Block(queries, keys, masked=True, count=first.count))
    return found


def _cut(block: Block, share: float) -> list[Block]:
    """A tree without branches, or one that is a block already."""
    cut = []
    for start in range(0, block.queries, RUN):
        stop = min(start + RUN, block.queries)
        cut.append(Block(round((stop - start) * share), stop, masked=True, count=block.count))
    return cut


def _blocks(examples: int, each: int, prompt: int, tails: Sequence[int], limit: int) -> tuple[Block, ...]:
    if len(tails) == 1:
        together = max(1, min(examples, limit // each)) if each else 1
        return _groups(examples, each, together, masked=together > 1)
    if each <= limit:
        return _groups(examples, each, min(examples, limit // each), masked=True)
    own = [Block(tail, prompt + tail, masked=True, joined=True, count=examples) for tail in tails if tail]
    return (Block(prompt, prompt, masked=False, count=examples), *own)


def _groups(examples: int, each: int, together: int, masked: bool) -> tuple[Block, ...]:
    """Whole trees of `each` tokens, `together` of them to a block."""
    full, left = divmod(examples, together)
    blocks = [Block(together * each, together * each, masked, count=full)] if full else []
    if left:
        blocks.append(Block(left * each, left * each, masked, count=1))
    return tuple(blocks)
