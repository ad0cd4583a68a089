"""Processes of `opencarrier` that need not begin with importing it: forked from one that has.

Each is a process of its own, killed and waited for like any other; what all begin with, which is
most of a start, is paid once for a worker. That a command starts from nothing is held elsewhere, by
the tests of the command line, of the demo and of foreign programs.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from multiprocessing import forkserver
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

OURS = "opencarrier"
LOADED = (
    "opencarrier.__main__",
    "opencarrier.app.daemon",
    "opencarrier.app.http_server",
    "opencarrier.access.discovery.resolver",
    "opencarrier.chain.node.engine",
    "anyio._backends._asyncio",
    "dns.resolver",
    "eth_abi",
    "pydantic",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
)
"""What `up` has imported when it is ready."""

SHIM = Path(__file__).parent / "crash" / "fsync_kill.c"
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(list(LOADED))


@cache
def begun() -> Path | None:
    """Begin the process that forks, once for a worker; return the library it has loaded.

    The library kills its process at the fsync whose number `FSYNC_KILL_AT` says; None where no C
    compiler is there to make it.
    """
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        forkserver.ensure_running()
        return None
    folder = TemporaryDirectory(prefix="fsync-kill")
    atexit.register(folder.cleanup)
    library = Path(folder.name) / "fsync_kill.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SHIM), "-ldl"], check=True
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(library))
        forkserver.ensure_running()
    return library


class Forked:
    """A running command, with what tests ask of a `Popen`; `streams` are files, by number.

    What runs is `opencarrier`, or another module as `python -m` runs it.
    """

    def __init__(
        self,
        words: list[str],
        environ: Mapping[str, str],
        streams: Mapping[int, Path],
        module: str = OURS,
    ) -> None:
        begun()
        paths = {number: str(path) for number, path in streams.items()}
        self._process = _CONTEXT.Process(target=_run, args=(module, words, dict(environ), paths))
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
    words: list[str],
    environ: Mapping[str, str],
    *,
    module: str = OURS,
    stdin: str = "",
    timeout_s: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as `subprocess.run` does; one that does not end is killed."""
    with TemporaryDirectory() as folder:
        streams = {number: Path(folder, str(number)) for number in range(3)}
        streams[0].write_text(stdin)
        process = Forked(words, environ, streams, module)
        try:
            code = process.wait(timeout_s)
        finally:
            process.send_signal(signal.SIGKILL)
        said = [streams[number].read_text() for number in (1, 2)]
    return subprocess.CompletedProcess(words, code, *said)


def _run(module: str, words: list[str], environ: dict[str, str], streams: dict[int, str]) -> None:
    """Become the command, in the forked process."""
    from opencarrier.__main__ import main

    os.setsid()
    os.environ.clear()
    os.environ.update(environ)
    for number, path in streams.items():
        flags = os.O_WRONLY | os.O_APPEND if number else os.O_RDONLY
        os.dup2(os.open(path, flags | os.O_CREAT, 0o600), number)
    sys.stdin = os.fdopen(0, closefd=False)  # multiprocessing leaves another one
    sys.argv = [module, *words]
    if module == OURS:
        main()
    else:
        runpy.run_module(module, run_name="__main__")
