"""Bytes that a forward pass keeps for its backward pass, and what both need on the way.

Written tensor by tensor, as backbone/fused.py, backbone/attention.py, backbone/logprobs.py and peft's LoRA layers keep
them; benchmarks/plan_vs_measured.py holds it against the allocator. When one of those changes what it keeps, the
function here that bears its name changes with it.

Legend: N tokens, R tokens whose last hidden state is needed, S scored tokens, w bytes of an activation.
"""

from dataclasses import dataclass
from typing import Literal

from pairwright.planning.architectures import Linear, Model
from pairwright.planning.batch import Batch, Block, runs
from pairwright.planning.weights import Adapters, Tuning

CHUNK_BYTES = 64 * 2**20
"""Bytes of float32 logits made at a time (backbone/logprobs.py; a test compares)."""

KEPT = 512
"""Attention weights of blocks with at most this many keys are kept (backbone/blockwise.py; a test compares)."""

Attention = Literal["blockwise", "products", "flash", "varlen", "math"]
"""blockwise: float32 on a CPU, fused layers (backbone/blockwise.py); products: the same, other layers; flash: one fused
call a block; varlen: FlashAttention over gathered keys; math: scores in the open, float32 (soft-capping; grouped heads
on GPUs before Ampere with torch before 2.14)."""


@dataclass(frozen=True)
class Setting:
    """What decides activations besides model and batch."""

    tuning: Tuning
    width: int
    """Bytes of an activation: 2, or 4."""
    checkpointing: bool
    attention: Attention
    adapters: Adapters | None
    """None for full tuning."""


@dataclass(frozen=True)
class Kept:
    """Of one layer, in bytes."""

    norms: int
    inputs: int
    """Inputs of the matrices, for the gradient by their weights or by their adapters."""
    adapters: int
    """The narrow tensors between an adapter's A and B."""
    attention: int
    mlp: int

    @property
    def total(self) -> int:
        return self.norms + self.inputs + self.adapters + self.attention + self.mlp


def layer(model: Model, setting: Setting, batch: Batch, rows: int | None = None, first: bool = False) -> Kept:
    """What one layer keeps. `rows`: tokens that go through its MLP, all of them where None. `first`: nothing before it
    is trained, so its first norm keeps nothing."""
    tokens = batch.tokens
    rows = tokens if rows is None else rows
    return Kept(
        norms=_norms(model, setting, tokens, rows, first),
        inputs=_inputs(model, setting, tokens, rows),
        adapters=_adapters(model, setting, tokens, rows),
        attention=_attention(model, setting, batch, rows),
        mlp=_mlp(model, setting, rows),
    )


def _norms(model: Model, setting: Setting, tokens: int, rows: int, first: bool) -> int:
    """The input of each norm and a number or two a row."""
    w, numbers = setting.width, 8 if model.family.norm == "layer" else 4
    per_value = w if model.family.fused else _per_normed(model, setting)
    half = model.family.norms // 2
    size = lambda count, n: count * n * (model.hidden * per_value + numbers)  # noqa: E731
    kept = size(half, tokens) + size(model.family.norms - half, rows)
    if first and setting.tuning != "full":
        kept -= size(1, tokens)
    if model.family.head_norms:
        each = lambda n, values, heads: n * (values * _per_normed(model, setting) + heads * numbers)  # noqa: E731
        kept += each(rows, model.queries, model.heads) + each(tokens, model.keys, model.kv_heads)
    return kept


def _per_normed(model: Model, setting: Setting) -> int:
    """Bytes for each value that transformers' own norm takes. RMSNorm goes over float32, and keeps the normed values
    too where its weight is trained; Gemma multiplies before it goes back to 16 bits."""
    if model.family.norm == "layer":
        return setting.width
    again = 4 if model.family.norm == "gemma" else setting.width
    return 4 + (again if setting.tuning == "full" else 0)


def _inputs(model: Model, setting: Setting, tokens: int, rows: int) -> int:
    """Matrices that read the same tensor keep it once; but an adapter on 16-bit activations casts its input to its own
    float32, and keeps that copy for itself."""
    of = lambda linear: _rows_of(linear, tokens, rows) * linear.inputs  # noqa: E731
    linears = model.linears if setting.adapters is None else setting.adapters.on(model)
    if setting.adapters is not None and setting.width != setting.adapters.width:
        return setting.adapters.width * sum(of(linear) for linear in linears)
    return setting.width * sum(size for _, size in {(linear.source, of(linear)) for linear in linears})


def _adapters(model: Model, setting: Setting, tokens: int, rows: int) -> int:
    if setting.adapters is None:
        return 0
    each = setting.adapters.r * setting.adapters.width
    return each * sum(_rows_of(linear, tokens, rows) for linear in setting.adapters.on(model))


