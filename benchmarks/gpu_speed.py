"""Speed and memory against TRL over lengths of prompts and answers, on one model.

Both sides get the same model object, pairs and tokens per forward pass, and halve the latter until it fits. TRL runs
in the fastest of its settings, found on one cell; Pairwright with the backend it would choose, the others being
measured on that cell too.
"""

from collections.abc import Callable
from importlib.util import find_spec

import torch

import gpu_ours
from flops import training_flops
from gpu_models import Adapters, random_model
from gpu_parity import why_not
from gpu_work import PAIRS_PER_STEP, needed, random_pairs
from pairwright.backbone.attention import choose_backend
from shapes import Shape

Cell = tuple[int, int]
"""(tokens of the prompt, tokens of each answer)"""
PROBE: Cell = (512, 128)
PEAK_TFLOPS = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "L4": 121.0, "T4": 65.0}
"""Dense 16-bit matrix rate by the vendors' data sheets."""

TRL_SETTINGS: dict[str, dict] = {
    "bf16 autocast (its default)": {"bf16": True},
    "the weights' own precision": {"bf16": False},
}
"""Attention is scaled_dot_product_attention throughout: without padding it is FlashAttention too."""


class Speed:
    """One model, cell by cell. `backends` are compared on the probe cell; `save` is called with the results so far,
    `left` says how many seconds there are."""

    def __init__(
        self,
        shape: Shape,
        tuning: str,
        device: torch.device,
        *,
        tokens_per_batch: int,
        repeats: int,
        backends: tuple[str, ...],
        measured_tflops: float,
        left: Callable[[], float],
        save: Callable[[dict], None],
    ) -> None:
        self.shape, self.tuning, self.device = shape, tuning, device
        self.tokens_per_batch, self.repeats = tokens_per_batch, repeats
        self.backends = backends
        self.measured_tflops, self.left, self.save = measured_tflops, left, save
        self.dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        self.model = random_model(shape, tuning, device, self.dtype)
        self.settings = "bf16 autocast (its default)"
        self.seconds_per_token = 0.0
        self.found: dict = {"model": shape.name, "tuning": tuning, "cells": {}, "skipped": []}

    def run(self, cells: list[Cell], probe: Cell) -> dict:
        """The probe cell in every setting, then all cells."""
        self.probe(probe)
        for cell in cells:
            expected = 1.5 * self.seconds_per_token * sum(cell)
            if self.left() < expected:
                self.found["skipped"].append(f"{name(cell)}: {self.left():.0f} s left, {expected:.0f} s needed")
                continue
            before = self.left()
            self.found["cells"][name(cell)] = self.compare(cell)
            self.seconds_per_token = (before - self.left()) / sum(cell)
            self.save(self.found)
        if find_spec("trl") and find_spec("liger_kernel"):
            self.with_liger([cell for cell in cells if name(cell) in self.found["cells"]])
        return self.found

    def with_liger(self, cells: list[Cell]) -> None:
        """TRL once more with Liger's kernels, which cannot be taken out of the model again: therefore last."""
        for cell in cells:
            if self.left() < self.seconds_per_token * sum(cell):
                self.found["skipped"].append(f"{name(cell)} with Liger: {self.left():.0f} s left")
                continue
            pairs, entry = self.pairs(cell), self.found["cells"][name(cell)]
            settings = TRL_SETTINGS[self.settings] | {"use_liger_kernel": True}
            entry["trl_liger"] = self.trl(pairs, [0.0] * 2 * len(pairs), settings)
            entry.update(self.rates(pairs, entry))
            self.save(self.found)

    def probe(self, cell: Cell) -> None:
        """Backends of Pairwright and settings of TRL side by side, on one cell."""
        pairs = self.pairs(cell)
        parameter = next(self.model.parameters())
        ours = {}
        for backend in self.backends:
            reason = why_not(backend, parameter)
            ours[backend] = {"skipped": reason} if reason else self.ours(pairs, backend)
        self.found["probe"] = {"cell": name(cell), "pairwright": ours}
        if find_spec("trl"):
            references = next(entry["references"] for entry in ours.values() if "references" in entry)
            theirs = {what: self.trl(pairs, references, settings) for what, settings in TRL_SETTINGS.items()}
            ran = {what: entry["seconds"] for what, entry in theirs.items() if "seconds" in entry}
            if ran:
                self.settings = min(ran, key=lambda what: ran[what])
            self.found["probe"] |= {"trl": theirs, "trl_fastest": self.settings}
        else:
            self.found["probe"]["trl"] = {"skipped": "trl is not installed"}
        for entry in ours.values():
            entry.pop("references", None)
        self.save(self.found)

    def pairs(self, cell: Cell):
        return random_pairs(PAIRS_PER_STEP, *cell, self.shape.vocabulary, seed=0)

    def compare(self, cell: Cell) -> dict:
        pairs = self.pairs(cell)
        backend = choose_backend(self.device, self.dtype, self.shape.head)
        result = {"pairwright": self.ours(pairs, backend)}
        if find_spec("trl"):
            references = result["pairwright"].get("references", [0.0] * 2 * len(pairs))
            result["trl"] = self.trl(pairs, references, TRL_SETTINGS[self.settings])
        result["pairwright"].pop("references", None)
        return result | self.rates(pairs, result)

    def rates(self, pairs, result: dict) -> dict:
        """Speed-up over the fastest TRL run, and what share of the matrix rate the needed arithmetic was done at."""
        flops = sum(training_flops(needed(pairs), self.shape, "lora", Adapters().r).values())
        out = {}
        ours = result["pairwright"].get("seconds")
        trl = min((result[k]["seconds"] for k in ("trl", "trl_liger") if "seconds" in result.get(k, {})), default=None)
        if ours and trl:
            out["speedup"] = trl / ours
            losses = zip(result["pairwright"]["losses"], result["trl"].get("losses", []))
            out["max_loss_difference"] = max((abs(a - b) for a, b in losses), default=None)
        for side, seconds in (("pairwright", ours), ("trl", trl)):
            if seconds:
                tflops = flops / seconds / 1e12
                out[f"share_of_measured_rate_{side}"] = tflops / self.measured_tflops
                if peak := peak_tflops(self.device):
                    out[f"mfu_{side}"] = tflops / peak
        return out

    def ours(self, pairs, backend: str) -> dict:
        def measure(tokens: int) -> dict:
            return gpu_ours.measure(
                self.model,
                self.shape,
                self.tuning,
                backend,
                pairs,
                tokens_per_batch=tokens,
                checkpointing=False,
                repeats=self.repeats,
            )

        one = max(sum(len(s.ids) for s in pair.sequences) for pair in pairs)
        return until_it_fits(measure, self.tokens_per_batch, one)

    def trl(self, pairs, references: list[float], settings: dict) -> dict:
        import gpu_trl

        one = sum(len(s.ids) for s in pairs[0].sequences)
        largest = max(size for size in (1, 2, 4, 8) if size == 1 or size * one <= self.tokens_per_batch)
        if self.device.type == "cpu":
            settings = settings | {"bf16": False}

        def measure(size: int) -> dict:
            return gpu_trl.measure(
                self.model, self.device, pairs, references, batch_size=size, settings=settings, repeats=self.repeats
            )

        return until_it_fits(measure, largest, 1)


def until_it_fits(measure: Callable[[int], dict], size: int, smallest: int) -> dict:
    """measure(size), with half the size each time the GPU's memory is too small."""
    while True:
        try:
            return measure(size)
        except torch.OutOfMemoryError as error:
            if size <= smallest:
                return {"out_of_memory": str(error).splitlines()[0], "size": size}
            size = max(smallest, size // 2)


def name(cell: Cell) -> str:
    return f"{cell[0]}+{cell[1]}"


def peak_tflops(device: torch.device) -> float | None:
    """The data sheet's rate of this GPU, None where it is not listed."""
    if device.type != "cuda":
        return None
    known = torch.cuda.get_device_name(device)
    return next((rate for part, rate in PEAK_TFLOPS.items() if part in known), None)
