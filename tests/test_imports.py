"""Who may import whom: the table of ARCHITECTURE.md, held by reading the imports of every file.

A package may import from those below it and from itself; those of one line never import each other. Whole packages
count, and imports inside functions and under TYPE_CHECKING count as well.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "pairwright"

LAYERS = [
    {"errors"},
    {"records"},
    {"reading", "audit", "planning"},
    {"tokens", "backbone"},
    {"objectives"},
    {"training", "feedback", "evaluation", "annotation", "diagnosis"},
    {"miniature"},
    {"reporting"},
    {"recipes"},
    {"commandline", "cli"},
]
"""From the bottom. The miniature stands over what it may use, and recipes alone may import it."""

OVER_EACH_OTHER = {("backbone", "tokens"), ("cli", "commandline")}
"""(importer, imported) within one line: log-probabilities are taken over the trie that tokens makes."""

ONLY_FOR = {"miniature": {"recipes"}}
NEVER = {("miniature", "training"), ("miniature", "annotation"), ("miniature", "diagnosis")}
WITHOUT_TORCH = {"errors", "records", "reading", "audit", "planning", "commandline", "cli", "reporting"}
HEAVY = {"torch", "transformers", "peft", "accelerate", "bitsandbytes"}
ENTRY = {"__init__", "__main__"}
"""The package's own face and the program's start, which hand names on."""

FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    """The part of the package that a file belongs to: src/pairwright/tokens/trie.py -> tokens."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path, text: str) -> list[tuple[int, str]]:
    """Every module that a file imports, by its full name, with the line."""
    package = ["pairwright", *path.relative_to(PACKAGE).parts[:-1]]
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from pairwright import tokens` imports a part, `from pairwright.tokens import trie` one of its modules.
            found += [(node.lineno, f"{module}.{alias.name}") for alias in node.names]
    return found


def violations(path: Path, text: str) -> list[str]:
    """What a file imports that it may not."""
    level = {part: number for number, layer in enumerate(LAYERS) for part in layer}
    importer = part_of(path)
    wrong = []
    for line, module in imports(path, text):
        root, _, rest = module.partition(".")
        where = f"{path.relative_to(PACKAGE)}:{line}: {importer} imports {module}"
        if root in HEAVY and importer in WITHOUT_TORCH:
            wrong.append(f"{where}, but works without {root}")
        imported = rest.partition(".")[0]
        if root != "pairwright" or importer in ENTRY or imported not in level:
            continue
        allowed = importer == imported or level[imported] < level[importer] or (importer, imported) in OVER_EACH_OTHER
        allowed &= importer in ONLY_FOR.get(imported, {importer}) | {imported}
        if not allowed or (importer, imported) in NEVER:
            wrong.append(f"{where}, which does not stand below it")
    return wrong


def test_every_part_has_its_place():
    parts = {part_of(path) for path in FILES} - ENTRY
    placed = set().union(*LAYERS)
    assert parts <= placed, f"not in LAYERS: {sorted(parts - placed)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    assert violations(path, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("file", "text", "broken"),
    [
        ("records.py", "from pairwright.tokens.trie import Trie", True),
        ("records.py", "from pairwright import errors", False),
        ("training/step.py", "from pairwright.evaluation import statistics", True),
        ("training/step.py", "def f():\n    import pairwright.reporting.page", True),
        ("training/step.py", "from . import checkpoints", False),
        ("training/step.py", "from ..recipes.config import TrainConfig", True),
        ("training/step.py", "from ..objectives import dpo", False),
        ("evaluation/loop.py", "from pairwright.miniature.oracle import score", True),
        ("cli.py", "from pairwright.miniature.oracle import score", True),
        ("recipes/demo.py", "from pairwright.miniature.oracle import score", False),
        ("miniature/oracle.py", "from pairwright.miniature import words", False),
        ("miniature/oracle.py", "from pairwright.recipes.train import train", True),
        ("miniature/annotators.py", "from pairwright.feedback import sample", False),
        ("miniature/annotators.py", "from pairwright.training import step", True),
        ("planning/memory.py", "import torch.nn", True),
        ("planning/memory.py", "from pairwright.reading.reader import read", True),
        ("reporting/page.py", "from torch import Tensor", True),
        ("backbone/attention.py", "from pairwright.tokens.trie import Trie", False),
        ("tokens/trie.py", "from pairwright.backbone.attention import mask", True),
        ("cli.py", "from pairwright.recipes.train import train", False),
        ("recipes/train.py", "from pairwright.cli import main", True),
    ],
)
def test_the_rule_itself(file, text, broken):
    assert bool(violations(PACKAGE / file, text)) is broken


@pytest.mark.parametrize(
    "module",
    [
        "pairwright",
        "pairwright.cli",
        "pairwright.records",
        "pairwright.recipes.config",
        "pairwright.reading",
        "pairwright.audit",
        "pairwright.recipes.audit",
        "pairwright.reporting",
    ],
)
def test_starts_without_torch(module):
    """What starts at once, and what a laptop without torch can use, must not bring it in by way of something else."""
    code = f"import sys, {module}; print(sorted(set(sys.modules) & {HEAVY!r}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
