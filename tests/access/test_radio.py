"""The software access point over real UDP, on a network that loses and doubles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.access.fakes import (
    HOME,
    IMSI,
    NAS,
    NODE,
    NOW_US,
    REALM,
    SECRET,
    VISITED,
    Bench,
    FakeReason,
    usim,
)
from tests.access.tls import PASSWORD, USER, Source, material, pki

from opencarrier.access.service import AccessService
from opencarrier.access.udp import Bind, UdpServer
from opencarrier.access.wire.dictionary import AcctStatus
from opencarrier.access.wire.tls_tunnel import fingerprint
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.refusals import Refusal
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import (
    Attached,
    Faults,
    NoAnswerError,
    Patience,
    Radio,
    RadioSettings,
    Rejected,
    Report,
)
from opencarrier.sim.tls_peer import Login, TlsDevice, TlsPeer, Trust
from opencarrier.spine.usage import Counters, Status

QUICK = Patience(first_s=0.02, pause_max_s=0.1, tries=40)


@asynccontextmanager
async def running(
    bench: Bench, *, faults: Faults = Faults(), patience: Patience = QUICK, nas: str = NAS
) -> AsyncIterator[tuple[AccessService, Radio]]:
    service = bench.service()
    server = UdpServer(service, Bind(auth_port=0, acct_port=0))
    await server.start()
    radio = await Radio.open(
        RadioSettings(
            nas_identifier=nas,
            secret=SECRET,
            auth=server.auth_address,
            acct=server.acct_address,
            patience=patience,
            faults=faults,
        ),
        SeededEntropy(2),
    )
    try:
        yield service, radio
    finally:
        radio.close()
        await server.stop()


async def test_a_phone_attaches_and_its_use_is_kept() -> None:
    bench = Bench()
    async with running(bench) as (service, radio):
        attached = await radio.attach(AkaPrimePeer(usim(), REALM))
        assert isinstance(attached, Attached)
        assert attached.keys_match
        assert (attached.session_timeout_s, attached.interim_interval_s) == (3600, 60)
        start = Report(status=AcctStatus.START, acct_session_id="a", event_s=1_767_603_500)
        stop = Report(
            status=AcctStatus.STOP,
            acct_session_id="a",
            session_time_s=5,
            octets_in=2**32 + 1,
            octets_out=3 * 2**32,
            terminate_cause=1,
        )
        await radio.report(Report(status=AcctStatus.ACCOUNTING_ON))
        await radio.report(start, attached)
        await radio.report(stop, attached)
    on, started, stopped = bench.sink.observations
    assert (on.status, on.acct_session_id, on.home, on.subject) == (Status.ON, "", None, "")
    assert started.event_us == 1_767_603_500_000_000
    assert stopped.counters == Counters(session_time_s=5, octets_in=2**32 + 1, octets_out=3 * 2**32)
    assert (stopped.home, stopped.visited, stopped.node_id) == (HOME, VISITED, NODE.node_id)
    assert stopped.authorisation_id == bench.policy.granted[0].authorisation_id
    assert stopped.subject == (attached.cui or b"").decode()
    assert stopped.terminate_cause == 1
    assert service.metrics.accounting_responses == 3


async def test_a_refusal_says_why() -> None:
    bench = Bench()
    bench.policy.refusal = Refusal(FakeReason.INSUFFICIENT_CREDIT)
    async with running(bench) as (service, radio):
        assert await radio.attach(AkaPrimePeer(usim(), REALM)) == Rejected(
            reason="insufficient_credit"
        )
    assert service.metrics.as_mapping()["rejects"] == {"insufficient_credit": 1}


async def test_who_is_a_subscriber_is_not_told() -> None:
    bench = Bench()
    bench.directory.subscribers.clear()
    async with running(bench) as (service, radio):
        stranger = await radio.attach(AkaPrimePeer(usim(), REALM))
        bench.directory = Bench().directory
        impostor = await radio.attach(AkaPrimePeer(usim(k=bytes(16)), REALM))
        lost = await radio.attach(AkaPrimePeer(usim(), "unknown.example"))
    assert stranger == impostor == Rejected(reason="authentication_failed")
    assert lost == Rejected(reason="realm_unknown")
    assert service.metrics.rejects["subscriber_unknown"] == 2


async def test_a_node_of_another_operator_is_refused() -> None:
    bench = Bench()
    once = Patience(first_s=0.02, tries=2)
    async with running(bench, nas="other-1", patience=once) as (service, radio):
        assert await radio.attach(AkaPrimePeer(usim(), REALM)) == Rejected(
            reason="nas_identifier_refused"
        )
        with pytest.raises(NoAnswerError):
            await radio.report(Report(status=AcctStatus.ACCOUNTING_ON))
    assert service.metrics.dropped["nas_identifier_refused"] >= 1
    assert not bench.sink.observations


async def test_one_subscriber_is_two_people_to_two_operators() -> None:
    from opencarrier.access.cui import chargeable_user_identity

    key, other = b"k" * 32, b"o" * 32
    one = chargeable_user_identity(key, "sub_1", VISITED)
    assert one == chargeable_user_identity(key, "sub_1", VISITED)
    assert len({one, chargeable_user_identity(key, "sub_1", HOME),
                chargeable_user_identity(key, "sub_2", VISITED),
                chargeable_user_identity(other, "sub_1", VISITED)}) == 4  # fmt: skip


async def test_loss_and_doubling_change_nothing_but_the_repeats() -> None:
    bench = Bench()
    faults = Faults(seed=4, lost_permille=250, doubled_permille=250)
    people = 12
    async with running(bench, faults=faults) as (service, radio):
        attached = [await radio.attach(AkaPrimePeer(usim(), REALM)) for _ in range(people)]
        await asyncio.gather(
            *(
                radio.report(Report(status=AcctStatus.START, acct_session_id=f"{n}"), session)
                for n, session in enumerate(attached)
                if isinstance(session, Attached)
            )
        )
        repeats = radio.retransmissions
    assert all(isinstance(session, Attached) and session.keys_match for session in attached)
    assert len(bench.policy.granted) == bench.vectors.made == people
    assert sorted(int(o.acct_session_id) for o in bench.sink.observations) == list(range(people))
    assert repeats > 0
    assert service.metrics.duplicates > 0


async def test_devices_with_certificates_and_passwords_attach_on_a_bad_network() -> None:
    """Datagrams lost and doubled: a handshake's every fragment arrives once, the keys are equal."""
    world = pki()
    bench = Bench(tls=Source(material(world)))
    bench.passwords.users[USER] = PASSWORD
    known = bench.directory.subscribers[IMSI]
    bench.directory.subscribers.update({USER: known, fingerprint(world.client.certificate): known})
    trust = Trust(
        anchors=world.anchors,
        chain=world.client.chain_pem,
        key=world.client.key_pem,
        at_us=NOW_US,
    )
    faults = Faults(seed=4, lost_permille=100, doubled_permille=200)
    async with running(bench, faults=faults) as (service, radio):
        for login in (None, Login(user_name=USER, password=PASSWORD, mschapv2=True)):
            device = TlsDevice(trust)
            for resumed in (False, True):
                peer = TlsPeer(
                    device=device, outer=f"x@{REALM}", entropy=SeededEntropy(3), login=login
                )
                attached = await radio.attach(peer)
                assert isinstance(attached, Attached)
                assert attached.keys_match
                assert peer.resumed is resumed
        assert service.metrics.accepts == 4
        assert service.counted().tls_open == 0
        ways = {f"{way} {end}": 1 for way in ("tls", "ttls") for end in ("accepted", "resumed")}
        assert service.metrics.eap == ways
        assert len(bench.policy.granted) == 4
        assert bench.policy.released == []
        assert radio.retransmissions > 0
