"""From a folder or hub id to a model that is ready to train: precision, quantisation, adapters, attention.

Everything that is decided here is said in `notes`. Weights are read from safetensors only.
Left out: which examples, which loss; how the log-probabilities are made (logprobs.py, policy.py).
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import cached_file

from pairwright.backbone import adapters
from pairwright.backbone.adapters import POLICY, LoraSettings, first_line
from pairwright.backbone.attention import TRIE, Backend, choose_backend
from pairwright.backbone.fused import FAMILY, fuse
from pairwright.backbone.linears import left_alone
from pairwright.backbone.rows import plain_implementation, why_rows
from pairwright.errors import ConfigError, MissingExtraError, ModelError

Tuning = Literal["full", "lora", "qlora"]


@dataclass
class Backbone:
    """A loaded model. `model` is the PreTrainedModel itself, or the PeftModel around it."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    dtype: torch.dtype
    tuning: Tuning
    backend: Backend | Literal["rows"]
    plain: str
    """The attention implementation that the model would have used by itself."""
    digest: str
    """SHA-256 that stands for the weights that training starts from, adapter included."""
    continued: bool
    """True where training goes on from an existing adapter."""
    notes: list[str] = field(default_factory=list)

    @property
    def base(self) -> Any:
        """The PreTrainedModel itself, with the adapters in its layers."""
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    def trainable(self) -> dict[str, torch.nn.Parameter]:
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}


def load(
    name: str,
    *,
    tuning: Tuning,
    lora: LoraSettings,
    precision: str = "auto",
    attention: str = "auto",
    device: torch.device,
    trust_remote_code: bool = False,
    seed: int = 0,
    scored: bool = False,
) -> Backbone:
    """Load the model `name` for training. `scored`: without its output layer, for a scalar head to take its place
    (reward_files.py); a sequence classifier's folder will do too.

    Raises ModelError where there is nothing to load, ConfigError where the settings exclude each other.
    """
    notes: list[str] = []
    folder = adapters.folder_of(name)
    adapter = str(folder) if folder else None
    base_name = adapters.base_of(adapter) if adapter else name
    if adapter and tuning == "full":
        raise ConfigError(f"{name} is an adapter: train it with --tuning lora, or merge it into its model first")
    _check_folder(base_name)
    dtype = _choose_dtype(precision, tuning, device, notes)
    # peft writes down where the base is as it was given: whole, so that the adapter loads from any folder.
    where = str(Path(base_name).resolve()) if Path(base_name).is_dir() else base_name
    model: Any = _read_model(where, dtype, tuning, device, trust_remote_code, scored)
    tokenizer = _read_tokenizer([adapter, base_name] if adapter else [name], trust_remote_code)
    _check_vocabulary(model, tokenizer, name)
    silent = _turn_dropout_off(model)
    if silent:
        notes.append(f"dropout inside the model is off ({silent} places): answers are compared under the same weights")
    plain = plain_implementation(model)
    backend = _choose_attention(model, attention, device, dtype, notes)
    if tuning != "full":
        torch.manual_seed(seed)
        model = _add_adapter(model, adapter, lora, tuning, notes)
    if scored:
        # peft had to see the layer, to leave it out; an embedding that shares its weights keeps them.
        base: Any = model.get_base_model() if isinstance(model, PeftModel) else model
        base.set_output_embeddings(torch.nn.Identity())
    model.train()
    if backend != "rows" and model.config.get_text_config().model_type in FAMILY:
        counts = left_alone(model).items()
        notes += [f"{n} adapted layers run as peft made them, and slower than they could: {why}" for why, n in counts]
    weights = weights_digest(base_name, model) + (folder_digest(Path(adapter)) if adapter else "")
    digest = hashlib.sha256(weights.encode()).hexdigest()
    notes.insert(0, _size_line(model, base_name, tuning, dtype, device))
    return Backbone(model, tokenizer, device, dtype, tuning, backend, plain, digest, adapter is not None, notes)


def check(name: str) -> None:
    """Raise ModelError where the folder `name` can be seen to hold no model. Hub ids are looked up by `load`."""
    if not adapters.is_hub_id(name):
        folder = adapters.folder_of(name)
        _check_folder(adapters.base_of(str(folder)) if folder else name)


