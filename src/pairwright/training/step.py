"""One optimiser step: accumulate over micro-batches, check, clip, step. Knows no method's name.

The loss of a step is the sum over its examples divided by a total of the whole step (examples, or supervised tokens),
so neither loss nor gradient depends on how the step was cut into micro-batches or spread over processes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pairwright.errors import NonFiniteError
from pairwright.tokens.sequences import Example
from pairwright.training.monitors import Reduce, combined, over_processes

Parameters = dict[str, torch.nn.Parameter]
MOST_SKIPS = 20
"""Steps in a row that float16's loss scaling may skip before the run stops: it halves the scale each time, and from
its start at 65,536 nothing sane needs as many."""


@dataclass(frozen=True)
class Forward:
    """What a micro-batch gives."""

    losses: Tensor
    """(n,) weighted loss of each example, to be summed and divided by the step's total."""
    metrics: dict[str, Tensor]
    """Sums over the examples (or extremes: monitors.py), detached, by metric name."""
    tokens: int
    """Tokens computed."""


@dataclass
class Optimiser:
    """AdamW and, in float16, the loss scaler."""

    adamw: torch.optim.AdamW
    masters: Parameters
    """What AdamW steps on, by name: the trained parameter itself, or a float32 copy of one in 16 bits. An update of
    5e-7 of a weight is lost in bfloat16, whose steps are 4e-3 of it."""
    scaler: torch.amp.GradScaler
    max_norm: float
    skipped: int = 0
    """Steps in a row without an update, because the scaled gradients overflowed."""


def make_optimiser(
    parameters: Parameters, *, learning_rate: float, weight_decay: float, max_norm: float, half: bool
) -> Optimiser:
    masters = {
        name: p if p.dtype == torch.float32 else torch.nn.Parameter(p.detach().float())
        for name, p in parameters.items()
    }
    tensors = list(masters.values())
    adamw = torch.optim.AdamW(tensors, lr=learning_rate, weight_decay=weight_decay, fused=True)
    scaler = torch.amp.GradScaler(tensors[0].device.type, enabled=half)
    return Optimiser(adamw, masters, scaler, max_norm)


def take(
    optimiser: Optimiser,
    parameters: Parameters,
    batches: Sequence[Sequence[Example]],
    forward: Callable[[Sequence[Example]], Forward],
    *,
    total: float,
    learning_rate: float,
    reduce: Reduce | None = None,
    largest: Reduce | None = None,
    inspect: Callable[[dict[str, float], Sequence[Tensor]], None] | None = None,
) -> dict[str, float]:
    """Take one step over `batches`; returns the loss, grad_norm and the forward's metrics, each summed over the
    examples and divided by `total` where it is the loss.

    `total` is of the whole step, over all processes; `reduce` sums a tensor over them, `largest` takes the largest.
    `inspect` sees what will be returned, and each micro-batch's losses, before anything is changed, and may raise.
    Raises NonFiniteError before anything is changed.
    """
    losses: list[Tensor] = []
    sums: dict[str, Tensor] = {}
    tokens = 0
    for batch in batches:
        out = forward(batch)
        optimiser.scaler.scale(out.losses.sum() / total).backward()
        losses.append(out.losses.detach())
        sums = combined(sums, out.metrics)
        tokens += out.tokens
        del out  # its graph holds every checkpointed layer's input, and would live through the next forward pass
    if reduce is not None:
        _reduce_gradients(parameters, reduce)
    _gradients_to_masters(parameters, optimiser.masters)
    optimiser.scaler.unscale_(optimiser.adamw)
    norm = torch.nn.utils.clip_grad_norm_(
        optimiser.masters.values(), optimiser.max_norm if optimiser.max_norm > 0 else float("inf"), foreach=True
    )
    device = norm.device
    loss = torch.cat(losses).sum() / total if losses else torch.zeros((), device=device)
    sums |= {"loss": loss, "tokens_computed": torch.tensor(float(tokens), device=device)}
    names, numbers = over_processes(sums, reduce, largest)
    # The step's only wait for the device: everything that is logged, in one copy.
    values = torch.cat([numbers, norm.detach().float()[None]]).tolist()
    result = {"loss": 0.0, "tokens_computed": 0.0} | dict(zip([*names, "grad_norm"], values))  # in this order
    _check(result, losses, batches, parameters, optimiser)
    if inspect is not None and not optimiser.skipped:
        inspect(result, losses)
    for group in optimiser.adamw.param_groups:
        group["lr"] = learning_rate
    optimiser.scaler.step(optimiser.adamw)
    optimiser.scaler.update()
    masters_to_weights(parameters, optimiser.masters)
    optimiser.adamw.zero_grad(set_to_none=True)
    if optimiser.skipped:
        # float16 overflowed and nothing was changed: there is no norm to log, and JSON has no infinity.
        result = {name: value for name, value in result.items() if math.isfinite(value)} | {"skipped": 1.0}
    return result


