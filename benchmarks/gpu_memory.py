"""One QLoRA DPO step of a 7B-shaped model at 1,024 tokens, with the process's memory capped as on a 15 GB GPU.

Random weights are drawn and quantised on the device, layer by layer, so the peak is that of the training, not of a
checkpoint that is read. Each forward pass has one pair: a prompt of 512 tokens with two answers of 512. What
`pairwright plan` counts for the same step stands beside it.
"""

from importlib.util import find_spec

import torch

import gpu_ours
from gpu_models import random_model
from gpu_work import clear, peaks_gb, random_pairs
from pairwright.backbone.attention import choose_backend
from pairwright.planning import architectures, batch
from pairwright.planning.memory import Run, cpu_attention, memory
from pairwright.planning.weights import Adapters
from shapes import Shape

CAP_GB = 15.0
GOAL_GB = 9.0


def run(shape: Shape, device: torch.device, *, prompt: int, answer: int, pairs: int, with_trl: bool) -> dict:
    """Pairwright's step under the cap, then TRL's where it is installed and wanted."""
    clear(device)
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, CAP_GB * 1e9 / total), device)
    try:
        return _measure(shape, device, prompt, answer, pairs, with_trl)
    finally:
        if device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0, device)


def _measure(shape: Shape, device: torch.device, prompt: int, answer: int, pairs: int, with_trl: bool) -> dict:
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = random_model(shape, "qlora", device, dtype)
    loading = peaks_gb(device)
    clear(device)
    weights = torch.cuda.memory_allocated(device) / 1e9 if device.type == "cuda" else None
    examples = random_pairs(pairs, prompt, answer, shape.vocabulary, seed=0)
    found = {
        "model": shape.name,
        "sequence_tokens": prompt + answer,
        "pair_tokens": prompt + 2 * answer,
        "cap_gb": CAP_GB,
        "goal_gb": GOAL_GB,
        "weights_gb": weights,
        "loading": loading,
        "pairwright": gpu_ours.measure(
            model,
            shape,
            "qlora",
            choose_backend(device, dtype, shape.head),
            examples,
            tokens_per_batch=1,  # an example longer than that stands alone: one pair a forward pass
            checkpointing=True,
            repeats=2,
        ),
    }
    if device.type == "cuda":
        found["within_goal"] = found["pairwright"]["reserved_gb"] <= GOAL_GB
    found["planned_gb"] = _planned_gb(shape, device, dtype, prompt, answer)
    if device.type == "cuda":
        found["planned_over_allocated"] = found["planned_gb"] / found["pairwright"]["allocated_gb"]
    references = found["pairwright"].pop("references")
    if with_trl and find_spec("trl"):
        found["trl"] = _trl(model, device, examples, references)
    return found


def _planned_gb(shape: Shape, device: torch.device, dtype: torch.dtype, prompt: int, answer: int) -> float:
    """GB (10^9 bytes) of the plan for this very step, without the CUDA context."""
    model = architectures.from_config(shape.config().to_dict(), shape.name)
    backend = choose_backend(device, dtype, shape.head)
    attention = "varlen" if backend == "varlen" else cpu_attention(model, dtype.itemsize)
    run = Run("qlora", dtype.itemsize, True, attention, Adapters())
    return memory(model, run, batch.of(1, prompt, [answer, answer], blocks=backend != "varlen")).total / 1e9


def _trl(model, device: torch.device, examples, references: list[float]) -> dict:
    import gpu_trl

    settings = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}}
    try:
        return gpu_trl.measure(model, device, examples, references, batch_size=1, settings=settings, repeats=2)
    except torch.OutOfMemoryError as error:
        return {"out_of_memory": str(error).splitlines()[0]}
