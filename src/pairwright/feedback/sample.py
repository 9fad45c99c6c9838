"""A model's own answers: seeded, batched with left padding through transformers' generate.

The same model, prompts, settings and seed give the same answers bit for bit on CPU. Answers are plain samples from the
model at the temperature (no top-k, top-p or repetition penalty, whatever the model's generation config says), as
preference learning on a model's own samples assumes.

Leaves out: scoring and choosing, which is the caller's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig

from pairwright.errors import ConfigError, ModelError

FIRST_ROUND = 32
"""Tokens of the first round."""

Prompt = str | Sequence[Mapping[str, Any]]
"""A text that the model goes on with, or messages, to which the tokenizer's chat template applies."""


@dataclass(frozen=True, slots=True)
class Sample:
    text: str
    """The answer without special tokens."""
    ended: bool
    """The model gave an end token; False: it was cut at max_new_tokens."""
    ids: tuple[int, ...]
    """The answer's tokens, without the end token."""


def sample(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    *,
    per_prompt: int = 1,
    temperature: float = 1.0,
    seed: int = 0,
    max_new_tokens: int = 64,
    batch_size: int = 128,
) -> list[list[Sample]]:
    """`per_prompt` answers to each prompt, in the prompts' order; temperature 0 takes the likeliest token each time."""
    encoded = [prompt_ids(tokenizer, prompt) for prompt in prompts]
    answers = sample_ids(
        model,
        encoded,
        end_ids=end_ids(model, tokenizer),
        per_prompt=per_prompt,
        temperature=temperature,
        seed=seed,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
    )
    return [
        [Sample(tokenizer.decode(ids, skip_special_tokens=True), ended, tuple(ids)) for ids, ended in each]
        for each in answers
    ]


def prompt_ids(tokenizer: Any, prompt: Prompt) -> list[int]:
    if isinstance(prompt, str):
        return tokenizer(prompt)["input_ids"]
    text = tokenizer.apply_chat_template(list(prompt), tokenize=False, add_generation_prompt=True)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def end_ids(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: the model's generation config's, and the tokenizer's."""
    configured = model.generation_config.eos_token_id
    found = [*(configured if isinstance(configured, list) else [configured]), tokenizer.eos_token_id]
    ends = sorted({token for token in found if token is not None})
    if not ends:
        raise ModelError(
            "neither the model's generation config nor the tokenizer names an end token: set eos_token in "
            "tokenizer_config.json, or answers can never end"
        )
    return ends


def sample_ids(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    end_ids: list[int],
    per_prompt: int = 1,
    temperature: float = 1.0,
    seed: int = 0,
    max_new_tokens: int = 64,
    batch_size: int = 128,
) -> list[list[tuple[list[int], bool]]]:
    """For each prompt, `per_prompt` answers as (token ids without the end token, ended).

    In rounds, each as long as all before it: an answer that has ended takes no part in the next one. In a single call
    of generate every answer would be computed as long as the longest of its batch.
    """
    _check(model, prompts, per_prompt, temperature, max_new_tokens)
    # ids are masked where padded, so any id will do as padding
    drawing: dict[str, Any] = {"temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature > 0 else {}
    settings = GenerationConfig(
        do_sample=temperature > 0,
        **drawing,
        repetition_penalty=1.0,
        num_beams=1,
        eos_token_id=end_ids,
        pad_token_id=end_ids[0],
    )
    rows = [list(prompt) for prompt in prompts for _ in range(per_prompt)]
    starts = [len(row) for row in rows]
    ended = [False] * len(rows)
    was_training, own_settings = model.training, model.generation_config
    model.eval()
    # generate fills in from the model's own settings whatever is not set here (min_p, no_repeat_ngram_size ...)
    model.generation_config = settings
    devices = [model.device] if model.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            torch.manual_seed(seed)
            live, done = list(range(len(rows))), 0
            while live and done < max_new_tokens:
                settings.max_new_tokens = min(max(FIRST_ROUND, done), max_new_tokens - done)
                live.sort(key=lambda i: (len(rows[i]), i))
                for start in range(0, len(live), batch_size):
                    batch = live[start : start + batch_size]
                    for i, new in zip(batch, _generate(model, [rows[i] for i in batch], settings)):
                        answer, ended[i] = _until_end(new, end_ids)
                        rows[i] += answer
                done += settings.max_new_tokens
                live = [i for i in live if not ended[i]]
    finally:
        model.generation_config = own_settings
        model.train(was_training)
    answers = [(row[start:], end) for row, start, end in zip(rows, starts, ended)]
    return [answers[i : i + per_prompt] for i in range(0, len(answers), per_prompt)]


def _check(
    model: Any, prompts: Sequence[Sequence[int]], per_prompt: int, temperature: float, max_new_tokens: int
) -> None:
    if per_prompt < 1 or max_new_tokens < 1 or temperature < 0:
        raise ConfigError(
            f"per_prompt {per_prompt} and max_new_tokens {max_new_tokens} must be 1 or more, "
            f"temperature {temperature} 0 or more"
        )
    if temperature == 0 and per_prompt > 1:
        raise ConfigError(
            f"per_prompt {per_prompt} at temperature 0 gives the same answer each time: raise temperature"
        )
    longest = max((len(prompt) for prompt in prompts), default=0)
    limit = getattr(model.config, "max_position_embeddings", None)
    if limit is not None and longest + max_new_tokens > limit:
        raise ConfigError(
            f"the longest prompt has {longest} tokens; with max_new_tokens {max_new_tokens} that is more than the "
            f"model's {limit} positions: cut the prompt or lower max_new_tokens"
        )


def _generate(model: Any, prompts: list[Sequence[int]], settings: GenerationConfig) -> list[list[int]]:
    """The new tokens of each row, padded after the end."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), width), settings.pad_token_id)
    mask = torch.zeros_like(ids)
    for i, prompt in enumerate(prompts):
        ids[i, width - len(prompt) :] = torch.tensor(prompt)
        mask[i, width - len(prompt) :] = 1
    output = model.generate(
        input_ids=ids.to(model.device), attention_mask=mask.to(model.device), generation_config=settings
    )
    return output[:, width:].tolist()


def _until_end(row: list[int], ends: list[int]) -> tuple[list[int], bool]:
    for place, token in enumerate(row):
        if token in ends:
            return row[:place], True
    return row, False
