"""The arithmetic that a DPO step on prefix tries cannot do without, in floating-point operations.

A matrix product of (n, k) by (k, m) is 2nkm. Counted are the products of the forward pass, of the gradient by the
activations, and of the gradient by the trained weights; nothing that is computed twice, and nothing element by element:

    layers      full   6 x P x N          P parameters in the linear layers, N distinct tokens
                LoRA   4 x P x N          no gradient by frozen weights
                       + 6 x A x N        A adapter parameters
                       - 2 x (P1 + A1) x N    the gradient by the embedding is not needed: P1 and A1 are what the
                                              first layer's q, k, v and their adapters multiply the embedding with
    attention   12 x L x D x V            V visible (query, key) pairs, L layers, D heads x head size: two products
                                          forward, four backward
    head        full   6 x D x M x S      M vocabulary, S scored tokens
                LoRA   4 x D x M x S

Left out: the reference pass, the optimiser, norms, softmax, activation functions, embeddings.
"""

from dataclasses import dataclass

from shapes import Shape


@dataclass(frozen=True)
class Count:
    """What a set of pairs is made of, each distinct token counted once."""

    tokens: int
    """N: tokens whose hidden state is needed (an answer's last token predicts nothing)."""
    visible: int
    """V: (query, key) pairs that may see each other, over those tokens."""
    scored: int
    """S: tokens whose log-probability is needed."""

    def __add__(self, other: "Count") -> "Count":
        return Count(self.tokens + other.tokens, self.visible + other.visible, self.scored + other.scored)


def shared_length(a: list[int], b: list[int]) -> int:
    """Number of leading ids that two lists share."""
    shared = 0
    for left, right in zip(a, b):
        if left != right:
            break
        shared += 1
    return shared


def triangle(first: int, stop: int) -> int:
    """Keys seen by the queries at positions first .. stop-1: each sees itself and all before it."""
    return (stop * (stop + 1) - first * (first + 1)) // 2


def count_pair(prompt: list[int], chosen: list[int], rejected: list[int]) -> Count:
    """Of one pair, its answers sharing the prompt and whatever the answers begin with in common."""
    a, b = (prompt + answer for answer in (chosen, rejected))
    shared = min(shared_length(a, b), len(a) - 1, len(b) - 1)
    ends = (len(a) - 1, len(b) - 1)
    return Count(
        tokens=shared + sum(end - shared for end in ends),
        visible=triangle(0, shared) + sum(triangle(shared, end) for end in ends),
        scored=len(chosen) + len(rejected) - (shared - len(prompt)),
    )


def training_flops(count: Count, shape: Shape, tuning: str, lora_r: int) -> dict[str, float]:
    """FLOPs of one pass over `count` with gradients, by part."""
    linears = shape.linears()
    weights = shape.layers * sum(inputs * outputs for inputs, outputs in linears.values())
    attention = 12 * shape.layers * shape.hidden * count.visible
    head = (6 if tuning == "full" else 4) * shape.hidden * shape.vocabulary * count.scored
    if tuning == "full":
        layers = 6 * weights * count.tokens
    else:
        adapters = shape.layers * sum(lora_r * (inputs + outputs) for inputs, outputs in linears.values())
        unneeded = sum(linears[name][0] * (linears[name][1] + lora_r) for name in ("q_proj", "k_proj", "v_proj"))
        layers = (4 * weights + 6 * adapters - 2 * unneeded) * count.tokens
    return {"layers": float(layers), "attention": float(attention), "head": float(head)}
