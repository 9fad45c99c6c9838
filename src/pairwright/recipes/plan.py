"""`pairwright plan`: memory, time and cost of a run before it is started. Arithmetic; torch is only imported for an
architecture that is not written out in planning/architectures.py."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pairwright.errors import ConfigError, ModelError
from pairwright.planning import architectures, hardware, known, solve
from pairwright.planning.architectures import Model
from pairwright.planning.epoch import Epoch, epoch
from pairwright.planning.hardware import Gpu
from pairwright.planning.solve import ONLINE, SINGLE, WITHOUT_REFERENCE, Plan, Wish
from pairwright.planning.weights import Adapters


@dataclass
class PlanConfig:
    """What to plan."""

    model: str
    """A folder with a config.json, that file, or the name of a well-known model such as llama-3.1-8b."""
    method: str = "dpo"
    """The method: a name of `pairwright methods`; also ppo, rloo, grpo."""
    gpu: str | None = None
    """The card: t4, l4, rtx4090, a100-80, h100 ... Default: all that are known, in one table."""
    tuning: Literal["lora", "qlora", "full"] = "lora"
    """What is trained: adapters, adapters on a 4-bit base, or every weight."""
    tokens: int = 1024
    """Longest sequence in tokens, a prompt with one answer."""
    answer_tokens: int | None = None
    """Tokens of it that are the answer. Default: half."""
    mean_tokens: int | None = None
    """Mean sequence in tokens, for the time. Default: half of the longest."""
    examples: int = 10_000
    """Examples (pairs, demonstrations, prompts to sample for) in an epoch."""
    batch: int = 1
    """Examples in one forward pass."""
    pairs_per_step: int = 8
    """Examples in one optimiser step."""
    samples: int = 4
    """Answers to each prompt, for methods that sample."""
    sample_rows: int = 32
    """Answers generated at the same time, for methods that sample; `train ppo` has the same flag, and more by
    default."""
    reward_models: int = 1
    """Reward models that are adapters on the same base, for methods that sample."""
    lora_r: int = 16
    """Rank of the adapters."""
    lora_targets: str = "all-linear"
    """Layers with adapters, separated by commas."""
    gradient_checkpointing: Literal["auto", "on", "off"] = "auto"
    """Recompute activations in the backward pass. auto: only where it is needed."""
    reference: Literal["cache", "live"] = "cache"
    """Reference log-probabilities: kept on disk, or computed in every step."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of weights that are not quantised. auto: as `train` chooses it."""
    price: float | None = None
    """What the card costs you, in dollars an hour. Default: a typical rent."""
    explain: bool = False
    """Show the arithmetic of every part."""


@dataclass(frozen=True)
class PlanResult:
    plan: Plan
    epoch: Epoch | None
    """None where the card's rate is not known."""
    largest_batch: int
    """Examples in one forward pass that fit; 0 where one does not."""
    nearest: list[tuple[str, Plan]]
    """Changes after which it fits, where it does not."""
    price: float | None
    price_source: str


def plan(config: PlanConfig) -> list[PlanResult]:
    """One result for `config.gpu`, or one for each known card. Raises ConfigError and ModelError."""
    model, wish = find_model(config.model), _wish(config)
    if wish.prompt + wish.answer > model.positions:
        raise ConfigError(f"--tokens is {config.tokens}; {model.name} has {model.positions:,} positions")
    gpus = [hardware.find(config.gpu)] if config.gpu else sorted(hardware.GPUS, key=lambda gpu: gpu.memory)
    return [_result(config, model, wish, gpu) for gpu in gpus]


def _result(config: PlanConfig, model: Model, wish: Wish, gpu: Gpu) -> PlanResult:
    found = solve.plan(model, gpu, wish)
    mean = config.mean_tokens or max(4, config.tokens // 2)
    answer = max(2, round(mean * wish.answer / config.tokens))
    time = epoch(found, config.examples, max(1, mean - answer), answer)
    near = solve.nearest(found) if config.gpu else []
    largest = solve.largest_batch(found) if config.gpu else 0
    price = gpu.price if config.price is None else config.price
    return PlanResult(found, time, largest, near, price, "your price" if config.price is not None else gpu.price_source)


def _wish(config: PlanConfig) -> Wish:
    method = config.method.replace("-", "_")
    for name in ("tokens", "examples", "batch", "pairs_per_step", "samples", "sample_rows", "lora_r"):
        if getattr(config, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} is {getattr(config, name)}; it must be 1 or more")
    answer = config.tokens // 2 if config.answer_tokens is None else config.answer_tokens
    if not 2 <= answer < config.tokens:
        raise ConfigError(f"--answer-tokens is {answer}; it must be 2 or more, and less than --tokens {config.tokens}")
    if config.price is not None and not config.price >= 0:
        raise ConfigError(f"--price is {config.price}; it must be 0 or more")
    online = method in ONLINE
    width = {"auto": None, "float32": 4}.get(config.precision, 2)
    if width == 2 and config.tuning == "full" and config.precision == "float16":
        raise ConfigError("float16 weights are too coarse to be trained in full: --precision float32, or --tuning lora")
    return Wish(
        method=method,
        tuning=config.tuning,
        prompt=config.tokens - answer,
        answer=answer,
        answers=config.samples if online else 1 if method in SINGLE else 2,
        reference="none" if method in WITHOUT_REFERENCE else config.reference,
        examples=config.batch,
        per_step=config.pairs_per_step,
        checkpointing={"auto": None, "on": True, "off": False}[config.gradient_checkpointing],
        adapters=Adapters(config.lora_r, config.lora_targets),
        width=width,
        rewards=config.reward_models if online else 0,
        sample_rows=config.sample_rows,
    )


def find_model(name: str) -> Model:
    """A folder's or a file's model, or a known one by name. Raises ModelError for anything else."""
    path = Path(name)
    if path.exists():
        return _from_file(path / "config.json" if path.is_dir() else path)
    fields = known.config(name)
    if fields is None:
        raise ModelError(
            f"{name} is no folder here and not among the built-in shapes. Give a folder with a config.json (no weights "
            f"are needed), or one of {', '.join(known.names())}"
        )
    return architectures.from_config(fields, name.rpartition("/")[2])


def _from_file(path: Path) -> Model:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: no config.json that can be read ({error})") from error
    if not isinstance(fields, dict):
        raise ModelError(f"{path}: a config.json holds an object, not a {type(fields).__name__}")
    name = path.parent.resolve().name
    try:
        return architectures.from_config(fields, name)
    except (KeyError, ModelError):
        from pairwright.recipes.inventory import from_folder

        return from_folder(path)
