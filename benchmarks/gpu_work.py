"""Random pairs, and what a run needs around them: clocks and memory readings. Shared by the sections of gpu.py."""

import gc
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from flops import Count, count_pair
from pairwright.records import Source
from pairwright.tokens.sequences import Example, TokenSequence

PAIRS_PER_STEP = 8


def random_pairs(count: int, prompt: int, answer: int, vocabulary: int, seed: int) -> list[Example]:
    """`count` pairs of a prompt of `prompt` tokens and two answers of `answer` tokens, which differ from the first."""
    draw = np.random.default_rng(seed)
    examples = []
    for number in range(count):
        shared = draw.integers(2, vocabulary, prompt)
        answers = draw.integers(2, vocabulary, (2, answer))
        answers[1, 0] = answers[0, 0] - 1 if answers[0, 0] > 2 else 3
        sequences = tuple(
            TokenSequence(np.concatenate([shared, tail]), np.arange(prompt + answer) >= prompt) for tail in answers
        )
        examples.append(Example(sequences, Source("random", number + 1)))
    return examples


def ids_of(example: Example) -> tuple[list[int], list[int], list[int]]:
    """(prompt, chosen, rejected)."""
    first = int(example.sequences[0].supervised.argmax())
    chosen, rejected = (sequence.ids.tolist() for sequence in example.sequences)
    return chosen[:first], chosen[first:], rejected[first:]


def needed(examples: list[Example]) -> Count:
    total = Count(0, 0, 0)
    for example in examples:
        total += count_pair(*ids_of(example))
    return total


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def clear(device: torch.device) -> None:
    """Give back what is free, and start the memory peaks anew."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peaks_gb(device: torch.device) -> dict[str, float | None]:
    """Most memory in tensors and most held by PyTorch, in GB (10^9 bytes); None without a GPU."""
    if device.type != "cuda":
        return {"allocated_gb": None, "reserved_gb": None}
    return {
        "allocated_gb": torch.cuda.max_memory_allocated(device) / 1e9,
        "reserved_gb": torch.cuda.max_memory_reserved(device) / 1e9,
    }


def timed(step: Callable[[], object], device: torch.device, repeats: int) -> list[float]:
    """Seconds of each call, after one that is not counted."""
    seconds = []
    for number in range(repeats + 1):
        synchronise(device)
        begin = time.perf_counter()
        step()
        synchronise(device)
        if number:
            seconds.append(time.perf_counter() - begin)
    return seconds


def matrix_rate(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """FLOP/s of one large square product."""
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2.0 * side**3 / statistics.median(timed(lambda: a @ b, device, 10))
