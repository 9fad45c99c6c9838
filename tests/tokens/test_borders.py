"""The border between prompt and answer inside real subword tokenizers: the prompt's ids are a prefix of both sides.

Byte-level pieces write a space as Ġ and a newline as Ċ; SentencePiece-like ones write a space as ▁.
"""

import gzip
import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, BatchEncoding, PreTrainedTokenizerFast

from pairwright.errors import ModelError
from pairwright.records import Demonstration, Message, Preference, Source
from pairwright.tokens.chat import encode, prompt_ids

SOURCE = Source("pairs.jsonl", 7)
DATA = Path(__file__).parents[3] / "shared" / "data"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def user(content):
    return Message("user", content)


def bot(content):
    return Message("assistant", content)


def test_answer_that_starts_a_new_token_leaves_the_border(byte_level, shown):
    tokenizer = byte_level()
    record = Preference("Hello there", " you", ", you", SOURCE)
    encoded = encode([record], tokenizer, chat_template=None, max_length=100)
    assert shown(tokenizer, encoded.examples[0].sequences[0]) == "HelloĠthere«Ġyou»«</s>»"
    assert shown(tokenizer, encoded.examples[0].sequences[1]) == "HelloĠthere«,»«Ġyou»«</s>»"
    assert "border_moved" not in encoded.counts


def test_space_at_the_end_of_the_prompt_moves_the_border(byte_level, shown):
    tokenizer = byte_level()
    record = Preference("Hello there ", "you", "you are", SOURCE)
    encoded = encode([record], tokenizer, chat_template=None, max_length=100)
    chosen, rejected = encoded.examples[0].sequences
    assert shown(tokenizer, chosen) == "HelloĠthere«Ġyou»«</s>»"
    assert shown(tokenizer, rejected) == "HelloĠthere«Ġyou»«Ġare»«</s>»"
    assert encoded.counts == {"border_moved": 1, "eos_appended": 1}
    assert prompt_ids(record, tokenizer, None, 100) == tokenizer("Hello there").input_ids


def test_border_is_the_same_on_both_sides_where_only_one_merges(byte_level, shown):
    tokenizer = byte_level()
    encoded = encode([Preference("Hello ", "you", "\n", SOURCE)], tokenizer, chat_template=None, max_length=100)
    assert encoded.dropped == [(SOURCE, "dropped_empty_answer")]
    encoded = encode([Preference("Hello ", "you", "\nyou", SOURCE)], tokenizer, chat_template=None, max_length=100)
    chosen, rejected = encoded.examples[0].sequences
    assert shown(tokenizer, chosen) == "Hello«Ġyou»«</s>»"
    assert shown(tokenizer, rejected) == "Hello«Ġ»«Ċ»«y»«ou»«</s>»"


def test_newlines_that_merge_with_the_template(byte_level, shown):
    # "assistant\n" and "\n\nyes" share the piece of two newlines, in the first answer and in a later one.
    tokenizer = byte_level(chat_template=CHATML)
    record = Demonstration((user("you"),), (bot("\n\nyes"), user("you"), bot("\n\nyes")), SOURCE)
    encoded = encode([record], tokenizer, chat_template=None, max_length=100)
    pieces = shown(tokenizer, encoded.examples[0].sequences[0])
    asked, again = pieces.split("<|im_end|>»")[:2]
    for turn in (asked, again):
        assert turn.endswith("assistant«ĊĊ»«Ċ»«yes»«") or turn.endswith("t«ĊĊ»«Ċ»«y»«es»«"), turn
    assert encoded.counts == {"border_moved": 1}


def test_later_answer_alone_merges_with_the_template(byte_level):
    tokenizer = byte_level(chat_template=CHATML)
    record = Demonstration((user("you"),), (bot("yes"), user("you"), bot("\n\nyes")), SOURCE)
    encoded = encode([record], tokenizer, chat_template=None, max_length=100)
    sequence = encoded.examples[0].sequences[0]
    assert tokenizer.decode(sequence.ids[sequence.supervised]) == "yes<|im_end|>\n\n\nyes<|im_end|>"
    assert encoded.counts == {"border_moved": 1}


@pytest.mark.parametrize("template", [CHATML, "text"])
def test_tokenizer_that_tells_places_without_white_space_gives_the_same_masks(byte_level, template):
    turns = []
    for content in ("Hello there", "  you are\n", "\n well", "日本 é 🦊", "x"):
        turns += [user(content), bot(content)]
    record = Demonstration((turns[0],), tuple(turns[1:]), SOURCE)
    plain = encode([record], byte_level(), chat_template=template, max_length=1000).examples[0].sequences[0]
    trims = encode([record], byte_level(trims=True), chat_template=template, max_length=1000).examples[0].sequences[0]
    assert plain.ids.tolist() == trims.ids.tolist()
    assert plain.supervised.tolist() == trims.supervised.tolist()


def test_letters_of_several_tokens_in_every_answer(byte_level):
    tokenizer = byte_level(chat_template=CHATML)
    record = Demonstration((user("日本"),), (bot("🦊"), user("é"), bot("日本")), SOURCE)
    sequence = encode([record], tokenizer, chat_template=None, max_length=100).examples[0].sequences[0]
    assert tokenizer.decode(sequence.ids[sequence.supervised]) == "🦊<|im_end|>日本<|im_end|>"


