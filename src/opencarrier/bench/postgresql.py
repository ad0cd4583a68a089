"""A PostgreSQL cluster of our own in a folder, on loopback: for benches and tests."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
START_S = 180
"""After a kill it reads all that was written since the last checkpoint, on a busy machine too."""


def program(name: str) -> str | None:
    """Where a program of the server is, None where PostgreSQL is not installed."""
    for place in PLACES:
        if (place / name).exists():
            return str(place / name)
    return shutil.which(name)


class Server:
    """One cluster; the superuser is `opencarrier`, text sorts by octets."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self.folder = folder
        self._durable = durable
        self._owner: dict[str, Any] = _owner()
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    @property
    def pid(self) -> int:
        """The first of its processes."""
        assert self._process is not None
        return self._process.pid

    def make(self) -> None:
        """Make the cluster."""
        initdb = program("initdb")
        assert initdb is not None
        options = ["--locale=C", "--encoding=UTF8", "--auth=trust", "--username=opencarrier"]
        command = [initdb, "-D", str(self.folder / "data"), *options, "--no-sync"]
        subprocess.run(
            command, stdout=subprocess.DEVNULL, cwd=self.folder, check=True, **self._owner
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        import psycopg

        postgres = program("postgres")
        assert postgres is not None
        settings: dict[str, str | int] = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 60,
            "fsync": "on" if self._durable else "off",
        }
        words = [word for item in settings.items() for word in ("-c", "{}={}".format(*item))]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [postgres, "-D", str(self.folder / "data"), *words],
                stdout=log, stderr=log, **self._owner,
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """Take the power away: no process of it has a word to say."""
        assert self._process is not None
        children = _children(self._process.pid)
        for pid in (self._process.pid, *children):
            os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Stop it without waiting for its clients."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=START_S)

    def url(self, database: str) -> str:
        """Name one of its databases."""
        return f"postgresql://opencarrier@127.0.0.1:{self.port}/{database}"

    def database(self, **words: str) -> str:
        """Make an empty database and return its URL."""
        import psycopg

        self._databases += 1
        name = f"test_{self._databases}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            more = " ".join(f"{key} '{value}'" for key, value in words.items())
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 {more}")
        return self.url(name)


@contextmanager
def server(*, durable: bool = False) -> Iterator[Server]:
    """Make a cluster, run it, and leave nothing behind.

    `durable` syncs each commit as an installation's does; where only processes are killed, not
    the machine, nothing is lost without.
    """
    folder = Path(mkdtemp(prefix="opencarrier-postgresql-"))
    made = Server(folder, durable=durable)
    if made._owner:
        shutil.chown(folder, made._owner["user"], made._owner["group"])
    try:
        made.make()
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _owner() -> dict[str, int]:
    """Who runs the server: it refuses to be root."""
    if os.getuid():
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    return {"user": entry.pw_uid, "group": entry.pw_gid}


def _children(parent: int) -> list[int]:
    path = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []
