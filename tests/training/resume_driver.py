"""Runs `pairwright` commands in forked children, with a fault planted in one of them. Started by test_resume.py.

Reads a line of JSON for each command, {"argv": [...], "fault": {...} or null, "cache": folder or null}, and answers
with one: {"code": exit code (negative: the signal that ended it), "output": what it printed}. Forking saves the imports
of every start but one; this process itself computes nothing, so a child is as good as a new process.

Faults:
    {"kind": "call", "name": "torch.Tensor.backward", "number": 7, "signal": 9}   at the seventh call of a function
    {"kind": "save", "save": 2, "name": "rename", "number": 1, "signal": 9}       at that call of the disk in a save
    {"kind": "full", "save": 2}                                   the second save finds the disk full
    {"kind": "torn", "line": 5}                                   killed with half of the fifth line of metrics written
    {"kind": "alarm", "seconds": 0.8}                             killed after that time, wherever it is
    {"kind": "memory", "bytes": 1000}                             no fault, but only so much memory is free
"""

import errno
import importlib
import json
import os
import signal
import sys
import tempfile
import traceback
import types

import psutil
import torch
import transformers.models.llama.modeling_llama  # noqa: F401 (imported late otherwise, in every child)

import pairwright.recipes.train  # noqa: F401
from pairwright.cli import main
from pairwright.training import checkpoints, files
from pairwright.training.logs import LineLog


class Disk:
    """The module `os`; something happens before call `number` of the function `name`, and half of a write is done."""

    def __init__(self, name, number, happens):
        self.name, self.left, self.happens = name, number, happens

    def __getattr__(self, name):
        real = getattr(os, name)
        if name != self.name:
            return real

        def call(*args, **kwargs):
            self.left -= 1
            if self.left == 0:
                if name == "write":
                    os.write(args[0], bytes(args[1])[: len(args[1]) // 2])
                    args = (args[0], bytes(args[1])[len(args[1]) // 2 :])
                self.happens()
            return real(*args, **kwargs)

        return call


def plant_call(name, number, signal, times=1):
    """`times` signals before call `number` (from 1) of the function that `name` leads to."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            owner = importlib.import_module(".".join(parts[:length]))
            break
        except ModuleNotFoundError:
            continue
    for part in parts[length:-1]:
        owner = getattr(owner, part)
    real, count = getattr(owner, parts[-1]), 0

    def call(*args, **kwargs):
        nonlocal count
        count += 1
        if count == number:
            for _ in range(times):
                os.kill(os.getpid(), signal)
        return real(*args, **kwargs)

    setattr(owner, parts[-1], call)


def plant_disk(save, disk):
    """`disk` takes the place of the module `os` during save number `save` (from 1) of this process."""
    real, count = checkpoints.save, 0

    def saving(*args, **kwargs):
        nonlocal count
        count += 1
        if count == save:
            files.os = disk
        try:
            return real(*args, **kwargs)
        finally:
            files.os = os

    checkpoints.save = saving


def plant_save(save, name, number, signal):
    plant_disk(save, Disk(name, number, lambda: os.kill(os.getpid(), signal)))


def plant_full(save):
    def fail():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    plant_disk(save, Disk("write", 2, fail))


def plant_torn(line):
    real, count = LineLog.append, 0

    def append(self, entry):
        nonlocal count
        count += self.path.name == "metrics.jsonl"
        if count == line:
            text = json.dumps(entry).encode()
            os.write(self._descriptor, text[: len(text) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        real(self, entry)

    LineLog.append = append


def plant_alarm(seconds):
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process at once, like a kill
    signal.setitimer(signal.ITIMER_REAL, seconds)


def plant_memory(bytes):
    psutil.virtual_memory = lambda: types.SimpleNamespace(available=bytes, total=bytes)


PLANT = {"call": plant_call, "save": plant_save, "full": plant_full, "torn": plant_torn, "alarm": plant_alarm}
PLANT["memory"] = plant_memory


def run(argv, fault, cache):
    """In the child: never returns."""
    code = 70
    try:
        if cache:
            os.environ["PAIRWRIGHT_CACHE"] = cache
        torch.set_num_threads(1)
        if fault:
            PLANT[fault.pop("kind")](**fault)
        code = main(argv)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve():
    for line in sys.stdin:
        request = json.loads(line)
        with tempfile.TemporaryFile() as output:
            child = os.fork()
            if child == 0:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                run(request["argv"], request["fault"], request.get("cache"))
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            output.seek(0)
            answer = {"code": code, "output": output.read().decode(errors="replace")}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
    os._exit(0)  # without the seconds that torch takes to clean up
