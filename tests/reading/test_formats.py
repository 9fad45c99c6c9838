"""Each format, row to record, worked out by hand; and where a prompt that is not given ends."""

import pytest

from pairwright.reading import formats
from pairwright.reading.prompts import part_text
from pairwright.reading.rows import RowError
from pairwright.records import Demonstration, Message, Preference, Rating, Source

HERE = Source("a.jsonl", 3)
TOOL = {"type": "function", "function": {"name": "clock"}}


def user(text):
    return Message("user", text)


def bot(text):
    return Message("assistant", text)


def says(role, content, **more):
    return {"role": role, "content": content, **more}


def test_trl_text_with_a_prompt_and_all_optional_columns():
    row = {
        "prompt": "Q: Hi\nA:",
        "chosen": " Hello",
        "rejected": " Go away",
        "weight": 0.25,
        "margin": 2,
        "tools": '[{"type": "function", "function": {"name": "clock"}}]',
        "chat_template_kwargs": {"enable_thinking": False},
    }
    assert formats.trl_preference(row, HERE) == Preference(
        "Q: Hi\nA:", " Hello", " Go away", HERE, 0.25, 2.0, (TOOL,), {"enable_thinking": False}
    )


@pytest.mark.parametrize(
    ("given", "label"),
    [
        (True, True),
        (False, False),
        (1, True),
        (0, False),
        ("true", True),
        ("False", False),
        ("1.0", True),
        (0.0, False),
    ],
)
def test_labels(given, label):
    row = {"prompt": "a", "completion": "b", "label": given, "weight": 0.5}
    assert formats.labelled(row, HERE) == Rating("a", "b", label, HERE, 0.5)


def test_a_label_is_of_what_follows_the_last_user_turn():
    tool = says("tool", "12")
    said = [says("user", "Hi"), says("assistant", "Hello"), says("user", "Sum?"), says("assistant", "Look"), tool]
    found = formats.labelled_messages({"messages": [*said, says("assistant", "12")], "label": False}, HERE)
    assert found == Rating(
        (user("Hi"), bot("Hello"), user("Sum?")), (bot("Look"), Message("tool", "12"), bot("12")), False, HERE
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "a", "completion": "b", "label": None}, "column 'label' is null, true or false expected"),
        ({"prompt": "a", "completion": "b"}, "column 'label' is missing"),
        (
            {"prompt": "a", "completion": "b", "label": 2},
            r"column 'label' holds a number \(2\), true or false expected",
        ),
        ({"prompt": "a", "completion": "b", "label": "good"}, "column 'label' holds text"),
        ({"prompt": "", "completion": "b", "label": True}, "column 'prompt' is empty"),
        ({"prompt": "a", "completion": " ", "label": True}, "column 'completion' is only white space"),
    ],
)
def test_labelled_rows_that_cannot_be_used(row, reason):
    with pytest.raises(RowError, match=f"^{reason}"):
        formats.labelled(row, HERE)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([says("assistant", "Hello")], "'messages' holds no user turn; nothing asks for the answer"),
        ([says("user", "Hi")], "'messages' holds no answer after the prompt"),
        ([says("user", "Hi"), says("assistant", "")], "'messages' holds an empty assistant turn"),
    ],
)
def test_labelled_conversations_that_cannot_be_used(said, reason):
    with pytest.raises(RowError, match=f"^{reason}"):
        formats.labelled_messages({"messages": said, "label": True}, HERE)


def test_optional_columns_may_be_null():
    row = {"prompt": "a", "chosen": "b", "rejected": "c", "weight": None, "margin": None, "tools": None}
    assert formats.trl_preference(row, HERE) == Preference("a", "b", "c", HERE)


