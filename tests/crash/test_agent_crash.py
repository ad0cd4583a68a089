"""The node agent is killed at each write: what it acknowledged arrives, and no chain forks."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.access.agent.scene import AP_SECRET, StationRadio, interim, start
from tests.access.fakes import Bench
from tests.access.radsec import until
from tests.app.test_node_agent import folder_with

from opencarrier.access.agent.statement import Signed, flaws
from opencarrier.access.agent.store import AgentStore
from opencarrier.access.udp import Bind, UdpServer
from opencarrier.app.node_folder import NodeFolder
from opencarrier.kernel.crash import VARIABLE
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.sim.radio import Link, NoAnswerError, Patience, RadioSettings, Report

pytestmark = pytest.mark.crash

POINTS = (
    "node.received",
    "node.before_commit",
    "node.committed",
    "node.replied",
    "node.delivered",
)
SESSIONS = 6


@asynccontextmanager
async def serving(folder: NodeFolder, crash_at: str = "") -> AsyncIterator[Any]:
    environment = {k: v for k, v in os.environ.items() if k != VARIABLE}
    if crash_at:
        environment[VARIABLE] = crash_at
    folder.run.unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "opencarrier", "node", "run", "--data", str(folder.root)),
        env=environment,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        while not folder.run.exists():
            assert process.returncode is None
            await asyncio.sleep(0.02)
        yield process, json.loads(folder.run.read_text())
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), timeout=20)


async def radio_to(told: dict[str, Any], patience: Patience) -> StationRadio:
    settings = RadioSettings(
        nas_identifier="x",
        secret=AP_SECRET,
        auth=("127.0.0.1", told["auth_port"]),
        acct=("127.0.0.1", told["acct_port"]),
        patience=patience,
    )
    links = [await Link.open(address, settings) for address in (settings.auth, settings.acct)]
    return StationRadio(settings, SeededEntropy(4), *links)


def reports() -> list[Report]:
    """A few sessions' reports, each session's in its order."""
    names = [f"s{number}" for number in range(SESSIONS)]
    out = [start(name, event_s=1_767_603_600) for name in names]
    for at_s in (60, 120, 180):
        out += [
            interim(name, event_s=1_767_603_600 + at_s, session_time_s=at_s, octets_in=at_s)
            for name in names
        ]
    return out


def key(report: Report) -> tuple[str, int]:
    return report.acct_session_id, report.session_time_s or 0


async def told_by(radio: StationRadio, report: Report) -> bool:
    try:
        await radio.tell(report)
    except NoAnswerError:
        return False
    return True


@pytest.mark.parametrize("point", [f"{point}:{times}" for point in POINTS for times in (1, 5)])
async def test_what_was_acknowledged_arrives_whenever_the_agent_is_killed(
    tmp_path: Path, point: str
) -> None:
    bench = Bench()
    server = UdpServer(bench.service(), Bind(auth_port=0, acct_port=0))
    await server.start()
    hub = (
        f'transport = "udp"\nport = {server.auth_address[1]}\n'
        f'acct_port = {server.acct_address[1]}\nsecret_file = "hub.secret"\n'
    )
    folder = folder_with(tmp_path, hub)
    acknowledged: set[tuple[str, int]] = set()
    async with serving(folder, point) as (process, told):
        radio = await radio_to(told, Patience(first_s=0.5, tries=1))
        for report in reports():
            if process.returncode is None and await told_by(radio, report):
                acknowledged.add(key(report))
        radio.close()
        assert await asyncio.wait_for(process.wait(), timeout=20) == -9
    assert acknowledged < {key(report) for report in reports()}
    async with serving(folder) as (_, told):
        await until(lambda: acknowledged <= arrived(bench))
        radio = await radio_to(told, Patience())
        for report in reports():
            await radio.tell(report)
        await until(lambda: {key(report) for report in reports()} <= arrived(bench))
        radio.close()
    await server.stop()
    assert {key(report) for report in reports()} == arrived(bench)
    in_order(bench)
    assert all(flaws(chain) == [] for chain in chains(folder).values())


def arrived(bench: Bench) -> set[tuple[str, int]]:
    return {
        (one.acct_session_id, one.counters.session_time_s if one.counters else 0)
        for one in bench.sink.observations
    }


def in_order(bench: Bench) -> None:
    """Within a session nothing new comes after what is later; a copy may."""
    last: dict[str, int] = {}
    seen: set[tuple[str, int]] = set()
    for one in bench.sink.observations:
        assert one.counters is not None
        place = (one.acct_session_id, one.counters.session_time_s)
        if place not in seen:
            assert place[1] >= last.get(place[0], 0)
            last[place[0]] = place[1]
        seen.add(place)


def chains(folder: NodeFolder) -> dict[str, list[Signed]]:
    store = AgentStore(folder.store_file)
    found: dict[str, list[Signed]] = {}
    for signed in store.statements():
        found.setdefault(signed.statement.acct_session_id, []).append(signed)
    store.close()
    return found
