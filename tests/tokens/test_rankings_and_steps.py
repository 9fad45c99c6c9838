"""Rankings, steps and turns as tokens, each supervised one in «marks»; and what they cost in a trie."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pairwright.records import Comparison, Message, Preference, Ranking, Source, Steps
from pairwright.tokens import trie
from pairwright.tokens.chat import encode, prompt_ids
from pairwright.tokens.sequences import Example, Pair, count
from pairwright.tokens.steps import gather

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.strip() }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def at(line):
    return Source("made.jsonl", line)


def user(content):
    return Message("user", content)


def bot(content):
    return Message("assistant", content)


def encoded(records, tokenizer, **more):
    return encode(records, tokenizer, **({"chat_template": None, "max_length": 100} | more))


# Rankings


def test_a_ranking_of_strings(word_level, shown):
    tokenizer = word_level()
    comparisons = (Comparison(1, 0, 0.75, 4.0), Comparison(1, 2), Comparison(0, 2, 0.5))
    record = Ranking("Hi Bot:", (" yes", " no no", " one"), comparisons, at(1), 0.5, scores=(1.0, 3.0, 2.0))
    (example,) = encoded([record], tokenizer).examples
    assert [shown(tokenizer, s) for s in example.sequences] == [
        "Hi Bot:« yes»«</s>»",
        "Hi Bot:« no»« no»«</s>»",
        "Hi Bot:« one»«</s>»",
    ]
    assert example.pairs == (Pair(1, 0, 0.75, None, 4.0), Pair(1, 2), Pair(0, 2, 0.5))
    assert (example.weight, example.scores, example.counts_as) == (0.5, (1.0, 3.0, 2.0), 1)
    assert trie.size([example]) == 3 + 1 + 2 + 1  # the prompt once; last tokens are only predicted


def test_a_ranking_of_messages(word_level, shown):
    tokenizer = word_level(chat_template=CHATML)
    record = Ranking((user("Hi"),), ((bot("yes"),), (bot("no"),), (bot("one"),)), (Comparison(0, 1),), at(1))
    (example,) = encoded([record], tokenizer).examples
    begin = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert [shown(tokenizer, s) for s in example.sequences] == [
        f"{begin}«{a}»«<|im_end|>»" for a in ("yes", "no", "one")
    ]


def test_a_ranking_that_does_not_fit_goes_as_a_whole(word_level):
    record = Ranking("Hi Bot:", (" yes", " one two three", " no"), (Comparison(0, 2),), at(1))
    out = encoded([record], word_level(), max_length=3)
    assert out.examples == [] and out.counts == {"dropped_answer_too_long": 1}
    same = Ranking("Hi Bot:", (" yes", " no", " yes</s>"), (Comparison(0, 1),), at(1))
    assert "dropped_identical_tokens" in encoded([same], word_level()).counts


# Steps


def solution(number, wrong="no", prompt="Hi Bot:", weights=None):
    """Step preferences of a solution of that many steps: after k of them the next one is better than `wrong`."""
    words = ["one", "two", "three", "four", "five", "six", "seven"]
    return [
        Steps(prompt, "".join(f" {w}\n" for w in words[:k]), f" {words[k]}\n", f" {wrong}\n", at(k + 1))
        for k in range(number)
    ]


def test_a_step_of_strings(word_level, shown):
    """No end token: the answer goes on. A step of one token is a step."""
    tokenizer = word_level()
    out = encoded([Steps("Hi Bot:", " one\n two", " three", " no no", at(1))], tokenizer)
    assert [shown(tokenizer, s) for s in out.examples[0].sequences] == [
        "Hi Bot: one\n two« three»",
        "Hi Bot: one\n two« no»« no»",
    ]
    assert out.counts == {}
    assert tokenizer.decode(prompt_ids(solution(2)[1], tokenizer, None, 100)) == "Hi Bot: one\n"


@pytest.mark.parametrize(
    ("template", "begin"),
    [(CHATML, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"), ("text", "\n\nHuman: Hi\n\nAssistant:")],
)
def test_a_step_of_messages(word_level, shown, template, begin):
    """The steps before stand in the assistant's turn, as the template writes it, and are not scored."""
    tokenizer = word_level(chat_template=template if template != "text" else None)
    chat_template = None if template != "text" else "text"
    first = Steps((user("Hi"),), "", "one", "no", at(1))
    later = Steps((user("Hi"),), "one\n", "two three\n", "no\n", at(2))
    out = encoded([first, later], tokenizer, chat_template=chat_template)
    space = " " if template == "text" else ""
    assert [shown(tokenizer, s) for e in out.examples for s in e.sequences] == [
        f"{begin}«{space}one»",
        f"{begin}«{space}no»",
        f"{begin}{space}one\n«two»« three»" + ("«\n»" if template == "text" else ""),
        f"{begin}{space}one\n«no»" + ("«\n»" if template == "text" else ""),
    ]


def test_steps_are_not_cut(word_level):
    """A cut question would be another question: what does not fit is dropped."""
    out = encoded(solution(4), word_level(), max_length=10)
    assert len(out.examples) == 3 and out.counts == {"dropped_answer_too_long": 1}


