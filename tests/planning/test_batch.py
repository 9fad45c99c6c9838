"""Sizes of a batch, by hand and against real tries."""

import pytest
from tests.tiny import tokens

from pairwright.backbone import attention
from pairwright.planning.batch import BLOCK_TOKENS, Block, of
from pairwright.recipes.memory_plan import of_batch
from pairwright.records import Source
from pairwright.tokens import trie
from pairwright.tokens.sequences import Example


def pair(prompt: int, first: int, second: int) -> Example:
    start = [5] * prompt
    return Example((tokens(start, [7] * first), tokens(start, [9] * second)), Source("made", 1))


def test_a_pair_by_hand():
    """Prompt 5, answers 3 and 4: 5 + 2 + 3 tokens; the prompt's last and all of the answers' are needed; 7 scored.
    In rows 2 x 9. As segments the prompt sees itself, the answers 5 + 2 and 5 + 3 keys; 15 + 13 + 21 visible pairs."""
    batch = of(1, 5, [3, 4], blocks=False)
    assert (batch.tokens, batch.needed, batch.scored, batch.plain_tokens) == (10, 6, 7, 18)
    prompt, short, long = batch.blocks
    assert prompt == Block(5, 5, masked=False)
    assert (short, long) == (Block(2, 7, masked=True, joined=True), Block(3, 8, masked=True, joined=True))
    assert batch.visible == 15 + (2 * 7 - 1) + (3 * 8 - 3)


def test_small_trees_share_a_block():
    """Ten tokens each: twelve trees to a block of 128, and two are left."""
    assert of(14, 5, [3, 4]).blocks == (Block(120, 120, masked=True), Block(20, 20, masked=True))


@pytest.mark.parametrize("backend", ["segments", "varlen"])
@pytest.mark.parametrize(("prompt", "first", "second"), [(5, 3, 4), (30, 20, 20), (100, 80, 90), (300, 10, 200)])
def test_it_is_what_the_trie_and_the_attention_do(prompt, first, second, backend):
    built = trie.build([pair(prompt, first, second)])
    real = of_batch(built, backend)
    planned = of(1, prompt, [first, second], blocks=backend == "segments")
    same = ("tokens", "needed", "scored", "visible")
    assert [getattr(real, n) for n in same] == [getattr(planned, n) for n in same]
    assert real.blocks == planned.blocks


def test_the_limit_is_the_attentions():
    assert BLOCK_TOKENS == attention.BLOCK_TOKENS
