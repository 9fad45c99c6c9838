"""The sizes of a decoder, from a transformers config: every weight matrix, and what of a layer decides its memory.

Only arithmetic: no torch, no model in memory. Families in FAMILIES are written out here and agree with transformers'
models weight by weight (tests/planning/test_architectures.py). Any other architecture is counted from the modules that
transformers builds without storage (recipes/inventory.py), and its activations are an upper estimate.
"""

from dataclasses import dataclass
from typing import Any, Literal

from pairwright.errors import ModelError


@dataclass(frozen=True)
class Linear:
    """One weight matrix of a layer."""

    name: str
    inputs: int
    outputs: int
    source: str
    """Which tensor it reads: matrices that read the same one share what is kept of it."""
    bias: bool = False

    @property
    def weights(self) -> int:
        return self.inputs * self.outputs


@dataclass(frozen=True)
class Family:
    """What of an architecture's code decides memory, besides its sizes."""

    norm: Literal["rms", "gemma", "layer"] = "rms"
    norms: int = 2
    """Norms of the hidden width in a layer."""
    head_norms: bool = False
    """Norms on each head's queries and keys."""
    fused: bool = False
    """backbone/fused.py replaces its norms, rotation and gated MLP, and runs its last MLP on needed rows only."""
    mlp: Literal["gated", "merged", "plain"] = "gated"
    """merged: gate and up are one matrix; plain: one matrix up and a GELU written out (GPT-2)."""
    merged_qkv: bool = False
    rotary: bool = True
    bias: tuple[str, ...] = ()
    """Matrices that always have a bias."""
    trie: bool = True
    """Whether backbone/attention.py runs it; else every sequence is a row of its own."""


FAMILIES = {
    "llama": Family(fused=True),
    "mistral": Family(fused=True),
    "qwen2": Family(fused=True, bias=("q_proj", "k_proj", "v_proj")),
    "qwen3": Family(fused=True, head_norms=True),
    "granite": Family(),
    "gemma": Family(norm="gemma"),
    "gemma2": Family(norm="gemma", norms=4),
    "gemma3_text": Family(norm="gemma", norms=4, head_norms=True),
    "phi3": Family(mlp="merged", merged_qkv=True),
    "gpt2": Family(norm="layer", mlp="plain", merged_qkv=True, rotary=False, bias=("c_attn", "c_proj", "c_fc")),
}


@dataclass(frozen=True)
class Model:
    """A decoder: its sizes and its matrices."""

    name: str
    kind: str
    """transformers' model_type."""
    family: Family
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head: int
    """Size of one head."""
    intermediate: int
    vocabulary: int
    tied: bool
    """The head is the embedding."""
    positions: int
    window: int | None
    """Sliding window of the layers that have one."""
    softcap: bool
    """Attention scores are capped: no fused kernel does that."""
    logit_cap: bool
    """Logits are capped."""
    linears: tuple[Linear, ...]
    """The matrices of one layer."""
    layer_vectors: int
    """Other parameters of a layer: norms, biases."""
    outside: int
    """Parameters outside layers, embedding and head: the last norm, learned positions."""
    whole: bool = True
    """False where the architecture is not in FAMILIES, and activations are an upper estimate."""

    @property
    def queries(self) -> int:
        return self.heads * self.head

    @property
    def keys(self) -> int:
        return self.kv_heads * self.head

    @property
    def embedding(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def linear_weights(self) -> int:
        """In the matrices of all layers, the head not among them."""
        return self.layers * sum(linear.weights for linear in self.linears)

    @property
    def other_weights(self) -> int:
        """Everything that quantisation leaves alone: embedding, head, norms, biases, positions."""
        return self.embedding * (1 if self.tied else 2) + self.layers * self.layer_vectors + self.outside

    @property
    def parameters(self) -> int:
        return self.linear_weights + self.other_weights


def from_config(config: dict[str, Any], name: str) -> Model:
    """The model that a config (the fields of config.json) describes.

    Raises KeyError with the model_type for a family that is not in FAMILIES, ModelError where a size is missing.
    """
    config = config.get("text_config") or config
    kind = str(config.get("model_type", ""))
    family = FAMILIES[kind]

    def size(*names: str, default: int | None = None) -> int:
        found = next((n for n in names if config.get(n)), None)
        value = config[found] if found else default
        if not isinstance(value, int) or value < 1:
            raise ModelError(f"{name}: its config gives {found or names[0]} as {value!r}")
        return value

    hidden = size("hidden_size", "n_embd")
    heads = size("num_attention_heads", "n_head")
    kv_heads = heads if kind == "gpt2" else size("num_key_value_heads", default=heads)
    head = size("head_dim", default=hidden // heads)
    intermediate = size("n_inner", default=4 * hidden) if kind == "gpt2" else size("intermediate_size")
    positions = size("max_position_embeddings", "n_positions", default=2048)
    linears = _linears(family, hidden, heads * head, kv_heads * head, intermediate, _biases(family, config))
    # Gemma and GPT-2 tie their head unless told otherwise; configs of most others say so.
    tied = config.get("tie_word_embeddings", kind.startswith("gemma") or kind == "gpt2")
    per_norm = 2 if family.norm == "layer" else 1
    vectors = per_norm * family.norms * hidden + sum(linear.outputs for linear in linears if linear.bias)
    vectors += 2 * head if family.head_norms else 0
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    return Model(
        name=name,
        kind=kind,
        family=family,
        layers=size("num_hidden_layers", "n_layer"),
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head=head,
        intermediate=intermediate,
        vocabulary=size("vocab_size"),
        tied=bool(tied),
        positions=positions,
        window=window,
        softcap=bool(config.get("attn_logit_softcapping")),
        logit_cap=bool(config.get("final_logit_softcapping")),
        linears=linears,
        layer_vectors=vectors,
        outside=per_norm * hidden + (0 if family.rotary else positions * hidden),
    )


def _biases(family: Family, config: dict[str, Any]) -> frozenset[str]:
    names = set(family.bias)
    if config.get("attention_bias"):
        names |= {"q_proj", "k_proj", "v_proj", "o_proj"}
    if config.get("mlp_bias"):
        names |= {"gate_proj", "up_proj", "down_proj"}
    return frozenset(names)


def _linears(
    family: Family, hidden: int, queries: int, keys: int, intermediate: int, biases: frozenset[str]
) -> tuple[Linear, ...]:
    """The matrices of one layer, in order."""
    if family.mlp == "plain":
        sizes = [("c_attn", hidden, queries + 2 * keys, "norm 1"), ("c_proj", queries, hidden, "attention")]
        sizes += [("c_fc", hidden, intermediate, "norm 2"), ("c_proj", intermediate, hidden, "product")]
    else:
        if family.merged_qkv:
            sizes = [("qkv_proj", hidden, queries + 2 * keys, "norm 1")]
        else:
            sizes = [("q_proj", hidden, queries, "norm 1")]
            sizes += [(name, hidden, keys, "norm 1") for name in ("k_proj", "v_proj")]
        sizes += [("o_proj", queries, hidden, "attention")]
        if family.mlp == "merged":
            sizes += [("gate_up_proj", hidden, 2 * intermediate, "norm 2")]
        else:
            sizes += [(name, hidden, intermediate, "norm 2") for name in ("gate_proj", "up_proj")]
        sizes += [("down_proj", intermediate, hidden, "product")]
    return tuple(Linear(name, rows, columns, source, name in biases) for name, rows, columns, source in sizes)
