"""A reward that is a Python function: given by import path, called with a whole batch, in a process of its own.

    package.module:function      anything that can be imported
    path/to/file.py:function     a file

The function is called as TRL calls its reward functions: with keywords, each a list with one entry an answer, and it
takes those that it names (or all, with **columns). It returns one number an answer.

    def score(prompts, completions, solution, **columns):
        return [float(right in said) for said, right in zip(completions, solution)]

`prompts` are texts, or lists of messages where the data has those; `completions` texts; `ended` whether the model ended
the answer by itself; every other keyword is a column of the data. A batch that takes longer than the limit is an error
of its own, and the process is ended. The process is no sandbox: the function may do what the user may do. Text that a
model wrote should not be executed by it.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pairwright.errors import ConfigError, TrainingError

PATIENCE = 120.0
"""Seconds that the import may take."""


class Verifier:
    """An open process. Close it, or use it as a context manager."""

    def __init__(self, path: str, seconds: float) -> None:
        """`path` as above; `seconds`: limit of one batch. Raises ConfigError where the function cannot be had."""
        self.path, self.seconds = path, seconds
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pairwright.feedback.verifier_process", path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._rest = b""
        answer = self._answer(PATIENCE, "importing it")
        if "error" in answer:
            self.close()
            raise ConfigError(f"--reward {path}: {answer['error']}")

    def __call__(self, columns: Mapping[str, Sequence[Any]]) -> list[float]:
        """One number an answer. `columns`: lists of one length. Raises TrainingError for a function that fails, takes
        too long, or gives something else."""
        count = len(next(iter(columns.values())))
        try:
            data = (json.dumps(columns) + "\n").encode()
        except (TypeError, ValueError) as error:
            raise TrainingError(f"{self.path}: a column of the data cannot be handed over: {error}") from error
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise TrainingError(f"{self.path}: its process has ended ({self._process.poll()})") from error
        answer = self._answer(self.seconds, f"{count} answers")
        if "error" in answer:
            raise TrainingError(f"{self.path}: {answer['error']}")
        found = answer["scores"]
        if not isinstance(found, list) or len(found) != count:
            what = f"{len(found)} numbers" if isinstance(found, list) else f"a {type(found).__name__}"
            raise TrainingError(f"{self.path} returned {what} for {count} answers; it has to return one each")
        odd = next((v for v in found if isinstance(v, str) or not isinstance(v, int | float)), None)
        if odd is not None:
            raise TrainingError(f"{self.path} returned {odd!r} for an answer, not a number")
        return [float(value) for value in found]

    def _answer(self, seconds: float, doing: str) -> dict[str, Any]:
        """The next line that the process writes. Raises TrainingError after `seconds`, or when the process ends."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        end = time.monotonic() + seconds
        while b"\n" not in self._rest:
            left = end - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                self.close()
                raise TrainingError(
                    f"{self.path} took more than {seconds:g} s for {doing}, and was stopped. Make it faster, or raise "
                    "--reward-seconds"
                )
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                code = self._process.wait()
                raise TrainingError(f"{self.path}: its process ended with code {code} over {doing}")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """End the process, and what it started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()

    def __enter__(self) -> "Verifier":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
