"""Names that users of TRL know, read as ours; every one taken that way is said.

Works alike on flags and on the keys of a settings file: both are given as name -> value, names with underscores.
"""

import os
from collections.abc import Mapping
from typing import Any

from pairwright.commandline.objectives import objectives
from pairwright.errors import ConfigError
from pairwright.recipes.config import ALIASES

# loss_type of TRL's DPOTrainer -> the objective here; other loss types have the objective's own name.
LOSS_TYPES = {"sigmoid": "dpo"}

INSTEAD = {
    "tokenizer": "the tokenizer is the one in the model's folder",
    "tokenizer_name_or_path": "the tokenizer is the one in the model's folder",
    "max_prompt_length": "the prompt's oldest turns are cut, and counted, where prompt and answer exceed --max-length",
    "max_completion_length": "an example whose answer exceeds --max-length is dropped, and counted",
}
"""Settings that are accepted and not needed, with what happens instead."""

_BATCH = ("per_device_train_batch_size", "gradient_accumulation_steps")
_TRL_BATCH_DEFAULT = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1}

_TUNING = ("use_peft", "load_in_4bit")

KNOWN = frozenset([*INSTEAD, *_BATCH, *_TUNING, "loss_type", *(old for names in ALIASES.values() for old in names)])
"""Every name that `translate` takes besides our own."""


def translate(given: Mapping[str, Any], method: str) -> tuple[dict[str, Any], list[str]]:
    """The same settings under our names, and a line for each name that was changed.

    Raises ConfigError where two names of one setting are given, or a loss_type that is not this method's.
    """
    ours = {old: new for new, names in ALIASES.items() for old in names}
    settings: dict[str, Any] = {}
    notes = []
    for name, value in given.items():
        if name in (*_BATCH, *_TUNING):
            continue
        if name in INSTEAD:
            notes.append(f"{name} is not needed: {INSTEAD[name]}.")
        elif name == "loss_type":
            notes.append(_loss_type(str(_single(value)), method))
        elif name in ours:
            _add(settings, ours[name], _fitted(name, value), given)
            notes.append(f"{name} is {ours[name]} here.")
        else:
            settings[name] = value
    if any(name in given for name in _TUNING):
        tuning, note = _tuning(given)
        as_words = isinstance(next(given[name] for name in _TUNING if name in given), list)
        _add(settings, "tuning", [tuning] if as_words else tuning, given)
        notes.append(note)
    if any(name in given for name in _BATCH):
        pairs, note = _pairs_per_step(given)
        _add(settings, "pairs_per_step", [str(pairs)] if isinstance(_first_batch(given), list) else pairs, given)
        notes.append(note)
    return settings, notes


def _add(settings: dict[str, Any], name: str, value: Any, given: Mapping[str, Any]) -> None:
    if name in given or name in settings:
        raise ConfigError(f"{name} is given twice, under its own name and under another one; give it once.")
    settings[name] = value


def _fitted(name: str, value: Any) -> Any:
    """The value of a setting that is written in another way here."""
    if name == "lora_target_modules" and isinstance(value, list):
        return [",".join(value)] if all(isinstance(word, str) for word in value) and value else value
    if name == "warmup_ratio" and str(_single(value)).replace(".", "", 1).isdigit() and float(_single(value)) >= 1:
        raise ConfigError(f"warmup_ratio is {_single(value)}; a share of the steps lies below 1.")
    return value


def _tuning(given: Mapping[str, Any]) -> tuple[str, str]:
    """use_peft and load_in_4bit as our `tuning`. A switch without a value is on."""
    on = {}
    for name in _TUNING:
        word = str(_single(given[name])).lower() if name in given else "false"
        if word not in ("", "true", "false"):
            raise ConfigError(f"{name} is {word!r}; it has to be true or false.")
        on[name] = word != "false"
    if on["load_in_4bit"] and "use_peft" in given and not on["use_peft"]:
        raise ConfigError("load_in_4bit without use_peft: 4-bit weights cannot be trained, only adapters on them.")
    tuning = "qlora" if on["load_in_4bit"] else "lora" if on["use_peft"] else "full" if "use_peft" in given else "lora"
    return tuning, f"{' and '.join(name for name in _TUNING if name in given)} is tuning {tuning} here."


def _pairs_per_step(given: Mapping[str, Any]) -> tuple[int, str]:
    each, accumulated = (_count(name, given.get(name, _TRL_BATCH_DEFAULT[name])) for name in _BATCH)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    pairs = each * accumulated * processes
    over = f" x {processes} processes" if processes > 1 else ""
    return pairs, f"{_BATCH[0]} {each} x {_BATCH[1]} {accumulated}{over} is pairs_per_step {pairs} here."


def _first_batch(given: Mapping[str, Any]) -> Any:
    return next(given[name] for name in _BATCH if name in given)


def _count(name: str, value: Any) -> int:
    try:
        count = int(str(_single(value)))
    except ValueError:
        count = 0
    if count < 1:
        raise ConfigError(f"{name} is {_single(value)!r}; it has to be a whole number from 1.")
    return count


def _loss_type(loss_type: str, method: str) -> str:
    objective = LOSS_TYPES.get(loss_type, loss_type)
    if objective == method:
        return f"loss_type {loss_type} is what `pairwright train {method}` does."
    known = [known.name for known in objectives()]
    if objective in known:
        raise ConfigError(f"loss_type {loss_type} is a command of its own here: pairwright train {objective}")
    raise ConfigError(f"There is no objective for loss_type {loss_type}. There are: {', '.join(known)}.")


def _single(value: Any) -> Any:
    """A flag's value comes as the list of its words, a file's as it is."""
    return " ".join(value) if isinstance(value, list) else value
