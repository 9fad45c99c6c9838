"""Settings of a run on the model's own answers that cannot be meant are refused here, before anything is computed."""

import dataclasses
import math
import re

from pairwright.errors import ConfigError
from pairwright.recipes import methods
from pairwright.recipes.rlhf_config import RlhfConfig
from pairwright.training.forwards import Objective


def make_objective(config: RlhfConfig) -> Objective:
    """The method that `config` names, with its options. Raises ConfigError."""
    known = [name for name in methods.names() if methods.module(name).INPUT == "sampled"]
    if config.method not in known:
        raise ConfigError(f"there is no method {config.method!r} on sampled answers; there are {', '.join(known)}")
    module = methods.module(config.method)
    try:
        options = module.Options(**config.options)
    except (TypeError, ValueError) as error:
        fields = [f.name for f in dataclasses.fields(module.Options)]
        raise ConfigError(f"options of {config.method}: {error}. Its options are: {', '.join(fields)}") from error
    return Objective(module, options)


ABOVE_ZERO = (
    "samples_per_prompt", "prompts_per_step", "max_new_tokens", "temperature", "sample_rows", "sampler_tolerance",
    "reward_seconds", "steps", "epochs", "save_every", "eval_every", "keep_checkpoints", "tokens_per_batch",
    "learning_rate", "max_prompt_length", "lora_r", "lora_alpha",
)  # fmt: skip


def check(config: RlhfConfig) -> None:
    """Settings that cannot be meant."""
    for name in ABOVE_ZERO:
        value = getattr(config, name)
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}; it must be above 0 and finite")
    for name in ("seed", "weight_decay", "max_grad_norm", "sample_prompts", "length_free"):
        value = getattr(config, name)
        if not 0 <= value < math.inf:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}; it must be 0 or more, and finite")
    for name in ("missing_eos_penalty", "length_penalty", "format_penalty"):
        if not math.isfinite(getattr(config, name)):
            raise ConfigError(f"--{name.replace('_', '-')} is {getattr(config, name)}; it must be finite")
    for name in ("eval_fraction", "warmup"):
        value = getattr(config, name)
        if not 0 <= value < 1:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}; it must lie in [0, 1)")
    if config.samples_per_prompt < 2 and not methods.module(config.method).VALUE:
        raise ConfigError(
            f"{config.method} compares an answer with the prompt's other answers: --samples-per-prompt 2 or more"
        )
    if config.format_pattern is not None:
        try:
            re.compile(config.format_pattern)
        except re.error as error:
            raise ConfigError(f"--format-pattern {config.format_pattern!r}: {error}") from error
