"""What the command line says: results on stdout, everything else on stderr; wrapped for a terminal, whole lines if not.

With several processes only the first one speaks; errors are said by whoever meets them.
"""

import os
from typing import Any

_FIRST = os.environ.get("RANK", "0") == "0"


def say(text: Any = "") -> None:
    """A result: a line of text, or anything rich can render, such as a table."""
    if _FIRST:
        _print(text, stderr=False)


def note(text: str) -> None:
    """A remark on the way: a name that was translated, a choice that was made."""
    if _FIRST:
        _print(text, stderr=True, style="dim")


def complain(text: str) -> None:
    """An error message."""
    _print(text, stderr=True, label="error: ")


def _print(text: Any, *, stderr: bool, style: str | None = None, label: str = "") -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=stderr, highlight=False, markup=False)
    if isinstance(text, str):
        text = Text.assemble((label, "bold red"), (text, style or ""))
        console.print(text, soft_wrap=not console.is_terminal)
    else:
        console.print(text)