@pytest.mark.parametrize("legacy", [False, True])
def test_no_space_appears_between_prompt_and_answer(metaspace, legacy):
    # Tokenised apart, the answer would begin with a space that is not there.
    tokenizer = metaspace(legacy=legacy)
    record = Preference("Hello", "there", " there", SOURCE)
    chosen, rejected = encode([record], tokenizer, chat_template=None, max_length=100).examples[0].sequences
    assert tokenizer.decode(chosen.ids) == "<s> Hellothere</s>"
    assert tokenizer.decode(rejected.ids) == "<s> Hello there</s>"
    supervised = tokenizer.convert_ids_to_tokens(rejected.ids[rejected.supervised].tolist())
    assert "".join(supervised) == "▁there</s>"


@pytest.mark.parametrize("legacy", [False, True])
def test_metaspace_in_a_conversation(metaspace, shown, legacy):
    chat = (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[Q] {{ m.content }} [/Q]"
        "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
    )
    tokenizer = metaspace(legacy=legacy, chat_template=chat)
    record = Demonstration((user("one"),), (bot("two"), user("three"), bot("two three")), SOURCE)
    encoded = encode([record], tokenizer, chat_template=None, max_length=100)
    text = "<s>[Q] one [/Q] two</s>[Q] three [/Q] two three</s>"
    sequence = encoded.examples[0].sequences[0]
    assert sequence.ids.tolist() == tokenizer(text, add_special_tokens=False).input_ids
    answers = "".join(tokenizer.convert_ids_to_tokens(sequence.ids[sequence.supervised].tolist()))
    # A legacy tokenizer puts one more space before every piece of text that follows a special token.
    assert answers == ("▁▁two</s>▁▁two▁three</s>" if legacy else "▁two</s>▁two▁three</s>")
    assert shown(tokenizer, sequence).count("«</s>»") == 2


def test_tokenizer_that_chooses_pieces_by_what_follows():
    # Unigram takes the likeliest pieces of the whole: "ab" alone is one piece, in "abc" it is a + bc.
    pieces = [("<unk>", -9.0), ("a", -3.0), ("b", -4.0), ("c", -4.0), ("ab", -2.0), ("bc", -0.5), ("d", -3.0)]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    backend.add_special_tokens(["</s>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", unk_token="<unk>")
    record = Preference("dab", "c", "d", SOURCE)
    encoded = encode([record], tokenizer, chat_template=None, max_length=100)
    chosen, rejected = encoded.examples[0].sequences
    assert tokenizer.convert_ids_to_tokens(chosen.ids.tolist()) == ["d", "a", "bc", "</s>"]
    assert tokenizer.convert_ids_to_tokens(rejected.ids.tolist()) == ["d", "ab", "d", "</s>"]
    assert chosen.supervised.tolist() == rejected.supervised.tolist() == [False, True, True, True]
    assert encoded.counts["border_moved"] == 1
    assert prompt_ids(record, tokenizer, None, 100) == chosen.ids[:1].tolist()


def test_tokenizer_that_does_not_know_the_places_of_its_tokens(byte_level, monkeypatch):
    # What a slow tokenizer gives. One answer needs no places, as it ends where the text ends; several do.
    monkeypatch.setattr(BatchEncoding, "encodings", None)
    tokenizer = byte_level(chat_template=CHATML)
    one = Demonstration((user("you"),), (bot("yes"),), SOURCE)
    sequence = encode([one], tokenizer, chat_template=None, max_length=100).examples[0].sequences[0]
    assert tokenizer.decode(sequence.ids[sequence.supervised]) == "yes<|im_end|>"
    two = Demonstration((user("you"),), (bot("yes"), user("you"), bot("yes")), SOURCE)
    with pytest.raises(ModelError, match="several answers need a fast tokenizer"):
        encode([two], tokenizer, chat_template=None, max_length=100)


@pytest.mark.skipif(not DATA.exists(), reason="the shared data is not here")
def test_real_tokenizer_on_real_pairs():
    tokenizer = AutoTokenizer.from_pretrained(DATA / "stories260k" / "hf")
    records, border = [], "\n\nAssistant:"
    with gzip.open(DATA / "hh-rlhf-harmless" / "pairs.jsonl.gz", "rt", encoding="utf-8") as lines:
        for number, line in zip(range(1, 101), lines):
            row = json.loads(line)
            prompt = row["chosen"][: row["chosen"].rfind(border)] + border
            if row["rejected"].startswith(prompt):
                answers = row["chosen"][len(prompt) :], row["rejected"][len(prompt) :]
                records.append(Preference(prompt, *answers, Source("pairs.jsonl.gz", number)))
    assert len(records) > 90
    encoded = encode(records, tokenizer, chat_template=None, max_length=100_000)
    kept = {example.source: example for example in encoded.examples}
    assert len(kept) + len(encoded.dropped) == len(records)
    for record in records:
        if record.source in kept:
            for answer, sequence in zip((record.chosen, record.rejected), kept[record.source].sequences):
                prompt = tokenizer(record.prompt).input_ids
                assert sequence.ids.tolist() == [*tokenizer(record.prompt + answer).input_ids, 2]
                assert sequence.ids[: len(prompt)].tolist() == prompt
                assert sequence.supervised.tolist() == [False] * len(prompt) + [True] * (
                    len(sequence.ids) - len(prompt)
                )
