"""Random conversations: what is supervised is the answers with their end tokens, and nothing else.

What each template makes of a turn is said once more here, in Python; the expected text is joined from that.
"""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pairwright.records import Demonstration, Message, Preference, Source
from pairwright.tokens.chat import encode, prompt_ids

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TRIMMED = (
    "{{ bos_token }}{% for m in messages %}<|header|>{{ m.role }}<|/header|>{{ m.content | trim }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}<|header|>assistant<|/header|>{% endif %}"
)
QA = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[Q] {{ m.content }} [/Q]"
    "{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
MARKED = CHATML.replace(
    "{{ m.content }}<|im_end|>",
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|im_end|>{% endif %}",
)
ANSWERS = {
    CHATML: lambda content: content + "<|im_end|>",
    MARKED: lambda content: content + "<|im_end|>",
    TRIMMED: lambda content: content.strip() + "<|eot|>",
    QA: lambda content: content + "</s>",
    "text": lambda content: " " + content + "</s>",
}
"""What generation has to produce for an answer, from the template's generation prompt on."""

CONTENT = st.text(st.sampled_from("ab yonHe.,?\n\t é日🦊"), min_size=1, max_size=12).filter(str.strip)


@st.composite
def conversations(draw):
    """Rounds of user and assistant, the first messages as prompt; at least one answer after it."""
    rounds = draw(st.lists(st.tuples(CONTENT, CONTENT), min_size=1, max_size=4))
    messages = [Message(role, text) for pair in rounds for role, text in zip(("user", "assistant"), pair)]
    prompt = 1 + 2 * draw(st.integers(0, len(rounds) - 1))
    return tuple(messages[:prompt]), tuple(messages[prompt:])


def answers(messages, template):
    return "".join(ANSWERS[template](m.content) for m in messages if m.role == "assistant")


def holds(record, sides, tokenizer, template):
    """The property, for one record and the messages of each of its sides."""
    encoded = encode([record], tokenizer, chat_template=template, max_length=10_000)
    ((example,), start) = encoded.examples, prompt_ids(record, tokenizer, template, 10_000)
    for sequence, side in zip(example.sequences, sides):
        said = tokenizer.decode(sequence.ids[sequence.supervised], skip_special_tokens=False)
        expected = answers(side, template)
        if "border_moved" in encoded.counts or tokenizer.added_white_space:
            # White space may share a token with the template's, or come from the tokenizer itself.
            said, expected = "".join(said.split()), "".join(expected.split())
        assert said == expected
        assert sequence.ids[: len(start)].tolist() == start
        assert not sequence.supervised[: len(start)].any()
        assert sequence.supervised[len(start)]
        assert sequence.supervised[-1]


@pytest.fixture(scope="module", params=["byte-level", "with BOS", "trimmed places", "metaspace", "legacy metaspace"])
def tokenizer(request, byte_level, metaspace):
    if "metaspace" in request.param:
        made = metaspace(legacy=request.param.startswith("legacy"))
    else:
        made = byte_level(adds_bos=request.param == "with BOS", trims=request.param == "trimmed places")
    made.added_white_space = "metaspace" in request.param
    return made


QUICK = settings(max_examples=1000, deadline=None)
templates = pytest.mark.parametrize("template", ANSWERS, ids=["chatml", "marked", "trimmed", "qa", "plain"])


@templates
@QUICK
@given(conversation=conversations())
def test_demonstrations(tokenizer, template, conversation):
    prompt, completion = conversation
    holds(Demonstration(prompt, completion, Source("f", 1)), [completion], tokenizer, template)


@templates
@QUICK
@given(conversation=conversations(), other=conversations())
def test_pairs(tokenizer, template, conversation, other):
    (prompt, chosen), (_, rejected) = conversation, other
    # Sides that start alike share a turn or are one: test_templates.py and test_chat.py have those.
    assume(chosen[0].content.strip() != rejected[0].content.strip())
    holds(Preference(prompt, chosen, rejected, Source("f", 1)), [chosen, rejected], tokenizer, template)


@QUICK
@given(conversation=conversations(), max_length=st.integers(2, 60))
def test_nothing_is_longer_than_asked_and_everything_is_counted(tokenizer, conversation, max_length):
    prompt, completion = conversation
    records = [
        Demonstration(prompt, completion, Source("f", 1)),
        Preference(prompt, completion, (Message("assistant", "x"),), Source("f", 2)),
        Demonstration("", prompt[0].content, Source("f", 3)),
        Preference(prompt[0].content, " yes", " no", Source("f", 4)),
    ]
    encoded = encode(records, tokenizer, chat_template="text", max_length=max_length)
    lines = [example.source.line for example in encoded.examples] + [source.line for source, _ in encoded.dropped]
    assert sorted(lines) == [1, 2, 3, 4]
    assert sum(count for rule, count in encoded.counts.items() if rule.startswith("dropped_")) == len(encoded.dropped)
    for example in encoded.examples:
        assert all(len(sequence.ids) <= max_length for sequence in example.sequences)
        if example.source.line in (2, 4):
            start = prompt_ids(records[example.source.line - 1], tokenizer, "text", max_length)
            assert all(sequence.ids[: len(start)].tolist() == start for sequence in example.sequences)
