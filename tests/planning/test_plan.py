"""Plans of whole runs: the mission's claim with its parts added up by hand, what fits, and what would."""

from dataclasses import replace

import pytest

from pairwright.errors import ConfigError, ModelError
from pairwright.planning import hardware, solve
from pairwright.planning.cost import training_flops
from pairwright.planning.memory import room
from pairwright.recipes.methods import module, names
from pairwright.recipes.plan import PlanConfig, find_model, plan

MISTRAL = "mistral-7b-v0.1"
GIB = 2**30


def part(found, name: str) -> int:
    return next(p.bytes for p in found.memory.parts if p.name == name)


def on_t4(**settings):
    (result,) = plan(PlanConfig(MISTRAL, gpu="t4", tuning="qlora", **settings))
    return result


# Mistral 7B: 32 layers of q 4096x4096, k and v 4096x1024, o 4096x4096, gate and up 4096x14336, down 14336x4096.
MATRICES = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
OTHERS = 2 * 32000 * 4096 + 65 * 4096
ADAPTER = 32 * 16 * (2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336))


def test_dpo_of_a_7b_model_at_1024_tokens_fits_a_t4():
    """Weights: 4 bits, a byte for every 64, 4 bytes for every 16,384, 1,092 of tables for each of 224 matrices; what is
    not quantised in float16. Adapter, its gradients: 4 bytes; moments: 8. With checkpointing 1,534 tokens (512 + 2 x
    511) keep one hidden state a layer, 32 x 4096 x 2 bytes each, and one layer whole."""
    found = on_t4(tokens=1024).plan
    weights = MATRICES // 2 + MATRICES // 64 + 4 * MATRICES // 16384 + 224 * 1092 + 2 * OTHERS
    assert part(found, "weights") == weights
    assert round(weights / GIB, 1) == 3.8
    assert part(found, "adapter") == part(found, "gradients") == 4 * ADAPTER
    assert part(found, "AdamW moments") == 8 * ADAPTER
    assert part(found, "unpacked matrix") == 4096 * 14336 * 2
    inputs = 1534 * 32 * 4096 * 2
    assert found.run.checkpointing and inputs < part(found, "activations") < inputs + 1.0 * GIB
    assert found.fits and found.total < 9.0 * GIB  # the mission's aim


def test_ppo_of_a_7b_model_at_1024_tokens_fits_a_t4():
    """Beside the policy: an adapter and a head of 4,096 for value and reward each, moments for the value's, and while
    answers are sampled (8 prompts x 4) keys and values of 32 x 1,024 tokens: 2 x 32 layers x 1,024 x 2 bytes each."""
    found = on_t4(method="ppo", tokens=1024).plan
    assert part(found, "value role") == part(found, "reward role") == 4 * (ADAPTER + 4096)
    assert part(found, "value's moments") == 8 * (ADAPTER + 4096)
    assert part(found, "keys and values") == 2 * 32 * 1024 * 2 * 32 * 1024 == 4 * GIB
    assert found.memory.moment == "sampling" and found.fits
    assert found.memory.moments["a batch"] > found.memory.moments["the optimiser's step"]


def test_full_tuning_of_7b_does_not_fit_80_gb_and_what_would_is_said():
    """16 bits: weights 2, masters 4, moments 8, float32 gradients while stepping 4: 18 bytes a weight."""
    (result,) = plan(PlanConfig(MISTRAL, gpu="a100-80", tuning="full"))
    assert result.plan.memory.total == 18 * (MATRICES + OTHERS) and not result.plan.fits
    words = [words for words, _ in result.nearest]
    assert words == ["--tuning lora", "--tuning qlora", "--gpu h200"]
    assert all(other.fits for _, other in result.nearest) and result.largest_batch == 0


def test_a_tight_card_takes_shorter_sequences():
    result = plan(PlanConfig("llama-3.1-8b", gpu="rtx2080ti", tuning="qlora", tokens=8192))[0]
    assert not result.plan.fits
    change, other = result.nearest[0]
    length = int(change.removeprefix("--max-length "))
    assert length % 64 == 0 and other.fits
    longer = plan(PlanConfig("llama-3.1-8b", gpu="rtx2080ti", tuning="qlora", tokens=length + 64))[0]
    assert not longer.plan.fits


