"""The objectives that there are: the folder pairwright/objectives, read without importing it.

A file of that folder is an objective when it defines INPUT and loss(). Reading the source instead of importing it
keeps `pairwright methods` and `pairwright train --help` free of torch; only an objective's own command imports it.
"""

import ast
import importlib
from dataclasses import dataclass
from pathlib import Path

from pairwright.commandline.settings import nearest
from pairwright.errors import ConfigError

FOLDER = Path(__file__).parent.parent / "objectives"

DATA = {
    "pairs": "pairs or rankings",
    "steps": "steps",
    "labelled": "labelled answers or pairs",
    "answers": "demonstrations, pairs or rankings",
    "sampled": "prompts and a reward",
    "scores": "pairs or rankings",
}
"""INPUT -> the data that is read for it (docs/data-formats.md); reading/recognition.py decides."""


@dataclass(frozen=True, slots=True)
class Objective:
    name: str
    input: str
    """What it takes, as INPUT says: pairs, labelled, answers ..."""
    reference: bool
    """Whether it compares with a reference model."""
    summary: str
    """First line of its docstring."""

    @property
    def data(self) -> str:
        """The kinds of data that it takes, in words."""
        return DATA.get(self.input, self.input)


def objectives() -> list[Objective]:
    """All objectives, by name."""
    found = (_read(path) for path in sorted(FOLDER.glob("[!_]*.py")))
    return [objective for objective in found if objective is not None]


def find(name: str) -> Objective:
    """The objective of that name, with - and _ taken as the same. Raises ConfigError with the nearest name."""
    known = {objective.name: objective for objective in objectives()}
    wanted = name.replace("-", "_")
    if wanted not in known:
        raise ConfigError(f"There is no objective {name!r}.{nearest(wanted, known)} There are: {', '.join(known)}.")
    return known[wanted]


def options_class(name: str) -> type:
    """The dataclass of the objective's own settings. Imports the objective, and torch with it."""
    options: type = importlib.import_module(f"pairwright.objectives.{name}").Options
    return options


def _read(path: Path) -> Objective | None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = dict(_constants(tree))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    if "INPUT" not in constants or "loss" not in functions:
        return None
    summary = (ast.get_docstring(tree) or "").partition("\n")[0]
    return Objective(path.stem, str(constants["INPUT"]), bool(constants.get("REFERENCE", False)), summary)


def _constants(tree: ast.Module) -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = []
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = getattr(node, "value", None)
        if isinstance(value, ast.Constant):
            pairs += [(target.id, value.value) for target in targets if isinstance(target, ast.Name)]
        elif isinstance(value, ast.Attribute | ast.Name):
            pairs += [(target.id, ast.unparse(value)) for target in targets if isinstance(target, ast.Name)]
    return pairs
