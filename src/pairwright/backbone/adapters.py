"""Adapters (LoRA): made new, or read from a folder to go on with.

Left out: anything that peft does itself. Errors of peft and of the files become ModelError or ConfigError here.
"""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from peft import (
    LoraConfig,
    PeftConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.utils import load_peft_weights
from safetensors import SafetensorError
from transformers import PreTrainedModel
from transformers.utils.peft_utils import find_adapter_config_file

from pairwright.errors import ConfigError, ModelError

POLICY = "default"
"""Name of the adapter that is trained."""
REFERENCE = "reference"
"""Name of the frozen copy of the adapter that training started from."""
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class LoraSettings:
    r: int = 16
    alpha: int = 32
    dropout: float = 0.0
    targets: str = "all-linear"


def is_hub_id(name: str) -> bool:
    """OWNER/NAME, and no folder of that name here."""
    return name.count("/") == 1 and not name.startswith((".", "~", "/")) and not Path(name).exists()


def folder_of(name: str) -> Path | None:
    """The folder of the adapter that `name` means, which is downloaded where it is a hub id; None where `name` is no
    adapter. Raises ModelError where the hub refuses."""
    if Path(name).is_dir():
        return Path(name) if (Path(name) / CONFIG).is_file() else None
    if not is_hub_id(name):
        return None
    try:
        # None without a connection too; then loading the model itself says so.
        if find_adapter_config_file(name) is None:
            return None
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]))
    except OSError as error:
        raise ModelError(f"{name} could not be read from the hub: {first_line(error)}") from error


def base_of(name: str) -> str:
    """The model that the adapter in folder `name` belongs to. Raises ModelError where the folder cannot be used."""
    try:
        base = PeftConfig.from_pretrained(name).base_model_name_or_path
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{name}/adapter_config.json cannot be read: {first_line(error)}") from error
    if not base:
        raise ModelError(f"{name}/adapter_config.json does not name its base model (base_model_name_or_path)")
    if not (Path(name) / WEIGHTS).is_file():
        raise ModelError(f"{name} has no {WEIGHTS}. Pickled weights (.bin) can run code: save the adapter again")
    # A base given relative to the adapter travels with it.
    beside = Path(name) / base
    return str(beside) if not Path(base).exists() and beside.is_dir() else str(base)


