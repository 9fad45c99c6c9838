"""The work that both sides of the comparison do: a small Llama, its tokenizer, and real preference pairs.

Everything is made in one folder from a seed, without downloads, so that both sides read the same bytes:

    model/          random Llama of 29M parameters (float32 safetensors) and its tokenizer
    pairs.jsonl     {"prompt", "chosen", "rejected"}, plain strings, in file order

For LoRA pairwright_dpo.py adds adapter/, the adapter that both sides start from.
Left out: anything of trl or pairwright; this file is read by both halves.
"""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

from shapes import Shape

EOS = "<|end|>"
TURN = "\n\nAssistant:"


@dataclass(frozen=True)
class Settings:
    """What both sides are told, word for word."""

    tuning: str = "full"
    """full or lora."""
    precision: str = "float32"
    """Precision of the weights and of the products: float32 or bfloat16."""
    pairs_per_step: int = 8
    learning_rate: float = 1e-5
    beta: float = 0.1
    max_grad_norm: float = 1.0
    weight_decay: float = 0.0
    lora_r: int = 16
    lora_alpha: int = 32
    seed: int = 0


def split_transcript(chosen: str, rejected: str) -> dict[str, str] | None:
    """One HH-RLHF row -> prompt and two answers; None where no prompt is shared, or an answer is empty or the same."""
    shared = 0
    for a, b in zip(chosen, rejected):
        if a != b:
            break
        shared += 1
    cut = chosen.rfind(TURN, 0, shared)
    if cut < 0:
        return None
    cut += len(TURN)
    row = {"prompt": chosen[:cut], "chosen": chosen[cut:], "rejected": rejected[cut:]}
    usable = row["chosen"].strip() and row["rejected"].strip() and row["chosen"] != row["rejected"]
    return row if usable else None


def read_pairs(path: Path, count: int) -> tuple[list[dict[str, str]], list[str]]:
    """The first `count` usable pairs of an HH-RLHF file, and the text of all its rows (for the tokenizer).

    Raises ValueError if the file holds fewer.
    """
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    pairs = [pair for row in rows if (pair := split_transcript(row["chosen"], row["rejected"]))]
    if len(pairs) < count:
        raise ValueError(f"{path} holds {len(pairs)} usable pairs, {count} were asked for")
    return pairs[:count], [row[side] for row in rows for side in ("chosen", "rejected")]


def train_tokenizer(texts: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE; no BOS, one token that ends and pads."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=EOS, pad_token=EOS, model_max_length=2048)


def build_model(shape: Shape, seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(shape.config())


def build(folder: Path, data: Path, count: int, shape: Shape, seed: int = 0) -> None:
    """Write model, tokenizer and pairs into `folder`."""
    logging.disable_progress_bar()
    pairs, texts = read_pairs(data, count)
    build_model(shape, seed).save_pretrained(folder / "model")
    train_tokenizer(texts, shape.vocabulary).save_pretrained(folder / "model")
    with (folder / "pairs.jsonl").open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs)


def lora_config(settings: Settings):
    from peft import LoraConfig

    return LoraConfig(
        r=settings.lora_r,
        lora_alpha=settings.lora_alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def load_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "pairs.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def pair_ids(row: dict[str, str], tokenizer) -> tuple[list[int], list[int], list[int]]:
    """(prompt, chosen, rejected) token ids; the answers end with EOS. Both sides must arrive at exactly these."""
    prompt = tokenizer(row["prompt"])["input_ids"]
    whole = [tokenizer(row["prompt"] + row[side] + EOS)["input_ids"] for side in ("chosen", "rejected")]
    for ids in whole:
        if ids[: len(prompt)] != prompt:
            raise ValueError(f"the prompt's ids are no prefix of the conversation's: {row['prompt'][-40:]!r}")
    return prompt, whole[0][len(prompt) :], whole[1][len(prompt) :]
