"""The memory estimate, by hand."""

import pytest

from pairwright.planning.memory import (
    CPU_TOKENS,
    GPU_TOKENS,
    LOGITS,
    Fixed,
    Shape,
    activation_bytes,
    choose,
    without_estimate,
)

MB, GB = 2**20, 2**30

# --- shapes ---

LLAMA_8B = {
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LLAMA_8B, Shape(32, 4096, 14336, 1024)),  # 8 key heads of 128
        (LLAMA_8B | {"num_key_value_heads": None}, Shape(32, 4096, 14336, 4096)),  # all heads
        # Qwen3 0.6B: heads of 128, more than hidden / heads
        (
            {
                "num_hidden_layers": 28,
                "hidden_size": 1024,
                "intermediate_size": 3072,
                "num_attention_heads": 16,
                "num_key_value_heads": 8,
                "head_dim": 128,
            },
            Shape(28, 1024, 3072, 1024),
        ),
        # GPT-2: its own names, no intermediate size
        ({"n_layer": 12, "n_embd": 768, "n_head": 12, "n_inner": None}, Shape(12, 768, 3072, 768)),
        # GPT-NeoX: no key heads
        (
            {"num_hidden_layers": 6, "hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8},
            Shape(6, 512, 2048, 512),
        ),
        # Mamba: no heads at all
        ({"num_hidden_layers": 4, "hidden_size": 64, "intermediate_size": 128}, Shape(4, 64, 128, 64)),
    ],
)
def test_shapes(config, expected):
    assert Shape.from_config(config) == expected


def test_layers_that_differ_count_as_the_largest():
    assert Shape.from_config(LLAMA_8B | {"intermediate_size": [8192, 14336]}) == Shape(32, 4096, 14336, 1024)


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"intermediate_size": [4096, None]}, r"intermediate_size as \[4096, None\]"),
        ({"num_hidden_layers": "32"}, "num_hidden_layers as '32'"),
        ({"hidden_size": None}, "hidden_size as None"),
    ],
)
def test_odd_shapes_are_named(odd, said):
    with pytest.raises(ValueError, match=said):
        Shape.from_config(LLAMA_8B | odd)


def test_without_an_estimate_batches_hold_the_longest_example():
    choice = without_estimate("of x", longest=300, tokens_per_batch=None, checkpointing="auto")
    assert (choice.tokens_per_batch, choice.checkpointing) == (300, False)
    assert choice.line.startswith("memory: not estimated, because of x; 300 tokens a batch, gradient checkpointing off")
    asked = without_estimate("of x", longest=300, tokens_per_batch=900, checkpointing="on")
    assert (asked.tokens_per_batch, asked.checkpointing) == (900, True)


# --- parts ---


def test_gradients_and_two_moments_for_each_trained_parameter():
    assert Fixed(weights=7 * GB, trained=1000, trained_bytes=4).total() == 12_000
    # 16 bits: gradient 2, moments 8, float32 copy and its gradient 8
    assert Fixed(weights=7 * GB, trained=1000, trained_bytes=2).total() == 18_000
    # a frozen copy beside it
    assert Fixed(weights=7 * GB, trained=1000, trained_bytes=4, reference=5000).total() == 17_000


SMALL = Shape(layers=4, hidden=100, intermediate=200, key_value=50)


def test_activations_of_a_token():
    """A layer keeps 11 * 100 + 4 * 50 + 4 * 200 = 2,100 numbers: 8,400 bytes in float32, 33,600 in four layers. With
    checkpointing four layers' inputs, 4 * 400 bytes, and one layer whole."""
    assert activation_bytes(SMALL, 4, checkpointing=False) == 33_600
    assert activation_bytes(SMALL, 4, checkpointing=True) == 1_600 + 8_400
    assert activation_bytes(SMALL, 2, checkpointing=False) == 16_800


# --- choices ---

