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
        """From the fields of a transformers config; names vary, GPT-2's included. Where layers differ (a list), the
        largest counts. Raises ValueError naming the field that is missing, or is no number."""
        hidden = _number(config, "hidden_size", "n_embd", "d_model")
        heads = _number(config, "num_attention_heads", "n_head", default=1)
        head = _number(config, "head_dim", default=hidden // heads)
        return cls(
            layers=_number(config, "num_hidden_layers", "n_layer", "n_layers", "num_layers"),
            hidden=hidden,
            intermediate=_number(config, "intermediate_size", "n_inner", default=4 * hidden),
            key_value=head * _number(config, "num_key_value_heads", default=heads),
        )


def _number(config: dict, *names: str, default: int | None = None) -> int:
    name = next((name for name in names if config.get(name)), None)
    if name is None and default is not None:
        return default
    found = config[name] if name else None
    values = found if isinstance(found, list | tuple) else [found]
    if not all(isinstance(value, int) and value > 0 for value in values):
        raise ValueError(f"the model's config gives {name or names[0]} as {found!r}")
    return max(values)


@dataclass(frozen=True)
class Fixed:
    """What does not depend on the batch."""

    weights: int
    trained: int
    """Trained parameters, a count."""
    trained_bytes: int
    """Bytes of one trained parameter."""
    reference: int = 0
    """Bytes of a frozen copy that a live reference is computed with."""

    def total(self) -> int:
        """Weights are there already. Gradients are as wide as the weights; AdamW's two moments are float32, and so is
        the copy that 16-bit weights are updated through, with its gradient."""
        copies = 0 if self.trained_bytes == 4 else 2 * 4
        return self.trained * (self.trained_bytes + 2 * 4 + copies) + self.reference


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


def without_estimate(reason: str, *, longest: int, tokens_per_batch: int | None, checkpointing: str) -> Choice:
    """For a model whose shape is not known: batches of the longest example, which has to fit in any case."""
    tokens, on = tokens_per_batch or longest, checkpointing == "on"
    line = (
        f"memory: not estimated, because {reason}; {tokens:,} tokens a batch, gradient checkpointing "
        f"{'on' if on else 'off'}. --tokens-per-batch and --gradient-checkpointing change that"
    )
    return Choice(tokens, on, line)
