"""Commands of `pairwright` in processes of their own, with faults planted: for the tests of resume."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def pairwright(tmp_path_factory):
    """A function (arguments, fault, folder of the reference cache) -> (exit code, output)."""
    environment = {
        **os.environ,
        "PAIRWRIGHT_CACHE": str(tmp_path_factory.mktemp("cache")),
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }
    driver = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("resume_driver.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    assert driver.stdin and driver.stdout

    def run(argv: list, fault: dict | None = None, cache: Path | None = None) -> tuple[int, str]:
        request = {"argv": [str(word) for word in argv], "fault": fault, "cache": cache and str(cache)}
        driver.stdin.write(json.dumps(request) + "\n")
        driver.stdin.flush()
        answer = json.loads(driver.stdout.readline())
        return answer["code"], answer["output"]

    yield run
    driver.stdin.close()
    assert driver.wait(timeout=20) == 0