def test_trl_messages_with_a_prompt():
    row = {
        "prompt": [says("system", "Be brief."), says("user", "Hi")],
        "chosen": [says("assistant", "Hello")],
        "rejected": [says("assistant", "Go away"), says("user", "Why?"), says("assistant", "Because")],
    }
    assert formats.trl_preference(row, HERE) == Preference(
        (Message("system", "Be brief."), user("Hi")),
        (bot("Hello"),),
        (bot("Go away"), user("Why?"), bot("Because")),
        HERE,
    )


def test_trl_messages_without_a_prompt_part_where_they_differ():
    shared = [says("user", "1+1?"), says("assistant", "2"), says("user", "2+2?")]
    row = {"chosen": [*shared, says("assistant", "4")], "rejected": [*shared, says("assistant", "5")]}
    assert formats.trl_preference(row, HERE) == Preference(
        (user("1+1?"), bot("2"), user("2+2?")), (bot("4"),), (bot("5"),), HERE
    )


def test_conversations_that_part_at_a_user_turn_keep_the_shared_answer_in_both():
    """The prompt must end with a question, so the answer before the differing question goes to both sides."""
    shared = [says("user", "1+1?"), says("assistant", "2")]
    row = {
        "chosen": [*shared, says("user", "Thanks"), says("assistant", "Bye")],
        "rejected": [*shared, says("user", "Sure?"), says("assistant", "No")],
    }
    assert formats.trl_preference(row, HERE) == Preference(
        (user("1+1?"),), (bot("2"), user("Thanks"), bot("Bye")), (bot("2"), user("Sure?"), bot("No")), HERE
    )


@pytest.mark.parametrize("prompt", ["Hi", [says("user", "Hi")]], ids=["text", "messages"])
def test_a_prompt_that_the_answers_repeat_is_taken_once(prompt):
    row = {
        "prompt": prompt,
        "chosen": [says("user", "Hi"), says("assistant", "Hello")],
        "rejected": [says("user", "Hi"), says("assistant", "Go away")],
    }
    assert formats.trl_preference(row, HERE) == Preference((user("Hi"),), (bot("Hello"),), (bot("Go away"),), HERE)


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt"),
    [
        ("Q: Hi A: yes", "Q: Hi A: no", "Q: Hi A:"),
        ("Q: Hi\nA: yesterday", "Q: Hi\nA: yes!", "Q: Hi\nA:"),
        ("Q: Hi\nA: I think yes", "Q: Hi\nA: I think no", "Q: Hi\nA: I think"),
        ("Answer:\nYes", "Answer:\nNo", "Answer:\n"),
        ("Answer:\nYellow", "Answer:\nYes", "Answer:\n"),
        ("Say it: don't", "Say it: don", None),
        ("Say it: don't go", "Say it: done", "Say it:"),
        ("Sum: 123", "Sum: 124", "Sum:"),
        ("答えは黒です", "答えは白です", "答えは"),
        ("Say cafe\u0301 now", "Say cafe now", "Say"),
        ("Wave: \U0001f44b\U0001f3fb ok", "Wave: \U0001f44b\U0001f3ff ok", "Wave:"),
        ("Line\r\nyes", "Line\r\nno", "Line\r\n"),
    ],
)
def test_the_prompt_of_two_texts_ends_at_a_word_border(chosen, rejected, prompt):
    if prompt is None:
        with pytest.raises(RowError, match="rejected is the beginning of chosen"):
            part_text(chosen, rejected)
    else:
        assert part_text(chosen, rejected) == (prompt, chosen[len(prompt) :], rejected[len(prompt) :])


def test_hh_transcripts():
    before = "\n\nHuman: Hi\n\nAssistant: Hello\nthere\n\nHuman: Bye"
    row = {"chosen": f"{before}\n\nAssistant: See you", "rejected": f"{before}\n\nAssistant: Don't go\n\nplease"}
    assert formats.hh_rlhf(row, HERE) == Preference(
        (user("Hi"), bot("Hello\nthere"), user("Bye")), (bot("See you"),), (bot("Don't go\n\nplease"),), HERE
    )


