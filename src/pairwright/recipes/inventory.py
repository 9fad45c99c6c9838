"""The sizes of a model by looking at its modules, where planning/architectures.py does not write its architecture out.

From a config alone the modules are built without storage; nothing is downloaded or computed.
"""

from pathlib import Path
from typing import Any

from pairwright.errors import ModelError
from pairwright.planning import architectures
from pairwright.planning.architectures import FAMILIES, Family, Linear, Model


def from_folder(folder: Path) -> Model:
    """The model of a folder with a config.json, or of that file. Raises ModelError where transformers cannot."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(str(folder))
        text = config.get_text_config()
        if text.model_type in FAMILIES:  # its file leaves out what transformers fills in
            return architectures.from_config(text.to_dict(), folder.name)
        loader: Any = AutoModelForCausalLM
        with torch.device("meta"):
            return of_modules(loader.from_config(config), folder.name)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder}: transformers cannot make a language model of it: {error}") from error


def of_modules(model: Any, name: str) -> Model:
    """Of a model in memory, or one without storage. Layers may differ: the heaviest stands for all, and the total is
    right."""

    text = model.config.get_text_config()
    head = model.get_output_embeddings()
    stack = _layers(model)
    per_layer = [_linears(layer) for layer in stack]
    linears = max(per_layer, key=lambda found: sum(linear.weights for linear in found))
    embedding = model.get_input_embeddings().weight
    tied = head is not None and head.weight is embedding
    total = sum(_count(p) for p in model.parameters())
    in_linears = len(stack) * sum(linear.weights for linear in linears)
    heads = getattr(text, "num_attention_heads", None) or 1
    hidden = int(embedding.shape[1])
    return Model(
        name=name,
        kind=str(text.model_type),
        # More than most keep: activations of an architecture that nobody looked at err high.
        family=Family(norm="gemma", norms=4, trie=bool(getattr(model, "_supports_attention_backend", False))),
        layers=len(stack),
        hidden=hidden,
        heads=heads,
        kv_heads=getattr(text, "num_key_value_heads", None) or heads,
        head=getattr(text, "head_dim", None) or hidden // heads,
        intermediate=max(max(linear.inputs, linear.outputs) for linear in linears) if linears else 4 * hidden,
        vocabulary=int(embedding.shape[0]),
        tied=tied,
        positions=getattr(text, "max_position_embeddings", None) or 2048,
        window=None,
        softcap=False,
        logit_cap=bool(getattr(text, "final_logit_softcapping", None)),
        linears=linears,
        layer_vectors=0,
        outside=total - in_linears - embedding.numel() * (1 if tied else 2),
        whole=False,
    )


def of_loaded(model: Any) -> Model:
    """Of a transformers model in memory."""
    text = model.config.get_text_config()
    if text.model_type in FAMILIES:
        return architectures.from_config(text.to_dict(), str(text.model_type))
    return of_modules(model, str(text.model_type))


def _layers(model: Any) -> list[Any]:
    import torch

    found: list[Any] = list(model.modules())
    lists = [m for m in found if isinstance(m, torch.nn.ModuleList) and len(m)]
    if not lists:
        raise ModelError(f"{type(model).__name__} has no list of layers: its memory cannot be planned")
    return list(max(lists, key=_weight))


def _weight(module: Any) -> int:
    return sum(_count(p) for p in module.parameters())


def _linears(layer: Any) -> tuple[Linear, ...]:
    import torch

    return tuple(
        Linear(name.rpartition(".")[2], m.in_features, m.out_features, name, m.bias is not None)
        for name, m in layer.named_modules()
        if isinstance(m, torch.nn.Linear)
    )


def _count(parameter: Any) -> int:
    """Weights of a parameter; a 4-bit one packs two in a byte."""
    state = getattr(parameter, "quant_state", None)
    shape = parameter.shape if state is None else state.shape
    out = 1
    for size in shape:
        out *= int(size)
    return out
