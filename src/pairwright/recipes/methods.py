"""The methods that there are, by the files of pairwright/objectives, and the data that each takes."""

import importlib
from pathlib import Path
from types import ModuleType

from pairwright.reading.recognition import READS, Kind
from pairwright.records import Demonstration, Ranking, Rating, Steps

FOLDER = Path(__file__).parent.parent / "objectives"
RECORDS: dict[str, Kind] = {
    "pairs": Ranking,
    "steps": Steps,
    "labelled": Rating,
    "answers": Demonstration,
    "scores": Ranking,
}
"""What an objective's INPUT is read as."""


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("[!_]*.py") if path.stem != "inputs")


def module(name: str) -> ModuleType:
    return importlib.import_module(f"pairwright.objectives.{name}")


def methods_for(kind: Kind) -> list[str]:
    """Names of the methods that take data of this kind."""
    return [name for name in names() if (wanted := RECORDS.get(module(name).INPUT)) and kind in READS[wanted]]
