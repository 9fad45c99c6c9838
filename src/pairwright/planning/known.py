"""Shapes of well-known open models, as their public config.json gives them, so that no download is needed to plan.

Compared with stored copies of the config were Llama 3, some of Gemma 2 and 3 and Qwen2.5-7B. The others are written
from memory, and so are the totals of 33 of them, which their parameters sum to (tests/planning/test_known.py). Names
are those of the hub, without owner and in lower case.

Columns: layers, hidden, intermediate, query heads, key heads, head size, vocabulary, head tied, positions.
"""

from typing import Any

Row = tuple[int, int, int, int, int, int, int, bool, int]

LLAMA: dict[str, Row] = {
    "llama-7b": (32, 4096, 11008, 32, 32, 128, 32000, False, 2048),
    "llama-13b": (40, 5120, 13824, 40, 40, 128, 32000, False, 2048),
    "llama-30b": (60, 6656, 17920, 52, 52, 128, 32000, False, 2048),
    "llama-65b": (80, 8192, 22016, 64, 64, 128, 32000, False, 2048),
    "llama-2-7b": (32, 4096, 11008, 32, 32, 128, 32000, False, 4096),
    "llama-2-13b": (40, 5120, 13824, 40, 40, 128, 32000, False, 4096),
    "llama-2-70b": (80, 8192, 28672, 64, 8, 128, 32000, False, 4096),
    "llama-3-8b": (32, 4096, 14336, 32, 8, 128, 128256, False, 8192),
    "llama-3-70b": (80, 8192, 28672, 64, 8, 128, 128256, False, 8192),
    "llama-3.1-8b": (32, 4096, 14336, 32, 8, 128, 128256, False, 131072),
    "llama-3.1-70b": (80, 8192, 28672, 64, 8, 128, 128256, False, 131072),
    "llama-3.2-1b": (16, 2048, 8192, 32, 8, 64, 128256, True, 131072),
    "llama-3.2-3b": (28, 3072, 8192, 24, 8, 128, 128256, True, 131072),
    "llama-3.3-70b": (80, 8192, 28672, 64, 8, 128, 128256, False, 131072),
    "tinyllama-1.1b": (22, 2048, 5632, 32, 4, 64, 32000, False, 2048),
    "smollm2-135m": (30, 576, 1536, 9, 3, 64, 49152, True, 8192),
    "smollm2-360m": (32, 960, 2560, 15, 5, 64, 49152, True, 8192),
    "smollm2-1.7b": (24, 2048, 8192, 32, 32, 64, 49152, True, 8192),
}
MISTRAL: dict[str, Row] = {
    "mistral-7b-v0.1": (32, 4096, 14336, 32, 8, 128, 32000, False, 32768),
    "mistral-7b-v0.3": (32, 4096, 14336, 32, 8, 128, 32768, False, 32768),
    "mistral-nemo-12b": (40, 5120, 14336, 32, 8, 128, 131072, False, 131072),
    "mistral-small-24b": (40, 5120, 32768, 32, 8, 128, 131072, False, 32768),
}
QWEN2: dict[str, Row] = {
    "qwen2-0.5b": (24, 896, 4864, 14, 2, 64, 151936, True, 131072),
    "qwen2-1.5b": (28, 1536, 8960, 12, 2, 128, 151936, True, 131072),
    "qwen2-7b": (28, 3584, 18944, 28, 4, 128, 152064, False, 131072),
    "qwen2-72b": (80, 8192, 29568, 64, 8, 128, 152064, False, 131072),
    "qwen2.5-0.5b": (24, 896, 4864, 14, 2, 64, 151936, True, 32768),
    "qwen2.5-1.5b": (28, 1536, 8960, 12, 2, 128, 151936, True, 131072),
    "qwen2.5-3b": (36, 2048, 11008, 16, 2, 128, 151936, True, 32768),
    "qwen2.5-7b": (28, 3584, 18944, 28, 4, 128, 152064, False, 131072),
    "qwen2.5-14b": (48, 5120, 13824, 40, 8, 128, 152064, False, 131072),
    "qwen2.5-32b": (64, 5120, 27648, 40, 8, 128, 152064, False, 131072),
    "qwen2.5-72b": (80, 8192, 29568, 64, 8, 128, 152064, False, 131072),
}
QWEN3: dict[str, Row] = {
    "qwen3-0.6b": (28, 1024, 3072, 16, 8, 128, 151936, True, 40960),
    "qwen3-1.7b": (28, 2048, 6144, 16, 8, 128, 151936, True, 40960),
    "qwen3-4b": (36, 2560, 9728, 32, 8, 128, 151936, True, 40960),
    "qwen3-8b": (36, 4096, 12288, 32, 8, 128, 151936, False, 40960),
    "qwen3-14b": (40, 5120, 17408, 40, 8, 128, 151936, False, 40960),
    "qwen3-32b": (64, 5120, 25600, 64, 8, 128, 151936, False, 40960),
}
GEMMA2: dict[str, Row] = {
    "gemma-2-2b": (26, 2304, 9216, 8, 4, 256, 256000, True, 8192),
    "gemma-2-9b": (42, 3584, 14336, 16, 8, 256, 256000, True, 8192),
    "gemma-2-27b": (46, 4608, 36864, 32, 16, 128, 256000, True, 8192),
}
GEMMA3: dict[str, Row] = {
    "gemma-3-270m": (18, 640, 2048, 4, 1, 256, 262144, True, 32768),
    "gemma-3-1b": (26, 1152, 6912, 4, 1, 256, 262144, True, 32768),
    "gemma-3-4b": (34, 2560, 10240, 8, 4, 256, 262208, True, 131072),
    "gemma-3-12b": (48, 3840, 15360, 16, 8, 256, 262208, True, 131072),
    "gemma-3-27b": (62, 5376, 21504, 32, 16, 128, 262208, True, 131072),
}
PHI3: dict[str, Row] = {
    "phi-3-mini-4k": (32, 3072, 8192, 32, 32, 96, 32064, False, 4096),
    "phi-3-medium-4k": (40, 5120, 17920, 40, 10, 128, 32064, False, 4096),
    "phi-3.5-mini": (32, 3072, 8192, 32, 32, 96, 32064, False, 131072),
    "phi-4": (40, 5120, 17920, 40, 10, 128, 100352, False, 16384),
    "phi-4-mini": (32, 3072, 8192, 24, 8, 128, 200064, True, 131072),
}

