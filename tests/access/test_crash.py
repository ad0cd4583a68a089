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
from socket import SOCK_DGRAM, socket
from typing import Any

import pytest
from tests.access.fakes import NAS, REALM, SECRET, Bench, usim
from tests.access.rooms import AWAY

from opencarrier.access.udp import Bind, UdpServer
from opencarrier.access.wire.dictionary import AcctStatus, Code
from opencarrier.access.wire.radius import Packet
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
    database: Path, ports: dict[str, int], crash_at: str = "", home_port: int = 0
) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {k: v for k, v in os.environ.items() if k != VARIABLE}
    if crash_at:
        environment[VARIABLE] = crash_at
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SERVE), str(ports["auth"]), str(ports["acct"]), str(database)),
        *((str(home_port),) if home_port else ()),
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


VISITOR = Attached(
    classes=(),
    cui=None,
    user_name=f"pseudonym@{AWAY}".encode(),
    session_timeout_s=None,
    interim_interval_s=None,
    keys_match=True,
    packet=Packet(Code.ACCESS_ACCEPT, 0, bytes(16), ()),
)
STORY = (AcctStatus.START, AcctStatus.INTERIM_UPDATE, AcctStatus.STOP)


@pytest.mark.parametrize("point", ["access.committed:3", "access.replied:3", "hub.delivered:2"])
async def test_what_is_owed_to_a_home_is_delivered_in_its_order(tmp_path: Path, point: str) -> None:
    """Each session's story reaches the home whole and in order, wherever we were killed."""
    database, ports = tmp_path / "access.sqlite", {"auth": 0, "acct": 0}
    bench, home_port = Bench(), two_ports()
    home = UdpServer(bench.service(), Bind(auth_port=home_port, acct_port=home_port + 1))
    await home.start()
    names = [f"s{number:02}" for number in range(12)]

    async def tell(radio: Radio, name: str) -> None:
        for status in STORY:
            report = Report(status=status, acct_session_id=name, octets_in=int(status))
            with suppress(NoAnswerError):
                await radio.report(report, VISITOR)

    async with serving(database, ports, point, home_port) as process:
        radio = await radio_to(ports, Patience(first_s=0.3, tries=1))
        await asyncio.gather(*(tell(radio, name) for name in names))
        radio.close()
        assert await asyncio.wait_for(process.wait(), timeout=20) == -9
    async with serving(database, ports, home_port=home_port):
        radio = await radio_to(ports, Patience())
        await asyncio.gather(*(tell(radio, name) for name in names))
        radio.close()
        for _ in range(1000):
            if not owed(database):
                break
            await asyncio.sleep(0.01)
    await home.stop()
    assert not owed(database)
    heard: dict[str, list[int]] = {}
    for observation in bench.sink.observations:
        heard.setdefault(observation.acct_session_id, []).append(int(observation.status))
    assert sorted(heard) == names
    for told in heard.values():
        assert list(dict.fromkeys(told)) == [int(status) for status in (1, 3, 2)]


def owed(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        found: int = connection.execute("SELECT count(*) FROM access_outbox").fetchone()[0]
    return found


def two_ports() -> int:
    for _ in range(50):
        with socket(type=SOCK_DGRAM) as one, socket(type=SOCK_DGRAM) as two:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            with suppress(OSError):
                two.bind(("127.0.0.1", port + 1))
                return port
    raise AssertionError("no two ports in a row are free")


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
