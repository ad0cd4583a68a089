"""The server is killed at each named point: nothing acknowledged is lost, and it starts again."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.access.fakes import NAS, REALM, SECRET, usim

from opencarrier.access.wire.dictionary import AcctStatus
from opencarrier.kernel.crash import VARIABLE
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import (
    Attached,
    NoAnswerError,
    Patience,
    Radio,
    RadioSettings,
    Rejected,
    Report,
)

POINTS = ("access.received", "access.before_commit", "access.committed", "access.replied")
SERVE = Path(__file__).with_name("serve.py")
pytestmark = pytest.mark.crash


@asynccontextmanager
async def serving(
    database: Path, ports: dict[str, int], crash_at: str = ""
) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {k: v for k, v in os.environ.items() if k != VARIABLE}
    if crash_at:
        environment[VARIABLE] = crash_at
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SERVE), str(ports["auth"]), str(ports["acct"]), str(database)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    ready: dict[str, Any] = json.loads(await process.stdout.readline())
    ports.update(ready["ready"])
    try:
        yield process
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), timeout=20)


async def radio_to(ports: dict[str, int], patience: Patience) -> Radio:
    settings = RadioSettings(
        nas_identifier=NAS,
        secret=SECRET,
        auth=("127.0.0.1", ports["auth"]),
        acct=("127.0.0.1", ports["acct"]),
        patience=patience,
    )
    return await Radio.open(settings, SeededEntropy(6))


def kept(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT acct_session_id FROM usage_observation").fetchall()
    return sorted(row[0] for row in rows)


@pytest.mark.parametrize("point", POINTS)
async def test_no_acknowledged_accounting_is_lost(tmp_path: Path, point: str) -> None:
    database, ports = tmp_path / "access.sqlite", {"auth": 0, "acct": 0}
    names = [f"s{number:03}" for number in range(60)]
    acknowledged: list[str] = []

    async def report(radio: Radio, name: str) -> None:
        try:
            await radio.report(Report(status=AcctStatus.START, acct_session_id=name))
        except NoAnswerError:
            return
        acknowledged.append(name)

    async with serving(database, ports, f"{point}:3") as process:
        radio = await radio_to(ports, Patience(first_s=0.3, tries=1))
        for start in range(0, len(names), 10):
            await asyncio.gather(*(report(radio, name) for name in names[start : start + 10]))
        radio.close()
        assert await asyncio.wait_for(process.wait(), timeout=20) == -9
    stored = kept(database)
    assert set(acknowledged) <= set(stored)
    assert len(acknowledged) < len(names)
    async with serving(database, ports):
        radio = await radio_to(ports, Patience())
        await asyncio.gather(*(report(radio, name) for name in names))
        radio.close()
    assert set(acknowledged) == set(kept(database)) == set(names)


@pytest.mark.parametrize("point", [f"{point}:{pass_}" for point in POINTS for pass_ in (1, 2)])
async def test_a_phone_gets_on_after_the_server_died_on_it(tmp_path: Path, point: str) -> None:
    database, ports = tmp_path / "access.sqlite", {"auth": 0, "acct": 0}
    card = usim()
    async with serving(database, ports, point) as process:
        radio = await radio_to(ports, Patience(first_s=0.3, tries=1))
        with suppress(NoAnswerError):
            await radio.attach(AkaPrimePeer(card, REALM))
        radio.close()
        assert await asyncio.wait_for(process.wait(), timeout=20) == -9
    async with serving(database, ports):
        radio = await radio_to(ports, Patience())
        attached: Attached | Rejected = await radio.attach(AkaPrimePeer(card, REALM))
        radio.close()
    assert isinstance(attached, Attached)
    assert attached.keys_match
