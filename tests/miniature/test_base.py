"""The shipped base model: it loads, talks, fits in 8 MB, and is the one that the docs describe."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pairwright.feedback.sample import sample
from pairwright.miniature import BASE_MODEL, make_requests, mean_scores, score
from pairwright.miniature.answers import GOOD
from pairwright.miniature.base import batches, make_model, train

DOCS = Path(__file__).parents[2] / "docs" / "miniature.md"
WEIGHTS = BASE_MODEL / "model.safetensors"


@pytest.fixture(scope="module")
def model() -> Any:
    return AutoModelForCausalLM.from_pretrained(BASE_MODEL)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(BASE_MODEL)


def test_weights_are_the_documented_ones_and_small() -> None:
    digest = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert digest == json.loads((BASE_MODEL / "made.json").read_text())["sha256"]
    assert re.findall(r"\b[0-9a-f]{64}\b", DOCS.read_text(encoding="utf-8")) == [digest]
    assert sum(file.stat().st_size for file in BASE_MODEL.iterdir()) <= 8_000_000


def test_loads_as_float32_llama(model: Any) -> None:
    assert type(model).__name__ == "LlamaForCausalLM"
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert 1_000_000 <= model.num_parameters() <= 2_000_000


def test_chat_template_and_special_tokens(tokenizer: Any) -> None:
    messages = [
        {"role": "user", "content": "call Ana"},
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "no, Bob"},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == ("<|begin|><|user|>call Ana<|end|><|assistant|>Done.<|end|><|user|>no, Bob<|end|><|assistant|>")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert ids[0] == tokenizer.bos_token_id and ids.count(tokenizer.bos_token_id) == 1
    assert ids.count(tokenizer.eos_token_id) == 3
    assert tokenizer.decode(ids) == text
    assert len(tokenizer) == 1024 and tokenizer.pad_token_id not in (None, tokenizer.eos_token_id)


def test_template_marks_the_assistants_tokens(tokenizer: Any) -> None:
    messages = [{"role": "user", "content": "call Ana"}, {"role": "assistant", "content": "Done."}]
    encoded = tokenizer.apply_chat_template(messages, return_assistant_tokens_mask=True, return_dict=True)
    supervised = [i for i, mark in zip(encoded["input_ids"], encoded["assistant_masks"]) if mark]
    assert tokenizer.decode(supervised) == "Done.<|end|>"


def test_any_text_survives_the_tokenizer(tokenizer: Any) -> None:
    text = "Zoë's naïve \n\t plan: 5 € 😀 task=x; day=?."
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_talks_and_needs_aligning(model: Any, tokenizer: Any) -> None:
    """Gold on 300 requests: 0.58 at temperature 0.7 (docs); on 100, two standard errors are 0.08."""
    requests = make_requests(100, seed=77, split="unseen")
    prompts = [request.prompt for request in requests]
    answers = sample(model, tokenizer, prompts, temperature=0.7, seed=0, max_new_tokens=48)
    scores = mean_scores(score(r, each[0].text, each[0].ended) for r, each in zip(requests, answers))
    assert 0.46 < scores["gold"] < 0.7
    assert scores["safe"] < 0.97 and scores["ends"] > 0.9


def test_training_rows_are_answers_after_their_prompts(tokenizer: Any) -> None:
    ids, answers = next(batches(tokenizer, GOOD, "test", 4))
    for row, supervised in zip(ids, answers):
        text = tokenizer.decode(row[~supervised & (row != tokenizer.pad_token_id)])
        assert text.startswith("<|begin|><|user|>") and text.endswith("<|assistant|>")
        assert tokenizer.decode(row[supervised]).endswith("<|end|>")


def test_the_script_still_takes_the_steps_that_made_the_weights(tokenizer: Any) -> None:
    """The first steps' mean loss, as it was on the day that the weights were made; ln 1024 = 6.93 before any step.
    Another draw of requests, another answer, another schedule, and the shipped weights could not be made again."""
    loss = train(make_model(tokenizer), tokenizer, steps=4, rows=8, learning_rate=4e-3)
    assert loss == pytest.approx(6.8252, abs=1e-3)
