"""The process that a verifier function runs in: python -m pairwright.feedback.verifier_process PATH:FUNCTION

Reads a line of JSON with the columns of a batch, answers with one, {"scores": [...]} or {"error": "..."}. What the
function itself prints goes to stderr. Ends with its standard input. Started by verifier.py.
"""

import importlib
import importlib.util
import inspect
import json
import math
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


def find(path: str) -> Callable[..., Any]:
    """The function that `path` names. Raises ValueError that says what is missing."""
    place, _, name = path.rpartition(":")
    if not place or not name:
        raise ValueError("a function is given as module:function or file.py:function")
    if place.endswith(".py"):
        if not Path(place).is_file():
            raise ValueError(f"there is no file {place}")
        specification = importlib.util.spec_from_file_location(Path(place).stem, place)
        assert specification is not None and specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        sys.path.insert(0, str(Path(place).resolve().parent))
        specification.loader.exec_module(module)
    else:
        sys.path.insert(0, str(Path.cwd()))
        module = importlib.import_module(place)
    function = getattr(module, name, None)
    if not callable(function):
        raise ValueError(f"{place} has no function {name}")
    return function


def taken(function: Callable[..., Any], columns: dict[str, Any]) -> dict[str, Any]:
    """Those of the columns that the function takes. Raises ValueError for one that it needs and the data lacks."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return columns
    names = [p.name for p in parameters]
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in columns]
    if missing:
        raise ValueError(f"it takes {missing[0]!r}, and the data has no such column; there are {', '.join(columns)}")
    return {name: columns[name] for name in names if name in columns}


def _plain(scores: Any) -> Any:
    """Numbers of numpy and torch as Python's own; NaN and infinity as text, for strict JSON."""
    values = scores.tolist() if hasattr(scores, "tolist") else list(scores)
    plain = [value.item() if hasattr(value, "item") else value for value in values]
    return [str(v) if isinstance(v, float) and not math.isfinite(v) else v for v in plain]


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the function prints must not get between the answers

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    try:
        function = find(sys.argv[1])
    except Exception as error:
        answer({"error": f"{type(error).__name__}: {error}"})
        return
    answer({"ready": True})
    for line in sys.stdin:
        columns = json.loads(line)
        try:
            answer({"scores": _plain(function(**taken(function, columns)))})
        except Exception as error:
            traceback.print_exc()
            answer({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
