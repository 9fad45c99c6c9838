"""The methods that there are, by the files of pairwright/objectives, and the data that each takes."""

import importlib
from pathlib import Path
from types import ModuleType

from pairwright.records import Demonstration, Preference

FOLDER = Path(__file__).parent.parent / "objectives"
RECORDS = {"pairs": Preference, "answers": Demonstration}
"""What an objective's INPUT is read as."""


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("[!_]*.py") if path.stem != "inputs")


def module(name: str) -> ModuleType:
    return importlib.import_module(f"pairwright.objectives.{name}")


def methods_for(kind: type) -> list[str]:
    """Names of the methods whose own kind of record this is."""
    return [name for name in names() if RECORDS[module(name).INPUT] is kind]
