"""Reward models in files: transformers and peft load them with equal scores, and so do we."""

import json
import shutil

import numpy as np
import pytest
import torch
from peft import AutoPeftModelForSequenceClassification
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    LlamaForSequenceClassification,
)

from pairwright.backbone import heads, reward_files
from pairwright.backbone.adapters import LoraSettings
from pairwright.backbone.load import load as load_policy
from pairwright.backbone.policy import logprobs
from pairwright.errors import ModelError
from pairwright.tokens import trie
from tests.backbone.models import COMMON, VOCABULARY, examples, make
from tests.tiny import CPU, write_tokenizer

CLASSIFIED = ["llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text", "phi3", "gpt2", "gpt_neox"]
UNCLASSIFIED = ["granite", "mamba"]
ENDS = {1}
"""Of the tokenizer, <eos>; <pad> is 0."""
EAGER = {"gemma2": {"attn_implementation": "eager"}}
"""transformers' own choice, sdpa, leaves Gemma 2's soft-capping out, which here is strong enough to be seen."""


def folder_of(path, kind):
    model = make(kind)
    model.generation_config.pad_token_id = None
    model.save_pretrained(path)
    write_tokenizer(path, [f"w{number}" for number in range(VOCABULARY - 3)])
    return path


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return folder_of(tmp_path_factory.mktemp("llama"), "llama")


def load(name, tuning="full", **settings):
    standard = dict(tuning=tuning, lora=LoraSettings(r=4), device=CPU)
    return reward_files.load(str(name), **(standard | settings))


def moved(backbone):
    """Weights that are not the first ones any more."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in backbone.trainable().values():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return backbone


def scored(backbone):
    """Scores of the examples of models.py, and their ids."""
    built = trie.build(examples(), with_last=True)
    backbone.model.eval()
    with torch.no_grad():
        return heads.scores(backbone, built, heads.head_named(backbone)), [built.ids[path] for path in built.paths]


def classified(model, rows, padding):
    """Scores of right-padded rows in one batch, as a user of transformers takes them."""
    width = max(map(len, rows))
    ids = torch.tensor(np.stack([np.pad(row, (0, width - len(row)), constant_values=padding) for row in rows]))
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    model.eval()
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask).logits[:, 0]


@pytest.mark.parametrize("kind", CLASSIFIED)
def test_a_full_model_is_a_sequence_classifier(kind, tmp_path):
    backbone = moved(load(folder_of(tmp_path / "base", kind)))
    ours, rows = scored(backbone)
    assert reward_files.save(backbone, tmp_path / "out", ENDS) == []
    model, report = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "out", output_loading_info=True, **EAGER.get(kind, {})
    )
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert (model.config.num_labels, model.config.get_text_config().pad_token_id) == (1, 0)
    torch.testing.assert_close(classified(model, rows, 0), ours, atol=1e-5, rtol=1e-5)
    again, _ = scored(load(tmp_path / "out", new=False))
    torch.testing.assert_close(again, ours, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma2", "gpt2", "gpt_neox"])
def test_an_adapter_is_a_sequence_classifiers(kind, tmp_path):
    backbone = moved(load(folder_of(tmp_path / "base", kind), "lora"))
    ours, rows = scored(backbone)
    assert reward_files.save(backbone, tmp_path / "out", ENDS) == []
    for kind_of_model in (AutoPeftModelForSequenceClassification, AutoModelForSequenceClassification):
        settings = {"num_labels": 1, "pad_token_id": 0, **EAGER.get(kind, {})}
        model = kind_of_model.from_pretrained(str(tmp_path / "out"), **settings)
        torch.testing.assert_close(classified(model, rows, 0), ours, atol=1e-5, rtol=1e-5)
    again, _ = scored(load(tmp_path / "out", "lora", new=False))
    torch.testing.assert_close(again, ours, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("tuning", ["full", "lora"])
@pytest.mark.parametrize("kind", UNCLASSIFIED)
def test_architectures_without_a_classifier_are_saved_for_us(kind, tuning, tmp_path):
    lora = LoraSettings(r=4, targets="x_proj" if kind == "mamba" else "all-linear")
    backbone = moved(load(folder_of(tmp_path / "base", kind), tuning, lora=lora))
    ours, _ = scored(backbone)
    (note,) = reward_files.save(backbone, tmp_path / "out", ENDS)
    assert f"transformers has no sequence classifier for {kind}" in note
    again, _ = scored(load(tmp_path / "out", tuning, new=False))
    torch.testing.assert_close(again, ours, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("targets", ["all-linear", "q_proj,v_proj"])
def test_the_head_is_in_the_adapters_files(llama, tmp_path, targets):
    """TRL #1379: it was not saved. Whatever layers the adapter is on."""
    backbone = load(llama, "lora", lora=LoraSettings(r=4, targets=targets))
    weight = moved(backbone).base.score.weight.detach().clone()
    reward_files.save(backbone, tmp_path, ENDS)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert torch.equal(saved["base_model.model.score.weight"], weight)
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    assert settings["task_type"] == "SEQ_CLS" and "score" in settings["modules_to_save"]
    assert "score" not in settings["target_modules"]


def test_a_new_head_is_that_of_the_seed(llama):
    same = [load(llama, seed=seed).base.score.weight for seed in (3, 3, 4)]
    assert torch.equal(same[0], same[1]) and not torch.equal(same[0], same[2])
    assert torch.equal(same[0], heads.new_head(32, seed=3).weight)


def test_the_output_layer_is_gone_and_the_embeddings_are_not(llama):
    backbone = load(llama)
    names = [name for name, _ in backbone.base.named_parameters()]
    assert not any("lm_head" in name for name in names) and "model.embed_tokens.weight" in names


def test_training_goes_on_with_the_head(llama, tmp_path):
    backbone = moved(load(llama))
    reward_files.save(backbone, tmp_path, ENDS)
    again = load(tmp_path, seed=7)
    assert torch.equal(again.base.score.weight, backbone.base.score.weight)
    assert again.notes[-1] == f"head: one score, read at the end of an answer; going on with that of {tmp_path}"


def test_a_model_without_a_head_is_no_reward_model(llama):
    with pytest.raises(ModelError, match=r"is no reward model: it has no score\.weight"):
        load(llama, new=False)


def test_a_classifier_of_three_labels_is_none(tmp_path):
    LlamaForSequenceClassification(LlamaConfig(**COMMON, num_labels=3)).save_pretrained(tmp_path)
    write_tokenizer(tmp_path, [f"w{number}" for number in range(VOCABULARY - 3)])
    with pytest.raises(ModelError, match=r"score\.weight is \(3, 32\); a reward model's is \(1, 32\)"):
        load(tmp_path, new=False)


def test_a_classifier_that_transformers_saved(tmp_path):
    torch.manual_seed(0)
    model = LlamaForSequenceClassification(LlamaConfig(**COMMON, num_labels=1))
    model.save_pretrained(tmp_path)
    write_tokenizer(tmp_path, [f"w{number}" for number in range(VOCABULARY - 3)])
    ours, rows = scored(load(tmp_path, new=False))
    torch.testing.assert_close(classified(model, rows, 0), ours, atol=1e-5, rtol=1e-5)


def test_a_head_of_a_model_in_several_files(tmp_path):
    model = LlamaForSequenceClassification(LlamaConfig(**COMMON, num_labels=1))
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    write_tokenizer(tmp_path, [f"w{number}" for number in range(VOCABULARY - 3)])
    assert not (tmp_path / "model.safetensors").exists()
    assert torch.equal(load(tmp_path, new=False).base.score.weight, model.score.weight)


def test_a_policy_beside_a_reward_model_on_one_base(llama, tmp_path):
    """A frozen second adapter: each gives what it gives alone."""
    from pairwright.backbone import adapters

    backbone = moved(load(llama, "lora"))
    expected, _ = scored(backbone)
    reward_files.save(backbone, tmp_path, ENDS)
    policy = load_policy(str(llama), tuning="lora", lora=LoraSettings(r=4), device=CPU)
    policy.model.eval()
    built = trie.build(examples(), with_last=True)
    before = logprobs(policy, built)
    adapters.add(policy.model, str(tmp_path), "reward")
    head = heads.new_head(32, seed=0)
    with torch.no_grad():
        head.weight.copy_(reward_files.read_head(str(tmp_path), 32))
    assert torch.equal(logprobs(policy, built), before)
    assert not any(".reward." in name for name in policy.trainable())
    policy.model.set_adapter("reward")
    torch.testing.assert_close(heads.scores(policy, built, head), expected, atol=1e-6, rtol=1e-6)


class TestPadding:
    """transformers reads the score at the last token that is not padding: the end of an answer must not be."""

    @pytest.fixture
    def backbone(self, llama, tmp_path):
        shutil.copytree(llama, tmp_path / "model")
        return load(tmp_path / "model")

    def test_a_padding_token_of_its_own_stays(self, backbone):
        assert reward_files.set_padding(backbone, {1}) == 0

    def test_eos_as_padding_is_replaced(self, backbone):
        """Of <pad>, <eos>, <unk> the first is named for it."""
        backbone.tokenizer.pad_token = "<eos>"
        assert reward_files.set_padding(backbone, {1}) == 0

    def test_the_unknown_token(self, backbone, tmp_path):
        path = tmp_path / "model" / "tokenizer_config.json"
        config = json.loads(path.read_text())
        path.write_text(json.dumps(config | {"pad_token": None}))
        backbone.tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
        backbone.tokenizer.pad_token = None
        assert reward_files.set_padding(backbone, {0, 1}) == 2

    def test_a_free_row_of_the_embeddings(self, backbone):
        """All special tokens are ends; the model has 61 rows, the tokenizer 58 tokens."""
        write_tokenizer_of(backbone, 55)
        assert reward_files.set_padding(backbone, {0, 1, 2}) == 58
        assert backbone.tokenizer.pad_token == reward_files.PADDING

    def test_nothing_to_take(self, backbone, tmp_path):
        write_tokenizer_of(backbone, 58)
        assert reward_files.set_padding(backbone, {0, 1, 2}) is None

    def test_scores_are_read_at_the_end_although_eos_was_padding(self, backbone, tmp_path):
        """As with GPT-2's and many base models' tokenizers; transformers alone would read one token before it."""
        backbone.tokenizer.pad_token = "<eos>"
        rows = [np.array([5, 6, 7, 1]), np.array([5, 6, 1])]
        with torch.no_grad():
            head = heads.head_named(backbone)
            backbone.base.set_attn_implementation("sdpa")
            ours = heads.plain_scores(backbone, rows, head)
        reward_files.save(backbone, tmp_path / "out", ENDS)
        padding = AutoTokenizer.from_pretrained(tmp_path / "out").pad_token_id
        model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
        assert model.config.pad_token_id == padding == 0
        torch.testing.assert_close(classified(model, rows, padding), ours, atol=1e-5, rtol=1e-5)


def write_tokenizer_of(backbone, words):
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        write_tokenizer(Path(folder), [f"w{number}" for number in range(words)])
        backbone.tokenizer = AutoTokenizer.from_pretrained(folder)


def test_an_unsupported_loader_is_told(llama, tmp_path):
    """A reward model's folder is no policy: its output layer is missing, and loading it as one says so."""
    backbone = load(llama)
    reward_files.save(backbone, tmp_path, ENDS)
    with pytest.raises(ModelError, match=r"lack 1 of the model's weights, such as lm_head\.weight"):
        load_policy(str(tmp_path), tuning="full", lora=LoraSettings(), device=CPU)
    assert AutoModelForCausalLM.from_pretrained(llama) is not None
