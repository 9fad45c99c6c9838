"""Loading: what is refused and how it is said; precision; adapters and 4-bit bases; what is saved loads elsewhere."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import AutoPeftModelForCausalLM
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from pairwright.backbone import load as loading
from pairwright.backbone.adapters import LoraSettings
from pairwright.backbone.load import check_backend, load, save_model, set_gradient_checkpointing
from pairwright.backbone.policy import logprobs
from pairwright.errors import ConfigError, ModelError
from pairwright.objectives import sft
from pairwright.records import Source
from pairwright.tokens import trie
from pairwright.tokens.sequences import Example
from pairwright.training import forwards, step
from pairwright.training.forwards import Objective
from tests.tiny import CPU, WORDS, tokens, write_model, write_tokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "llama")


@pytest.fixture(scope="module")
def adapter(model, tmp_path_factory) -> Path:
    """An adapter of `model` that changes it."""
    backbone = open_(model, tuning="lora")
    with torch.no_grad():
        for name, parameter in backbone.trainable().items():
            if "lora_B" in name:
                parameter.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    folder = tmp_path_factory.mktemp("adapter") / "a"
    save_model(backbone, folder)
    return folder


def open_(name, *, tuning="full", targets="all-linear", r=4, **more):
    return load(str(name), tuning=tuning, lora=LoraSettings(r=r, targets=targets), device=CPU, **more)


BATCH = [Example((tokens([5, 6, 7], [8, 9]), tokens([5, 6, 7], [10, 11, 12])), Source("made.jsonl", 1))]


def values(backbone) -> torch.Tensor:
    with torch.no_grad():
        return logprobs(backbone, trie.build(BATCH))


# --- what cannot be loaded ---


def changed(source: Path, to: Path, change) -> Path:
    shutil.copytree(source, to)
    change(to)
    return to


def rewrite(file: str, **fields):
    def change(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return change


def without(*names: str):
    return lambda folder: [(folder / name).unlink() for name in names]


def pickled(folder: Path) -> None:
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def cut(name: str):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:500])


def lacking(file: str, part: str):
    def change(folder: Path) -> None:
        whole = load_file(folder / file)
        save_file({k: v for k, v in whole.items() if part not in k}, folder / file, metadata={"format": "pt"})

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("config.json"), "has no config.json: it is not a model's folder"),
        (without("model.safetensors"), r"has no weights \(\*\.safetensors\)\.$"),
        (pickled, r"has no weights .* It holds pytorch_model.bin, and pickled files can run code"),
        (without("tokenizer_config.json", "tokenizer.json"), r"no tokenizer \(tokenizer_config.json\) beside"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "its tokenizer could not be loaded"),
        (lambda f: (f / "config.json").write_text("{"), "could not be loaded.*not a valid JSON"),
        (lambda f: (f / "config.json").write_text('{"model_type": "zzz"}'), "could not be loaded.*model type `zzz`"),
        (cut("model.safetensors"), "could not be loaded: Error while deserializing header"),
        (rewrite("config.json", hidden_size=64), "could not be loaded"),
        (lacking("model.safetensors", "layers.1"), "lack 9 of the model's weights, such as model.layers.1.input"),
        (
            lambda f: write_tokenizer(f, [*WORDS, "one", "two"]),
            r"the tokenizer has 130 tokens and the model only 128",
        ),
    ],
)
def test_model_folders_that_cannot_be_used(model, tmp_path, change, said):
    folder = changed(model, tmp_path / "changed", change)
    with pytest.raises(ModelError, match=said) as caught:
        open_(folder)
    assert str(folder) in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path, model):
    with pytest.raises(ModelError, match=r"no such folder\. Give a model's folder, or a hub id"):
        open_(tmp_path / "none")
    with pytest.raises(ModelError, match=r"\./none: no such folder"):
        open_("./none")
    with pytest.raises(ModelError, match=r"is a file\. Give the folder that holds config\.json"):
        open_(model / "config.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("adapter_model.safetensors"), "has no adapter_model.safetensors. Pickled weights"),
        (lambda f: (f / "adapter_config.json").write_text("{"), "adapter_config.json cannot be read"),
        (rewrite("adapter_config.json", base_model_name_or_path=None), "does not name its base model"),
        (rewrite("adapter_config.json", base_model_name_or_path="./nowhere"), "./nowhere: no such folder"),
        (cut("adapter_model.safetensors"), "the adapter does not fit its base model"),
        (rewrite("adapter_config.json", r=2), "does not fit its base model.*size mismatch.*lora_A"),
        (lacking("adapter_model.safetensors", "layers.1"), "lacks 14 of the adapter's weights"),
    ],
)
def test_adapter_folders_that_cannot_be_used(adapter, tmp_path, change, said):
    with pytest.raises(ModelError, match=said):
        open_(changed(adapter, tmp_path / "changed", change), tuning="lora")


def test_pickled_adapter_weights_are_refused(adapter, tmp_path):
    def change(folder):
        torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
        (folder / "adapter_model.safetensors").unlink()

    with pytest.raises(ModelError, match="can run code"):
        open_(changed(adapter, tmp_path / "changed", change), tuning="lora")


def test_an_adapter_cannot_be_tuned_in_full(adapter):
    with pytest.raises(ConfigError, match="is an adapter: train it with --tuning lora, or merge it"):
        open_(adapter)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ("nope", "no layer is called 'nope'; linear layers are down_proj, gate_proj, k_proj, lm_head"),
        ("q_proj,vproj", "no layer is called 'vproj'"),
        ("q_proj,", "no layer is called ''"),
        ("q_proj,lm_head", r"adapters on the head \(lm_head\) are not supported"),
    ],
)
def test_lora_targets_that_there_are_not(model, targets, said):
    with pytest.raises(ConfigError, match=f"--lora-targets: {said}"):
        open_(model, tuning="lora", targets=targets)


@pytest.mark.parametrize(
    ("attention", "said"),
    [("varlen", "trains on CUDA only"), ("segments", "is not possible: .* Use --attention rows")],
)
def test_attention_that_cannot_be_had(model, tmp_path, attention, said):
    if attention == "segments":
        from tests.backbone.models import make

        write_tokenizer(tmp_path / "mamba", WORDS[:50])
        make("mamba").save_pretrained(tmp_path / "mamba")
        model = tmp_path / "mamba"
    with pytest.raises(ConfigError, match=said):
        open_(model, attention=attention)


# --- precision and tuning ---


def test_float32_is_the_cpus_precision(model):
    backbone = open_(model)
    assert backbone.dtype == torch.float32
    assert {p.dtype for p in backbone.model.parameters()} == {torch.float32}
    assert "precision: float32 on cpu" in backbone.notes


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_precision_on_request(model, precision):
    """The base in 16 bits, adapters in 32: their updates would be lost in 16."""
    backbone = open_(model, tuning="lora", precision=precision)
    assert backbone.dtype == getattr(torch, precision)
    kinds = {p.requires_grad: p.dtype for p in backbone.model.parameters()}
    assert kinds == {True: torch.float32, False: backbone.dtype}
    assert not any(note.startswith("precision") for note in backbone.notes)


def test_float16_weights_are_not_trained_in_full(model):
    with pytest.raises(ConfigError, match="float16 weights are too coarse to be trained in full"):
        open_(model, precision="float16")


def test_sizes_are_said(model):
    """128 * 32 twice, two layers of 4,096 + 2 * 2,048 / 2 ... by hand: attention q 1,024, k and v 512 each, o 1,024;
    three matrices of 32 * 64 = 2,048; two norms of 32: 9,280 a layer. 2 * 4,096 + 2 * 9,280 + 32 = 26,784."""
    assert open_(model).notes[0] == (
        f"model: {model}, float32 on cpu, full: 26,784 of 26,784 parameters trained (100.0%)"
    )
    # Rank 4 on seven matrices of a layer: 4 * (64 + 48 + 48 + 64 + 3 * 96) = 2,048; two layers.
    assert open_(model, tuning="lora").notes[0] == (
        f"model: {model}, float32 on cpu, lora: 4,096 of 30,880 parameters trained (13.3%)"
    )


def test_lora_targets_are_those_that_were_named(model):
    names = open_(model, tuning="lora", targets="q_proj, v_proj").trainable()
    assert {name.split(".")[-4] for name in names} == {"q_proj", "v_proj"}
    assert len(names) == 2 * 2 * 2
    every = {name.split(".")[-4] for name in open_(model, tuning="lora").trainable()}
    assert every == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_adapters_depend_on_the_seed_and_on_nothing_else(model):
    first, same, other = (open_(model, tuning="lora", seed=seed).trainable() for seed in (1, 1, 2))
    pick = lambda parameters: torch.cat([p.flatten() for n, p in parameters.items() if "lora_A" in n])  # noqa: E731
    assert torch.equal(pick(first), pick(same))
    assert not torch.equal(pick(first), pick(other))


def test_dropout_inside_the_model_is_off(tmp_path):
    """Dropout layers (GPT-2) as well as rates that attention hands to a function (Llama)."""
    from transformers import GPT2Config, GPT2LMHeadModel

    write_tokenizer(tmp_path / "gpt2")
    GPT2LMHeadModel(GPT2Config(vocab_size=128, n_embd=16, n_layer=1, n_head=2, n_positions=64)).save_pretrained(
        tmp_path / "gpt2"
    )
    write_model(tmp_path / "llama", attention_dropout=0.5)
    for name, places in (("gpt2", None), ("llama", 2)):
        for attention in ("auto", "rows"):
            backbone = open_(tmp_path / name, attention=attention)
            backbone.model.train()
            assert torch.equal(values(backbone), values(backbone))
            note = next(n for n in backbone.notes if n.startswith("dropout inside the model is off"))
            assert places is None or f"({places} places)" in note


def test_adapter_dropout_stays(model):
    backbone = load(
        str(model), tuning="lora", lora=LoraSettings(r=4, dropout=0.5), device=CPU
    )  # B is 0, so the output is the same; the layers are there
    rates = {m.p for m in backbone.model.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.5}
    assert any("layers run as peft made them" in note and "dropout" in note for note in backbone.notes)
    assert not any("as peft made them" in note for note in open_(model, tuning="lora").notes)


# --- digests: what the reference cache tells models apart by ---


def test_the_digest_stands_for_the_weights(model, adapter, tmp_path):
    digest = open_(model).digest
    assert open_(shutil.copytree(model, tmp_path / "copy")).digest == digest
    assert open_(model, tuning="lora").digest == digest  # a new adapter changes nothing yet
    one_bit = load_file(model / "model.safetensors")
    one_bit["model.norm.weight"][3] += 1e-6
    other = changed(model, tmp_path / "other", lambda f: save_file(one_bit, f / "model.safetensors", {"format": "pt"}))
    assert open_(other).digest != digest
    continued = open_(adapter, tuning="lora").digest
    assert continued != digest
    assert open_(shutil.copytree(adapter, tmp_path / "moved"), tuning="lora").digest == continued


# --- going on with an adapter ---


def test_going_on_with_an_adapter(model, adapter):
    backbone = open_(adapter, tuning="lora", r=16)  # the default: nobody asked for it
    assert any("going on with this adapter (r 4, alpha 32, dropout 0)" in note for note in backbone.notes)
    assert backbone.continued and not open_(model, tuning="lora").continued
    assert backbone.model.peft_config["default"].r == 4  # the adapter's own, not the setting's
    assert all("lora_" in name for name in backbone.trainable()) and len(backbone.trainable()) == 28
    saved = load_file(adapter / "adapter_model.safetensors")
    for name, value in saved.items():
        here = name.replace("lora_A.weight", "lora_A.default.weight").replace("lora_B.weight", "lora_B.default.weight")
        assert torch.equal(backbone.model.state_dict()[here], value)
    assert not torch.equal(values(backbone), values(open_(model)))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (LoraSettings(r=64), "--lora-r is 64, and the adapter that is continued has 4"),
        (LoraSettings(alpha=1), "--lora-alpha is 1, .* has 32"),
        (LoraSettings(dropout=0.5), "--lora-dropout is 0.5, .* has 0"),
        (LoraSettings(targets="q_proj"), "--lora-targets is q_proj, .* has down_proj, gate_proj"),
    ],
)
def test_other_settings_than_the_adapters_own_are_refused(adapter, asked, said):
    with pytest.raises(ConfigError, match=said):
        load(str(adapter), tuning="lora", lora=asked, device=CPU)


@pytest.mark.parametrize(
    ("backend", "device", "dtype", "said"),
    [
        ("flex", "cpu", torch.float32, "flex trains on CUDA only .* use --attention segments"),
        ("varlen", "cpu", torch.bfloat16, "varlen trains on CUDA only, .* use --attention segments"),
        ("varlen", "cuda", torch.float32, "varlen is FlashAttention, .* --precision bfloat16"),
    ],
)
def test_backends_that_could_not_train_are_refused(backend, device, dtype, said):
    with pytest.raises(ConfigError, match=said):
        check_backend(backend, torch.device(device), dtype)


def test_a_backend_is_refused_before_the_model_is_changed(model):
    with pytest.raises(ConfigError, match="flex trains on CUDA only"):
        open_(model, attention="flex")


def test_a_base_beside_its_adapter_travels_with_it(model, adapter, tmp_path):
    folder = changed(adapter, tmp_path / "pack", rewrite("adapter_config.json", base_model_name_or_path="base"))
    shutil.copytree(model, folder / "base")
    assert torch.equal(values(open_(folder, tuning="lora")), values(open_(adapter, tuning="lora")))


# --- 4 bits ---


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> Path:
    """bitsandbytes packs blocks of 64."""
    return write_model(tmp_path_factory.mktemp("wide") / "llama", hidden=64)


def test_qlora_trains_adapters_on_a_4_bit_base(wide):
    backbone = open_(wide, tuning="qlora")
    layer = backbone.base.model.layers[0].self_attn.q_proj.base_layer
    assert type(layer).__name__ == "Linear4bit" and layer.weight.quant_type == "nf4"
    assert layer.weight.dtype == torch.uint8 and layer.weight.numel() == 64 * 64 // 2
    # Heads are not quantised: embeddings and head 128 * 64 each. A layer: q, o 4,096, k, v 2,048, three of 8,192, norms
    # 128: 36,992. 2 * 8,192 + 2 * 36,992 + 64 = 90,432; adapters 4 * (128 + 96 + 96 + 128 + 3 * 192) * 2 = 8,192.
    assert backbone.notes[0] == (f"model: {wide}, 4-bit nf4 on cpu, qlora: 8,192 of 98,624 parameters trained (8.3%)")
    before = {name: p.detach().clone() for name, p in backbone.model.named_parameters()}
    optimiser = step.make_optimiser(
        backbone.trainable(), learning_rate=0.01, weight_decay=0.0, max_norm=1.0, half=False
    )
    objective = Objective(sft, sft.Options())
    batch = [Example((BATCH[0].sequences[0],), BATCH[0].source)]
    for _ in range(2):  # B starts at 0, so A moves in the second step only
        out = step.take(
            optimiser,
            backbone.trainable(),
            [batch],
            lambda b: forwards.forward(backbone, objective, None, b),
            total=2.0,
            learning_rate=0.01,
        )
        assert out["grad_norm"] > 0
    moved = {name for name, p in backbone.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == set(backbone.trainable())
    assert all("lora_" in name for name in moved)


def test_4_bits_are_near_the_weights_they_stand_for(wide):
    """nf4 keeps 16 values a block: a token's log-probability moves by a few hundredths, not by the model's range."""
    difference = (values(open_(wide, tuning="qlora")) - values(open_(wide))).abs()
    assert 1e-4 < float(difference.mean()) < 0.3


# --- saved models load elsewhere ---


def test_a_fully_tuned_model_is_a_transformers_model(model, tmp_path):
    backbone = open_(model)
    with torch.no_grad():
        backbone.base.model.norm.weight *= 1.5
    save_model(backbone, tmp_path / "saved")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    ids = torch.arange(3, 20)[None]
    backbone.base.set_attn_implementation("sdpa")
    torch.testing.assert_close(again(ids).logits, backbone.base(ids).logits)
    assert "pairwright" not in (tmp_path / "saved" / "config.json").read_text()
    assert AutoTokenizer.from_pretrained(tmp_path / "saved")("w3 w4")["input_ids"] == [6, 7]
    assert torch.equal(values(open_(tmp_path / "saved")), values(open_(tmp_path / "saved")))


def test_an_adapter_is_a_peft_adapter(model, adapter):
    again = AutoPeftModelForCausalLM.from_pretrained(adapter)
    ids = torch.from_numpy(BATCH[0].sequences[0].ids)[None]
    expected = again(ids).logits[0].log_softmax(-1)[[2, 3], [8, 9]]
    torch.testing.assert_close(values(open_(adapter, tuning="lora"))[:2], expected.detach(), atol=1e-5, rtol=1e-5)
    assert json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == str(model)


def test_saving_twice_gives_the_same_bytes(model, tmp_path):
    for name in ("one", "two"):
        save_model(open_(model, tuning="lora"), tmp_path / name)
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_gradient_checkpointing_changes_no_gradient(model):
    gradients = []
    for on in (False, True):
        backbone = open_(model)
        set_gradient_checkpointing(backbone, on)
        assert backbone.base.is_gradient_checkpointing is on
        logprobs(backbone, trie.build(BATCH)).sum().backward()
        gradients.append(backbone.base.model.layers[0].mlp.up_proj.weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1])
    assert np.isfinite(gradients[0].numpy()).all()


def test_the_folder_digest_reads_weights_and_configs_only(model, tmp_path):
    copy = shutil.copytree(model, tmp_path / "copy")
    (copy / "README.md").write_text("words")
    assert loading.folder_digest(copy) == loading.folder_digest(model)
    rewrite("config.json", rms_norm_eps=0.1)(copy)
    assert loading.folder_digest(copy) != loading.folder_digest(model)
