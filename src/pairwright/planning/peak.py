"""The moment at which a training step holds most: what is kept, and what is made on the way.

Three moments can be the highest: the log-probabilities at the end of the forward pass, the head's backward pass, and
the backward pass of a layer. Gradients are counted beside them (weights.py): from the second micro-batch on they are
all there.
"""

from dataclasses import dataclass, replace

from pairwright.planning import activations as act
from pairwright.planning.activations import Setting
from pairwright.planning.architectures import Model
from pairwright.planning.batch import Batch, runs


@dataclass(frozen=True)
class Peak:
    """Bytes, by part, at the highest moment."""

    moment: str
    layers: int
    """Kept by the layers."""
    head: int
    """Kept after them, and by the mask and the angles."""
    logits: int
    passing: int
    """Made on the way: gradients of activations, of a matrix, of the embedding."""

    @property
    def total(self) -> int:
        return self.layers + self.head + self.logits + self.passing


def highest(model: Model, setting: Setting, batch: Batch) -> Peak:
    return max(
        (_end_of_forward(model, setting, batch), _head_backward(model, setting, batch), _layer(model, setting, batch)),
        key=lambda peak: peak.total,
    )


def _kept_layers(model: Model, setting: Setting, batch: Batch) -> list[int]:
    """What each layer keeps until its backward pass."""
    if setting.checkpointing:
        return [act.stream(model, setting, batch)] * model.layers
    kept = [act.layer(model, setting, batch).total] * model.layers
    kept[-1] = act.layer(model, setting, batch, rows=_last_rows(model, batch)).total
    kept[0] -= _unneeded(model, setting, batch)
    return kept


def _unneeded(model: Model, setting: Setting, batch: Batch) -> int:
    """What the first layer does not keep, because nothing before it is trained."""
    return act.layer(model, setting, batch).total - act.layer(model, setting, batch, first=True).total


def _last_rows(model: Model, batch: Batch) -> int | None:
    return batch.needed if model.family.fused else None


def _tied_gradient(model: Model, setting: Setting) -> int:
    """A tied embedding's gradient from the head waits for the one from the first layer."""
    return model.embedding * setting.width if setting.tuning == "full" and model.tied else 0


def _around(model: Model, setting: Setting, batch: Batch) -> int:
    return act.angles(model, setting, batch) + 56 * batch.tokens


def _end_of_forward(model: Model, setting: Setting, batch: Batch) -> Peak:
    """A chunk of logits."""
    beside = act.head(model, setting, batch) + act.masks(setting, batch) + _around(model, setting, batch)
    logits = _chunk(model, setting, batch)
    return Peak("log-probabilities", sum(_kept_layers(model, setting, batch)), beside, logits, 0)


def _chunk(model: Model, setting: Setting, batch: Batch) -> int:
    """Float32 logits become their own exponentials and gradient. In 16 bits they stand beside the half as large product
    that they come from, or the gradient that they become; capped ones beside their slope and what it is made from."""
    chunk = act.chunk(model, batch)
    return 3 * chunk if model.logit_cap else chunk + (chunk // 2 if setting.width == 2 else 0)


def _head_backward(model: Model, setting: Setting, batch: Batch) -> Peak:
    """A trained head: the same, and the gradients of head and hidden states."""
    if setting.tuning != "full":
        return Peak("", 0, 0, 0, 0)
    w, logits = setting.width, _chunk(model, setting, batch)
    if setting.width == 2:
        logits += act.chunk(model, batch) // 2  # its transpose, for the head's own gradient
    passing = model.embedding * w + batch.scored * model.hidden * w
    return Peak(
        "backward of the head",
        sum(_kept_layers(model, setting, batch)),
        act.head(model, setting, batch) + _held_masks(setting, batch) + _around(model, setting, batch),
        logits,
        passing,
    )


def _held_masks(setting: Setting, batch: Batch) -> int:
    """Masks that the backward pass still has: those that a fused kernel keeps, or that a layer is made again with."""
    return act.masks(setting, batch) if setting.attention == "flash" or setting.checkpointing else 0


def _layer(model: Model, setting: Setting, batch: Batch) -> Peak:
    """The last layer, or the one before it, whose MLP goes over all tokens."""
    kept = _kept_layers(model, setting, batch)
    beside = _held_masks(setting, batch) + _around(model, setting, batch)
    found = []
    for number in {model.layers - 1, max(0, model.layers - 2)}:
        rows = _last_rows(model, batch) if number == model.layers - 1 else None
        below = sum(kept[: number + 1]) if setting.checkpointing else sum(kept[:number])
        whole = act.layer(model, setting, batch, rows=rows)
        if number == 0:
            whole = act.layer(model, setting, batch, rows=rows, first=not setting.checkpointing)
        for passing, freed in _moments(model, setting, batch, whole, rows or batch.tokens):
            passing += _tied_gradient(model, setting)
            found.append(Peak(f"backward of layer {number + 1}", below + whole.total - freed, beside, 0, passing))
    return max(found, key=lambda peak: peak.total)


def _moments(model: Model, setting: Setting, batch: Batch, kept: act.Kept, rows: int) -> list[tuple[int, int]]:
    """(made, freed before) at the stages of a layer's backward pass that can be the highest, in their order."""
    w, full = setting.width, setting.adapters is None
    wide = w if setting.adapters is None else setting.adapters.width
    stream, one = rows * model.hidden * w, rows * model.intermediate
    matrix = max(linear.weights for linear in model.linears) * w if full else 0
    product = one * wide
    # The gradient of the MLP's product, by the base and by the adapter.
    stages = [(stream + matrix + one * (w + (0 if full else wide)), 0)]
    # Gradients of the product, of up and of gate; the fused layer makes one more on the way.
    stages += [(stream + one * w * (4 if model.family.fused else 3), product)]
    if w != wide:
        # The first matrices' gradient: as it came, in float32 thrice (scaled for the adapter), and for the base; over a
        # 4-bit base the adapter's output is cast before it is added, and one and the base's need not be. Gate and up
        # go one after the other, unless they are one matrix.
        outputs = 2 if model.family.mlp == "merged" else 1
        waiting = w if model.family.mlp == "gated" else 0
        each = w + 2 * wide if setting.tuning == "qlora" else 2 * w + 3 * wide
        made = stream + rows * model.hidden * wide + one * (waiting + outputs * each)
        stages += [(made, product + kept.mlp)]
    mlp = act.layer(model, setting, replace(batch, tokens=0, blocks=()), rows=rows).total
    blocks = runs(batch) if setting.attention == "blockwise" else batch.blocks
    scores = max((b.queries * b.keys for b in blocks if act.in_the_open(b, setting)), default=0)
    attention = 2 * model.heads * scores * 4 + batch.tokens * (2 * model.queries + 2 * model.keys) * w
    return [*stages, (2 * act.stream(model, setting, batch) + attention + matrix, mlp)]
