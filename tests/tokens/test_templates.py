"""Chat templates and their quirks: exactly the assistant's tokens are supervised, with one BOS and one end token.

The templates are written here, each with one habit of a family. Supervised tokens stand in «marks»; every expected
sequence is written out by hand.
"""

import pytest

from pairwright.errors import ConfigError, DataError, ModelError
from pairwright.records import Demonstration, Message, Preference, Source
from pairwright.tokens.chat import encode, end_ids, prompt_ids

SOURCE = Source("pairs.jsonl", 7)

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DEFAULT_SYSTEM = "{% if messages[0].role != 'system' %}<|im_start|>system\nBe brief<|im_end|>\n{% endif %}" + CHATML
LLAMA_3 = (
    "{{ bos_token }}{% for m in messages %}<|header|>{{ m.role }}<|/header|>\n\n{{ m.content | trim }}"
    "{{ '<|eom|>' if m.tool_calls else '<|eot|>' }}{% endfor %}"
    "{% if add_generation_prompt %}<|header|>assistant<|/header|>\n\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('no system role here') }}{% endif %}"
    "<turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>model\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m.role == 'user' %}[Q] {{ m.content }} [/Q]{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
LLAMA_2 = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token }}[Q] {{ m.content }} [/Q]"
    "{% else %} {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}"
)
PHI_3 = (
    "{% for m in messages %}{{ '<|user|>' if m.role == 'user' else '<|bot|>' }}\n{{ m.content }}<|end|>\n{% endfor %}"
    "{{ '<|bot|>\n' if add_generation_prompt else eos_token }}"
)
QWEN_3 = (
    "{% set ns = namespace(last=0) %}"
    "{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.index0 > ns.last %}<think>\n{{ m.reasoning or '' }}\n</think>\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
R1 = (
    "{% for m in messages %}{{ '<|user|>' if m.role == 'user' else '<|bot|>' }}{{ m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|bot|><think>\n{% endif %}"
)
NO_END = (
    "{% for m in messages %}{{ 'User' if m.role == 'user' else 'Bot' }}: {{ m.content | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}Bot:{% endif %}"
)
MARKED_BEFORE_END = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MARKED_PAST_END = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{%- generation -%}{{ m.content + '<|im_end|>\n' }}{%- endgeneration -%}"
    "{% else %}{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def user(content):
    return Message("user", content)


def bot(content, **extra):
    return Message("assistant", content, extra)


def pair(prompt, chosen, rejected, **more):
    return Preference(tuple(prompt), tuple(chosen), tuple(rejected), SOURCE, **more)


TURNS = (bot("Hello"), user("more"), bot("ok"))
MULTI_TURN = Demonstration((user("Hi"),), TURNS, SOURCE)

HEADER = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
AGAIN = "<|im_start|>user\nmore<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("template", "adds_bos", "expected"),
    [
        (CHATML, False, HEADER + "«Hello»«<|im_end|>»\n" + AGAIN + "«ok»«<|im_end|>»"),
        (MARKED_BEFORE_END, False, HEADER + "«Hello»«<|im_end|>»\n" + AGAIN + "«ok»«<|im_end|>»"),
        (MARKED_PAST_END, False, HEADER + "«Hello»«<|im_end|>»\n" + AGAIN + "«ok»«<|im_end|>»"),
        # The template has no BOS and the tokenizer puts one: one.
        (CHATML, True, "<s>" + HEADER + "«Hello»«<|im_end|>»\n" + AGAIN + "«ok»«<|im_end|>»"),
        (
            DEFAULT_SYSTEM,
            False,
            "<|im_start|>system\nBe brief<|im_end|>\n" + HEADER + "«Hello»«<|im_end|>»\n" + AGAIN + "«ok»«<|im_end|>»",
        ),
        # Both the template and the tokenizer have a BOS: one.
        (
            LLAMA_3,
            True,
            "<s><|header|>user<|/header|>\n\nHi<|eot|><|header|>assistant<|/header|>\n\n«Hello»«<|eot|>»"
            "<|header|>user<|/header|>\n\nmore<|eot|><|header|>assistant<|/header|>\n\n«ok»«<|eot|>»",
        ),
        (
            GEMMA,
            True,
            "<s><turn>user\nHi<end_turn>\n<turn>model\n«Hello»«<end_turn>»\n"
            "<turn>user\nmore<end_turn>\n<turn>model\n«ok»«<end_turn>»",
        ),
        (MISTRAL, True, "<s>[Q] Hi [/Q]« Hello»«</s>»[Q] more [/Q]« ok»«</s>»"),
        # A BOS before every user turn is how Llama 2 wants it; the space before its EOS is part of the turn.
        (LLAMA_2, True, "<s>[Q] Hi [/Q]« Hello»« »«</s>»<s>[Q] more [/Q]« ok»« »«</s>»"),
        # The EOS that ends the whole conversation comes after the turn's own end and is not part of the answer.
        (PHI_3, False, "<|user|>\nHi<|end|>\n<|bot|>\n«Hello»«<|end|>»\n<|user|>\nmore<|end|>\n<|bot|>\n«ok»«<|end|>»"),
        # No end token at all: EOS after each answer, before the template's newline.
        (NO_END, False, "User: Hi\nBot:« Hello»«</s>»\nUser: more\nBot:« ok»«</s>»"),
        ("text", False, "\n\nHuman: Hi\n\nAssistant:« Hello»«</s>»\n\nHuman: more\n\nAssistant:« ok»«</s>»"),
    ],
    ids=[
        "chatml", "marked", "marked-past-end", "tokenizer-bos", "default-system", "llama3", "gemma", "mistral",
        "llama2", "phi3", "no-end", "plain",
    ],
)  # fmt: skip
def test_all_answers_of_a_conversation_and_nothing_else(word_level, shown, template, adds_bos, expected):
    tokenizer = word_level(adds_bos=adds_bos)
    encoded = encode([MULTI_TURN], tokenizer, chat_template=template, max_length=100)
    assert shown(tokenizer, encoded.examples[0].sequences[0]) == expected
    prompt = prompt_ids(MULTI_TURN, tokenizer, template, 100)
    assert "".join(tokenizer.convert_ids_to_tokens(prompt)) == expected[: expected.index("«")]


