"""The machine below an installation: its folder, disk, ports and clock."""

from __future__ import annotations

import ctypes
import errno
import shlex
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from opencarrier.app.config import Settings
from opencarrier.app.doctor.model import Finding, Findings, broken, doubtful, good
from opencarrier.app.folder import Folder, Running

MIB = 1 << 20
FREE_LOW, FREE_LEAST = 1024 * MIB, 100 * MIB
SKEW_US = 60 * 1_000_000
ASK_S = 5
CLOCK_UNKEPT = 5
"""What `adjtimex` returns where no time service keeps the clock (TIME_ERROR)."""


def folder_findings(folder: Folder) -> Findings:
    """Who else may read the folder and its secrets."""
    kept = (folder.config, folder.run, folder.seal_key)
    secret = [path for path in kept if path.exists()]
    open_ones = [path for path in (folder.root, *secret) if path.stat().st_mode & 0o077]
    if open_ones:
        names = shlex.join(map(str, open_ones))
        yield doubtful("folder", f"others may read {names}", f"chmod go= {names}")
    else:
        yield good("folder", f"{folder.root} is its owner's alone")


def disk_findings(folder: Folder) -> Findings:
    """How much the folder's file system still takes."""
    free = shutil.disk_usage(folder.root).free
    found = f"{free // MIB:,} MiB free under {folder.root}"
    fix = "make room, or move the folder: opencarrier backup, then restore on a larger disk"
    if free < FREE_LEAST:
        yield broken("disk", found, fix)
    elif free < FREE_LOW:
        yield doubtful("disk", found, fix)
    else:
        yield good("disk", found)


@dataclass(frozen=True, slots=True)
class _Port:
    """A port that `up` would open; 0 is any free one."""

    setting: str
    host: str
    port: int
    kind: socket.SocketKind

    def __str__(self) -> str:
        protocol = "UDP" if self.kind is socket.SOCK_DGRAM else "TCP"
        return f"{self.host}:{self.port} ({protocol})"


def port_findings(settings: Settings, running: Running | None) -> Findings:
    """Whether the ports can be opened, or whether the process that has them answers."""
    if running is not None:
        yield from _answering(running)
        return
    for port in _ports(settings):
        yield _openable(port)


def _ports(settings: Settings) -> Iterator[_Port]:
    datagram, stream = socket.SOCK_DGRAM, socket.SOCK_STREAM
    yield _Port("radius_port", settings.host, settings.radius_port, datagram)
    yield _Port("acct_port", settings.host, settings.acct_port, datagram)
    yield _Port("http_port", settings.http_host, settings.http_port, stream)
    if settings.radsec_chain:
        yield _Port("radsec_port", settings.host, settings.radsec_port, stream)


def _openable(port: _Port) -> Finding:
    part = f"port {port.setting}"
    family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
    try:
        with socket.socket(family, port.kind) as probe:
            if port.kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((port.host, port.port))
    except OSError as error:
        return broken(part, f"{port}: {error.strerror}", _port_fix(error, port))
    return good(part, f"{port} is free")


def _port_fix(error: OSError, port: _Port) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            letter = "u" if port.kind is socket.SOCK_DGRAM else "t"
            return (
                f"see who has it: ss -{letter}lnp 'sport = :{port.port}';"
                f" stop that, or write another {port.setting} into config.toml"
            )
        case errno.EACCES:
            return f"set {port.setting} to 1024 or more, or give the process CAP_NET_BIND_SERVICE"
    return f"see with `ip address` whether {port.host} is this machine's; else set another"


def _answering(running: Running) -> Findings:
    for path in ("/healthz", "/readyz"):
        found = _asked(running.http + path)
        if found:
            yield broken("process", f"{path} of process {running.pid}: {found}", _SEE_LOG)
            return
    yield good("process", f"process {running.pid} answers at {running.http} and is ready")


_SEE_LOG = "read what it last wrote to stderr; then stop it and start `opencarrier up` again"


def _asked(url: str) -> str:
    """Why a page of ours does not answer, empty where it does."""
    try:
        with urlopen(url, timeout=ASK_S):  # noqa: S310 - our own address, http
            return ""
    except HTTPError as error:
        return f"{error.code} {error.read(1_000).decode(errors='replace')}"
    except (OSError, ValueError) as error:
        return str(error)


def clock_findings(now_us: int, told: dict[str, int]) -> Findings:
    """Whether the clock is behind what was written by it, and whether anything keeps it.

    `told` are instants that lie in the past, by what says so (microseconds, UTC).
    """
    ahead = {name: at_us for name, at_us in told.items() if at_us > now_us + SKEW_US}
    for name, at_us in ahead.items():
        seconds = (at_us - now_us) // 1_000_000
        yield broken("clock", f"{seconds:,} s behind {name}", "set the clock; run a time service")
    if not ahead:
        yield _kept()


def _kept() -> Finding:
    keeping = _time_state()
    if keeping == CLOCK_UNKEPT:
        fix = "run a time service: apt install chrony"
        return doubtful("clock", "no time service keeps the clock", fix)
    return good("clock", "in step" if keeping is not None else "in step with what is written")


def _time_state() -> int | None:
    """What Linux says of its clock, None on another system."""
    with suppress(OSError, AttributeError):
        answer: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
        return answer if answer >= 0 else None
    return None


def newest_us(path: Path) -> int | None:
    """When a file was last written, None where there is none."""
    return path.stat().st_mtime_ns // 1_000 if path.exists() else None
