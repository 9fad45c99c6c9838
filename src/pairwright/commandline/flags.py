"""A command's words and its settings file, brought to one set of values: flags win over the file.

--config FILE.yaml    the same fields as the flags; a run's config.json is such a file too
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pairwright.commandline import names
from pairwright.commandline.files import FileSetting, read_settings
from pairwright.commandline.settings import Setting, coerce, nearest, parse, with_defaults
from pairwright.errors import ConfigError

HELP = ("-h", "--help")

CONFIG = Setting("config", str | None, None, "A YAML or JSON file with any of these settings. Flags win over it.")


def values(
    program: str, description: str, groups: Mapping[str, Sequence[Setting]], argv: Sequence[str], method: str
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Each group's values from flags and --config, and what should be said about names that were translated.

    Raises ConfigError for an unknown flag or key, with the nearest right one.
    """
    known = {setting.name: setting for settings in groups.values() for setting in settings}
    given = split(argv, program)
    path = given.pop("config", None)
    wants_help = given.pop("help", None) is not None
    flags, notes = names.translate(given, method)
    for name in flags:
        _check_flag(name, known, program)
    if path is not None:
        file, more = _from_file(_one_word("--config", path), known, method)
        groups = {group: with_defaults(settings, file) for group, settings in groups.items()}
        notes = more + notes
    with_config = {
        group: [*settings, CONFIG] if group == "run" else list(settings) for group, settings in groups.items()
    }
    parsed = parse(program, description, with_config, ["--help"] if wants_help else _join(flags, known))
    parsed["run"].pop("config")
    return parsed, notes


def split(argv: Sequence[str], program: str) -> dict[str, list[str]]:
    """Words of the command as name -> its values; names with underscores, whatever they were written with."""
    given: dict[str, list[str]] = {}
    latest: list[str] | None = None
    for word in argv:
        if word in HELP:
            given["help"] = []
        elif word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            key = name.replace("-", "_")
            if key in given:
                raise ConfigError(f"--{name} is given twice; give it once.")
            latest = given[key] = [value] if equals else []
        elif latest is None:
            raise ConfigError(f"{word!r} has no flag before it. See {program} --help.")
        else:
            latest.append(word)
    return given


def _check_flag(name: str, known: Mapping[str, Setting], program: str) -> None:
    positive = name.removeprefix("no_")
    if name in known or (positive in known and known[positive].type is bool):
        return
    flags = [setting.flag for setting in known.values()]
    written = "--" + name.replace("_", "-")
    raise ConfigError(f"{program} has no {written}.{nearest(written, flags)} See {program} --help.")


def _join(flags: Mapping[str, list[str]], known: Mapping[str, Setting]) -> list[str]:
    """Back to words. A switch may be written as TRL does it: --resume True."""
    words = []
    for name, its in flags.items():
        if name in known and known[name].type is bool and len(its) == 1 and its[0].lower() in ("true", "false"):
            words.append(known[name].flag if its[0].lower() == "true" else "--no-" + known[name].flag[2:])
        else:
            words += ["--" + name.replace("_", "-"), *its]
    return words


def _one_word(flag: str, its: list[str]) -> str:
    if len(its) != 1:
        raise ConfigError(f"{flag} takes one file, not {len(its)}.")
    return its[0]


def _from_file(path: str, known: Mapping[str, Setting], method: str) -> tuple[dict[str, Any], list[str]]:
    file = read_settings(path)
    _same_method(file.pop("method", None), method, path)
    try:
        translated, notes = names.translate({name: setting.value for name, setting in file.items()}, method)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    for name in translated:
        if name not in known:
            raise ConfigError(f"{path}{_line(file, name)}: there is no setting {name}.{nearest(name, known)}")
    fitted = {}
    for name, value in translated.items():
        try:
            fitted[name] = coerce(value, known[name].type)
        except ConfigError as error:
            raise ConfigError(f"{path}{_line(file, name)}: {name}: {error}.") from error
    return fitted, [f"{path}: {note}" for note in notes]


def _same_method(setting: FileSetting | None, method: str, path: str) -> None:
    if setting is not None and setting.value != method:
        raise ConfigError(
            f"{path}:{setting.line}: the file is for {setting.value!r}, the command for {method!r}. "
            f"Say pairwright train {setting.value}, or take the line out."
        )


def _line(file: Mapping[str, FileSetting], name: str) -> str:
    """`:12`, or nothing for a setting that came in under another name."""
    return f":{file[name].line}" if name in file else ""