def test_a_solution_is_gathered_from_anywhere_in_the_file(word_level):
    """Rows of two solutions, and of a third that parts from the first after its second step, shuffled."""
    tokenizer = word_level()
    other = [
        Steps(r.prompt, r.before, r.chosen, r.rejected, at(10 + r.source.line))
        for r in solution(3, prompt="Hello Bot:")
    ]
    parted = [Steps("Hi Bot:", " one\n two\n six\n", " seven\n", " no\n", at(20))]
    rows = solution(5) + other + parted
    random.Random(0).shuffle(rows)
    out = encoded(rows, tokenizer)
    examples, prompts = gather(rows, out.examples)
    assert sorted(e.counts_as for e in examples) == [1, 3, 5] and count(examples) == 9
    assert len(set(prompts)) == 2  # the parted one has the prompt of the first: held out together
    whole = next(e for e in examples if e.counts_as == 5)
    assert whole.pairs == tuple(Pair(2 * i, 2 * i + 1) for i in range(5))
    assert [len(s.ids) for s in whole.sequences[::2]] == [5, 7, 9, 11, 13]  # 3 of the prompt, 2 a step, in order
    # "Hi Bot:", the steps with their ends, and "no" five times; the ends of "no" and of the last step are predicted.
    assert trie.size([whole]) == 3 + 10 - 1 + 5
    assert sorted(len(s.ids) for e in examples for s in e.sequences) == sorted(
        len(s.ids) for e in out.examples for s in e.sequences
    )


def test_weights_of_steps_stay_theirs(word_level):
    rows = [Steps(r.prompt, r.before, r.chosen, r.rejected, r.source, w) for r, w in zip(solution(3), (1.0, 3.0, 0.0))]
    (example,) = gather(rows, encoded(rows, word_level()).examples)[0]
    whole = sum(pair.weight for pair in example.pairs)
    shares = [example.weight * example.counts_as * pair.weight / whole for pair in example.pairs]
    assert shares == pytest.approx([1.0, 3.0, 0.0])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.booleans()), min_size=1, max_size=12), st.randoms())
def test_gathering_loses_nothing(word_level, kinds, chance):
    """Whatever rows there are, in whatever order: every sequence stands in one solution, once; every pair compares what
    its row compares; the shared trie is never larger than the rows' own."""
    rows = []
    for line, (prompt, before, branch) in enumerate(kinds, start=1):
        steps = "".join(f" {w}\n" for w in ["one", "two", "three", "four"][:before]) + (" six\n" if branch else "")
        rows.append(Steps(("Hi", "Hello", "Yes")[prompt], steps, " blue\n", " red\n", at(line)))
    chance.shuffle(rows)
    examples = encoded(rows, word_level()).examples
    gathered, prompts = gather(rows, examples)
    assert count(gathered) == len(rows) == sum(len(e.pairs) for e in gathered) and len(prompts) == len(gathered)
    key = lambda a, b: (a.ids.tobytes(), b.ids.tobytes())  # noqa: E731
    before = sorted(key(*e.sequences) for e in examples)
    after = sorted(key(e.sequences[p.better], e.sequences[p.worse]) for e in gathered for p in e.pairs)
    assert before == after
    assert trie.size(gathered) <= sum(trie.size([e]) for e in examples)


def test_ten_steps_cost_under_a_fifth_of_plain_rows():
    """A question of 60 tokens, 10 steps of 20: the trie has 60 + 400 less the last tokens, 449; rows compute 2 * (600
    + 20 * 55), less as many: 3,380. A ratio of 0.133."""
    from tests.tiny import tokens

    chance = random.Random(1)
    draw = lambda number: [chance.randrange(10, 60) for _ in range(number)]  # noqa: E731
    question, sequences, steps = draw(60), [], [[1, *draw(19)] for _ in range(10)]
    before: list[int] = []
    for step in steps:
        sequences += [tokens(question + before, step), tokens(question + before, [2, *draw(19)])]
        before += step
    example = Example(tuple(sequences), at(1), pairs=tuple(Pair(2 * i, 2 * i + 1) for i in range(10)), counts_as=10)
    rows = sum(len(s.ids) - 1 for s in sequences)
    assert (trie.size([example]), rows) == (449, 3380)
    assert trie.size([example]) < rows / 5


# Turns

TALK = Preference(
    (user("Hi"),),
    (bot("Hello"), user("more"), bot("one"), user("more"), bot("two")),
    (bot("yes"), user("more"), bot("three")),
    at(1),
)


def test_which_turns_count(word_level, shown):
    """All assistant turns from where the conversations part, or the last one; never what the user says."""
    tokenizer = word_level()

    def chosen(turns):
        (example,) = encoded([TALK], tokenizer, chat_template="text", turns=turns).examples
        return [shown(tokenizer, s) for s in example.sequences]

    human, assistant = "\n\nHuman:", "\n\nAssistant:"
    assert chosen("all") == [
        f"{human} Hi{assistant}« Hello»«</s>»{human} more{assistant}« one»«</s>»{human} more{assistant}« two»«</s>»",
        f"{human} Hi{assistant}« yes»«</s>»{human} more{assistant}« three»«</s>»",
    ]
    last = chosen("last")
    assert last[0].endswith(f"{human} more{assistant}« two»«</s>»") and last[0].count("«") == 2
    assert last[1].endswith(f"{human} more{assistant}« three»«</s>»") and last[1].count("«") == 2


def test_generation_starts_where_the_scored_turns_do(word_level):
    tokenizer = word_level()
    starts = {t: tokenizer.decode(prompt_ids(TALK, tokenizer, "text", 100, t)) for t in ("all", "last")}
    assert starts["all"] == "\n\nHuman: Hi\n\nAssistant:" and starts["last"].endswith("more\n\nAssistant:")