def _rows_of(linear: Linear, tokens: int, rows: int) -> int:
    """The fused last layer computes only `rows`, but keys and values of all tokens."""
    return tokens if linear.name in ("k_proj", "v_proj") else rows


def _mlp(model: Model, setting: Setting, rows: int) -> int:
    """Fused: gate and up. Else the activated gate as well; a GELU written out keeps four steps of it."""
    width = {"gated": 2 if model.family.fused else 3, "merged": 3, "plain": 4}[model.family.mlp]
    return rows * model.intermediate * setting.width * width


def _attention(model: Model, setting: Setting, batch: Batch, rows: int) -> int:
    """Queries, keys and values as the kernel takes them, its output and its sums; scores where it is no fused one."""
    if setting.attention == "blockwise":
        angles, values = 2 * rows * model.head, rows * model.queries + 2 * batch.tokens * model.keys
        skipped = batch.tokens - rows
        weights = sum(b.count * b.queries * b.keys for b in runs(batch, skipped) if b.keys <= KEPT)
        return 4 * (angles + values + model.heads * weights)
    w, queries, keys = setting.width, model.queries, model.keys
    if setting.attention == "varlen":
        gathered = sum(b.count * b.keys for b in batch.blocks)
        return batch.tokens * (2 * queries * w + 4 * model.heads) + 2 * gathered * keys * w
    kept = batch.tokens * queries * w if model.family.rotary else 0
    viewed = [b for b in batch.blocks if not _copied(b, model, setting)]
    if not model.family.rotary or (model.family.merged_qkv and viewed):
        kept += batch.tokens * (queries + 2 * keys) * w  # values are a view of the merged projection
        kept += batch.tokens * keys * w if model.family.rotary else 0
    elif viewed:
        kept += 2 * batch.tokens * keys * w
    return kept + sum(b.count * _block(b, model, setting) for b in batch.blocks)


def in_the_open(block: Block, setting: Setting) -> bool:
    return setting.attention in ("math", "blockwise") or (setting.attention == "products" and block.masked)


def _copied(block: Block, model: Model, setting: Setting) -> bool:
    """Whether a block's keys stand in a copy of their own, and not in the projection's output."""
    return block.joined or (in_the_open(block, setting) and model.heads != model.kv_heads)


def _block(block: Block, model: Model, setting: Setting) -> int:
    w, n, m = setting.width, block.queries, block.keys
    copies = 0
    if _copied(block, model, setting):
        copies = 2 * m * w * (model.queries if in_the_open(block, setting) else model.keys)
    if not in_the_open(block, setting):
        return copies + n * (model.queries * w + 4 * model.heads)
    scores = model.heads * n * m
    if model.softcap:
        # tanh's output, and the softmax in float32 with its 16-bit copy
        return copies + scores * (2 * 4 if w == 4 else 4 + 2 * w)
    if setting.attention == "math":
        return copies * 4 // w + 4 * scores + n * model.queries * 4
    return copies + 4 * scores


def masks(setting: Setting, batch: Batch) -> int:
    """Additive masks, made once for all layers."""
    if setting.attention == "varlen":
        return 0
    if setting.attention == "blockwise":
        return sum(b.count * b.queries * b.keys * 4 for b in runs(batch))
    return sum(b.count * b.queries * b.keys * setting.width for b in batch.blocks if b.masked)


def head(model: Model, setting: Setting, batch: Batch) -> int:
    """After the last layer: the last norm, the rows that are scored, and, with a frozen head, their gradient."""
    rows = batch.needed if model.family.fused else batch.tokens
    kept = rows * (model.hidden * _per_normed(model, setting) + 8)
    by_hidden = 0 if setting.tuning == "full" else 1
    return kept + batch.scored * ((1 + by_hidden) * model.hidden * setting.width + 20)


def kept_logits(model: Model, setting: Setting, batch: Batch) -> int:
    """A trained head keeps its logits where they are one chunk; capped ones are made again."""
    if setting.tuning != "full" or model.logit_cap or batch.scored > chunk_rows(model):
        return 0
    return batch.scored * model.vocabulary * 4


def chunk_rows(model: Model) -> int:
    """Rows of logits that are made at a time."""
    return max(1, CHUNK_BYTES // (4 * model.vocabulary))


def chunk(model: Model, batch: Batch) -> int:
    """Bytes of one float32 chunk of logits."""
    return min(batch.scored, chunk_rows(model)) * model.vocabulary * 4


def angles(model: Model, setting: Setting, batch: Batch) -> int:
    """Cosines and sines of the positions, once for all layers (Gemma 3 has two sets)."""
    if not model.family.rotary:
        return 0
    sets = 2 if model.kind == "gemma3_text" else 1
    return sets * 2 * batch.tokens * model.head * setting.width


def stream(model: Model, setting: Setting, batch: Batch) -> int:
    """One hidden state of every token: what a checkpointed layer keeps."""
    return batch.tokens * model.hidden * setting.width
