"""Solutions in steps: what is read, by hand; what cannot be used, with its reason."""

import pytest

from pairwright.reading import steps
from pairwright.reading.rows import RowError
from pairwright.records import Message, Source, Steps

HERE = Source("made.jsonl", 3)
ROW = {"prompt": "Q: 2+3*4?\nA: ", "steps": ["3*4 is 12.", "2+12"], "chosen": "is 14.", "rejected": " is 15."}


def test_steps_are_parted_where_they_would_run_into_each_other():
    record = steps.steps({**ROW, "weight": 2}, HERE)
    assert record == Steps("Q: 2+3*4?\nA: ", "3*4 is 12.\n2+12", "\nis 14.", " is 15.", HERE, 2.0)


def test_the_first_step_has_none_before_it():
    record = steps.steps({**ROW, "steps": []}, HERE)
    assert (record.before, record.chosen, record.rejected) == ("", "is 14.", " is 15.")


def test_a_prompt_of_messages():
    record = steps.steps({**ROW, "prompt": [{"role": "user", "content": "2+3*4?"}]}, HERE)
    assert record.prompt == (Message("user", "2+3*4?"),)


def test_the_data_of_step_dpo():
    row = {
        "prompt": "a",
        "initial_reason_steps": "Step 1: b.\nStep 2:",
        "chosen": " c",
        "rejected": " d",
        "answer": "e",
    }
    assert steps.step_dpo(row, HERE) == Steps("a", "Step 1: b.\nStep 2:", " c", " d", HERE)
    assert steps.step_dpo({**row, "initial_reason_steps": ""}, HERE).before == ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"steps": "b"}, r"column 'steps' holds text \(\"b\"\), a list of steps expected"),
        ({"steps": ["b", " "]}, "column 'steps' is only white space"),
        ({"steps": [4]}, r"column 'steps' holds a number \(4\), text expected"),
        ({"chosen": ""}, "column 'chosen' is empty"),
        ({"rejected": "is 14. "}, "chosen and rejected are identical"),
        ({"rejected": [{"role": "assistant", "content": "x"}]}, "column 'rejected' holds a list of 1, text expected"),
        ({"prompt": [{"role": "assistant", "content": "x"}]}, "'prompt' ends with a turn of role assistant"),
    ],
)
def test_rows_that_cannot_be_used(changes, reason):
    with pytest.raises(RowError, match=f"^{reason}"):
        steps.steps({**ROW, **changes}, HERE)
