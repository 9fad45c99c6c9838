"""The trie batch: its one rule, against what "shares a prefix" means; an example worked out by hand; what is scored."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pairwright.records import Source
from pairwright.tokens import trie
from pairwright.tokens.sequences import Example, TokenSequence

HERE = Source("made in the test", 1)


def sequence(ids, supervised) -> TokenSequence:
    return TokenSequence(np.array(ids, dtype=np.int64), np.array(supervised, dtype=bool))


def answer(prompt: list[int], ids: list[int]) -> TokenSequence:
    return sequence(prompt + ids, [False] * len(prompt) + [True] * len(ids))


def example(*sequences: TokenSequence) -> Example:
    return Example(sequences, HERE)


# By hand. A ranking of three answers to the prompt 5 6 7, in words "the cat sat":
#
#     5 6 7 | 8 9 | 1      row:       0 1 2 3 4 5 6 7
#           |     | 2 3    token:     5 6 7 8 9 2 4 4
#           | 4 4 8        position:  0 1 2 3 4 5 3 4
#
# The last token of each answer is predicted but predicts nothing, so 1, 3 and the second answer's last 8 stand nowhere,
# and 5 6 7 8 9 is the whole input of the first answer.
RANKING = example(
    answer([5, 6, 7], [8, 9, 1]),
    answer([5, 6, 7], [8, 9, 2, 3]),
    answer([5, 6, 7], [4, 4, 8]),
)


def test_a_ranking_by_hand():
    built = trie.build([RANKING])
    assert built.ids.tolist() == [5, 6, 7, 8, 9, 2, 4, 4]
    assert built.position.tolist() == [0, 1, 2, 3, 4, 5, 3, 4]
    # The prompt's subtree is the whole row. "8 9" carries the 2 that follows it. 2 and "4 4" are leaves.
    assert built.end.tolist() == [8, 8, 8, 6, 6, 6, 8, 8]
    assert built.segments == (
        trie.Segment(0, 3, -1, 8),
        trie.Segment(3, 5, 0, 6),
        trie.Segment(5, 6, 1, 6),
        trie.Segment(6, 8, 0, 8),
    )
    # First answer: 8 from the 7, 9 from the 8, 1 from the 9. Second: 8, 9 likewise, 2 from the 9, 3 from the 2.
    # Third: 4 from the 7, 4 from the first 4, 8 from the second.
    assert list(zip(built.source.tolist(), built.target.tolist(), built.sequence.tolist())) == [
        *[(2, 8, 0), (3, 9, 0), (4, 1, 0)],
        *[(2, 8, 1), (3, 9, 1), (4, 2, 1), (5, 3, 1)],
        *[(2, 4, 2), (6, 4, 2), (7, 8, 2)],
    ]
    assert [path.tolist() for path in built.paths] == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5], [0, 1, 2, 6, 7]]
    assert built.sequences == 3
    assert built.lengths().tolist() == [3, 4, 3]
    assert len(built) == trie.size([RANKING]) == 8


def test_who_sees_whom_in_the_ranking():
    """The rule j <= i < end[j], written out as the mask it means: rows are queries."""
    built = trie.build([RANKING])
    i, j = np.mgrid[:8, :8]
    seen = (j <= i) & (i < built.end[None, :])
    assert ["".join("x" if cell else "." for cell in row) for row in seen] == [
        "x.......",
        "xx......",
        "xxx.....",
        "xxxx....",
        "xxxxx...",
        "xxxxxx..",  # 2 after the prompt and "8 9"
        "xxx...x.",  # 4 after the prompt, not after "8 9"
        "xxx...xx",
    ]


def test_what_follows_the_last_supervised_token_is_left_out():
    """Two turns, the first supervised: 4 5 | 6 7 | 8 9. Nothing after the 6 is needed to predict the 7."""
    built = trie.build([example(sequence([4, 5, 6, 7, 8, 9], [0, 0, 1, 1, 0, 0]))])
    assert built.ids.tolist() == [4, 5, 6]
    assert (built.source.tolist(), built.target.tolist()) == ([1, 2], [6, 7])


def test_unsupervised_tokens_between_answers_are_kept_and_not_scored():
    built = trie.build([example(sequence([4, 5, 6, 7, 8], [0, 1, 0, 0, 1]))])
    assert built.ids.tolist() == [4, 5, 6, 7]
    assert (built.source.tolist(), built.target.tolist()) == ([0, 3], [5, 8])


def test_a_sequence_without_supervised_tokens_takes_no_room():
    built = trie.build([example(sequence([4, 5], [0, 0]), answer([4], [5, 6]))])
    assert built.ids.tolist() == [4, 5]
    assert built.paths[0].tolist() == []
    assert built.lengths().tolist() == [0, 2]
    nothing = trie.build([example(sequence([4, 5], [0, 0]))])
    assert len(nothing) == 0 and nothing.lengths().tolist() == [0]
    assert len(trie.build([])) == 0


def test_equal_sequences_stand_once_and_are_scored_each():
    built = trie.build([example(answer([4], [5, 6]), answer([4], [5, 6]))])
    assert built.ids.tolist() == [4, 5]
    assert built.source.tolist() == [0, 1, 0, 1]
    assert built.sequence.tolist() == [0, 0, 1, 1]


def pair(prompt: list[int], first: int, second: int) -> Example:
    """Answers of two tokens; the second is the end token 2, which is not computed. Input: the prompt and one each."""
    return example(answer(prompt, [first, 2]), answer(prompt, [second, 2]))


def test_examples_share_a_tree_from_min_shared_tokens_on():
    assert trie.MIN_SHARED == 16
    fifteen, sixteen = list(range(10, 25)), list(range(10, 26))
    # Apart: 15 + 2 tokens each. Together: 16 once, and 2 + 2.
    apart = trie.build([pair(fifteen, 30, 31), pair(fifteen, 32, 33)])
    assert len(apart) == 34 and apart.position.max() == 15
    together = trie.build([pair(sixteen, 30, 31), pair(sixteen, 32, 33)])
    assert len(together) == 20
    assert together.end[0] == 20


def test_examples_with_the_same_start_share_even_where_their_prompts_differ_later():
    system = list(range(10, 30))
    built = trie.build([pair([*system, 40], 50, 51), pair([*system, 41], 52, 53)])
    assert len(built) == 20 + 2 * (1 + 2)


def test_within_an_example_one_shared_token_is_enough():
    assert len(trie.build([pair([7], 30, 31)])) == 1 + 2


def test_an_example_whose_own_sides_part_early_stands_alone():
    """Its sides agree on 3 tokens only; a second copy of it, although equal, is not merged."""
    long, other = list(range(10, 30)), [10, 11, 12, *range(60, 77)]
    early = example(answer(long, [40, 2]), answer(other, [41, 2]))
    alone = len(trie.build([early]))
    assert alone == 3 + 2 * (17 + 1)
    assert len(trie.build([early, pair(long, 50, 51)])) == alone + 22
    assert len(trie.build([early, early])) == 2 * alone


def test_sequences_keep_their_numbers_when_trees_are_merged():
    """First and third example share a tree, so their tokens stand together; numbering follows the examples."""
    shared = list(range(10, 30))
    batch = [pair(shared, 40, 41), pair([7], 42, 43), pair(shared, 44, 45)]
    built = trie.build(batch)
    firsts = [int(built.target[built.sequence == q][0]) for q in range(6)]
    assert firsts == [40, 41, 42, 43, 44, 45]
    assert [int(built.ids[path[-1]]) for path in built.paths] == firsts


def test_many_nested_branches():
    """A chain in which every sequence leaves one token later than the one before it, as the steps of a long solution
    do: 200 branches deep, each prefix once."""
    chain = list(range(1000, 1200))
    batch = [example(*(answer(chain[:n], [1, 2]) for n in range(1, 201)))]
    built = trie.build(batch)
    assert len(built) == 200 + 200
    assert built.position.max() == 200


# --- any sequences ---

TOKEN = st.integers(1, 3)


@st.composite
def batches(draw) -> list[Example]:
    """Few different tokens, so that prefixes are shared at every depth; long common beginnings around MIN_SHARED."""
    beginnings = [[], [1] * 14, [1] * 16, [1] * 16 + [2]]
    out = []
    for _ in range(draw(st.integers(1, 4))):
        beginning = draw(st.sampled_from(beginnings))
        sides = []
        for _ in range(draw(st.integers(1, 4))):
            ids = beginning + draw(st.lists(TOKEN, min_size=1, max_size=6))
            marks = draw(st.lists(st.booleans(), min_size=len(ids) - 1, max_size=len(ids) - 1))
            sides.append(sequence(ids, [False, *marks]))
        out.append(example(*sides))
    return out


def inputs_of(s: TokenSequence) -> tuple[int, ...]:
    """All tokens before the last supervised one."""
    marked = [t for t, mark in enumerate(s.supervised) if mark]
    return tuple(s.ids[: marked[-1]].tolist()) if marked else ()


def trees_of(batch: list[Example]) -> list[object]:
    """For each sequence a name of its tree, by the words of the rule: an example's sequences share one, and examples do
    whose sequences all begin with the same 16 tokens."""
    names: list[object] = []
    for number, e in enumerate(batch):
        starts = {inputs_of(s)[:16] for s in e.sequences}
        long = len(starts) == 1 and len(next(iter(starts))) == 16
        names += [next(iter(starts)) if long else number] * len(e.sequences)
    return names


@settings(max_examples=120, deadline=None)
@given(batches())
def test_the_rule_is_ancestor_or_self(batch):
    built = trie.build(batch)
    sequences = [s for e in batch for s in e.sequences]
    trees = trees_of(batch)

    # Every token of the row stands for one prefix of one tree, and no prefix stands twice.
    meaning: dict[int, tuple] = {}
    for number, (s, path) in enumerate(zip(sequences, built.paths)):
        ids = inputs_of(s)
        assert len(path) == len(ids)
        for t, index in enumerate(path.tolist()):
            prefix = (trees[number], ids[: t + 1])
            assert meaning.setdefault(index, prefix) == prefix
            assert built.position[index] == t
    assert sorted(meaning) == list(range(len(built)))
    assert len(set(meaning.values())) == len(built)
    for path, s in zip(built.paths, sequences):
        assert tuple(built.ids[path].tolist()) == inputs_of(s)

    for i in range(len(built)):
        for j in range(len(built)):
            (tree_i, prefix_i), (tree_j, prefix_j) = meaning[i], meaning[j]
            ancestor_or_self = tree_i == tree_j and prefix_i[: len(prefix_j)] == prefix_j
            assert (j <= i < built.end[j]) == ancestor_or_self


@settings(max_examples=60, deadline=None)
@given(batches())
def test_what_is_scored(batch):
    built = trie.build(batch)
    sequences = [s for e in batch for s in e.sequences]
    expected = []
    for number, (s, path) in enumerate(zip(sequences, built.paths)):
        for t, mark in enumerate(s.supervised.tolist()):
            if mark:
                expected.append((int(path[t - 1]), int(s.ids[t]), number))
    found = list(zip(built.source.tolist(), built.target.tolist(), built.sequence.tolist()))
    assert found == expected
    assert built.sequences == len(sequences)
    assert built.lengths().tolist() == [int(s.supervised.sum()) for s in sequences]
    for array in (built.ids, built.position, built.end, built.source, built.target, built.sequence):
        assert array.dtype == np.int64


@settings(max_examples=60, deadline=None)
@given(batches())
def test_segments_tile_the_row_and_hang_together(batch):
    built = trie.build(batch)
    at = 0
    children: dict[int, list[int]] = {}
    for number, segment in enumerate(built.segments):
        assert segment.start == at < segment.stop <= segment.end
        at = segment.stop
        assert segment.parent < number
        assert (built.end[segment.start : segment.stop] == segment.end).all()
        if segment.parent >= 0:
            parent = built.segments[segment.parent]
            assert parent.stop <= segment.start and segment.end <= parent.end
            assert built.position[segment.start] == built.position[parent.stop - 1] + 1
            children.setdefault(segment.parent, []).append(int(built.ids[segment.start]))
        else:
            assert built.position[segment.start] == 0
    assert at == len(built)
    for firsts in children.values():
        assert len(set(firsts)) == len(firsts) >= 1