def weights_digest(name: str, model: Any) -> str:
    """What identifies the base weights: the files' SHA-256 for a folder, the commit for a hub id (or, of a download
    that does not say which commit it is, its files too)."""
    if Path(name).is_dir():
        return folder_digest(Path(name))
    config = model.config if isinstance(model, PreTrainedModel) else model.get_base_model().config
    if config._commit_hash:
        return f"{name}@{config._commit_hash}"
    config_file = cached_file(name, "config.json")
    assert config_file is not None, "a model that was loaded has a config.json"
    return folder_digest(Path(config_file).parent)


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's weights, the configs that say what to do with them, and the
    code that comes with it."""
    digest = hashlib.sha256()
    names = ("*.safetensors", "config.json", "adapter_config.json", "*.py")
    for path in sorted(path for name in names for path in folder.glob(name)):
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _check_folder(name: str) -> None:
    folder = Path(name)
    if adapters.is_hub_id(name):
        return
    if not folder.exists():
        raise ModelError(f"{name}: no such folder. Give a model's folder, or a hub id such as Qwen/Qwen2.5-0.5B")
    if not folder.is_dir():
        raise ModelError(f"{name} is a file. Give the folder that holds config.json and the weights")
    if not (folder / "config.json").is_file():
        raise ModelError(f"{name} has no config.json: it is not a model's folder")
    if not any(folder.glob("*.safetensors")):
        pickled = sorted(p.name for p in [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")])
        found = f" It holds {pickled[0]}, and pickled files can run code: save it as safetensors." if pickled else ""
        raise ModelError(f"{name} has no weights (*.safetensors).{found}")


def _choose_dtype(precision: str, tuning: Tuning, device: torch.device, notes: list[str]) -> torch.dtype:
    if precision == "float16" and tuning == "full":
        raise ConfigError("float16 weights are too coarse to be trained in full: --precision float32, or --tuning lora")
    if precision != "auto":
        return getattr(torch, precision)
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device)[0] >= 8:
            notes.append("precision: bfloat16 weights, which this GPU computes natively")
            return torch.bfloat16
        if tuning == "full":
            notes.append("precision: float32, because this GPU has no bfloat16 and full tuning needs more than float16")
            return torch.float32
        notes.append("precision: float16 with loss scaling, because this GPU has no bfloat16")
        return torch.float16
    notes.append(f"precision: float32 on {device.type}")
    return torch.float32


def _read_model(
    name: str, dtype: torch.dtype, tuning: Tuning, device: torch.device, trust_remote_code: bool, scored: bool
) -> PreTrainedModel:
    extra: dict[str, Any] = {}
    loader: Any = AutoModelForCausalLM
    if tuning == "qlora":
        extra["quantization_config"] = four_bit(dtype)
        extra["device_map"] = {"": device}
    try:
        model, report = loader.from_pretrained(
            name,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            **extra,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{name} could not be loaded: {first_line(error)}") from error
    unused = _output_names(model) if scored else set()
    if missing := sorted(set(report["missing_keys"]) - unused):
        # transformers gives them random values, with a warning only.
        raise ModelError(f"{name}: its files lack {len(missing)} of the model's weights, such as {missing[0]}")
    return model if tuning == "qlora" else model.to(device)


def _output_names(model: PreTrainedModel) -> set[str]:
    """Names of the output layer's weights."""
    layer = model.get_output_embeddings()
    return {f"{name}.{key}" for name, m in model.named_modules() if m is layer for key, _ in m.named_parameters()}


def four_bit(dtype: torch.dtype) -> Any:
    """nf4 with double quantisation (QLoRA, arXiv 2305.14314), computing in `dtype`."""
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("QLoRA needs bitsandbytes: pip install 'pairwright[gpu]'") from error
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def _read_tokenizer(names: list[str], trust_remote_code: bool) -> PreTrainedTokenizerBase:
    for name in names:
        if Path(name).is_dir() and not (Path(name) / "tokenizer_config.json").is_file():
            continue
        try:
            return AutoTokenizer.from_pretrained(name, trust_remote_code=trust_remote_code)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{name}: its tokenizer could not be loaded: {first_line(error)}") from error
    raise ModelError(f"{' and '.join(names)}: no tokenizer (tokenizer_config.json) beside the weights")


def _check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    rows = int(model.get_input_embeddings().weight.shape[0])  # type: ignore[index]
    if len(tokenizer) > rows:
        raise ModelError(f"{name}: the tokenizer has {len(tokenizer):,} tokens and the model only {rows:,}")


