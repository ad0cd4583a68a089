from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path

import pytest
from tests.forking import ran
from typer.main import get_command

from opencarrier.app.cli.root import make
from opencarrier.app.failures import ending

ROOT = Path(__file__).parents[2]


class Oc:
    """The command line as a script uses it: one process a call."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.env = {
            **os.environ,
            "OPENCARRIER_DATA": str(self.data),
            "OPENCARRIER_ONE_SIDED_WINDOW_S": "0",
            "OPENCARRIER_REWARDS_DELAY_S": "0",
            "XDG_CONFIG_HOME": str(folder / "config"),
            "HOME": str(folder),
            "NO_COLOR": "1",
        }

    def run(self, *words: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess:
        done = ran(list(words), self.env, stdin=stdin)
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return done

    def json(self, *words: str, **more) -> dict:
        return json.loads(self.run(*words, "--json", **more).stdout)


@pytest.fixture
def oc(tmp_path):
    return Oc(tmp_path)


@cache
def _root():
    """The tree of commands, built once a worker; a process builds it once, too."""
    return get_command(make())


@pytest.fixture
def run(capfd, tmp_path, monkeypatch):
    """Run a command as the entry point does; return what it printed."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def command(*words: str, code: int = 0) -> str:
        capfd.readouterr()
        ended = 0
        try:
            with ending():
                _root()(args=list(words))
        except SystemExit as error:
            ended = int(error.code or 0)
        printed = capfd.readouterr()
        assert ended == code, printed
        return printed.out + printed.err

    return command


@pytest.fixture
def here(oc, run, monkeypatch):
    """Run a command on the data of `oc`, without a process of its own."""
    for name, value in oc.env.items():
        monkeypatch.setenv(name, value)
    return run
