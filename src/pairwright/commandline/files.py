"""Settings files: YAML (of which JSON is a part), each key with its line, so that a message can point at it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pairwright.errors import ConfigError


@dataclass(frozen=True, slots=True)
class FileSetting:
    value: Any
    line: int
    """1-based."""


def read_settings(path: str) -> dict[str, FileSetting]:
    """The settings of a file: name -> value and line; `options` is opened, dashes in names become underscores.

    A run's config.json is read too: its part `config`. Raises ConfigError for a file that is missing, no YAML, no
    mapping, or that gives a setting twice.
    """
    import yaml

    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        document = yaml.compose(text, Loader=yaml.SafeLoader)
        if isinstance(document, yaml.MappingNode):
            document = _settings_part(document)
            settings: dict[str, FileSetting] = {}
            _collect(document, path, settings)
            return settings
    except OSError as error:
        raise ConfigError(f"--config {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: not YAML: {getattr(error, 'problem', None) or error}.") from error
    raise ConfigError(f"{path}: a settings file has lines such as `learning_rate: 1e-5`; this one has none.")


def _settings_part(document: Any) -> Any:
    """A run's config.json holds the settings under `config`, beside versions and digests."""
    parts = {key.value: node for key, node in document.value}
    return parts["config"] if "config" in parts and isinstance(parts["config"].value, list) else document


def _collect(mapping: Any, path: str, settings: dict[str, FileSetting]) -> None:
    import yaml

    for key, node in mapping.value:
        name = str(key.value).replace("-", "_")
        line = key.start_mark.line + 1
        if name == "options" and isinstance(node, yaml.MappingNode):
            _collect(node, path, settings)
        elif name in settings:
            raise ConfigError(f"{path}:{line}: {name} stands on line {settings[name].line} already; keep one of them.")
        else:
            settings[name] = FileSetting(yaml.safe_load(yaml.serialize(node)), line)
