"""Settings: the fields of a config dataclass, with the text under each, as flags of a command.

What it leaves out: what a setting means. That is the recipe's, which also checks values against each other.
"""

import ast
import dataclasses
import difflib
import inspect
import textwrap
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pairwright.commandline.output import say
from pairwright.errors import ConfigError


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    name: str
    type: Any
    default: Any
    """dataclasses.MISSING where it has to be given."""
    help: str

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def required(self) -> bool:
        return self.default is dataclasses.MISSING


def settings_of(config: type, *, leave_out: Iterable[str] = ()) -> list[Setting]:
    """The fields of a dataclass in their order, each with the string that stands under it in the source."""
    texts = _texts(config)
    kinds = typing.get_type_hints(config)
    return [
        Setting(field.name, kinds[field.name], _default(field), texts.get(field.name, ""))
        for field in dataclasses.fields(config)
        if field.name not in set(leave_out)
    ]


def with_defaults(settings: Sequence[Setting], values: Mapping[str, Any]) -> list[Setting]:
    """The same settings, with the values of a file as their defaults."""
    return [dataclasses.replace(s, default=values[s.name]) if s.name in values else s for s in settings]


def parse(
    program: str, description: str, groups: Mapping[str, Sequence[Setting]], argv: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Values of each group's settings from flags. --help and mistakes print and end the process, as tyro does."""
    import tyro

    title = {group: group.replace(" ", "_") for group in groups}
    outer = dataclasses.make_dataclass(
        "Command", [(title[group], _as_dataclass(title[group], settings)) for group, settings in groups.items()]
    )
    if set(argv) & {"-h", "--help"}:
        say(textwrap.fill(description, 80) + "\n")  # tyro would not wrap it
    parsed: Any = tyro.cli(outer, prog=program, description="", args=list(argv), config=(tyro.conf.OmitArgPrefixes,))
    return {
        group: {setting.name: getattr(getattr(parsed, title[group]), setting.name) for setting in settings}
        for group, settings in groups.items()
    }


def nearest(name: str, known: Iterable[str]) -> str:
    """` Did you mean NAME?`, or nothing where no name is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def kind_of(annotation: Any) -> str:
    """A type as people write it: INT, FLOAT, PATH, one of the choices; None is left out, it is the default."""
    choices = [_one_kind(part) for part in _alternatives(annotation)]
    return "|".join(dict.fromkeys(choices))


def coerce(value: Any, annotation: Any) -> Any:
    """A value of a settings file as the type of its field. Raises ConfigError that says what was expected.

    Takes 1e-5 as a number although YAML 1.1 reads it as text, and on/off as words although YAML reads them as booleans.
    """
    if value is None and types.NoneType in typing.get_args(annotation):
        return None
    for kind in _alternatives(annotation):
        fitted = _fit(value, kind)
        if fitted is not None:
            return fitted
    raise ConfigError(f"{value!r} is not {_article(kind_of(annotation))}")


def _fit(value: Any, kind: Any) -> Any:
    """The value as that one type, or None where it does not fit."""
    if typing.get_origin(kind) is Literal:
        if isinstance(value, bool) and {"on", "off"} <= set(typing.get_args(kind)):
            return "on" if value else "off"
        return value if value in typing.get_args(kind) else None
    if kind is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            return None
    if kind in (int, str, bool):
        return value if type(value) is kind else None
    raise TypeError(f"settings of type {kind} are not supported; give the field a simpler type")


def _alternatives(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [part for part in typing.get_args(annotation) if part is not types.NoneType]
    return [annotation]


def _one_kind(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return "|".join(str(choice) for choice in typing.get_args(kind))
    return {str: "TEXT", int: "INT", float: "FLOAT", bool: "true|false"}.get(kind, getattr(kind, "__name__", str(kind)))


def _article(kind: str) -> str:
    words = {"TEXT": "text (put it in quotes)", "INT": "a whole number", "FLOAT": "a number"}
    return words.get(kind, "one of " + kind.replace("|", ", "))


def _as_dataclass(name: str, settings: Sequence[Setting]) -> type:
    return dataclasses.make_dataclass(name, [_field(setting) for setting in settings], kw_only=True)


def _field(setting: Setting) -> tuple[str, Any, Any]:
    import tyro

    metavar = None if setting.type is bool else "{" + kind_of(setting.type).replace("|", ",") + "}"
    if metavar and "," not in metavar:
        metavar = metavar.strip("{}")
    # The text under a field says what leaving it out does; "(default: None)" after it would say nothing.
    hint = "" if setting.default is None else None
    about = tyro.conf.arg(help=setting.help or None, metavar=metavar, help_behavior_hint=hint)
    if setting.required:
        return setting.name, Annotated[setting.type, about], dataclasses.field()
    return setting.name, Annotated[setting.type, about], dataclasses.field(default_factory=lambda: setting.default)


def _default(field: dataclasses.Field) -> Any:
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default


def _texts(config: type) -> dict[str, str]:
    """Each field's string under it, joined to one line."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(config))).body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for field, below in zip(definition.body, definition.body[1:]):
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            texts[field.target.id] = " ".join(str(below.value.value).split())  # type: ignore[attr-defined]
    return texts
