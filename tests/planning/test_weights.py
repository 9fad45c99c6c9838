"""Bytes of weights, adapters and optimiser: by hand, and against tensors."""

import pytest
import torch
from tests.backbone.models import ARCHITECTURES, make
from tests.tiny import backbone

from pairwright.backbone import load as loading
from pairwright.planning.architectures import from_config
from pairwright.planning.weights import Adapters, Trained, base_weights, nf4_bytes
from pairwright.recipes.inventory import of_modules
from pairwright.training import step

WRITTEN_OUT = ("llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text", "phi3", "gpt2", "granite")


def sized(model):
    return from_config(model.config.to_dict(), "tiny")


@pytest.mark.parametrize("kind", WRITTEN_OUT)
def test_every_weight_of_a_family_is_counted(kind):
    model = make(kind)
    found = sized(model)
    assert found.parameters == sum(p.numel() for p in model.parameters())
    matrices = [m for m in model.modules() if getattr(m, "weight", None) is not None and m.weight.ndim == 2]
    head = model.get_output_embeddings()
    inside = [m for m in matrices if m is not head and not isinstance(m, torch.nn.Embedding)]
    assert found.linear_weights == sum(m.weight.numel() for m in inside)


@pytest.mark.parametrize("kind", [*ARCHITECTURES, "mamba"])
def test_the_inventory_of_modules_counts_every_weight(kind):
    model = make(kind)
    assert of_modules(model, kind).parameters == sum(p.numel() for p in model.parameters())


def test_nf4_by_hand():
    """4096 x 4096: 8,388,608 bytes of 4 bits; 262,144 scales of a byte; 1,024 second scales of 4; tables 1,092."""
    assert nf4_bytes(4096 * 4096) == 8_388_608 + 262_144 + 4_096 + 1_092
    assert nf4_bytes(65) == 33 + 2 + 4 + 1_092  # what is left over takes a whole block


@pytest.mark.parametrize("shape", [(512, 256), (64, 96), (4096, 64)])
def test_nf4_is_what_bitsandbytes_holds(shape):
    bnb = pytest.importorskip("bitsandbytes")
    weight = bnb.nn.Params4bit(torch.randn(shape), requires_grad=False, quant_type="nf4", compress_statistics=True)
    weight = weight.to("cpu")
    state = weight.quant_state
    held = [weight, state.absmax, state.code, state.state2.absmax, state.state2.code, state.offset]
    assert nf4_bytes(shape[0] * shape[1]) == sum(t.numel() * t.element_size() for t in held)


def test_only_the_matrices_of_the_layers_are_quantised():
    """Llama of tests/backbone: per layer q 32x32, k and v 32x16, o 32x32, three of 32x48; embedding and head 61x32;
    seven norms of 32. Float16 outside: 2 x (2 x 1,952 + 224) bytes."""
    model = sized(make("llama"))
    matrices = 3 * (2 * nf4_bytes(1024) + 2 * nf4_bytes(512) + 3 * nf4_bytes(1536))
    assert base_weights(model, "qlora", 2).bytes == matrices + 2 * (2 * 61 * 32 + 7 * 32)


@pytest.mark.parametrize("kind", ["llama", "gemma2", "phi3"])
def test_adapters_are_what_peft_makes(kind):
    built = backbone("lora", kind=kind)
    found = Adapters(r=4).parameters(sized(built.base))
    assert found == sum(p.numel() for p in built.trainable().values())


def test_adapters_on_some_matrices():
    """Rank 8 on q (32 to 32) and v (32 to 16) of three layers: 3 x 8 x (64 + 48)."""
    assert Adapters(8, "q_proj, v_proj").parameters(sized(make("llama"))) == 2688


@pytest.mark.parametrize(
    ("tuning", "dtype"), [("full", torch.float32), ("full", torch.bfloat16), ("lora", torch.bfloat16)]
)
def test_masters_moments_and_gradients_are_the_optimisers(tuning, dtype):
    built = backbone(tuning, dtype=dtype)
    parameters = built.trainable()
    optimiser = step.make_optimiser(parameters, learning_rate=1e-3, weight_decay=0.0, max_norm=1.0, half=False)
    for master in optimiser.masters.values():
        master.grad = torch.ones_like(master)
    optimiser.adamw.step()
    size = lambda tensors: sum(t.numel() * t.element_size() for t in tensors)  # noqa: E731
    first = next(iter(parameters.values()))
    plan = Trained(sum(p.numel() for p in parameters.values()), first.element_size())
    own = [m for name, m in optimiser.masters.items() if m is not parameters[name]]
    moments = [s[n] for s in optimiser.adamw.state.values() for n in ("exp_avg", "exp_avg_sq")]
    assert plan.masters.bytes == size(own)
    assert plan.moments.bytes == size(moments)
    assert plan.gradients.bytes == size(parameters.values())
    assert plan.stepping.bytes == size(m.grad for m in optimiser.masters.values())


def test_a_name_that_no_matrix_has_is_refused():
    with pytest.raises(loading.ConfigError, match=r"no matrix 'w_proj'.*q_proj"):
        Adapters(8, "q_proj,w_proj").on(sized(make("llama")))
