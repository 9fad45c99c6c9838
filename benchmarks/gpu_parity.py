"""Every attention backend against the dense mask: log-probabilities and gradients, in float32 and in bfloat16.

Three small random models between them use all that the backends do: grouped heads, a sliding window, capped scores.
The batch has pairs, packed conversations and a ranking of four. In bfloat16 nothing equals anything, so the dense mask
in float32 is the truth there, and a backend passes if it is not much further from it than the dense mask in bfloat16.
How far a plain causal mask over the packed row would be off is given too: a comparison that could not fail shows there.
"""

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, LlamaConfig, MistralConfig

from gpu_models import backbone, release
from gpu_work import random_pairs
from pairwright.backbone.policy import logprobs
from pairwright.records import Source
from pairwright.tokens import trie
from pairwright.tokens.sequences import Example, TokenSequence

BACKENDS = ("dense", "segments", "varlen", "flex")
FLOAT32_LIMIT = 1e-4
"""Largest difference of a log-probability, and of the gradient as a share of its norm."""
BFLOAT16_LIMIT = 2.0
"""Times as far from the truth as the dense mask in the same precision."""


def configs(tiny: bool) -> dict:
    size = {
        "vocab_size": 512,
        "hidden_size": 64 if tiny else 512,
        "num_hidden_layers": 2 if tiny else 4,
        "num_attention_heads": 4 if tiny else 8,
        "num_key_value_heads": 2,
        "intermediate_size": 128 if tiny else 1024,
        "head_dim": 16 if tiny else 64,
        "pad_token_id": 0,
        "eos_token_id": 0,
        "bos_token_id": None,
        "use_cache": False,
        # Wider than usual, so that attention matters and a wrong mask shows.
        "initializer_range": 0.06,
    }
    window = 24 if tiny else 96
    return {
        "llama, grouped heads": LlamaConfig(**size),
        "mistral, sliding window": MistralConfig(**size, sliding_window=window),
        "gemma2, capped scores": Gemma2Config(**size, sliding_window=window, query_pre_attn_scalar=size["head_dim"]),
    }


def batch(tiny: bool) -> list[Example]:
    """Pairs of several lengths, and four answers to one prompt, two of which share a beginning."""
    lengths = [(20, 12), (40, 7)] if tiny else [(200, 120), (600, 90), (64, 250)]
    pairs = [e for n, (prompt, answer) in enumerate(lengths) for e in random_pairs(1, prompt, answer, 512, seed=n)]
    draw = np.random.default_rng(9)
    prompt, beginning = draw.integers(2, 512, 30), draw.integers(2, 512, 10)
    answers = [np.concatenate([beginning, draw.integers(2, 512, 8)]) for _ in range(2)]
    answers += [draw.integers(2, 512, n) for n in (5, 21)]
    sequences = [np.concatenate([prompt, answer]) for answer in answers]
    ranking = tuple(TokenSequence(ids, np.arange(len(ids)) >= len(prompt)) for ids in sequences)
    return [*pairs, Example(ranking, Source("random", 99))]


def run(device: torch.device, tiny: bool, left: Callable[[], float], save: Callable[[dict], None]) -> dict:
    """Backend after backend, flex last: compiling it takes a while. What `left` has no seconds for is skipped."""
    built = trie.build(batch(tiny))
    blind = replace(built, end=np.full_like(built.end, len(built)))
    found: dict[str, dict] = {}
    subjects = []
    for name, config in configs(tiny).items():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).to(device)
        truth = _values(model, "dense", built)
        half = copy.deepcopy(model).to(torch.bfloat16)
        yardstick = _distance(_values(half, "dense", built), truth)
        found[f"{name}, a wrong mask"] = {"float32": _distance(_values(model, "dense", blind), truth)}
        subjects.append((name, (("float32", model, None), ("bfloat16", half, yardstick)), truth))
    result = {"tokens": len(built), "cases": found, "compared": 0, "passed": 0}
    for backend in BACKENDS[1:]:
        for name, precisions, truth in subjects:
            entry = found[f"{name}, {backend}"] = {}
            for precision, model, yardstick in precisions:
                if left() <= 0:
                    entry[precision] = {"skipped": "no time left"}
                    continue
                entry[precision] = case = _judge(model, backend, built, truth, yardstick)
                result["compared"] += "passed" in case
                result["passed"] += case.get("passed", False)
                save(result)
    return result


def _values(model, backend: str, built: trie.Trie) -> tuple[torch.Tensor, torch.Tensor]:
    """(log-probabilities, whole gradient of their mean), both flat and in float32."""
    model.zero_grad(set_to_none=True)
    one = backbone(model, "full", backend, adapters=None)
    values = logprobs(one, built)
    values.mean().backward()
    release(one)
    gradient = torch.cat([p.grad.flatten().float() for p in model.parameters() if p.grad is not None])
    return values.detach().float(), gradient


def _distance(found: tuple, truth: tuple) -> dict[str, float]:
    return {
        "logprob_max": float((found[0] - truth[0]).abs().max()),
        "logprob_mean": float((found[0] - truth[0]).abs().mean()),
        "gradient": float((found[1] - truth[1]).norm() / truth[1].norm()),
    }


def _judge(model, backend: str, built: trie.Trie, truth: tuple, yardstick: dict | None) -> dict:
    """Distance from the truth, and whether it is small enough; the reason where the backend cannot run here."""
    reason = why_not(backend, next(model.parameters()))
    if reason:
        return {"skipped": reason}
    try:
        distance = _distance(_values(model, backend, built), truth)
    except (RuntimeError, ValueError, NotImplementedError) as error:
        return {"passed": False, "error": f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"}
    if yardstick is None:
        return distance | {"passed": max(distance["logprob_max"], distance["gradient"]) < FLOAT32_LIMIT}
    near = all(distance[key] <= BFLOAT16_LIMIT * yardstick[key] for key in ("logprob_mean", "gradient"))
    return distance | {"dense_itself": yardstick, "passed": near}


def why_not(backend: str, parameter: torch.Tensor) -> str | None:
    if parameter.device.type != "cuda":
        reasons = {"varlen": "FlashAttention runs on CUDA only", "flex": "flex_attention has no gradient on CPU"}
        return reasons.get(backend)
    if backend == "varlen" and parameter.dtype == torch.float32:
        return "FlashAttention computes in 16 bits only"
    return None