def read(model: PreTrainedModel, name: str) -> PeftModel:
    """`model` with the adapter in folder `name`, to be trained on; of a reward model's without its head. Raises
    ModelError where its weights do not fit."""
    try:
        adapted = PeftModel.from_pretrained(
            model, name, adapter_name=POLICY, is_trainable=True, config=_layers_only(name)
        )
        # Weights that the file lacks get random values, with a warning only; reading them again says which.
        missing = _read_weights(adapted, name, POLICY)
    except (ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelError(f"{name}: the adapter does not fit its base model: {first_line(error)}") from error
    if missing:
        raise ModelError(f"{name}/{WEIGHTS} lacks {len(missing)} of the adapter's weights, such as {missing[0]}")
    return adapted


def add(model: PreTrainedModel | PeftModel, name: str, adapter: str) -> PeftModel:
    """`model` with the adapter in folder `name` as its frozen adapter `adapter`, beside those that it has; of a reward
    model's without its head. Raises ModelError where its weights do not fit."""
    try:
        if isinstance(model, PeftModel):
            model.add_adapter(adapter, _layers_only(name))
        else:
            model = get_peft_model(model, _layers_only(name), adapter_name=adapter)
        missing = _read_weights(model, name, adapter)
    except (ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise ModelError(f"{name}: the adapter does not fit its base model: {first_line(error)}") from error
    if missing:
        raise ModelError(f"{name}/{WEIGHTS} lacks {len(missing)} of the adapter's weights, such as {missing[0]}")
    for parameter_name, parameter in model.named_parameters():
        if f".{adapter}." in parameter_name:
            parameter.requires_grad = False
    return model


def _layers_only(name: str) -> PeftConfig:
    """The settings of the adapter in folder `name`, without whole layers beside it (a classifier's head)."""
    settings = PeftConfig.from_pretrained(name)
    settings.inference_mode = False
    if settings.task_type == "SEQ_CLS":
        settings.task_type, settings.modules_to_save = "CAUSAL_LM", None
    return settings


def _read_weights(model: PeftModel, name: str, adapter: str) -> list[str]:
    """Load the weights of the adapter in folder `name`; returns the names of those that it lacks."""
    found: Any = set_peft_model_state_dict(model, load_peft_weights(name, device="cpu"), adapter_name=adapter)
    return sorted(key for key in found.missing_keys if f".{adapter}." in key)


def described(model: PeftModel, asked: LoraSettings) -> str:
    """The settings of an adapter that was read. Raises ConfigError where others than these were asked for: they are the
    adapter's own, and asking for them would do nothing."""
    own, usual = model.peft_config[POLICY], LoraSettings()
    if not isinstance(own, LoraConfig):
        return str(own.peft_type)
    found = {"r": own.r, "alpha": own.lora_alpha, "dropout": own.lora_dropout}
    for name, value in found.items():
        wanted = getattr(asked, name)
        if wanted not in (value, getattr(usual, name)):
            raise ConfigError(
                f"--lora-{name} is {wanted}, and the adapter that is continued has {value}, which cannot be changed: "
                f"leave --lora-{name} away, or merge the adapter into its model and train a new one"
            )
    ends = lambda names: sorted({name.strip().rpartition(".")[2] for name in names})  # noqa: E731
    targets = ends([own.target_modules] if isinstance(own.target_modules, str) else own.target_modules or ())
    if asked.targets != usual.targets and ends(asked.targets.split(",")) != targets:
        raise ConfigError(
            f"--lora-targets is {asked.targets}, and the adapter that is continued has {', '.join(targets)}, which "
            "cannot be changed: leave --lora-targets away"
        )
    return ", ".join(f"{name} {value:g}" for name, value in found.items())


def make(model: PreTrainedModel, lora: LoraSettings, adapter: str = POLICY) -> PeftModel:
    """`model` with a new adapter that changes nothing yet. Raises ConfigError for layers that there are not."""
    targets: str | list[str] = lora.targets
    if lora.targets != "all-linear":
        targets = [name.strip() for name in lora.targets.split(",")]
        _check_targets(model, targets)
    settings = LoraConfig(
        r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, task_type="CAUSAL_LM"
    )
    try:
        return get_peft_model(model, settings, adapter_name=adapter)
    except ValueError as error:
        raise ConfigError(f"--lora-targets {lora.targets}: {first_line(error)}") from error


def copy(model: PeftModel, source: str, target: str) -> None:
    """A new frozen adapter `target` with the weights that `source` has now."""
    model.add_adapter(target, deepcopy(model.peft_config[source]))
    set_peft_model_state_dict(model, get_peft_model_state_dict(model, adapter_name=source), adapter_name=target)
    for name, parameter in model.named_parameters():
        if f".{target}." in name:
            parameter.requires_grad = False


def _check_targets(model: PreTrainedModel, targets: list[str]) -> None:
    """peft is content when one of the names matches, and leaves out the others without a word."""
    layers: dict[str, Any] = dict(model.named_modules())
    for target in targets:
        if any(name == target or name.endswith(f".{target}") for name in layers if target):
            continue
        known = sorted({name.rpartition(".")[2] for name, m in layers.items() if isinstance(m, torch.nn.Linear)})
        raise ConfigError(f"--lora-targets: no layer is called {target!r}; linear layers are {', '.join(known)}")
    head = next((n for n, m in layers.items() if m is model.get_output_embeddings()), None)
    if head is not None and any(head == target or head.endswith(f".{target}") for target in targets):
        raise ConfigError(f"--lora-targets: adapters on the head ({head}) are not supported")


def first_line(error: BaseException) -> str:
    """Of an error's text; with the second line where the first only announces it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return f"{lines[0]} {lines[1]}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]