def _gradients_to_masters(parameters: Parameters, masters: Parameters) -> None:
    for name, parameter in parameters.items():
        if masters[name] is not parameter and parameter.grad is not None:
            masters[name].grad = parameter.grad.float()
            parameter.grad = None


@torch.no_grad()
def masters_to_weights(parameters: Parameters, masters: Parameters) -> None:
    """Round the float32 copies into the 16-bit parameters that they stand for."""
    for name, parameter in parameters.items():
        if masters[name] is not parameter:
            parameter.copy_(masters[name])


def _reduce_gradients(parameters: Parameters, reduce: Reduce) -> None:
    """Sum every gradient over the processes, each of which may have seen no batch at all."""
    for parameter in parameters.values():
        mine = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        parameter.grad = reduce(mine)


def _check(
    result: dict[str, float],
    losses: Sequence[Tensor],
    batches: Sequence[Sequence[Example]],
    parameters: Parameters,
    optimiser: Optimiser,
) -> None:
    """Raise NonFiniteError naming the example whose loss, or the parameter whose gradient, is not a number."""
    finite = torch.isfinite(torch.tensor(list(result.values())))
    if bool(finite.all()):
        optimiser.skipped = 0
        return
    if what := not_finite(losses, batches):
        raise NonFiniteError(f"{what}; nothing was changed in this step")
    bad = [n for n, p in optimiser.masters.items() if p.grad is not None and not bool(torch.isfinite(p.grad).all())]
    if bad and optimiser.scaler.is_enabled() and optimiser.skipped < MOST_SKIPS:
        optimiser.skipped += 1  # float16 overflow: the scaler skips this step and halves its scale
        return
    sources = ", ".join(str(e.source) for batch in batches for e in batch)
    what = f"the gradient of {bad[0]} (and {len(bad) - 1} more)" if bad else "a logged value"
    raise NonFiniteError(f"{what} is not finite in the step over {sources}; nothing was changed in this step")


def not_finite(losses: Sequence[Tensor], batches: Sequence[Sequence[Example]]) -> str | None:
    """Which loss is not a number, in words; None where all are. `losses` are (n,), of the examples of each batch."""
    values = [value for part in losses for value in part.tolist()]
    examples = [example for batch in batches for example in batch]
    odd = [(value, example) for value, example in zip(values, examples) if not math.isfinite(value)]
    if not odd:
        return None
    value, example = odd[0]
    if len(odd) == len(values) > 1:
        return f"all {len(odd)} losses are NaN or infinite, that of {example.source} among them"
    return f"the loss of {example.source} is {value}"


def learning_rate_at(step: int, steps: int, peak: float, schedule: str, warmup: float) -> float:
    """Learning rate of step `step` (0-based) of `steps`: up in a line over the first `warmup` share (from 1 on: over so
    many steps), then linear or cosine down to 0 after the last step, or constant."""
    rising = math.ceil(warmup * steps) if warmup < 1 else int(warmup)
    if step < rising:
        return peak * (step + 1) / rising
    left = (steps - step) / max(1, steps - rising)
    if schedule == "linear":
        return peak * left
    if schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * (1 - left)))
    return peak