def test_the_largest_batch_fits_and_one_more_does_not():
    result = on_t4(pairs_per_step=64)
    n = result.largest_batch
    more = lambda count: plan(PlanConfig(MISTRAL, gpu="t4", tuning="qlora", batch=count))[0].plan.fits  # noqa: E731
    assert 1 < n < 64 and more(n) and not more(n + 1)


@pytest.mark.parametrize(
    "change", [{"tokens": 2048}, {"lora_r": 64}, {"batch": 2}, {"reference": "live", "tuning": "full"}]
)
def test_more_never_takes_less(change):
    config = PlanConfig("qwen2.5-1.5b", gpu="h100", gradient_checkpointing="off", tuning=change.get("tuning", "lora"))
    assert plan(replace(config, **change))[0].plan.total > plan(config)[0].plan.total


def test_checkpointing_is_taken_only_where_it_is_needed():
    assert not plan(PlanConfig("qwen2.5-0.5b", gpu="t4"))[0].plan.run.checkpointing
    assert plan(PlanConfig("qwen2.5-7b", gpu="l4"))[0].plan.run.checkpointing


def test_what_is_planned_with_leaves_room():
    """T4: 92% of 14.56 - 0.6 GiB."""
    assert room(hardware.find("t4")) / GIB == pytest.approx(0.92 * 13.96)


def test_all_cards_in_one_answer():
    results = plan(PlanConfig("qwen2.5-7b"))
    assert [r.plan.gpu.name for r in results] == [g.name for g in sorted(hardware.GPUS, key=lambda g: g.memory)]


def test_methods_take_what_their_objectives_say():
    """SINGLE and WITHOUT_REFERENCE are kept in planning, which may not import objectives."""
    kinds = {name: module(name) for name in names()}
    known = set(kinds) - set(solve.ONLINE)
    assert {n for n in known if not kinds[n].REFERENCE} == solve.WITHOUT_REFERENCE & known
    assert {n for n in known if kinds[n].INPUT in ("answers", "labelled")} == solve.SINGLE & known


def test_arithmetic_of_an_epoch():
    """One pair of 1,534 tokens, LoRA: two passes of 2 x weights, the head's two over 1,024 scored tokens, attention
    12 x layers x 4,096 x visible pairs."""
    found = on_t4().plan
    visible = 512 * 513 // 2 + 2 * (511 * 512 + 511 * 512 // 2)
    head = 4 * 32000 * 4096 * 1024
    expected = 4 * MATRICES * 1534 + head + 12 * 32 * 4096 * visible
    assert training_flops(found.model, "qlora", False, found.batch) == expected
    checkpointed = expected + 2 * MATRICES * 1534 + 4 * 32 * 4096 * visible
    assert training_flops(found.model, "qlora", True, found.batch) == checkpointed


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"model": "no-such"}, ModelError, "built-in shapes"),
        ({"tokens": 0}, ConfigError, "--tokens is 0"),
        ({"tokens": 100, "answer_tokens": 100}, ConfigError, "--answer-tokens is 100"),
        ({"model": "llama-2-7b", "tokens": 9000}, ConfigError, "4,096 positions"),
        ({"price": -1.0}, ConfigError, "--price"),
        ({"precision": "float16", "tuning": "full"}, ConfigError, "too coarse"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings, error, said):
    with pytest.raises(error, match=said):
        plan(PlanConfig(**{"model": MISTRAL, "gpu": "t4"} | settings))


def test_a_config_file_gives_the_same_as_the_name(tmp_path):
    import json

    from pairwright.planning import known

    (tmp_path / "config.json").write_text(json.dumps(known.config("qwen3-8b")))
    named = find_model("qwen3-8b")
    for path in (tmp_path, tmp_path / "config.json"):
        assert replace(find_model(str(path)), name=named.name) == named
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ModelError, match="holds an object"):
        find_model(str(tmp_path))


def test_any_architecture_of_transformers(tmp_path):
    """One that is not written out is counted from its modules, and says so."""
    from transformers import AutoConfig

    config = AutoConfig.for_model(
        "olmo2", vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    )
    config.save_pretrained(tmp_path)
    model = find_model(str(tmp_path))
    assert not model.whole
    # q, k, v, o, three of the MLP; norms: q and k, two after the blocks; embedding and head; the last norm
    assert model.parameters == 2 * (4 * 32 * 32 + 3 * 32 * 64 + 4 * 32) + 2 * 100 * 32 + 32
