"""Small things to train: model folders, files of pairs, backbones and examples, all made in the process.

Backbones are those of tests/backbone/models.py (vocabulary 61); folders hold a Llama with a tokenizer of whole words.
"""

import json
import random
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from pairwright.backbone.attention import TRIE
from pairwright.backbone.fused import fuse
from pairwright.backbone.load import Backbone
from pairwright.backbone.rows import plain_implementation
from pairwright.recipes.display import Display
from pairwright.records import Source
from pairwright.tokens.sequences import Example, TokenSequence
from tests.backbone.models import VOCABULARY, make

CPU = torch.device("cpu")
SPECIAL = ["<pad>", "<eos>", "<unk>"]
WORDS = [f"w{number}" for number in range(125)]
ROWS = len(SPECIAL) + len(WORDS)
"""Tokens of a folder's model: 128."""


def write_tokenizer(folder: Path, words: list[str] = WORDS) -> None:
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>", unk_token="<unk>", model_max_length=128
    ).save_pretrained(folder)


def write_model(folder: Path, seed: int = 0, hidden: int = 32, **settings: object) -> Path:
    """A Llama of 128 tokens and two layers, with its tokenizer."""
    write_tokenizer(folder)
    torch.manual_seed(seed)
    standard: dict[str, object] = {
        "vocab_size": ROWS,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "bos_token_id": None,
    }
    model = LlamaForCausalLM(LlamaConfig(**(standard | settings)))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.1)
    model.save_pretrained(folder)
    return folder


class Heard(Display):
    """Keeps what a run says."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def line(self, start: str) -> str:
        return next(line for line in self.lines if line.startswith(start))


def text(chance: random.Random, low: int, high: int) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(low, high)))


def pair_rows(number: int, seed: int = 0) -> list[dict]:
    chance = random.Random(seed)
    return [
        {"prompt": text(chance, 3, 12), "chosen": " " + text(chance, 2, 8), "rejected": " " + text(chance, 2, 8)}
        for _ in range(number)
    ]


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def backbone(
    tuning: str = "full", *, kind: str = "llama", dtype: torch.dtype = torch.float32, seed: int = 0
) -> Backbone:
    """A tiny random model, ready to train. With adapters none of them is zero."""
    model = make(kind, seed).to(dtype)
    plain = plain_implementation(model)
    model.set_attn_implementation(TRIE)
    fuse(model)
    if tuning == "lora":
        torch.manual_seed(seed)
        model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(0, 0.1)
    model.train()
    return Backbone(model, None, CPU, dtype, tuning, "segments", plain, f"digest {seed}", False)


def uniform(vocabulary_head: float = 0.0) -> Backbone:
    """A model that gives every token the same probability, 1/61: its head is zero."""
    out = backbone("full")
    with torch.no_grad():
        out.base.get_output_embeddings().weight.fill_(vocabulary_head)
    return out


def tokens(prompt: list[int], answer: list[int]) -> TokenSequence:
    ids = np.array(prompt + answer, dtype=np.int64)
    return TokenSequence(ids, np.arange(len(ids)) >= len(prompt))


def examples(number: int, seed: int = 0, sides: int = 2) -> list[Example]:
    """Pairs (sides 2) or demonstrations (sides 1) with prompts of 2 to 6 tokens and answers of 1 to 5."""
    rng = np.random.default_rng(seed)
    draw = lambda low, high: rng.integers(3, VOCABULARY, rng.integers(low, high + 1)).tolist()  # noqa: E731
    out = []
    for line in range(1, number + 1):
        prompt = draw(2, 6)
        out.append(Example(tuple(tokens(prompt, draw(1, 5)) for _ in range(sides)), Source("made.jsonl", line)))
    return out
