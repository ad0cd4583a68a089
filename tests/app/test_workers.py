"""Two processes on one port and one database: nothing is lost when one is killed.

On PostgreSQL cycles are cut all the while: what was acknowledged is used once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter as Tally
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection
from tests.postgresql import program, server

from opencarrier.access.wire.dictionary import AcctStatus, Code, Type
from opencarrier.access.wire.radius import Packet, eap_message, text
from opencarrier.app.bootstrap import Installation, open_installation
from opencarrier.app.folder import Folder
from opencarrier.app.listening import Radius
from opencarrier.app.system import SystemEntropy
from opencarrier.bench.server import SETTINGS
from opencarrier.bench.serving import NODE, OPC, REALM, SECRET, K, furnish, imsi_of
from opencarrier.kernel.ids import derive
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import (
    Attached,
    Link,
    NoAnswerError,
    Patience,
    Radio,
    RadioSettings,
    Report,
)
from opencarrier.sim.usim import Usim
from opencarrier.usage.tables import OBSERVATIONS

pytestmark = pytest.mark.crash

PEOPLE, RADIOS, OCTETS = 4, 12, 1_000
START_S = 60


async def until(true: object, seconds: float = START_S) -> None:
    for _ in range(int(seconds * 20)):
        if true():  # type: ignore[operator]
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come to that")


def settings(radius: Radius) -> RadioSettings:
    return RadioSettings(
        nas_identifier=NODE,
        secret=SECRET,
        auth=("127.0.0.1", radius.udp.auth_address[1]),
        acct=("127.0.0.1", radius.udp.acct_address[1]),
        patience=Patience(first_s=0.3, tries=12),
    )


def phone(number: int) -> AkaPrimePeer:
    return AkaPrimePeer(Usim(imsi=imsi_of(number), k=K, opc=OPC), REALM)


async def attach_over(links: list[Link], peer: AkaPrimePeer) -> Packet:
    """Carry one conversation, each message from another port of the access point."""
    message, state = peer.identity(), None
    for turn in range(20):
        attributes = [text(Type.USER_NAME, peer.permanent), text(Type.NAS_IDENTIFIER, NODE)]
        attributes += eap_message(message)
        if state is not None:
            attributes.append((int(Type.STATE), state))
        link = links[turn % len(links)]
        reply = await link.access(SystemEntropy().octets("a", 16), attributes)
        if reply.code != Code.ACCESS_CHALLENGE:
            return reply
        message = peer.respond(reply.joined(Type.EAP_MESSAGE) or b"") or b""
        state = reply.get(Type.STATE)
    raise AssertionError("the server goes on asking")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield ""
    elif program("initdb") is None:
        pytest.skip("PostgreSQL is missing (apt: postgresql)")
    else:
        with server() as made:
            yield made.database()


async def test_two_workers_answer_on_one_port_and_one_may_die(
    tmp_path: Path, database: str
) -> None:
    furnish(tmp_path, database, people=PEOPLE)
    told = replace(SETTINGS, workers=2, radius_port=0, acct_port=0, database=database)
    base = open_installation(Folder(tmp_path), told)
    radius = Radius(base, base.access(worker=0), None)
    await radius.start()
    assert radius.workers is not None
    radios = [await Radio.open(settings(radius), SystemEntropy()) for _ in range(RADIOS)]
    links = [await Link.open(settings(radius).auth, settings(radius)) for _ in range(RADIOS)]
    kept: list[str] = []
    try:
        workers = radius.workers
        await until(lambda: workers._told)
        attached = await asyncio.gather(*(radio.attach(phone(0)) for radio in radios[:1]))
        assert isinstance(attached[0], Attached)
        session = attached[0]

        async def report(radio: Radio, name: str) -> None:
            used = Report(status=AcctStatus.INTERIM_UPDATE, acct_session_id=name, octets_in=OCTETS)
            await radio.report(used, session)
            kept.append(name)

        await asyncio.gather(*(report(r, f"a{n}") for n, r in enumerate(radios)))
        await until(lambda: all(one.accounting_responses for one in workers._told.values()))
        own = radius._access.metrics
        assert own.accounting_responses > 0, "the kernel spreads access points over both"
        assert workers.metrics(own).accounting_responses == RADIOS

        accepted = await attach_over(links, phone(1))
        assert accepted.code == Code.ACCESS_ACCEPT, "whatever port it goes on from"

        (victim,) = workers.pids
        load = [asyncio.create_task(_many(report, r, n)) for n, r in enumerate(radios)]
        if database:
            load.append(asyncio.create_task(asyncio.to_thread(cut, base, 8)))
        await asyncio.sleep(0.2)
        os.kill(victim, signal.SIGKILL)
        others = await asyncio.gather(*(r.attach(phone(2 + n % 2)) for n, r in enumerate(radios)))
        assert all(isinstance(one, Attached) for one in others), others
        await asyncio.gather(*load)
        await until(lambda: workers.pids and workers.pids != [victim])
        await until(lambda: workers._told)
        assert (await attach_over(links, phone(3))).code == Code.ACCESS_ACCEPT
    finally:
        for one in (*radios, *links):
            one.close()
        await radius.stop()
        cut(base, 9, first=8)
        with base.store.read() as unit:
            rows = unit.execute(OBSERVATIONS.select()).all()
            used = used_by_session(base, unit)
        base.close()
    assert {row.acct_session_id for row in rows} >= set(kept), "what was acknowledged is kept"
    assert len({row.observation_id for row in rows}) == len(rows)
    assert used == dict.fromkeys({row.acct_session_id for row in rows}, OCTETS)


def cut(base: Installation, cuts: int, first: int = 0) -> None:
    for number in range(first, cuts):
        with base.store.write() as unit:
            base.usage.cut(unit, cycle_id=derive("test/cycle", number), cut_us=base.clock.now_us())
        time.sleep(0.2)


def used_by_session(base: Installation, unit: Connection) -> dict[str, int]:
    """Return the octets of all cycles' usages, by what the access point calls the session."""
    found: Tally[str] = Tally()
    for usage in base.usage.every(unit):
        session = base.usage.session(unit, usage.session_id)
        assert session is not None
        found[session.stream.acct_session_id] += usage.quantities.get("octets_in")
    return found


async def _many(report: object, radio: Radio, number: int) -> None:
    for turn in range(20):
        try:
            await report(radio, f"b{number}-{turn}")  # type: ignore[operator]
        except NoAnswerError:
            continue
