"""What a resumed run takes of token budget and gradient checkpointing: what is given now, else what it had chosen."""

from pairwright.planning.choose import Choice
from pairwright.recipes.config import TrainConfig
from pairwright.recipes.memory_plan import asked, said
from pairwright.recipes.rlhf_config import RlhfConfig

BEFORE = {"tokens_per_batch": 900, "gradient_checkpointing": "off"}


def test_what_is_given_goes_before_what_was_chosen():
    for config in (TrainConfig("m", "d", "o"), RlhfConfig("m", "d", "o", "r")):
        assert asked(config, None) == (None, "auto")
        assert asked(config, BEFORE) == (900, "off")
        config.tokens_per_batch = 300
        assert asked(config, BEFORE) == (300, "off")
        config.gradient_checkpointing = "on"
        assert asked(config, BEFORE) == (300, "on") == asked(config, None)


def test_only_a_change_is_said():
    same = Choice(900, False, "memory: much")
    assert said(same, BEFORE) is same is said(same, None)
    line = said(Choice(300, False, "memory: less"), BEFORE).line
    assert line.startswith("memory: less\nresume: the run goes on with other micro-batches (300 tokens")
    assert "before 900, off" in line
