"""Tokenizers of every kind that matters, made in the process, and a way to see a sequence: `shown`."""

import json
from collections.abc import Callable, Sequence

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from pairwright.tokens.sequences import TokenSequence

SPECIAL = [
    "<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|header|>", "<|/header|>", "<|eot|>", "<|eom|>",
    "<turn>", "<end_turn>", "[Q]", "[/Q]", "<|user|>", "<|bot|>", "<|end|>",
]  # fmt: skip
"""Made up in the manner of the families. Every tokenizer here has them all, and uses those that a template writes."""

VOCABULARY = (
    "Hi Hello there yes no Yes No blue red green more one two three four five six seven Human Assistant User Bot user "
    "assistant system tool model Be brief ok call result think hard because "
)

CORPUS = [
    "Hello there, how are you today? I am well, thank you.\n\nHuman: yes please\n\nAssistant: no thank you.\n",
    "The quick brown fox jumps over the lazy dog. What is it? It is blue, red or green!\n\n",
    "one two three four five six seven eight nine ten; more of the same, and more, and more.",
]


def _wrap(backend: Tokenizer, **more: object) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", **more)


def _adds_bos(backend: Tokenizer, *before: processors.PostProcessor) -> None:
    bos = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", backend.token_to_id("<s>"))]
    )
    backend.post_processor = processors.Sequence([*before, bos]) if before else bos


@pytest.fixture(scope="session")
def word_level() -> Callable[..., PreTrainedTokenizerFast]:
    """Words with the space before them, newlines and signs one by one: sequences that can be written out by hand."""

    def make(*, adds_bos: bool = False, **more: object) -> PreTrainedTokenizerFast:
        words = VOCABULARY.split()
        signs = list("\n.,:?!<>/{}[]()_-'\" ")
        pieces = SPECIAL + signs + [" " + s for s in signs if s != " "] + words + [" " + w for w in words]
        backend = Tokenizer(models.WordLevel({p: i for i, p in enumerate(pieces)}, unk_token="<unk>"))
        backend.add_special_tokens(SPECIAL)
        backend.add_tokens(["<think>", "</think>"])
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?\w+| ?[^\w\s]|\s"), "isolated")
        backend.decoder = decoders.Fuse()
        if adds_bos:
            _adds_bos(backend)
        return _wrap(backend, unk_token="<unk>", **more)

    return make


@pytest.fixture(scope="session")
def byte_level() -> Callable[..., PreTrainedTokenizerFast]:
    """Byte-level BPE as GPT-2, Llama 3 and Qwen have it; `trims` as GPT-2, which tells places without white space."""

    def make(*, adds_bos: bool = False, trims: bool = False, **more: object) -> PreTrainedTokenizerFast:
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        backend.train_from_iterator(
            CORPUS, trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet)
        )
        places = processors.ByteLevel(trim_offsets=trims)
        if adds_bos:
            _adds_bos(backend, places)
        else:
            backend.post_processor = places
        return _wrap(backend, **more)

    return make


@pytest.fixture(scope="session")
def metaspace() -> Callable[..., PreTrainedTokenizerFast]:
    """BPE in the manner of SentencePiece, as Llama 2 has it: a space before the text, bytes for what is unknown.

    `legacy` puts that space before every piece between special tokens, not only the first.
    """

    def make(*, legacy: bool = False, **more: object) -> PreTrainedTokenizerFast:
        trained = Tokenizer(models.BPE())
        trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        letters = sorted({c for line in CORPUS for c in line if c not in " \n"} | {"▁"})
        trainer = trainers.BpeTrainer(vocab_size=240, initial_alphabet=letters, show_progress=False)
        trained.train_from_iterator(CORPUS, trainer)
        vocab = trained.get_vocab()
        merges = [tuple(pair) for pair in _merges(trained)]
        pieces = SPECIAL + [f"<0x{i:02X}>" for i in range(256)] + sorted(vocab, key=vocab.__getitem__)
        model = models.BPE({p: i for i, p in enumerate(pieces)}, merges, byte_fallback=True, unk_token="<unk>")
        backend = Tokenizer(model)
        backend.add_special_tokens(SPECIAL)
        if legacy:
            backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        else:
            backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        backend.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        _adds_bos(backend)
        return _wrap(backend, unk_token="<unk>", **more)

    return make


def _merges(tokenizer: Tokenizer) -> Sequence[Sequence[str]]:
    return json.loads(tokenizer.to_str())["model"]["merges"]


@pytest.fixture(scope="session")
def shown() -> Callable[[PreTrainedTokenizerFast, TokenSequence], str]:
    """A sequence as text, token by token, each supervised token in «marks»."""

    def show(tokenizer: PreTrainedTokenizerFast, sequence: TokenSequence) -> str:
        tokens = tokenizer.convert_ids_to_tokens(sequence.ids.tolist())
        assert "<unk>" not in tokens, f"the test's vocabulary lacks a word: {tokens}"
        return "".join(f"«{t}»" if s else t for t, s in zip(tokens, sequence.supervised))

    return show