EXTRA: dict[str, dict[str, Any]] = {
    "gemma2": {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "sliding_window": 4096},
    "gemma3_text": {"sliding_window": 1024},
}
FAMILIES: dict[str, dict[str, Row]] = {
    "llama": LLAMA,
    "mistral": MISTRAL,
    "qwen2": QWEN2,
    "qwen3": QWEN3,
    "gemma2": GEMMA2,
    "gemma3_text": GEMMA3,
    "phi3": PHI3,
}
FIELDS = (
    "num_hidden_layers",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "tie_word_embeddings",
    "max_position_embeddings",
)
ALIASES = {
    "7b": "llama-2-7b",
    "mistral-7b": "mistral-7b-v0.3",
    "mistral-nemo": "mistral-nemo-12b",
    "zephyr-7b": "mistral-7b-v0.1",
    "phi-3-mini": "phi-3-mini-4k",
}
SUFFIXES = ("-instruct", "-chat", "-it", "-hf", "-base", "-pt", "-v0.1", "-v0.2", "-v0.3", "-meta")


def names() -> list[str]:
    return sorted(name for table in FAMILIES.values() for name in table)


def config(name: str) -> dict[str, Any] | None:
    """The config of a known model by its hub name or its short one: meta-llama/Llama-3.1-8B-Instruct, llama-3.1-8b.
    None where it is not known."""
    short = name.rpartition("/")[2].lower().replace("meta-llama", "llama")
    tried = [short]
    while any(short.endswith(suffix) for suffix in SUFFIXES):
        short = next(short.removesuffix(s) for s in SUFFIXES if short.endswith(s))
        tried.append(short)
    for candidate in tried:
        candidate = ALIASES.get(candidate, candidate)
        for kind, table in FAMILIES.items():
            if candidate in table:
                return {"model_type": kind, **dict(zip(FIELDS, table[candidate])), **EXTRA.get(kind, {})}
    return None
