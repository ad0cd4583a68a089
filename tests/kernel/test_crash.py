"""A named crash point kills the process, and only where it is named."""

import os
import signal
import subprocess
import sys

import pytest

from opencarrier.kernel.crash import VARIABLE

SCRIPT = """
from opencarrier.kernel.crash import crashpoint
for turn in range(3):
    crashpoint("before")
    print(turn, flush=True)
    crashpoint("after")
"""


def run(at: str | None) -> tuple[int, str]:
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    if at is not None:
        environment[VARIABLE] = at
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout.replace("\n", "")


@pytest.mark.parametrize(
    ("at", "printed"),
    [("before", ""), ("after", "0"), ("before:2", "0"), ("after:3", "012")],
)
def test_the_process_dies_at_the_named_pass(at: str, printed: str) -> None:
    assert run(at) == (-signal.SIGKILL, printed)


@pytest.mark.parametrize("at", [None, "elsewhere", "after:4"])
def test_the_process_lives_otherwise(at: str | None) -> None:
    assert run(at) == (0, "012")
