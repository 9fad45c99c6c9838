"""What the comparison with TRL takes as the same work, and what its tables show."""

import pytest

from dpo_vs_trl import compare
from table import README, rendered
from workload import EOS, pair_ids, split_transcript, train_tokenizer

IDS = [[[1, 2], [3], [4]], [[5], [6], [7, 8]]]


def test_loss_difference_is_the_largest_over_all_steps_and_runs():
    ours = [{"losses": [0.5, 0.25]}, {"losses": [0.5, 0.375]}]
    theirs = [{"losses": [0.5, 0.5], "ids": IDS}]
    assert compare(ours, theirs, IDS) == 0.25


def test_other_ids_or_another_order_are_refused():
    with pytest.raises(ValueError, match="same token ids"):
        compare([{"losses": [0.5]}], [{"losses": [0.5], "ids": IDS[::-1]}], IDS)


def test_a_transcript_parts_at_the_last_assistant_turn_that_both_share():
    start = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"
    assert split_transcript(start + " yes", start + " no") == {"prompt": start, "chosen": " yes", "rejected": " no"}


@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [
        ("\n\nHuman: a\n\nAssistant: b", "\n\nHuman: x\n\nAssistant: b"),
        ("\n\nHuman: a\n\nAssistant: b", "\n\nHuman: a\n\nAssistant: b"),
        ("\n\nHuman: a\n\nAssistant: ", "\n\nHuman: a\n\nAssistant: b"),
    ],
    ids=["no shared prompt", "the same twice", "an empty answer"],
)
def test_unusable_rows_are_left_out(chosen, rejected):
    assert split_transcript(chosen, rejected) is None


def test_answers_end_with_the_end_token_and_prompts_are_prefixes():
    row = {"prompt": "\n\nHuman: one two\n\nAssistant:", "chosen": " three", "rejected": " four five"}
    tokenizer = train_tokenizer(list(row.values()), 300)
    prompt, chosen, rejected = pair_ids(row, tokenizer)
    end = tokenizer.convert_tokens_to_ids(EOS)
    assert tokenizer.decode(prompt) == row["prompt"]
    assert tokenizer.decode(chosen[:-1]) == " three" and chosen[-1] == end
    assert tokenizer.decode(rejected[:-1]) == " four five" and rejected[-1] == end


def test_the_readme_shows_what_the_result_files_say():
    text = README.read_text(encoding="utf-8")
    assert rendered(text) == text, "run python benchmarks/table.py"
