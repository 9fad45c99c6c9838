"""Too long: what is cut, in which order, the same on both sides; what is dropped, and by which name.

`word_level` has one token for each word (with its space), sign and newline, so lengths can be counted by hand. In the
template here a message of n words has n + 2 tokens: [Q] words [/Q].
"""

import pytest

from pairwright.errors import DataError
from pairwright.records import Demonstration, Message, Preference, Source
from pairwright.tokens.chat import encode, prompt_ids

SOURCE = Source("pairs.jsonl", 7)
CHAT = (
    "{% for m in messages %}{{ '<turn>' if m.role == 'system' else '[Q]' }}{{ m.content }}[/Q]{% endfor %}"
    "{% if add_generation_prompt %}[Q]{% endif %}"
)


def system(content):
    return Message("system", content)


def user(content):
    return Message("user", content)


def bot(content):
    return Message("assistant", content)


PROMPT = (system("Be"), user("one"), bot("two"), user("three"), bot("four"), user("five"))
"""3 tokens a message: 18 in all, and [Q] for the answer."""


class TestPairOfMessages:
    record = Preference(PROMPT, (bot("yes"),), (bot("no no no"),), SOURCE)
    """19 prompt tokens; the longer answer has 3 and its end: 23."""

    @pytest.mark.parametrize(
        ("max_length", "prompt"),
        [
            (23, "<turn>Be[/Q][Q]one[/Q][Q]two[/Q][Q]three[/Q][Q]four[/Q][Q]five[/Q][Q]"),
            (22, "<turn>Be[/Q][Q]three[/Q][Q]four[/Q][Q]five[/Q][Q]"),
            (17, "<turn>Be[/Q][Q]three[/Q][Q]four[/Q][Q]five[/Q][Q]"),
            (16, "<turn>Be[/Q][Q]five[/Q][Q]"),
            (11, "<turn>Be[/Q][Q]five[/Q][Q]"),
        ],
    )
    def test_oldest_turns_go_first_on_both_sides(self, word_level, shown, max_length, prompt):
        tokenizer = word_level(chat_template=CHAT)
        encoded = encode([self.record], tokenizer, chat_template=None, max_length=max_length)
        chosen, rejected = encoded.examples[0].sequences
        assert shown(tokenizer, chosen) == prompt + "«yes»«[/Q]»"
        assert shown(tokenizer, rejected) == prompt + "«no»« no»« no»«[/Q]»"
        assert encoded.counts == ({} if max_length == 23 else {"prompt_cut": 1})
        assert tokenizer.decode(prompt_ids(self.record, tokenizer, None, max_length)) == prompt

    @pytest.mark.parametrize(
        ("max_length", "rule"),
        [(10, "dropped_answer_too_long"), (8, "dropped_answer_too_long"), (7, "dropped_prompt_too_long")],
    )
    def test_what_must_stay_does_not_fit(self, word_level, max_length, rule):
        encoded = encode([self.record], word_level(chat_template=CHAT), chat_template=None, max_length=max_length)
        assert encoded.examples == []
        assert (encoded.dropped, encoded.counts) == ([(SOURCE, rule)], {rule: 1})

    def test_turns_after_the_parting_are_never_cut(self, word_level):
        record = Preference((user("one"),), (bot("two"), user("three"), bot("four")), (bot("no"),), SOURCE)
        encoded = encode([record], word_level(chat_template=CHAT), chat_template=None, max_length=11)
        assert encoded.dropped == [(SOURCE, "dropped_answer_too_long")]

    def test_turns_that_both_sides_share_can_be_cut(self, word_level, shown):
        tokenizer = word_level(chat_template=CHAT)
        shared = (bot("two"), user("three"))
        record = Preference((user("one"),), (*shared, bot("yes")), (*shared, bot("no")), SOURCE)
        encoded = encode([record], tokenizer, chat_template=None, max_length=6)
        assert shown(tokenizer, encoded.examples[0].sequences[0]) == "[Q]three[/Q][Q]«yes»«[/Q]»"

    def test_greeting_before_the_first_question_goes_with_what_is_cut(self, word_level, shown):
        tokenizer = word_level(chat_template=CHAT)
        record = Preference((system("Be"), bot("Hi"), user("one")), (bot("yes"),), (bot("no"),), SOURCE)
        encoded = encode([record], tokenizer, chat_template=None, max_length=9)
        assert shown(tokenizer, encoded.examples[0].sequences[0]) == "<turn>Be[/Q][Q]one[/Q][Q]«yes»«[/Q]»"

    def test_identical_sides_of_a_long_pair(self, word_level):
        side = (user("one"), bot("two"), user("three"), bot("yes"))
        encoded = encode(
            [Preference((), side, side, SOURCE)], word_level(chat_template=CHAT), chat_template=None, max_length=6
        )
        assert encoded.dropped == [(SOURCE, "dropped_identical_tokens")]


