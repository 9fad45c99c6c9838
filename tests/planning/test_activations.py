"""What a forward pass keeps, against what autograd really saves."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tests.backbone.models import ARCHITECTURES, COMMON
from tests.tiny import CPU, tokens
from torch.autograd.graph import saved_tensors_hooks
from transformers import AutoConfig, AutoModelForCausalLM

from pairwright.backbone import blockwise
from pairwright.backbone import logprobs as head
from pairwright.backbone.attention import TRIE
from pairwright.backbone.fused import fuse
from pairwright.backbone.load import Backbone
from pairwright.backbone.policy import logprobs
from pairwright.backbone.rows import plain_implementation
from pairwright.planning import activations, architectures
from pairwright.planning import batch as sizes_of
from pairwright.planning.memory import cpu_attention
from pairwright.planning.weights import Adapters
from pairwright.recipes.memory_plan import of_batch
from pairwright.records import Source
from pairwright.tokens import trie
from pairwright.tokens.sequences import Example

LAYERS = 3


def model_of(kind: str, tuning: str, dtype: torch.dtype) -> Backbone:
    sizes = {**COMMON, "hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 512, "vocab_size": 300}
    own = {**ARCHITECTURES[kind], "sliding_window": None, "n_positions": 512}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**sizes, **own})).to(dtype)
    for module in model.modules():
        for name, value in list(vars(module).items()):
            if ("drop" in name and isinstance(value, float)) or (isinstance(module, torch.nn.Dropout) and name == "p"):
                setattr(module, name, 0.0)
    plain = plain_implementation(model)
    model.set_attn_implementation(TRIE)
    fuse(model)
    if tuning == "lora":
        model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    model.train()
    return Backbone(model, None, CPU, dtype, tuning, "segments", plain, "", False)


def saved_bytes(built: Backbone, batch: trie.Trie) -> int:
    """Of all storages that the backward pass needs, parameters and buffers apart."""
    known = {t.untyped_storage().data_ptr() for t in (*built.model.parameters(), *built.model.buffers())}
    sizes: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        out = logprobs(built, batch)
    assert out.requires_grad
    return sum(sizes.values())


def planned_bytes(built: Backbone, batch: trie.Trie) -> int:
    model = architectures.from_config(built.base.config.to_dict(), "tiny")
    width = built.dtype.itemsize
    attention = cpu_attention(model, width)
    adapters = Adapters(8) if built.tuning == "lora" else None
    setting = activations.Setting(built.tuning, width, False, attention, adapters)
    sizes = of_batch(batch, "segments")
    last = sizes.needed if model.family.fused else None
    layers = [activations.layer(model, setting, sizes, first=i == 0, rows=last if i == 2 else None) for i in range(3)]
    beside = activations.head(model, setting, sizes) + activations.kept_logits(model, setting, sizes)
    # A fused kernel keeps its mask; the others' masks are gone with the forward pass.
    masks = activations.masks(setting, sizes) if attention == "flash" else 0
    return sum(layer.total for layer in layers) + beside + masks + activations.angles(model, setting, sizes)


def example(prompt: int, answer: int, seed: int) -> Example:
    start = list(range(2, 2 + prompt))
    pair = (tokens(start, [3 + seed + side] * answer) for side in range(2))
    return Example(tuple(pair), Source("made", seed + 1))


@pytest.mark.parametrize("sizes", [(150, 60), (20, 12)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tuning", ["full", "lora"])
@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma2", "gemma3_text", "phi3", "gpt2", "granite"])
def test_kept_tensor_by_tensor(kind, tuning, dtype, sizes):
    built = model_of(kind, tuning, dtype)
    batch = trie.build([example(*sizes, 0)])
    real, planned = saved_bytes(built, batch), planned_bytes(built, batch)
    assert planned == pytest.approx(real, rel=0.015)


def test_constants_are_those_of_the_code():
    assert activations.CHUNK_BYTES == head.CHUNK_BYTES
    assert activations.KEPT == blockwise.KEPT
    assert (sizes_of.RUN, sizes_of.HIDDEN) == (blockwise.ROWS, blockwise.HIDDEN)


def test_a_layer_by_hand():
    """Llama, float32, every weight trained; hidden 64, four heads and two key heads of 16, intermediate 96; a batch of
    one causal block of 10 tokens. Norms: 2 x 10 x (64 x 4 + 4) = 5,200. Inputs of q/k/v, o, gate/up (64 each) and down
    (96): 10 x 288 x 4 = 11,520. Gate and up: 10 x 2 x 96 x 4 = 7,680. Attention: queries 64, keys and values 32 each,
    output 64, a sum for each of four heads: 10 x (192 + 4) x 4 = 7,840."""
    config = {"model_type": "llama", "num_hidden_layers": 1, "hidden_size": 64, "intermediate_size": 96}
    config |= {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300}
    model = architectures.from_config(config, "tiny")
    batch = activations.Batch(10, 10, 10, 10, (activations.Block(10, 10, masked=False),))
    kept = activations.layer(model, activations.Setting("full", 4, False, "products", None), batch)
    assert (kept.norms, kept.inputs, kept.mlp, kept.attention) == (5_200, 11_520, 7_680, 7_840)
