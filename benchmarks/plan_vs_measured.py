"""The memory plan against the allocator, on a CPU: predicted and allocated bytes over a grid of tiny models.

    python benchmarks/plan_vs_measured.py [--out benchmarks/results/plan_vs_measured.json] [--most 60]

Each cell takes real optimiser steps (training/step.py, two micro-batches) and reads every allocation and release of
PyTorch's CPU allocator from its profiler, so temporary tensors inside operators count as well. Weights, adapters,
gradients, masters and moments are compared exactly; `activations` is the highest allocation within a step above what
was there before it, less the gradients; `total` is everything together at the highest moment.

A known case first: a product of two 1,000 x 1,000 matrices of float32, which allocates 4,000,000 bytes.
"""

import argparse
import itertools
import json
import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch.profiler import ProfilerActivity, profile
from transformers import AutoConfig, AutoModelForCausalLM

import machine
from gpu_models import random_model
from gpu_ours import Run as Steps
from gpu_work import random_pairs
from pairwright.backbone.attention import TRIE
from pairwright.backbone.fused import fuse
from pairwright.backbone.load import Backbone, set_gradient_checkpointing
from pairwright.backbone.rows import plain_implementation
from pairwright.planning import architectures, batch
from pairwright.planning.memory import Memory, Run, cpu_attention, memory
from pairwright.planning.weights import Adapters
from shapes import Shape

CPU = torch.device("cpu")
R = 8
KINDS = ("llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text", "phi3", "gpt2", "granite")
SIZES = ((64, 2, 512), (128, 4, 512), (128, 3, 4000), (256, 2, 8000))
"""(hidden, layers, vocabulary)."""
LENGTHS = ((1, 300, 200), (4, 30, 20), (2, 100, 120))
"""(pairs in a micro-batch, prompt, answer)."""
EXACT = ("weights", "adapter", "gradients", "float32 masters", "AdamW moments")


def highest(work: Callable[[], object]) -> int:
    """Most bytes that are allocated while `work` runs, above those before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        work()
    events = found.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    return max(itertools.accumulate((size for _, size in changes), initial=0))


def known_case() -> int:
    a, b = torch.ones(1000, 1000), torch.ones(1000, 1000)
    return highest(lambda: a @ b)


def build(kind: str, tuning: str, dtype: torch.dtype, hidden: int, layers: int, vocabulary: int) -> Backbone:
    heads, kv = hidden // 32, hidden // 64
    if tuning == "qlora":
        shape = Shape("grid", vocabulary, hidden, layers, heads, kv, 3 * hidden, tied=False)
        model = random_model(shape, "qlora", CPU, dtype)
    else:
        sizes = dict(vocab_size=vocabulary, num_hidden_layers=layers, num_attention_heads=heads, hidden_size=hidden)
        sizes |= dict(intermediate_size=3 * hidden, num_key_value_heads=kv, head_dim=32, max_position_embeddings=2048)
        if kind == "gpt2":
            sizes = dict(vocab_size=vocabulary, n_layer=layers, n_head=heads, n_embd=hidden)
        config = AutoConfig.for_model(kind, **sizes, bos_token_id=1, eos_token_id=2, pad_token_id=0)
        model = AutoModelForCausalLM.from_config(config).to(dtype)
    for module in model.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, float) and ("drop" in name or (name == "p" and isinstance(module, torch.nn.Dropout))):
                setattr(module, name, 0.0)
    plain = plain_implementation(model)
    model.set_attn_implementation(TRIE)
    fuse(model)
    if tuning != "full":
        model = get_peft_model(model, LoraConfig(r=R, target_modules="all-linear", task_type="CAUSAL_LM"))
    model.train()
    return Backbone(model, None, CPU, dtype, tuning, "segments", plain, "random", False)


def planned(built: Backbone, checkpointing: bool, pairs: int, prompt: int, answer: int) -> Memory:
    model = architectures.from_config(built.base.config.to_dict(), "grid")
    width = built.dtype.itemsize
    attention = cpu_attention(model, width)
    run = Run(built.tuning, width, checkpointing, attention, Adapters(R))
    return memory(model, run, batch.of(pairs, prompt, [answer, answer]))


def held(tensors) -> int:
    """Bytes of storages; a 4-bit weight's scales and tables among them."""
    total = 0
    for tensor in tensors:
        total += tensor.numel() * tensor.element_size()
        if (state := getattr(tensor, "quant_state", None)) is not None:
            beside = (state.absmax, state.code, state.offset, state.state2.absmax, state.state2.code)
            total += sum(t.numel() * t.element_size() for t in beside)
    return total