def test_pair_scores_all_turns_from_where_the_sides_part(word_level, shown):
    tokenizer = word_level(chat_template=CHATML)
    record = pair([user("Hi"), bot("yes"), user("one")], [bot("two"), user("more"), bot("three")], [bot("four")])
    chosen, rejected = encode([record], tokenizer, chat_template=None, max_length=100).examples[0].sequences
    history = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n"
    start = history + "<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\n"
    assert shown(tokenizer, chosen) == start + "«two»«<|im_end|>»\n" + AGAIN + "«three»«<|im_end|>»"
    assert shown(tokenizer, rejected) == start + "«four»«<|im_end|>»"


def test_turns_that_both_sides_share_are_prompt(word_level, shown):
    tokenizer = word_level(chat_template=CHATML)
    record = pair([user("Hi")], [bot("yes"), user("one"), bot("two")], [bot("yes"), user("one"), bot("three")])
    encoded = encode([record], tokenizer, chat_template=None, max_length=100)
    start = HEADER + "yes<|im_end|>\n<|im_start|>user\none<|im_end|>\n<|im_start|>assistant\n"
    assert shown(tokenizer, encoded.examples[0].sequences[0]) == start + "«two»«<|im_end|>»"
    assert shown(tokenizer, encoded.examples[0].sequences[1]) == start + "«three»«<|im_end|>»"
    assert tokenizer.decode(prompt_ids(record, tokenizer, None, 100)) == start


def test_sides_that_part_at_a_user_turn(word_level, shown):
    tokenizer = word_level(chat_template=CHATML)
    record = pair([user("Hi")], [bot("yes"), user("one"), bot("two")], [bot("yes"), user("more"), bot("ok")])
    chosen, rejected = encode([record], tokenizer, chat_template=None, max_length=100).examples[0].sequences
    assert shown(tokenizer, chosen).endswith("user\none<|im_end|>\n<|im_start|>assistant\n«two»«<|im_end|>»")
    assert shown(tokenizer, rejected).endswith("user\nmore<|im_end|>\n<|im_start|>assistant\n«ok»«<|im_end|>»")
    assert shown(tokenizer, chosen).count("«") == 2, "the turn before the parting is not scored"