def test_hh_transcripts_that_part_early_keep_several_turns():
    row = {
        "chosen": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Bye\n\nAssistant: See you",
        "rejected": "\n\nHuman: Hi\n\nAssistant: What?",
    }
    assert formats.hh_rlhf(row, HERE) == Preference(
        (user("Hi"),), (bot("Hello"), user("Bye"), bot("See you")), (bot("What?"),), HERE
    )


HI = "\n\nHuman: Hi\n\nAssistant: Hello"


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason"),
    [
        (HI, "\n\nHuman: Hi\n\nAssistant:", "'rejected' holds an empty assistant turn"),
        ("\n\nHuman: Hi\n\nAssistant: ", HI, "'chosen' holds an empty assistant turn"),
        (HI, "\n\nHuman: Ho\n\nAssistant: Hello", "chosen and rejected share no prompt: they differ in the first"),
        (HI, HI, "chosen and rejected are identical"),
        (HI, "Well.\n\nHuman: Hi\n\nAssistant: Ho", "column 'rejected' is no transcript: it does not start with"),
        (HI, "\n\nHuman: Hi\n\nAssistant: Ho\n\nHuman: Hm", "'rejected' ends with a turn of role user"),
        (HI, "Hello", "column 'rejected' is no transcript"),
        (HI, "\n\nHuman: Hi", "'rejected' holds no answer after the prompt"),
    ],
)
def test_transcripts_that_cannot_be_used(chosen, rejected, reason):
    with pytest.raises(RowError, match=f"^{reason}"):
        formats.hh_rlhf({"chosen": chosen, "rejected": rejected}, HERE)


def test_openai_preference_with_tools_and_parts():
    row = {
        "input": {
            "messages": [says("developer", "Be brief."), says("user", [{"type": "text", "text": "What time?"}])],
            "tools": [TOOL],
            "parallel_tool_calls": True,
        },
        "preferred_output": [says("assistant", None, tool_calls=[{"id": "c1"}])],
        "non_preferred_output": [says("assistant", "Noon.")],
    }
    assert formats.openai_preference(row, HERE) == Preference(
        (Message("system", "Be brief."), user("What time?")),
        (Message("assistant", "", {"tool_calls": [{"id": "c1"}]}),),
        (bot("Noon."),),
        HERE,
        tools=(TOOL,),
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"preferred_output": []}, "column 'preferred_output' is an empty list of messages"),
        ({"input": "Hi"}, "column 'input' holds text"),
        ({"input": {"tools": []}}, "column 'messages' is missing"),
        ({"input": {"messages": [says("system", "Hi")]}}, "'prompt' ends with a turn of role system"),
    ],
)
def test_openai_rows_that_cannot_be_used(row, reason):
    whole = {
        "input": {"messages": [says("user", "Hi")]},
        "preferred_output": [says("assistant", "Hello")],
        "non_preferred_output": [says("assistant", "Go")],
    }
    with pytest.raises(RowError, match=f"^{reason}"):
        formats.openai_preference({**whole, **row}, HERE)


def test_sharegpt_preference_with_system_and_tools():
    row = {
        "system": "Be brief.",
        "conversations": [
            {"from": "human", "value": "What time?"},
            {"from": "function_call", "value": '{"name": "clock", "arguments": {"zone": "UTC"}}'},
            {"from": "observation", "value": "12:00"},
        ],
        "chosen": {"from": "gpt", "value": "Noon."},
        "rejected": {"from": "gpt", "value": "Late."},
        "tools": "",
    }
    call = {"type": "function", "function": {"name": "clock", "arguments": {"zone": "UTC"}}}
    assert formats.sharegpt_preference(row, HERE) == Preference(
        (
            Message("system", "Be brief."),
            user("What time?"),
            Message("assistant", "", {"tool_calls": [call]}),
            Message("tool", "12:00"),
        ),
        (bot("Noon."),),
        (bot("Late."),),
        HERE,
    )