def _turn_dropout_off(model: PreTrainedModel) -> int:
    """Set every dropout rate to 0: those of Dropout layers, and those that a layer hands to a function."""
    silenced = 0
    for module in model.modules():
        rates = ["p"] if isinstance(module, torch.nn.Dropout) else [n for n in vars(module) if "drop" in n]
        for name in rates:
            value = getattr(module, name)
            if isinstance(value, float) and value > 0:
                setattr(module, name, 0.0)
                silenced += 1
    return silenced


def _choose_attention(
    model: PreTrainedModel, wanted: str, device: torch.device, dtype: torch.dtype, notes: list[str]
) -> Backend | Literal["rows"]:
    reason = why_rows(model)
    if wanted == "rows" or (wanted == "auto" and reason):
        model.set_attn_implementation(plain_implementation(model))
        notes.append(f"attention: one row per sequence, because {reason or 'you asked for it'}")
        return "rows"
    if reason:
        raise ConfigError(f"--attention {wanted} is not possible: {reason}. Use --attention rows")
    config = model.config.get_text_config()
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    backend: Any = choose_backend(device, dtype, head_size) if wanted == "auto" else wanted
    check_backend(backend, device, dtype)
    model.set_attn_implementation(TRIE)
    fuse(model)
    notes.append(f"attention: {backend}, shared prefixes computed once")
    return backend


def check_backend(backend: str, device: torch.device, dtype: torch.dtype) -> None:
    """Raise ConfigError for what would fail at the first step only."""
    if backend in ("varlen", "flex") and device.type != "cuda":
        why = "" if backend == "varlen" else " (elsewhere flex_attention has no backward pass)"
        raise ConfigError(
            f"--attention {backend} trains on CUDA only{why}, and this run is on {device.type}: use --attention "
            "segments, or leave it away"
        )
    if backend == "varlen" and dtype == torch.float32:
        raise ConfigError(
            "--attention varlen is FlashAttention, which computes in 16 bits, and this run is in float32: use "
            "--attention segments, or --precision bfloat16"
        )


def _add_adapter(
    model: PreTrainedModel, adapter: str | None, lora: LoraSettings, tuning: Tuning, notes: list[str]
) -> PeftModel:
    if tuning == "qlora":
        _prepare_quantised(model)
    if adapter is None:
        return adapters.make(model, lora)
    adapted = adapters.read(model, adapter)
    notes.append(f"going on with this adapter ({adapters.described(adapted, lora)}); the reference is as it is now")
    return adapted


def _prepare_quantised(model: PreTrainedModel) -> None:
    """Freeze the base. Unlike peft's helper this leaves norms and embeddings in the compute precision: casting the
    embeddings of a 7B model to float32 costs 2 GB and changes nothing that is trained."""
    for parameter in model.parameters():
        parameter.requires_grad = False


def _size_line(model: Any, name: str, tuning: Tuning, dtype: torch.dtype, device: torch.device) -> str:
    total = sum(_count(p) for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    share = f"{trained:,} of {total:,} parameters trained ({100 * trained / total:.1f}%)"
    kept = "4-bit nf4" if tuning == "qlora" else str(dtype).removeprefix("torch.")
    return f"model: {name}, {kept} on {device}, {tuning}: {share}"


def _count(parameter: torch.nn.Parameter) -> int:
    """Weights that a parameter stands for; a 4-bit one packs two in a byte."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(torch.Size(state.shape).numel())


def set_gradient_checkpointing(backbone: Backbone, on: bool) -> None:
    """Recompute each layer in the backward pass, or not."""
    if on:
        backbone.base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    else:
        backbone.base.gradient_checkpointing_disable()


def save_model(backbone: Backbone, folder: Path) -> None:
    """What transformers or peft load as it is: the whole model after full tuning, else the adapter; the tokenizer."""
    if isinstance(backbone.model, PeftModel):
        backbone.model.save_pretrained(str(folder), selected_adapters=[POLICY])
        _drop_machine_noise(folder / "adapter_config.json")
        (folder / "README.md").unlink(missing_ok=True)  # peft's form with nothing filled in; the run's card says more
    else:
        config = backbone.base.config
        used = config.get_text_config()._attn_implementation
        backbone.base.set_attn_implementation(backbone.plain)
        backbone.base.save_pretrained(folder)
        backbone.base.set_attn_implementation(used)
    backbone.tokenizer.save_pretrained(folder)


def _drop_machine_noise(path: Path) -> None:
    """peft writes sets in an order that changes from run to run; sorted, equal runs save equal files."""
    settings = json.loads(path.read_text())
    for key, value in settings.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            settings[key] = sorted(value)
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
