"""The examination: every part looked at, whatever another part is like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from os import environ

from opencarrier.app import config
from opencarrier.app.bootstrap import open_installation
from opencarrier.app.config import ConfigError, Settings
from opencarrier.app.doctor.certificates import certificate_findings
from opencarrier.app.doctor.chain import chain_findings
from opencarrier.app.doctor.collector import collector_findings
from opencarrier.app.doctor.data import database_findings
from opencarrier.app.doctor.machine import (
    clock_findings,
    disk_findings,
    folder_findings,
    newest_us,
    port_findings,
)
from opencarrier.app.doctor.model import Finding, Findings, Health, broken, good
from opencarrier.app.doctor.peers import peer_findings
from opencarrier.app.folder import Folder
from opencarrier.app.system import SystemClock
from opencarrier.kernel.clock import Clock

Look = Callable[[], Findings]


def examine(folder: Folder, clock: Clock | None = None) -> list[Finding]:
    """Look at every part of an installation; nothing is changed and nothing is sent but questions.

    What needs the database is left out where that is broken or of another version.
    """
    clock = clock or SystemClock()
    try:
        settings = config.load(file=folder.config, environ=environ, flags={}).settings
    except ConfigError as error:
        return [broken("settings", str(error), f"see {folder.config} and the environment")]
    found = [good("settings", "every one is known and in its range")]
    for part, look in _looks(folder, settings, clock):
        found += _seen(part, look)
    data = [one for one in found if one.part in {"database", "schema", "books"}]
    if all(one.health is Health.GOOD for one in data):
        found += _seen("installation", lambda: _opened(folder, settings, clock))
    return found


def _looks(folder: Folder, settings: Settings, clock: Clock) -> Iterator[tuple[str, Look]]:
    now_us = clock.now_us()
    written = {"the database": folder.database, "the embedded chain": folder.chain}
    told = {name: at_us for name, path in written.items() if (at_us := newest_us(path)) is not None}
    yield "folder", lambda: folder_findings(folder)
    yield "disk", lambda: disk_findings(folder)
    yield "ports", lambda: port_findings(settings, folder.running())
    yield "clock", lambda: clock_findings(now_us, told)
    yield "collector", lambda: collector_findings(settings, environ)
    yield "certificates", lambda: certificate_findings(folder, settings, now_us)
    yield "database", lambda: database_findings(folder, settings)


def _opened(folder: Folder, settings: Settings, clock: Clock) -> Findings:
    with closing(open_installation(folder, settings, clock=clock)) as base:
        yield from _seen("chain", lambda: chain_findings(base))
        yield from _seen("peers", lambda: peer_findings(base))


def _seen(part: str, look: Look) -> list[Finding]:
    """What a look brought; one that fails is a finding itself, and the others go on."""
    found = []
    try:
        for one in look():
            found.append(one)
    except Exception as error:
        fix = getattr(error, "hint", "")
        told = str(error) if fix else f"{type(error).__name__}: {error}"
        found.append(broken(part, told, fix or "this is a defect: report it"))
    return found