# 1,000 trained parameters of 4 bytes: 12,000 bytes; plain 33,600 and checkpointed 10,000 bytes a token.
FIXED = Fixed(weights=5 * GB, trained=1000, trained_bytes=4)
BASE = LOGITS + FIXED.total()


def free(tokens: float, per_token: int = 33_600) -> int:
    """Free memory in which exactly `tokens` tokens have room: 85% of it is planned with."""
    return round((BASE + tokens * per_token) / 0.85) + 2


def pick(free_bytes, **changes):
    arguments = {"longest": 300, "step_tokens": 2000, "on_gpu": False} | changes
    return choose(SMALL, FIXED, free_bytes, 4, **arguments)


def test_logits():
    assert LOGITS == 3 * 64 * MB


def test_plenty_of_memory_takes_the_whole_step_at_once():
    choice = pick(100 * GB)
    assert (choice.tokens_per_batch, choice.checkpointing) == (2000, False)


def test_a_large_step_is_capped():
    assert (CPU_TOKENS, GPU_TOKENS) == (4096, 32768)
    assert pick(100 * GB, step_tokens=1_000_000).tokens_per_batch == 4096
    assert pick(100 * GB, step_tokens=1_000_000, on_gpu=True).tokens_per_batch == 32768


def test_an_example_longer_than_the_cap_is_the_budget():
    assert pick(100 * GB, longest=5000, step_tokens=40_000).tokens_per_batch == 5000


def test_a_quarter_of_a_step_is_enough_to_do_without_checkpointing():
    """2,000 / 4 = 500 tokens fit, so activations are kept and the step is cut in four."""
    choice = pick(free(500))
    assert (choice.tokens_per_batch, choice.checkpointing) == (500, False)


def test_below_a_quarter_of_a_step_checkpointing_is_taken():
    """499.5 tokens of 33,600 bytes are 1,678 of 10,000."""
    choice = pick(free(499.5))
    assert (choice.tokens_per_batch, choice.checkpointing) == (1678, True)


def test_the_longest_example_has_to_fit():
    """A quarter of the step is 500, the longest example 700: room for 600 is not enough."""
    assert pick(free(600)).checkpointing is False
    assert pick(free(600), longest=700).checkpointing is True
    assert pick(free(701), longest=700).checkpointing is False


def test_said_by_the_user():
    assert pick(100 * GB, checkpointing="on").checkpointing is True
    low = pick(free(100), checkpointing="off")
    assert (low.checkpointing, low.tokens_per_batch) == (False, 300)  # an example is never cut
    assert pick(100 * GB, tokens_per_batch=77).tokens_per_batch == 77
    # A budget of 600 tokens needs room for 600; a quarter of the step does not matter then.
    assert pick(free(599), tokens_per_batch=600).checkpointing is True
    assert pick(free(601), tokens_per_batch=600).checkpointing is False


def test_what_does_not_fit_is_said():
    choice = pick(1 * MB)
    assert choice.tokens_per_batch == 300 and choice.checkpointing is True
    assert choice.line.endswith("; that is more than is free, and may not fit")
    assert "may not fit" not in pick(free(500)).line


def test_the_line():
    """192 MB of logits, 12,000 bytes and 2,000 tokens of 33,600 bytes: 268.5 MB, 0.3 GB."""
    assert pick(100 * GB).line == (
        "memory: 0.3 GB estimated on top of 5.0 GB of weights, 100.0 GB free; "
        "2,000 tokens a batch, gradient checkpointing off"
    )
    assert "gradient checkpointing on" in pick(free(300)).line


def test_more_memory_never_means_a_smaller_batch_or_checkpointing():
    last = pick(0)
    for tokens in range(0, 2500, 50):
        choice = pick(free(tokens))
        assert choice.checkpointing <= last.checkpointing
        if choice.checkpointing == last.checkpointing:
            assert choice.tokens_per_batch >= last.tokens_per_batch
        last = choice
    assert last.checkpointing is False
