"""The built-in shapes sum to the published number of parameters, and GPUs are found."""

import pytest

from pairwright.errors import ConfigError, ModelError
from pairwright.planning import hardware, known
from pairwright.planning.architectures import from_config

# "Tensor type / Model size" of the models' own safetensors index on the hub: every weight, a tied head once.
PUBLISHED = {
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "llama-3-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "tinyllama-1.1b": 1_100_048_384,
    "mistral-7b-v0.1": 7_241_732_096,
    "mistral-7b-v0.3": 7_248_023_552,
    "mistral-nemo-12b": 12_247_782_400,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-3b": 3_085_938_688,
    "qwen2.5-7b": 7_615_616_512,
    "qwen2.5-14b": 14_770_033_664,
    "qwen2.5-32b": 32_763_876_352,
    "qwen2.5-72b": 72_706_203_648,
    "qwen3-0.6b": 596_049_920,
    "qwen3-8b": 8_190_735_360,
    "qwen3-14b": 14_768_307_200,
    "qwen3-32b": 32_762_123_264,
    "gemma-2-2b": 2_614_341_888,
    "gemma-2-9b": 9_241_705_984,
    "gemma-2-27b": 27_227_128_320,
    "gemma-3-1b": 999_885_952,
    "phi-3-mini-4k": 3_821_079_552,
    "phi-3-medium-4k": 13_960_238_080,
    "phi-4": 14_659_507_200,
    "phi-4-mini": 3_836_021_760,
    "smollm2-135m": 134_515_008,
    "smollm2-360m": 361_821_120,
    "smollm2-1.7b": 1_711_376_384,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers_of_parameters(name):
    assert from_config(known.config(name), name).parameters == PUBLISHED[name]


@pytest.mark.parametrize("name", known.names())
def test_every_shape_is_a_model(name):
    model = from_config(known.config(name), name)
    assert model.heads % model.kv_heads == 0 and model.whole and model.positions >= 2048


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b-v0.3"),
        ("mistral-7b", "mistral-7b-v0.3"),
        ("Qwen/Qwen2.5-0.5B-Instruct", "qwen2.5-0.5b"),
        ("google/gemma-2-2b-it", "gemma-2-2b"),
        ("microsoft/Phi-3-mini-4k-instruct", "phi-3-mini-4k"),
        ("meta-llama/Llama-2-7b-chat-hf", "llama-2-7b"),
    ],
)
def test_names_as_people_write_them(written, meant):
    assert known.config(written) == known.config(meant)


def test_an_unknown_name_is_none():
    assert known.config("someone/else-7b") is None


def test_a_size_that_is_missing_or_odd_is_named():
    with pytest.raises(ModelError, match="gives hidden_size as None"):
        from_config({"model_type": "llama"}, "x")
    with pytest.raises(ModelError, match=r"intermediate_size as \[1, 2\]"):
        from_config({**known.config("llama-2-7b"), "intermediate_size": [1, 2]}, "x")


def test_gpus():
    assert hardware.find("T4").total == int(14.56 * 2**30) and not hardware.find("t4").bf16
    assert hardware.find("A100 80GB").name == hardware.find("a100").name == "a100-80"
    assert hardware.find("RTX 4090").bf16
    with pytest.raises(ConfigError, match="there are t4"):
        hardware.find("tpu")
    assert all((gpu.price is None) == (gpu.price_source == "") for gpu in hardware.GPUS)