class TestPairOfStrings:
    record = Preference("one two three four", " yes", " no no no", SOURCE)

    @pytest.mark.parametrize(
        ("max_length", "prompt"),
        [
            (9, "<s>one two three four"),
            (8, "<s> two three four"),
            (6, "<s> four"),
        ],
    )
    def test_first_tokens_go_and_bos_stays(self, word_level, shown, max_length, prompt):
        tokenizer = word_level(adds_bos=True)
        encoded = encode([self.record], tokenizer, chat_template=None, max_length=max_length)
        chosen, rejected = encoded.examples[0].sequences
        assert shown(tokenizer, chosen) == prompt + "« yes»«</s>»"
        assert shown(tokenizer, rejected) == prompt + "« no»« no»« no»«</s>»"
        assert encoded.counts.get("prompt_cut", 0) == (max_length < 9)
        assert tokenizer.decode(prompt_ids(self.record, tokenizer, None, max_length)) == prompt

    def test_answer_that_does_not_fit_is_never_cut(self, word_level):
        encoded = encode([self.record], word_level(adds_bos=True), chat_template=None, max_length=5)
        assert encoded.dropped == [(SOURCE, "dropped_answer_too_long")]

    def test_bos_written_by_hand_stays_too(self, word_level, shown):
        tokenizer = word_level()
        record = Preference("<s>one two three", " yes", " no", SOURCE)
        encoded = encode([record], tokenizer, chat_template=None, max_length=5)
        assert shown(tokenizer, encoded.examples[0].sequences[0]) == "<s> two three« yes»«</s>»"

    def test_without_a_prompt_there_is_nothing_to_cut(self, word_level):
        record = Preference("", "yes yes yes", "no", SOURCE)
        encoded = encode([record], word_level(), chat_template=None, max_length=3)
        assert encoded.dropped == [(SOURCE, "dropped_answer_too_long")]


class TestDemonstration:
    def test_text_without_a_prompt_is_cut_at_the_end_and_has_no_eos(self, word_level, shown):
        tokenizer = word_level(adds_bos=True)
        record = Demonstration("", "one two three four", SOURCE)
        encoded = encode([record], tokenizer, chat_template=None, max_length=4)
        assert shown(tokenizer, encoded.examples[0].sequences[0]) == "<s>«one»« two»« three»"
        assert encoded.counts == {"text_cut": 1, "bos_added": 1}

    def test_prompt_is_cut_before_the_completion(self, word_level, shown):
        tokenizer = word_level()
        encoded = encode([Demonstration("one two", " yes no", SOURCE)], tokenizer, chat_template=None, max_length=4)
        assert shown(tokenizer, encoded.examples[0].sequences[0]) == " two« yes»« no»«</s>»"

    conversation = Demonstration(
        (user("one"), bot("two"), user("three")),
        (bot("four"), user("five"), bot("six"), user("more"), bot("ok")),
        SOURCE,
    )
    """24 tokens: 8 messages of 3."""

    @pytest.mark.parametrize(
        ("max_length", "expected", "rule"),
        [
            (
                23,
                "[Q]three[/Q][Q]«four»«[/Q]»[Q]five[/Q][Q]«six»«[/Q]»[Q]more[/Q][Q]«ok»«[/Q]»",
                "prompt_cut",
            ),
            (17, "[Q]three[/Q][Q]«four»«[/Q]»[Q]five[/Q][Q]«six»«[/Q]»", "turns_cut"),
            (11, "[Q]three[/Q][Q]«four»«[/Q]»", "turns_cut"),
        ],
    )
    def test_after_the_prompt_the_last_turns_go(self, word_level, shown, max_length, expected, rule):
        tokenizer = word_level(chat_template=CHAT)
        encoded = encode([self.conversation], tokenizer, chat_template=None, max_length=max_length)
        assert shown(tokenizer, encoded.examples[0].sequences[0]) == expected
        assert rule in encoded.counts

    def test_first_answer_must_fit(self, word_level):
        encoded = encode([self.conversation], word_level(chat_template=CHAT), chat_template=None, max_length=5)
        assert encoded.dropped == [(SOURCE, "dropped_answer_too_long")]

    def test_what_is_left_does_not_end_with_a_call_that_waits_for_its_result(self, word_level, shown):
        tokenizer = word_level(chat_template=CHAT)
        turns = (bot("two"), user("three"), bot("call"), Message("tool", "result"), bot("ok"))
        encoded = encode([Demonstration((user("one"),), turns, SOURCE)], tokenizer, chat_template=None, max_length=15)
        assert shown(tokenizer, encoded.examples[0].sequences[0]) == "[Q]one[/Q][Q]«two»«[/Q]»"
        assert encoded.counts == {"turns_cut": 1}


class TestPromptAlone:
    """prompt_ids of a record that makes no example."""

    def test_messages(self, word_level):
        tokenizer = word_level(chat_template=CHAT)
        record = Demonstration(PROMPT, (), SOURCE)
        assert tokenizer.decode(prompt_ids(record, tokenizer, None, 19))[:12] == "<turn>Be[/Q]"
        assert tokenizer.decode(prompt_ids(record, tokenizer, None, 7)) == "<turn>Be[/Q][Q]five[/Q][Q]"
        with pytest.raises(
            DataError, match=r"pairs\.jsonl:7: the last turn of the prompt has 7 tokens.*max_length is 6"
        ):
            prompt_ids(record, tokenizer, None, 6)

    def test_strings(self, word_level):
        tokenizer = word_level(adds_bos=True)
        record = Demonstration("one two three", "", SOURCE)
        assert tokenizer.decode(prompt_ids(record, tokenizer, None, 100)) == "<s>one two three"
        assert tokenizer.decode(prompt_ids(record, tokenizer, None, 3)) == "<s> two three"

    def test_refused_by_the_template(self, word_level):
        tokenizer = word_level(chat_template="{{ raise_exception('never') }}")
        with pytest.raises(DataError, match=r"pairs\.jsonl:7: the template refuses the messages: never"):
            prompt_ids(Demonstration((user("one"),), (), SOURCE), tokenizer, None, 100)
