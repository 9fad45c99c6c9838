"""SIGTERM and Ctrl-C ask a run to save and end; the loop looks at the answer after each step."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], int]]:
    """Yields a function that gives the number of the first signal that has come, 0 before. A second Ctrl-C interrupts
    at once; a second SIGTERM changes nothing. Outside the main thread, where Python allows no handlers, it is always 0.
    """
    asked = 0
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = asked or number

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
