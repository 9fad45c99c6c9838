"""How much memory a training step takes, by arithmetic. No torch.

The parts are bytes. Weights, gradients, optimiser: exact. Activations: counted from what a decoder layer keeps for its
backward pass, with GPU and CPU alike; the estimate decides token budget and gradient checkpointing, and errs high.
"""

from dataclasses import dataclass

MB = 2**20
LOGITS = 3 * 64 * MB
"""Chunked logits: backbone/logprobs.py holds at most three buffers of CHUNK_BYTES at a time."""
CPU_TOKENS, GPU_TOKENS = 4096, 32768
"""Largest token budgets. Beyond them a batch only costs memory: the matrix products are at their full rate."""
MARGIN = 0.85
"""Share of the free memory that is planned with; the rest is fragmentation and what is not counted."""


@dataclass(frozen=True)
class Shape:
    """The numbers of a decoder that decide its memory."""

    layers: int
    hidden: int
    intermediate: int
    key_value: int
    """Size of all keys of a token: key heads times head size."""

    @classmethod
    def from_config(cls, config: dict) -> "Shape":
        """From the fields of a transformers config; names vary, GPT-2's included."""
        first = lambda *names, default=None: next((config[n] for n in names if config.get(n)), default)  # noqa: E731
        hidden = first("hidden_size", "n_embd", "d_model")
        heads = first("num_attention_heads", "n_head", default=1)
        head = first("head_dim", default=hidden // heads)
        return cls(
            layers=first("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
            hidden=hidden,
            intermediate=first("intermediate_size", "n_inner", default=4 * hidden),
            key_value=head * first("num_key_value_heads", default=heads),
        )


@dataclass(frozen=True)
class Fixed:
    """What does not depend on the batch."""

    weights: int
    trained: int
    """Trained parameters, a count."""
    trained_bytes: int
    """Bytes of one trained parameter."""

    def total(self) -> int:
        """Weights are there already. Gradients are as wide as the weights; AdamW's two moments are float32, and so is
        the copy that 16-bit weights are updated through, with its gradient."""
        copies = 0 if self.trained_bytes == 4 else 2 * 4
        return self.trained * (self.trained_bytes + 2 * 4 + copies)


def activation_bytes(shape: Shape, width: int, *, checkpointing: bool) -> int:
    """Bytes that one token keeps for the backward pass; `width` is the bytes of one activation.

    A layer keeps, in units of hidden: its input, two normed copies with their float32 intermediates (about 6), query
    and attention output before and after rotation (4); of key_value: keys and values before and after (4); of
    intermediate: gate, up, activated gate and product (4). With checkpointing a layer keeps its input, and one layer
    at a time all of it.
    """
    layer = width * (11 * shape.hidden + 4 * shape.key_value + 4 * shape.intermediate)
    if checkpointing:
        return shape.layers * width * shape.hidden + layer
    return shape.layers * layer


@dataclass(frozen=True)
class Choice:
    tokens_per_batch: int
    checkpointing: bool
    line: str
    """What was decided and why, for the log."""


def choose(
    shape: Shape,
    fixed: Fixed,
    free: int,
    width: int,
    *,
    longest: int,
    step_tokens: int,
    on_gpu: bool,
    tokens_per_batch: int | None = None,
    checkpointing: str = "auto",
) -> Choice:
    """Token budget and checkpointing for `free` bytes (after the weights are loaded).

    `longest` is the trie size of the largest example, which has to fit whole; `step_tokens` that of a whole step,
    above which a budget is pointless. Checkpointing is taken only where the longest example would not fit without, or
    where less than a quarter of a step would.
    """
    room = max(0, int(free * MARGIN) - fixed.total() - LOGITS)
    cap = min(GPU_TOKENS if on_gpu else CPU_TOKENS, max(step_tokens, longest))
    plain = activation_bytes(shape, width, checkpointing=False)
    saved = activation_bytes(shape, width, checkpointing=True)
    wanted = max(longest, min(cap, step_tokens // 4))
    on = checkpointing == "on" or (checkpointing == "auto" and room < plain * (tokens_per_batch or wanted))
    per_token = saved if on else plain
    tokens = tokens_per_batch or max(longest, min(cap, room // per_token))
    needed = fixed.total() + LOGITS + tokens * per_token
    gb = lambda n: f"{n / 2**30:.1f} GB"  # noqa: E731
    fits = "" if needed <= free else "; that is more than is free, and may not fit"
    line = (
        f"memory: {gb(needed)} estimated on top of {gb(fixed.weights)} of weights, {gb(free)} free; "
        f"{tokens:,} tokens a batch, gradient checkpointing {'on' if on else 'off'}{fits}"
    )
    return Choice(int(tokens), on, line)
