"""The data folder: which file is what, who may write, and how a running process is found."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path


class FolderError(Exception):
    """The folder cannot be used as asked; `hint` says what to do (exit code 3)."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Running:
    """How to reach the process that serves a folder; the token is for this user's commands only."""

    pid: int
    http: str
    rpc: str
    radius_port: int
    acct_port: int
    token: str


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths within one installation's data folder."""

    root: Path

    @property
    def database(self) -> Path:
        """State and ledger."""
        return self.root / "opencarrier.sqlite"

    @property
    def begun(self) -> bool:
        """Whether an installation was begun here, wherever its database is."""
        return self.seal_key.exists() or self.database.exists()

    @property
    def chain(self) -> Path:
        """The embedded chain, where one is used."""
        return self.root / "chain.sqlite"

    @property
    def seal_key(self) -> Path:
        """The key that seals secrets at rest, where no KMS does."""
        return self.root / "seal.key"

    @property
    def config(self) -> Path:
        """Settings of this installation, optional."""
        return self.root / "config.toml"

    @property
    def manifest(self) -> Path:
        """The pinned venue: chain, contracts, code hashes. Hand it to whoever verifies."""
        return self.root / "venue.json"

    @property
    def run(self) -> Path:
        """Where the running process says how to reach it."""
        return self.root / "run.json"

    def make(self) -> None:
        """Make the folder, readable by its owner only."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise FolderError(
                f"{self.root}: {error.strerror}", "choose another folder with --data"
            ) from None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one writing process; `FolderError` where another has it."""
        self.make()
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderError(
                    f"{self.root} is in use by another process",
                    "stop it, or use another folder with --data",
                ) from None
            yield
        finally:
            os.close(descriptor)

    def announce(self, running: Running) -> None:
        """Write how to reach this process, for the commands of the same user."""
        temporary = self.run.with_suffix(".tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(running), file)
        temporary.replace(self.run)

    def running(self) -> Running | None:
        """Return the process that serves this folder, or None."""
        if not self.run.exists() or not self.is_held():
            return None
        try:
            return Running(**json.loads(self.run.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def is_held(self) -> bool:
        """Whether a process has the folder: it serves, or is about to, or ends."""
        with suppress(OSError), (self.root / "lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False
