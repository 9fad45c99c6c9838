"""Reward models as folders: read, and saved so that transformers and peft load them where they can.

What is saved is a sequence classifier of one label, as transformers has it for most architectures: the decoder and a
layer `score` without bias, read at the last token that is not padding. Where an architecture has none, the decoder and
the same layer are saved together, and only Pairwright scores with them.

transformers finds the last token by the padding token's id, so that must not be a token that ends an answer. A
tokenizer whose padding token is its EOS, or that has none, gets another one here.
"""

import copy
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.utils import load_peft_weights
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification
from transformers.utils import cached_file

from pairwright.backbone import adapters, heads
from pairwright.backbone import load as loading
from pairwright.backbone.adapters import WEIGHTS
from pairwright.backbone.load import Backbone
from pairwright.errors import ModelError

KEY = f"{heads.REWARD}.weight"
PADDING = "<|padding|>"
"""Name of a padding token that a tokenizer gets because it has nothing to pad with."""


def load(name: str, *, seed: int = 0, new: bool = True, **settings: Any) -> Backbone:
    """The model `name` with a scalar head: its own where it is a reward model, else a new one of `seed`.

    `settings` are load.load's. Raises ModelError as that does, and where there is no head and `new` is False.
    """
    backbone = loading.load(name, seed=seed, scored=True, **settings)
    size = heads.hidden_size(backbone)
    weight = read_head(name, size)
    if weight is None and not new:
        raise ModelError(
            f"{name} is no reward model: it has no {KEY}. `pairwright train reward` makes one; a folder of "
            "transformers' AutoModelForSequenceClassification with one label will do too"
        )
    head = heads.new_head(size, seed=seed)
    if weight is not None:
        with torch.no_grad():
            head.weight.copy_(weight)
    heads.attach(backbone, head)
    backbone.notes.append(
        f"head: one score, read at the end of an answer; {'new' if weight is None else f'going on with that of {name}'}"
    )
    return backbone


def read_head(name: str, hidden: int) -> Tensor | None:
    """(1, hidden) weight of the head in a reward model's folder or hub id, None where it has none.

    Raises ModelError where it is of another shape, such as that of a classifier with several labels.
    """
    folder = adapters.folder_of(name)
    if folder is not None:
        found = load_peft_weights(str(folder), device="cpu").get(f"base_model.model.{KEY}")
    else:
        found = _read_tensor(name)
    if found is not None and found.shape != (1, hidden):
        raise ModelError(f"{name}: {KEY} is {tuple(found.shape)}; a reward model's is (1, {hidden}), for one label")
    return found


def _read_tensor(name: str) -> Tensor | None:
    """KEY of a model's safetensors files, which may be many with an index."""
    index = cached_file(name, "model.safetensors.index.json", _raise_exceptions_for_missing_entries=False)
    file = "model.safetensors"
    if index is not None:
        file = json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"].get(KEY)
    path = cached_file(name, file, _raise_exceptions_for_missing_entries=False) if file else None
    if path is None:
        return None
    try:
        with safe_open(path, framework="pt") as tensors:
            return tensors.get_tensor(KEY) if KEY in tensors.keys() else None  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def save(backbone: Backbone, folder: Path, ends: Collection[int]) -> list[str]:
    """Write the reward model; returns what to say about it. `ends` are the ids that end an answer."""
    notes = []
    padding = set_padding(backbone, ends)
    if padding is None:
        notes.append(
            "padding: the tokenizer has no token that could pad, and the model no room for one: transformers will take "
            "one sequence at a time"
        )
    classifier = classifier_of(backbone)
    if isinstance(backbone.model, PeftModel):
        loading.save_model(backbone, folder)
        _add_head(folder, heads.head_named(backbone).weight, classifier is not None)
    elif classifier is not None:
        used = backbone.base.config.get_text_config()._attn_implementation
        backbone.base.set_attn_implementation(backbone.plain)
        _fill(classifier, backbone, padding)
        classifier.save_pretrained(folder)
        backbone.base.set_attn_implementation(used)
        backbone.tokenizer.save_pretrained(folder)
    else:
        loading.save_model(backbone, folder)
    if classifier is None:
        kind = backbone.base.config.model_type
        notes.append(
            f"transformers has no sequence classifier for {kind}: `pairwright score` loads this model, "
            "AutoModelForSequenceClassification does not"
        )
    return notes


def classifier_of(backbone: Backbone) -> Any | None:
    """transformers' classifier of one label for this architecture, without weights; None where there is none whose
    decoder and head are as ours."""
    config = copy.deepcopy(backbone.base.config)
    kind: Any = AutoModelForSequenceClassification._model_mapping.get(type(config), None)
    if kind is None:
        return None
    config.num_labels = 1
    with torch.device("meta"):
        model = kind(config)
    head = getattr(model, heads.REWARD, None)
    fits = type(head) is torch.nn.Linear and head.bias is None
    same = type(model.base_model) is type(backbone.base.base_model) and model.base_model is not model
    return model if fits and same else None


def _fill(classifier: Any, backbone: Backbone, padding: int | None) -> None:
    """Put the trained decoder and head in, and what a classifier needs into its config."""
    setattr(classifier, classifier.base_model_prefix, backbone.base.base_model)
    classifier.score.weight = heads.head_named(backbone).weight
    classifier.config.get_text_config().pad_token_id = padding
    classifier.config._attn_implementation = backbone.base.config._attn_implementation


def _add_head(folder: Path, weight: Tensor, classifier: bool) -> None:
    """Put the head into an adapter's files, as peft saves a classifier's."""
    tensors = load_peft_weights(str(folder), device="cpu")
    head = weight.detach().cpu().contiguous()
    tensors[f"base_model.model.{KEY}"] = head
    if classifier:
        # peft looks for the name above, transformers' own loader of adapters for what peft calls it in memory.
        tensors[f"base_model.model.{heads.REWARD}.modules_to_save.default.weight"] = head.clone()
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    path = folder / adapters.CONFIG
    settings = json.loads(path.read_text(encoding="utf-8"))
    if classifier:
        settings |= {"task_type": "SEQ_CLS", "modules_to_save": ["classifier", heads.REWARD]}
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def set_padding(backbone: Backbone, ends: Collection[int]) -> int | None:
    """Give the tokenizer a padding token that ends no answer; its id, None where there is nothing to take.

    In this order: its own, another special token (one named for padding, the unknown token, any), a new one in a row
    of the embeddings that no token uses.
    """
    tokenizer: Any = backbone.tokenizer
    own = tokenizer.pad_token_id
    if own is not None and own not in ends:
        return int(own)
    special = {i: t.content for i, t in tokenizer.added_tokens_decoder.items() if t.special and i not in ends}
    ranked = sorted(special, key=lambda i: ("pad" not in special[i].lower(), i != tokenizer.unk_token_id, i))
    rows = int(backbone.base.get_input_embeddings().weight.shape[0])
    if ranked:
        tokenizer.pad_token = special[ranked[0]]
    elif len(tokenizer) < rows:
        tokenizer.add_special_tokens({"pad_token": PADDING})
    else:
        tokenizer.pad_token = None
    return None if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)
