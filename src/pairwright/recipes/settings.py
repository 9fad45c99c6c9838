"""The settings of a run: refused where they cannot be meant, and turned into what the loop and the loss take."""

import dataclasses
import math
from importlib.util import find_spec

from pairwright.backbone.load import Backbone
from pairwright.errors import ConfigError, MissingExtraError
from pairwright.planning.choose import Choice
from pairwright.recipes import methods
from pairwright.recipes.config import TrainConfig
from pairwright.training.forwards import Objective
from pairwright.training.offline import Settings

CHOICES = {"turns": ("all", "last"), "ties": ("drop", "half"), "margins": ("data", "scores")}
"""Setting -> its values."""
TRACKERS = {
    "tensorboard": (("tensorboard", "tensorboardX"), "'pairwright[trackers]'"),
    "wandb": (("wandb",), "wandb"),
}
"""Tracker -> packages of which one will do, and what to give pip."""


def make_objective(config: TrainConfig) -> Objective:
    """The objective that `config.method` names, with its options. Raises ConfigError."""
    name = config.method.replace("-", "_")
    if name not in methods.names():
        raise ConfigError(f"there is no method {config.method!r}; there are {', '.join(methods.names())}")
    module = methods.module(name)
    if module.INPUT == "sampled":
        raise ConfigError(
            f"{name} learns from the model's own answers: it takes an RlhfConfig (pairwright.recipes.rlhf), or "
            f"`pairwright train {name}`"
        )
    try:
        options = module.Options(**config.options)
    except (TypeError, ValueError) as error:
        fields = [f.name for f in dataclasses.fields(module.Options)]
        raise ConfigError(f"options of {name}: {error}. Its options are: {', '.join(fields) or 'none'}") from error
    if hasattr(module, "filled"):
        options = module.filled(options)
    if config.nll_weight and module.INPUT not in ("pairs", "steps"):
        why = "is that likelihood" if module.INPUT == "answers" else "has no pairs"
        raise ConfigError(f"--nll-weight adds the chosen answer's likelihood to a preference loss; {name} {why}")
    return Objective(module, options, config.nll_weight)


def check(config: TrainConfig) -> None:
    """Raise ConfigError for settings that cannot be meant, MissingExtraError for a tracker whose package is missing."""
    counts = ("pairs_per_step", "steps", "save_every", "eval_every", "keep_checkpoints", "tokens_per_batch")
    for name in (*counts, "epochs", "learning_rate", "max_length", "lora_r", "lora_alpha"):
        value = getattr(config, name)
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}; it must be above 0 and finite")
    for name in (
        "seed",
        "nll_weight",
        "weight_decay",
        "max_grad_norm",
        "spike_limit",
        "sample_prompts",
        "sample_tokens",
    ):
        value = getattr(config, name)
        if not 0 <= value < math.inf:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}; it must be 0 or more, and finite")
    if not 0 <= config.warmup < math.inf or (config.warmup > 1 and config.warmup % 1):
        raise ConfigError(f"--warmup is {config.warmup}; it is a share in [0, 1), or a whole number of steps")
    for name in ("eval_fraction", "lora_dropout"):
        value = getattr(config, name)
        if not 0 <= value < 1:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}; it must lie in [0, 1)")
    adapters = [f for f in dataclasses.fields(config) if f.name.startswith("lora_")]
    idle = [f.name for f in adapters if config.tuning == "full" and getattr(config, f.name) != f.default]
    if idle:
        raise ConfigError(f"--{idle[0].replace('_', '-')} is of adapters, which --tuning full has none of")
    for name, choices in CHOICES.items():
        if getattr(config, name) not in choices:
            raise ConfigError(f"--{name} is {getattr(config, name)!r}; it is one of {', '.join(choices)}")
    packages, install = TRACKERS.get(config.tracker, ((), ""))
    if packages and not any(find_spec(package) for package in packages):
        raise MissingExtraError(
            f"--tracker {config.tracker} needs the package {packages[0]}: pip install {install}. Without a tracker, "
            "metrics.jsonl and `pairwright report` hold the same figures"
        )


def check_length(config: TrainConfig, backbone: Backbone) -> None:
    """Raise ConfigError where --max-length is more than the model can take."""
    positions = getattr(backbone.base.config.get_text_config(), "max_position_embeddings", None)
    if config.max_length and positions and config.max_length > positions:
        raise ConfigError(f"--max-length is {config.max_length}; the model has {positions} positions")


def loop_settings(config: TrainConfig, objective: Objective, steps: int, choice: Choice) -> Settings:
    """What the loop takes, with the defaults that depend on the objective, the model and the data filled in."""
    return Settings(
        steps=steps,
        per_step=config.pairs_per_step,
        tokens_per_batch=choice.tokens_per_batch,
        learning_rate=config.learning_rate or objective.module.LEARNING_RATE[config.tuning],
        schedule=config.schedule,
        warmup=config.warmup,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        seed=config.seed,
        save_every=config.save_every,
        keep=config.keep_checkpoints,
        eval_every=config.eval_every or max(1, math.ceil(steps / 10)),
        spike_limit=config.spike_limit,
    )