def test_whole_conversations_of_llamafactory_v1():
    asked = says("user", [{"type": "text", "value": "Hi"}], loss_weight=0.0)
    row = {
        "chosen_messages": [asked, says("assistant", [{"type": "text", "value": "Hello"}], loss_weight=1.0)],
        "rejected_messages": [asked, says("assistant", [{"type": "text", "value": "Go"}], loss_weight=1.0)],
    }
    assert formats.messages_preference(row, HERE) == Preference((user("Hi"),), (bot("Hello"),), (bot("Go"),), HERE)


def test_alpaca_preference_and_demonstration():
    asked = {"instruction": "Add.", "input": "1, 2", "system": "Be brief.", "history": [["Hi", "Hello"]]}
    prompt = (Message("system", "Be brief."), user("Hi"), bot("Hello"), user("Add.\n1, 2"))
    assert formats.alpaca_preference({**asked, "chosen": "3", "rejected": "4"}, HERE) == Preference(
        prompt, (bot("3"),), (bot("4"),), HERE
    )
    assert formats.alpaca({**asked, "output": "3"}, HERE) == Demonstration(prompt, (bot("3"),), HERE)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": "2+2=", "completion": "4"}, Demonstration("2+2=", "4", HERE)),
        ({"prompt": "", "completion": "4"}, Demonstration("", "4", HERE)),
        (
            {"prompt": [says("user", "Hi")], "completion": [says("assistant", "Hello")], "weight": 2},
            Demonstration((user("Hi"),), (bot("Hello"),), HERE, 2.0),
        ),
    ],
)
def test_prompt_completion(row, expected):
    assert formats.prompt_completion(row, HERE) == expected


def test_messages_learn_from_every_assistant_turn():
    said = [says("user", "1"), says("assistant", "2"), says("user", "3"), says("assistant", "4")]
    assert formats.messages({"messages": said}, HERE) == Demonstration(
        (user("1"),), (bot("2"), user("3"), bot("4")), HERE
    )


def test_messages_of_weight_zero_belong_to_the_prompt():
    said = [says("user", "1"), says("assistant", "2", weight=0), says("user", "3"), says("assistant", "4", weight=1)]
    assert formats.messages({"messages": said}, HERE) == Demonstration(
        (user("1"), bot("2"), user("3")), (bot("4"),), HERE
    )


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([says("user", "1")], "'messages' holds no assistant turn to learn from"),
        ([says("assistant", "1")], "'messages' starts with the assistant's turn; nothing asks for it"),
        ([says("user", "1"), says("assistant", "2"), says("user", "3")], "'messages' ends with a turn of role user"),
        ([says("user", "1"), says("assistant", "")], "'messages' holds an empty assistant turn"),
        (
            [says("user", "1"), says("assistant", "2"), says("user", "3"), says("assistant", "4", weight=0)],
            "'messages' holds an assistant turn of weight 0 that would be trained on",
        ),
        ([says("system", "1"), says("assistant", "2")], "'prompt' ends with a turn of role system"),
    ],
)
def test_conversations_that_cannot_be_used(said, reason):
    with pytest.raises(RowError, match=f"^{reason}"):
        formats.messages({"messages": said}, HERE)


def test_text_and_sharegpt():
    assert formats.plain_text({"text": " Once upon"}, HERE) == Demonstration("", " Once upon", HERE)
    said = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    assert formats.sharegpt({"conversations": said}, HERE) == Demonstration((user("Hi"),), (bot("Hello"),), HERE)


def test_other_keys_of_a_message_reach_the_template_untouched():
    row = {
        "prompt": [says("user", "Hi", name="Ana", cached=None)],
        "chosen": [says("assistant", "Hello", reasoning_content="polite", loss_weight=1)],
        "rejected": [says("assistant", "Go")],
    }
    record = formats.trl_preference(row, HERE)
    assert record.prompt[0].extra == {"name": "Ana"}
    assert record.chosen[0].extra == {"reasoning_content": "polite"}