@pytest.mark.parametrize("marks", ["content", "content and end", "whole turn"])
def test_marks_in_the_prompt_are_not_supervised(word_level, shown, marks):
    whole_turn = (
        "{% for m in messages %}{% if m.role == 'assistant' %}"
        "{% generation %}<|im_start|>assistant\n{{ m.content }}<|im_end|>\n{% endgeneration %}"
        "{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    template = {"content": MARKED_BEFORE_END, "content and end": MARKED_PAST_END, "whole turn": whole_turn}[marks]
    tokenizer = word_level(chat_template=template)
    record = Demonstration((user("Hi"), bot("Hello"), user("more")), (bot("ok"),), SOURCE)
    encoded = encode([record], tokenizer, chat_template=None, max_length=100)
    expected = HEADER + "Hello<|im_end|>\n" + AGAIN + "«ok»«<|im_end|>»"
    assert shown(tokenizer, encoded.examples[0].sequences[0]) == expected


@pytest.mark.parametrize(
    ("template", "ends"),
    [(CHATML, ["<|im_end|>", "</s>"]), (MISTRAL, ["</s>"]), (PHI_3, ["<|end|>", "</s>"]), ("text", ["</s>"])],
)
def test_end_ids_are_where_generation_stops(word_level, template, ends):
    tokenizer = word_level()
    assert tokenizer.convert_ids_to_tokens(end_ids(tokenizer, template)) == ends


def test_end_token_whose_name_begins_with_anothers(word_level, shown):
    tokenizer = word_level(chat_template=CHATML.replace("<|im_end|>", "<|end|>>"))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|end|>>"]})
    encoded = encode([MULTI_TURN], tokenizer, chat_template=None, max_length=100)
    assert shown(tokenizer, encoded.examples[0].sequences[0]).endswith("assistant\n«ok»«<|end|>>»")
    assert encoded.notes[-1] == "End of answer: <|end|>>, written by the template."


def test_tool_results_are_not_supervised_but_tool_calls_are(word_level, shown):
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
        "{% for c in m.tool_calls or [] %}call {{ c }}{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    tokenizer = word_level(chat_template=template)
    turns = (bot("", tool_calls=["one"]), Message("tool", "result"), bot("ok"))
    encoded = encode([Demonstration((user("Hi"),), turns, SOURCE)], tokenizer, chat_template=None, max_length=100)
    assert shown(tokenizer, encoded.examples[0].sequences[0]) == (
        HEADER + "«call»« one»«<|im_end|>»\n<|im_start|>tool\nresult<|im_end|>\n<|im_start|>assistant\n«ok»«<|im_end|>»"
    )


def test_turn_that_ends_with_another_end_token(word_level, shown):
    tokenizer = word_level(chat_template=LLAMA_3)
    turns = (bot("call", tool_calls=["one"]), Message("tool", "result"), bot("ok"))
    encoded = encode([Demonstration((user("Hi"),), turns, SOURCE)], tokenizer, chat_template=None, max_length=100)
    assert shown(tokenizer, encoded.examples[0].sequences[0]).endswith(
        "<|header|>assistant<|/header|>\n\n«call»«<|eom|>»<|header|>tool<|/header|>\n\nresult<|eot|>"
        "<|header|>assistant<|/header|>\n\n«ok»«<|eot|>»"
    )


def test_tools_go_to_the_template_meant_for_them(word_level, shown):
    named = {"default": CHATML, "tool_use": "<|im_start|>system\n{{ tools[0].name }}<|im_end|>\n" + CHATML}
    tokenizer = word_level(chat_template=named)
    record = Demonstration((user("Hi"),), (bot("ok"),), SOURCE, tools=({"name": "call"},))
    plain = Demonstration((user("Hi"),), (bot("ok"),), SOURCE)
    encoded = encode([record, plain], tokenizer, chat_template=None, max_length=100)
    first, second = (shown(tokenizer, example.sequences[0]) for example in encoded.examples)
    assert first == "<|im_start|>system\ncall<|im_end|>\n" + HEADER + "«ok»«<|im_end|>»"
    assert second == HEADER + "«ok»«<|im_end|>»"


def test_template_kwargs_reach_the_template(word_level, shown):
    template = "{% if loud %}<|im_start|>system\nBe brief<|im_end|>\n{% endif %}" + CHATML
    tokenizer = word_level(chat_template=template)
    record = Demonstration((user("Hi"),), (bot("ok"),), SOURCE, template_kwargs={"loud": True})
    encoded = encode([record], tokenizer, chat_template=None, max_length=100)
    assert shown(tokenizer, encoded.examples[0].sequences[0]).startswith("<|im_start|>system\nBe brief")


class TestThinking:
    """A template that drops the thinking of earlier turns, as Qwen 3's does."""

    def test_last_turn_is_learned_with_its_thinking(self, word_level, shown):
        tokenizer = word_level(chat_template=QWEN_3)
        record = pair([user("Hi")], [bot("yes", reasoning="hard")], [bot("no")])
        chosen, rejected = encode([record], tokenizer, chat_template=None, max_length=100).examples[0].sequences
        assert shown(tokenizer, chosen) == HEADER + "«<think>»«\n»«hard»«\n»«</think>»«\n»«yes»«<|im_end|>»"
        assert shown(tokenizer, rejected) == HEADER + "«<think>»«\n»«\n»«</think>»«\n»«no»«<|im_end|>»"

    def test_rewritten_turn_of_a_demonstration_is_left_out_and_counted(self, word_level, shown):
        tokenizer = word_level(chat_template=QWEN_3)
        encoded = encode([MULTI_TURN], tokenizer, chat_template=None, max_length=100)
        assert shown(tokenizer, encoded.examples[0].sequences[0]) == (
            HEADER + "Hello<|im_end|>\n" + AGAIN + "«<think>»«\n»«\n»«</think>»«\n»«ok»«<|im_end|>»"
        )
        assert encoded.counts == {"turn_rewritten": 1}

    def test_question_without_an_answer_rewrites_nothing(self, word_level, shown):
        tokenizer = word_level(chat_template=QWEN_3)
        record = Demonstration((user("Hi"),), (bot("yes", reasoning="hard"), user("more")), SOURCE)
        encoded = encode([record], tokenizer, chat_template=None, max_length=100)
        assert shown(tokenizer, encoded.examples[0].sequences[0]) == (
            HEADER + "«<think>»«\n»«hard»«\n»«</think>»«\n»«yes»«<|im_end|>»"
        )

    def test_pair_with_a_rewritten_turn_is_dropped(self, word_level):
        tokenizer = word_level(chat_template=QWEN_3)
        record = pair([user("Hi")], TURNS, [bot("no")])
        encoded = encode([record], tokenizer, chat_template=None, max_length=100)
        assert encoded.examples == []
        assert encoded.dropped == [(SOURCE, "dropped_rewritten_turn")]

    def test_rewriting_in_the_prompt_is_what_generation_sees_too(self, word_level, shown):
        tokenizer = word_level(chat_template=QWEN_3)
        record = pair([user("Hi"), bot("Hello", reasoning="think"), user("more")], [bot("yes")], [bot("no")])
        encoded = encode([record], tokenizer, chat_template=None, max_length=100)
        start = HEADER + "Hello<|im_end|>\n" + AGAIN
        end = "«<think>»«\n»«\n»«</think>»«\n»«yes»«<|im_end|>»"
        assert shown(tokenizer, encoded.examples[0].sequences[0]) == start + end
        assert encoded.counts == {}

    def test_generation_prompt_that_opens_thinking(self, word_level, shown):
        # Generation would start after "<|bot|><think>\n", the data goes on after "<|bot|>": the prompt ends there.
        tokenizer = word_level(chat_template=R1)
        record = pair([user("Hi")], [bot("yes")], [bot("no")])
        encoded = encode([record], tokenizer, chat_template=None, max_length=100)
        assert shown(tokenizer, encoded.examples[0].sequences[0]) == "<|user|>Hi<|bot|>«yes»«</s>»"
        assert encoded.counts == {"border_moved": 1}
        assert tokenizer.decode(prompt_ids(record, tokenizer, None, 100)) == "<|user|>Hi<|bot|>"

    def test_generation_prompt_that_opens_thinking_in_later_turns(self, word_level, shown):
        tokenizer = word_level(chat_template=R1)
        encoded = encode([MULTI_TURN], tokenizer, chat_template=None, max_length=100)
        assert shown(tokenizer, encoded.examples[0].sequences[0]) == (
            "<|user|>Hi<|bot|>«Hello»«</s>»<|user|>more<|bot|>«ok»«</s>»"
        )
        assert encoded.counts == {"border_moved": 1}


def test_template_that_rewrites_the_prompt_is_dropped(word_level):
    # The last user message is written another way once an answer follows: nothing to hold on to.
    template = (
        "{% for m in messages %}{% if loop.last %}<|user|>{% endif %}{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|bot|>{% endif %}"
    )
    record = pair([user("Hi")], [bot("yes")], [bot("no")])
    encoded = encode([record], word_level(chat_template=template), chat_template=None, max_length=100)
    assert encoded.dropped == [(SOURCE, "dropped_template_prefix")]


class TestRefusal:
    def test_system_message_that_the_template_refuses(self, word_level):
        good = pair([user("Hi")], [bot("yes")], [bot("no")])
        bad = pair([Message("system", "Be brief"), user("Hi")], [bot("yes")], [bot("no")])
        encoded = encode([bad, good], word_level(chat_template=GEMMA), chat_template=None, max_length=100)
        assert len(encoded.examples) == 1
        assert encoded.counts == {"dropped_template_refused": 1}
        assert "pairs.jsonl:7: the template refuses the messages: no system role here" in encoded.notes

    def test_roles_out_of_order(self, word_level):
        record = pair([user("Hi"), user("more")], [bot("yes")], [bot("no")])
        encoded = encode([record], word_level(chat_template=MISTRAL), chat_template=None, max_length=100)
        assert encoded.dropped == [(SOURCE, "dropped_template_refused")]

    @pytest.mark.parametrize(
        ("record", "why"),
        [
            (Demonstration((user("Hi"),), (bot("ok", tool_calls=["one"]),), SOURCE), "no tool calls"),
            (Demonstration((user("Hi"),), (bot("ok"),), SOURCE, tools=({"name": "call"},)), "no tools"),
            (Demonstration((user("Hi"), Message("tool", "result")), (bot("ok"),), SOURCE), "the role tool"),
        ],
    )
    def test_plain_form_does_not_lose_what_it_cannot_write(self, word_level, record, why):
        encoded = encode([record], word_level(), chat_template="text", max_length=100)
        assert encoded.dropped == [(SOURCE, "dropped_template_refused")]
        assert any(why in note for note in encoded.notes)


class TestChoice:
    """What --chat-template can be."""

    record = pair([user("Hi")], [bot("yes")], [bot("no")])

    def encoded(self, tokenizer, chat_template):
        return encode([self.record], tokenizer, chat_template=chat_template, max_length=100)

    def test_no_template_anywhere_is_said(self, word_level):
        notes = self.encoded(word_level(), None).notes
        assert (
            notes[0] == 'Chat template: the plain "Human: / Assistant:" text form, '
            "because the tokenizer has no chat template."
        )

    def test_text_overrides_the_tokenizers(self, word_level, shown):
        tokenizer = word_level(chat_template=CHATML)
        encoded = self.encoded(tokenizer, "text")
        assert shown(tokenizer, encoded.examples[0].sequences[0]) == "\n\nHuman: Hi\n\nAssistant:« yes»«</s>»"

    def test_file(self, word_level, shown, tmp_path):
        path = tmp_path / "my.jinja"
        path.write_text(NO_END)
        tokenizer = word_level(chat_template=CHATML)
        encoded = self.encoded(tokenizer, str(path))
        assert shown(tokenizer, encoded.examples[0].sequences[0]) == "User: Hi\nBot:« yes»«</s>»"
        assert encoded.notes[0] == f"Chat template: {path}."

    def test_name_of_one_of_the_tokenizers(self, word_level, shown):
        tokenizer = word_level(chat_template={"short": NO_END, "long": CHATML})
        encoded = self.encoded(tokenizer, "short")
        assert shown(tokenizer, encoded.examples[0].sequences[0]) == "User: Hi\nBot:« yes»«</s>»"
        with pytest.raises(ConfigError, match="--chat-template `short`, `long`"):
            self.encoded(tokenizer, None)

    def test_missing_file(self, word_level):
        with pytest.raises(ConfigError, match=r"--chat-template nowhere\.jinja: cannot be read"):
            self.encoded(word_level(), "nowhere.jinja")

    def test_broken_jinja(self, word_level):
        with pytest.raises(ConfigError, match="not valid Jinja, line 1"):
            self.encoded(word_level(), "{% for m in messages %}")


class TestFirstExamples:
    """A wrong template stops the run and shows the text."""

    record = pair([user("Hi")], [bot("yes")], [bot("no")])

    def test_template_with_two_bos(self, word_level):
        tokenizer = word_level(chat_template="{{ bos_token }}{{ bos_token }}" + CHATML)
        with pytest.raises(DataError, match=r"pairs\.jsonl:7: the sequence begins with two BOS.*'<s><s><\|im_start"):
            encode([self.record], tokenizer, chat_template=None, max_length=100)

    def test_bos_before_the_answer(self, word_level):
        template = CHATML.replace("assistant\n", "assistant\n{{ bos_token }}").replace(
            "{{ m.content }}", "{{ bos_token if m.role == 'assistant' }}{{ m.content }}"
        )
        with pytest.raises(DataError, match="BOS stands right before an answer"):
            encode([self.record], word_level(chat_template=template), chat_template=None, max_length=100)

    def test_template_with_two_end_tokens(self, word_level):
        template = CHATML.replace("{{ m.content }}", "{{ m.content }}{{ '<|im_end|>' if m.role == 'assistant' }}")
        with pytest.raises(DataError, match=r"ends with two end tokens.*yes<\|im_end\|><\|im_end\|>'"):
            encode([self.record], word_level(chat_template=template), chat_template=None, max_length=100)

    def test_no_eos_and_no_end_of_turn(self, word_level):
        tokenizer = word_level(chat_template=NO_END)
        tokenizer.eos_token = None
        with pytest.raises(ModelError, match="no EOS token"):
            encode([self.record], tokenizer, chat_template=None, max_length=100)
