"""Processes of `opencarrier` that need not begin with importing it: forked from one that has.

Each is a process of its own, killed and waited for like any other; what all begin with, which is
most of a start, is paid once for a worker. That a command starts from nothing is held elsewhere, by
the tests of the command line, of the demo and of foreign programs.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

BEGUN = (
    "opencarrier.__main__",
    "opencarrier.app.daemon",
    "opencarrier.app.http_server",
    "opencarrier.access.discovery.resolver",
    "opencarrier.chain.node.engine",
)
"""What `up` has imported when it is ready."""

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(list(BEGUN))


class Forked:
    """A running command, with what tests ask of a `Popen`; `streams` are files, by number."""

    def __init__(
        self, words: list[str], environ: Mapping[str, str], streams: Mapping[int, Path]
    ) -> None:
        paths = {number: str(path) for number, path in streams.items()}
        self._process = _CONTEXT.Process(target=_run, args=(words, dict(environ), paths))
        self._process.start()

    @property
    def pid(self) -> int:
        """The process, which leads a group of its own."""
        found = self._process.pid
        assert found is not None
        return found

    def poll(self) -> int | None:
        """Return how it ended, a signal as a negative number; None while it lives."""
        return self._process.exitcode

    def wait(self, timeout_s: float | None = None) -> int:
        """Return how it ended, within so many seconds."""
        self._process.join(timeout_s)
        found = self.poll()
        if found is None:
            raise subprocess.TimeoutExpired(str(self._process), timeout_s or 0)
        return found

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def ran(
    words: list[str], environ: Mapping[str, str], *, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as `subprocess.run` does."""
    with TemporaryDirectory() as folder:
        streams = {number: Path(folder, str(number)) for number in range(3)}
        streams[0].write_text(stdin)
        code = Forked(words, environ, streams).wait()
        said = [streams[number].read_text() for number in (1, 2)]
    return subprocess.CompletedProcess(words, code, *said)


def _run(words: list[str], environ: dict[str, str], streams: dict[int, str]) -> None:
    """Become the command, in the forked process."""
    from opencarrier.__main__ import main

    os.setsid()
    os.environ.clear()
    os.environ.update(environ)
    for number, path in streams.items():
        flags = os.O_WRONLY | os.O_APPEND if number else os.O_RDONLY
        os.dup2(os.open(path, flags | os.O_CREAT, 0o600), number)
    sys.stdin = os.fdopen(0, closefd=False)  # multiprocessing leaves another one
    sys.argv = ["opencarrier", *words]
    main()
