"""Random models for the GPU benchmark, made on the device, and Pairwright's view of them.

A 7B model is never written to disk or held in full precision for QLoRA: it is built without storage, and each layer is
drawn and quantised on the device, one at a time.
"""

from dataclasses import dataclass

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer, models
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from pairwright.backbone.attention import TRIE
from pairwright.backbone.load import Backbone
from shapes import Shape

SPREAD = 0.02
"""Standard deviation of the random weights."""


@dataclass(frozen=True)
class Adapters:
    r: int = 16
    alpha: int = 32


def random_model(shape: Shape, tuning: str, device: torch.device, dtype: torch.dtype, seed: int = 0) -> PreTrainedModel:
    """A frozen random Llama on `device`: `tuning` "lora" in `dtype`, "qlora" with nf4 linear layers."""
    torch.manual_seed(seed)
    if tuning == "lora":
        with device:
            model = AutoModelForCausalLM.from_config(shape.config(), dtype=dtype)
    else:
        model = _four_bit(shape, device, dtype)
    for parameter in model.parameters():
        parameter.requires_grad = False
    return model


def _four_bit(shape: Shape, device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    import bitsandbytes as bnb

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape.config(), dtype=dtype)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and "lm_head" not in name:
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, _quantised_linear(bnb, module, device, dtype))
    for name, parameter in list(model.named_parameters()):
        if parameter.is_meta:
            parent, _, child = name.rpartition(".")
            value = torch.empty(parameter.shape, dtype=dtype, device=device)
            value = value.fill_(1.0) if parameter.dim() == 1 else value.normal_(std=SPREAD)
            setattr(model.get_submodule(parent), child, nn.Parameter(value, requires_grad=False))
    model.tie_weights()
    # Its frequencies are a buffer that no file holds; without storage they were not computed.
    with device:
        model.model.rotary_emb = type(model.model.rotary_emb)(model.config)
    left = [name for name, tensor in (*model.named_parameters(), *model.named_buffers()) if tensor.is_meta]
    if left:
        raise RuntimeError(f"without storage still: {left[0]} and {len(left) - 1} more")
    # What peft and TRL look at to know that a model is quantised.
    model.is_loaded_in_4bit = True
    return model


def _quantised_linear(bnb, layer: nn.Linear, device: torch.device, dtype: torch.dtype) -> nn.Module:
    weight = torch.empty(layer.out_features, layer.in_features, dtype=dtype, device=device).normal_(std=SPREAD)
    new = bnb.nn.Linear4bit(
        layer.in_features,
        layer.out_features,
        bias=False,
        compute_dtype=dtype,
        compress_statistics=True,
        quant_type="nf4",
        device="meta",
    )
    new.weight = bnb.nn.Params4bit(
        weight, requires_grad=False, quant_type="nf4", compress_statistics=True, module=new
    ).to(device)
    return new


def lora(adapters: Adapters) -> LoraConfig:
    return LoraConfig(
        r=adapters.r,
        lora_alpha=adapters.alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def backbone(base: PreTrainedModel, tuning: str, backend: str, adapters: Adapters | None, seed: int = 0) -> Backbone:
    """What backbone.load gives, around a model that is in memory already. Without adapters every weight is trained."""
    plain = base.config._attn_implementation
    base.set_attn_implementation(TRIE)
    torch.manual_seed(seed)
    model = get_peft_model(base, lora(adapters)) if adapters else base
    model.train()
    parameter = base.get_input_embeddings().weight
    return Backbone(
        model=model,
        tokenizer=tokenizer(),
        device=parameter.device,
        dtype=parameter.dtype,
        tuning=tuning,
        backend=backend,
        plain=plain,
        digest="random",
        continued=False,
    )


def release(built: Backbone) -> PreTrainedModel:
    """The base model again, without adapters, on its own attention."""
    base = built.model.unload() if isinstance(built.model, PeftModel) else built.model
    base.set_attn_implementation(built.plain)
    return base


def tokenizer() -> PreTrainedTokenizerFast:
    """The ids are random; TRL only asks for the padding token."""
    words = Tokenizer(models.WordLevel({"<end>": 0, "<unknown>": 1}, unk_token="<unknown>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>", pad_token="<end>")
