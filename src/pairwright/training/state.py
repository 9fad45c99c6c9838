"""What a checkpoint holds of a run, taken from the optimiser and put back; and whether it is this run's."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pairwright.errors import CheckpointError
from pairwright.training import step


def snapshot(optimiser: step.Optimiser) -> dict[str, dict[str, Tensor]]:
    """The trained weights (their float32 copies, where there are any) and AdamW's state, by parameter name."""
    state = optimiser.adamw.state
    moments = {
        f"{name}.{key}": value for name, p in optimiser.masters.items() for key, value in state.get(p, {}).items()
    }
    return {"weights": {name: p.detach() for name, p in optimiser.masters.items()}, "optimizer": moments}


def restore(
    parameters: step.Parameters,
    optimiser: step.Optimiser,
    tensors: dict[str, dict[str, Tensor]],
    state: dict[str, Any],
) -> None:
    """The inverse of `snapshot`. Raises CheckpointError where names or shapes are not this model's."""
    weights, moments = tensors["weights"], tensors["optimizer"]
    if weights.keys() != parameters.keys():
        odd = sorted(weights.keys() ^ parameters.keys())[0]
        raise CheckpointError(f"the checkpoint's weights are not those that this run trains (first difference: {odd})")
    with torch.no_grad():
        for name, parameter in parameters.items():
            if weights[name].shape != parameter.shape:
                raise CheckpointError(
                    f"{name} is {tuple(weights[name].shape)} in the checkpoint, {tuple(parameter.shape)} here"
                )
            master = optimiser.masters[name]
            master.copy_(weights[name])
            own = {
                key: moments[f"{name}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq") if f"{name}.{key}" in moments
            }
            # AdamW's fused step counts on the parameter's device.
            optimiser.adamw.state[master] = {key: value.to(master.device) for key, value in own.items()}
    step.masters_to_weights(parameters, optimiser.masters)
    optimiser.scaler.load_state_dict(state["scaler"])
    optimiser.skipped = state["skipped"]


def compare_fingerprints(saved: dict[str, Any], here: dict[str, Any], checkpoint: Path) -> None:
    """Raise CheckpointError that lists what differs between the run that saved and this one."""
    lines = [
        f"  {key}: {saved.get(key)!r} in the checkpoint, {here.get(key)!r} now"
        for key in sorted(saved.keys() | here.keys())
        if saved.get(key) != here.get(key)
    ]
    if lines:
        raise CheckpointError(
            f"{checkpoint} belongs to another run, and going on would mix two. What differs:\n"
            + "\n".join(lines)
            + "\n"
            "To go on, give what the checkpoint was made with; to train with what was given now, give a new --out."
        )