def measured(built: Backbone, steps: Steps) -> dict[str, int]:
    """After a first step, which makes the optimiser's state."""
    steps.take()
    trained = steps.parameters
    masters = steps.optimiser.masters
    state = steps.optimiser.adamw.state.values()
    adapter = held(trained.values()) if built.tuning != "full" else 0
    found = {
        "weights": held(built.model.parameters()) - adapter,
        "adapter": adapter,
        "gradients": held(trained.values()),
        "float32 masters": held(m for name, m in masters.items() if m is not trained[name]),
        "AdamW moments": held(s[n] for s in state for n in ("exp_avg", "exp_avg_sq")),
    }
    rise = highest(steps.take)
    there = found["weights"] + adapter + found["float32 masters"] + found["AdamW moments"]
    return found | {"rise": rise, "total": there + rise}


def cell(kind: str, tuning: str, dtype: str, checkpointing: bool, size, lengths) -> dict:
    torch.manual_seed(0)
    built = build(kind, tuning, getattr(torch, dtype), *size)
    set_gradient_checkpointing(built, checkpointing)
    pairs, prompt, answer = lengths
    steps = Steps(built, random_pairs(2 * pairs, prompt, answer, size[2], 0), pairs * (prompt + 2 * (answer - 1)))
    real, plan = measured(built, steps), planned(built, checkpointing, pairs, prompt, answer)
    assert len(steps.batches) == 2
    parts = {part.name: part.bytes for part in plan.parts}
    computing = plan.moments["a batch"]
    still = sum(parts.get(name, 0) for name in EXACT if name != "gradients")
    activations = computing - still - real["gradients"]
    gradients = parts["gradients"] if plan.moment == "a batch" else real["gradients"]
    exact = all(real[n] == (gradients if n == "gradients" else parts.get(n, 0)) for n in EXACT)
    compared = {"activations": (activations, real["rise"] - real["gradients"]), "total": (plan.total, real["total"])}
    return {
        "model": kind,
        "tuning": tuning,
        "precision": dtype,
        "checkpointing": checkpointing,
        "hidden, layers, vocabulary": size,
        "pairs, prompt, answer": lengths,
        "exact parts agree": exact,
        # Where the optimiser's step is the highest moment, what a batch took cannot be seen from outside.
        "moment": plan.moment,
        **{name: {"planned": a, "measured": b, "error": a / b - 1} for name, (a, b) in compared.items()},
    }


def grid(most: int) -> list[tuple]:
    """Every family with every tuning, precision and checkpointing; sizes and lengths in turn."""
    kinds = [(kind, tuning) for kind in KINDS for tuning in ("full", "lora")] + [("llama", "qlora")] * 4
    cells = list(itertools.product(kinds, ("float32", "bfloat16"), (False, True)))
    chosen = []
    for number, ((kind, tuning), dtype, checkpointing) in enumerate(cells):
        size, lengths = SIZES[(number // 3) % len(SIZES)], LENGTHS[(number // 4) % len(LENGTHS)]
        chosen.append((kind, tuning, dtype, checkpointing, size, lengths))
    return chosen[:: max(1, -(-len(chosen) // most)) | 1]


def summary(cells: list[dict]) -> dict:
    batches = [c for c in cells if c["moment"] == "a batch"]
    found: dict = {"cells": len(cells), "exact parts agree in": sum(c["exact parts agree"] for c in cells)}
    for name, of in (("activations", batches), ("total", cells)):
        errors = [c[name]["error"] for c in of]
        sizes = [abs(e) for e in errors]
        found[name] = {
            "cells": len(of),
            "median": statistics.median(sizes),
            "worst": max(sizes),
            "most too low": min(errors),
            "most too high": max(errors),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "plan_vs_measured.json")
    parser.add_argument("--most", type=int, default=88, help="cells of the grid at most")
    args = parser.parse_args()
    assert known_case() == 4_000_000
    cells = []
    for number, settings in enumerate(chosen := grid(args.most), start=1):
        cells.append(cell(*settings))
        last = cells[-1]
        print(
            f"{number}/{len(chosen)}",
            *settings,
            f"activations {last['activations']['error']:+.1%} total {last['total']['error']:+.1%} "
            f"exact {last['exact parts agree']}",
            flush=True,
        )
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "torch": torch.__version__,
        "machine": machine.describe(),
        "summary": summary(cells),
        "cells": cells,
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["summary"], indent=1))


if __name__ == "__main__":
    main()
