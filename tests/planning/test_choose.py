"""What `train` decides from free memory, by hand."""

from pairwright.planning.choose import CPU_TOKENS, GPU_TOKENS, choose, most, without_estimate

MB, GB = 2**20, 2**30

# A run that needs 200 MB whatever the batch, and a token 33,600 bytes, or 10,000 with checkpointing.
BASE = 200 * MB


def need(tokens: int, checkpointing: bool) -> int:
    return BASE + tokens * (10_000 if checkpointing else 33_600)


def test_the_largest_that_fits():
    for limit, found in ((0, 3), (3, 3), (11, 11), (19, 19), (20, 20), (99, 20)):
        assert most(limit.__ge__, 3, 20) == found


def test_without_an_estimate_batches_hold_the_longest_example():
    choice = without_estimate("of x", longest=300, tokens_per_batch=None, checkpointing="auto")
    assert (choice.tokens_per_batch, choice.checkpointing) == (300, False)
    assert choice.line.startswith("memory: not estimated, because of x; 300 tokens a batch, gradient checkpointing off")
    asked = without_estimate("of x", longest=300, tokens_per_batch=900, checkpointing="on")
    assert (asked.tokens_per_batch, asked.checkpointing) == (900, True)


def free(tokens: float, per_token: int = 33_600) -> int:
    """Free memory in which exactly `tokens` tokens have room: 85% of it is planned with."""
    return round((BASE + tokens * per_token) / 0.85) + 2


def pick(free_bytes, **changes):
    arguments = {"longest": 300, "step_tokens": 2000, "on_gpu": False} | changes
    return choose(need, 5 * GB, free_bytes, **arguments)


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
    assert "; that is more than is free, and may not fit" in choice.line
    assert "may not fit" not in pick(free(500)).line


def test_the_line():
    """200 MB and 2,000 tokens of 33,600 bytes: 264.1 MB, 0.3 GB."""
    assert pick(100 * GB).line == (
        "memory: 0.3 GB planned on top of 5.0 GB of weights, 100.0 GB free; 2,000 tokens a batch, "
        "gradient checkpointing off (the arithmetic of `pairwright plan`)"
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
