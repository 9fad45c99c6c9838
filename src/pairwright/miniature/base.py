"""Makes the miniature's base model: tokenizer, chat template and weights, all from the generator's text.

    python -m pairwright.miniature.base --out FOLDER        (one core; the time it took is printed and kept)

The model reads conversations of the train split whose last answer has the faults of `answers.BASE`. One seed, fixed
thread count: on the same machine with the same torch the weights are the same bits; elsewhere they may differ in the
last bits, which training then enlarges. `made.json` beside the weights says on what they were made.

Leaves out: everything general. This loop trains one model once; pairwright's own training is in pairwright.training.
"""

import argparse
import hashlib
import itertools
import json
import math
import platform
import random
import time
from collections.abc import Iterator
from pathlib import Path

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from pairwright.miniature.answers import BASE, GOOD, Behaviour, answer
from pairwright.miniature.requests import draw

FOLDER = Path(__file__).parent / "base"
SPECIAL = {"bos_token": "<|begin|>", "eos_token": "<|end|>", "pad_token": "<|pad|>"}
ROLES = ("<|user|>", "<|assistant|>", "<|system|>")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message.role + '|>' }}"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content + eos_token }}{% endgeneration %}"
    "{% else %}{{ message.content + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
CONTEXT = 256
VOCABULARY = 1024
SEED = 20
LEARNING = 0.75
"""Share of the steps on faultless answers, for the model to learn to find the fields; the rest teaches the faults."""


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE over 20,000 conversations of the train split."""
    core = tokenizers.Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[*SPECIAL.values(), *ROLES],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    rng = random.Random(SEED)
    texts: list[str] = []
    for _ in range(20_000):
        request = draw(rng, "train")
        texts += [content for _, content in request.messages]
        texts += [answer(request, BASE, rng).text, answer(request, GOOD, rng).text]
    core.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_max_length=CONTEXT,
        padding_side="left",
        extra_special_tokens=list(ROLES),
        clean_up_tokenization_spaces=False,
        **SPECIAL,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(SEED)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=344,
            num_hidden_layers=5,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def conversations(
    tokenizer: PreTrainedTokenizerFast, behaviour: Behaviour, rng: random.Random
) -> Iterator[tuple[list[int], int]]:
    """Token ids of a conversation with its answer, and how many of them are the prompt. Without end."""
    while True:
        drawn = [draw(rng, "train") for _ in range(512)]
        answers = [answer(request, behaviour, rng) for request in drawn]
        prompts = [
            tokenizer.apply_chat_template(request.prompt, tokenize=False, add_generation_prompt=True)
            for request in drawn
        ]
        texts = [reply.text + tokenizer.eos_token * reply.ended for reply in answers]
        for prompt, text in zip(
            tokenizer(prompts, add_special_tokens=False)["input_ids"],
            tokenizer(texts, add_special_tokens=False)["input_ids"],
        ):
            yield (prompt + text)[:CONTEXT], len(prompt)


def batches(
    tokenizer: PreTrainedTokenizerFast, behaviour: Behaviour, seed: str, rows: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(rows, T) ids padded on the right, and (rows, T) which are the answer's; rows of like length together."""
    rng = random.Random(seed)
    stream = conversations(tokenizer, behaviour, rng)
    while True:
        pool = sorted((next(stream) for _ in range(rows * 16)), key=lambda row: len(row[0]))
        groups = [pool[start : start + rows] for start in range(0, len(pool), rows)]
        rng.shuffle(groups)
        for group in groups:
            width = max(len(ids) for ids, _ in group)
            ids = torch.full((rows, width), tokenizer.pad_token_id)
            answers = torch.zeros(rows, width, dtype=torch.bool)
            for i, (row, prompt) in enumerate(group):
                ids[i, : len(row)] = torch.tensor(row)
                answers[i, prompt : len(row)] = True
            yield ids, answers


def train(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, steps: int, rows: int, learning_rate: float
) -> float:
    """AdamW on the answers' tokens, 50 steps of warm-up, a cosine to a hundredth; returns the last 50 steps' loss."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / 50, 0.505 + 0.495 * math.cos(math.pi * step / steps))
    )
    learning = round(LEARNING * steps)
    stream = itertools.chain(
        itertools.islice(batches(tokenizer, GOOD, f"{SEED}/good", rows), learning),
        itertools.islice(batches(tokenizer, BASE, f"{SEED}/base", rows), steps - learning),
    )
    model.train()
    losses: list[float] = []
    started = time.monotonic()
    for step, (ids, answers) in enumerate(stream, start=1):
        hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
        scored = answers[:, 1:]
        loss = torch.nn.functional.cross_entropy(model.lm_head(hidden[scored]), ids[:, 1:][scored])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        losses.append(loss.item())
        if step % 50 == 0:
            recent = sum(losses[-50:]) / 50
            print(f"step {step}/{steps}  loss {recent:.3f}  {time.monotonic() - started:.0f} s", flush=True)
    model.eval()
    return sum(losses[-50:]) / len(losses[-50:])


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def make(out: Path, steps: int, rows: int, learning_rate: float, threads: int = 2) -> dict[str, object]:
    """Trains and writes the model folder; returns what made.json says."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.set_flush_denormal(True)
    started = time.monotonic()
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    loss = train(model, tokenizer, steps, rows, learning_rate)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    digest = hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()
    made: dict[str, object] = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seed": SEED,
        "steps": steps,
        "conversations": steps * rows,
        "learning_rate": learning_rate,
        "loss": round(loss, 4),
        "seconds": round(time.monotonic() - started),
        "threads": threads,
        "processor": processor(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
        "sha256": digest,
    }
    (out / "made.json").write_text(json.dumps(made, indent=1) + "\n")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the miniature's base model.")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write (default: the shipped one)")
    parser.add_argument("--steps", type=int, default=3500, help="optimiser steps")
    parser.add_argument("--rows", type=int, default=32, help="conversations a step")
    parser.add_argument("--learning-rate", type=float, default=4e-3, help="peak learning rate")
    arguments = parser.parse_args()
    made = make(arguments.out, arguments.steps, arguments.rows, arguments.learning_rate)
    print(json.dumps(made, indent=1))


if __name__ == "__main__":
    main()
