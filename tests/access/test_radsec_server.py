"""The RadSec server over real TLS: who gets in, what a hostile peer costs, and rotation."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from tests.access.fakes import NAS, VISITED, Bench
from tests.access.radsec import Dialled, Pki, known_as, raising_nothing, until

from opencarrier.access.radsec.model import RadsecLimits
from opencarrier.access.radsec.server import RadsecBind, RadsecServer, network_of
from opencarrier.access.radsec.trust import Trust, TrustFiles
from opencarrier.access.service import AccessService
from opencarrier.access.wire.authenticators import access_request, accounting_request, request
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.radius import Attribute, encode, integer, text
from opencarrier.app.system import SystemClock, SystemEntropy
from opencarrier.identity.pki.model import Role
from opencarrier.spine.parties import RadiusClient

SECRET = b"radsec"
TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
AUTHENTICATOR = bytes(range(16))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def ours(pki: Pki) -> TrustFiles:
    return pki.files(pki.end("aaa", dns_names=("aaa.home.example",)), "server")


@pytest.fixture(scope="module")
def theirs(pki: Pki) -> TrustFiles:
    """The peer's: under the other root."""
    return pki.files(pki.end("hub", branch=1, dns_names=("hub.example",)), "peer")


@asynccontextmanager
async def serving(
    files: TrustFiles, *known: RadiusClient, limits: RadsecLimits | None = None
) -> AsyncIterator[tuple[RadsecServer, AccessService, Bench]]:
    bench = Bench()
    bench.directory.clients = list(known) or [known_as("dns:hub.example", VISITED)]
    service = bench.service()
    server = RadsecServer(
        service,
        Trust(files),
        RadsecBind(port=0, tick_s=0.1, check_s=0.1, limits=limits or RadsecLimits()),
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )
    with raising_nothing():
        await server.start()
        try:
            yield server, service, bench
        finally:
            await server.stop()


def accounting(number: int) -> bytes:
    attributes: list[Attribute] = [
        integer(Type.ACCT_STATUS_TYPE, 3),
        text(Type.ACCT_SESSION_ID, f"s{number}"),
        text(Type.NAS_IDENTIFIER, NAS),
    ]
    return accounting_request(number % 256, attributes, SECRET)


def status(number: int = 1, *more: Attribute) -> bytes:
    return request(Code.STATUS_SERVER, number, more, SECRET, authenticator=AUTHENTICATOR)


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
async def test_one_connection_takes_all_kinds_octet_by_octet(
    pki: Pki, ours: TrustFiles, theirs: TrustFiles, version: ssl.TLSVersion
) -> None:
    async with serving(ours) as (server, _, bench):
        peer = await Dialled.to(server.address, pki.context(theirs, version=version))
        states = [(int(Type.PROXY_STATE), b"a"), (int(Type.PROXY_STATE), b"b")]
        answer = await peer.ask(status(1, *states))
        assert (answer.code, answer.all(Type.PROXY_STATE)) == (Code.ACCESS_ACCEPT, (b"a", b"b"))
        assert answer.attributes[0][0] == Type.MESSAGE_AUTHENTICATOR
        # Over TLS a request needs no Message-Authenticator, not even with Proxy-State.
        bare = bytes((1, 7, 0, 23)) + AUTHENTICATOR + bytes((33, 3, 9))
        for octet in bare:
            peer.writer.write(bytes((octet,)))
            await asyncio.sleep(0)
        assert (await peer.packet())[:2] == bytes((Code.ACCESS_REJECT, 7))
        assert (await peer.ask(accounting(5))).code == Code.ACCOUNTING_RESPONSE
        assert bench.sink.observations[0].source == f"tls:127.0.0.1:{peer_port(peer)}"
        (line,) = server.lines()
        assert (line.peer, line.certificate, line.tls) == (
            "peer", "hub.example", version.name.replace("_", ".")
        )  # fmt: skip
        assert (line.requests, line.in_work) == (3, 0)
        peer.close()


def peer_port(peer: Dialled) -> int:
    port: int = peer.writer.get_extra_info("sockname")[1]
    return port


async def test_coa_to_a_home_is_declined_by_name(
    pki: Pki, ours: TrustFiles, theirs: TrustFiles
) -> None:
    async with serving(ours) as (server, service, _):
        peer = await Dialled.to(server.address, pki.context(theirs))
        peer.writer.write(full_of_proxy_state())
        await until(lambda: service.metrics.dropped == {"packet_full": 1})
        for code in (Code.DISCONNECT_REQUEST, Code.COA_REQUEST):
            answer = await peer.ask(request(code, 9, [(int(Type.PROXY_STATE), b"x")], SECRET))
            assert (answer.code, answer.integer(Type.ERROR_CAUSE)) == (code + 2, 406)
            assert answer.all(Type.PROXY_STATE) == (b"x",)
        peer.writer.write(request(Code.COA_REQUEST, 9, [], b"another secret"))
        assert await peer.is_closed()


def full_of_proxy_state() -> bytes:
    """A CoA-Request of 4096 octets: no answer has room to say yes or no, and be signed."""
    states = [(int(Type.PROXY_STATE), bytes(253))] * 15 + [(int(Type.PROXY_STATE), bytes(249))]
    octets = encode(Code.COA_REQUEST, 9, bytes(16), states)
    return octets[:4] + md5(octets + SECRET).digest() + octets[20:]


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"\x0c\x01\x00\x13" + bytes(15), "packet_length"),
        (b"\x0c\x01\x10\x01" + bytes(4093), "packet_length"),
        (b"\x0c\x01\x00\x16" + bytes(16) + b"\x01\x01", "attribute_length"),
        (access_request(1, AUTHENTICATOR, [], b"not radsec"), "message_authenticator"),
        (accounting(1)[:-1] + b"?", "request_authenticator"),
        (bytes((200, 1, 0, 20)) + bytes(16), None),
    ],
)
async def test_what_is_malformed_closes_the_connection(
    pki: Pki, ours: TrustFiles, theirs: TrustFiles, octets: bytes, reason: str | None
) -> None:
    async with serving(ours) as (server, _, bench):
        peer = await Dialled.to(server.address, pki.context(theirs))
        await peer.ask(status())
        peer.writer.write(octets)
        if reason is None:  # a code nobody knows is no reply to anything: silently discarded
            assert (await peer.ask(status(2))).code == Code.ACCESS_ACCEPT
        else:
            assert await peer.is_closed()
            await until(lambda: server.counters.closed == {reason: 1})
        assert not bench.sink.observations
        peer.close()


async def refused(server: RadsecServer, context: ssl.SSLContext) -> bool:
    """Whether a peer gets no answer; with TLS 1.3 it learns so only when it reads."""
    try:
        peer = await Dialled.to(server.address, context)
        peer.writer.write(status())
        return await peer.is_closed()
    except (ConnectionError, ssl.SSLError):
        return True


@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
async def test_who_has_no_good_certificate_gets_no_further(
    pki: Pki, ours: TrustFiles, theirs: TrustFiles, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    stranger = Pki(tmp_path, roots=1)
    old = pki.end("old", ago_s=2 * 86_400, dns_names=("hub.example",))
    revoked = pki.end("revoked", dns_names=("hub.example",))
    pki.lists(revoked)
    listed = TrustFiles(
        chain=ours.chain, key=ours.key, roots=ours.roots, lists=pki.folder / "lists.pem"
    )
    wrong = stranger.files(stranger.end("hub", dns_names=("hub.example",)), "stranger")
    other = pki.files(pki.end("other", dns_names=("other.example",)), "other")
    server_only = pki.end("server-only", role=Role.SERVER, dns_names=("hub.example",))
    async with serving(listed) as (server, _, _):
        assert await refused(server, pki.context(None, version=version))
        for files in (
            wrong,
            pki.files(old, "old"),
            pki.files(revoked, "revoked"),
            other,
            pki.files(server_only, "server-only"),
        ):
            assert await refused(server, pki.context(files, version=version))
        good = await Dialled.to(server.address, pki.context(theirs, version=version))
        assert (await good.ask(status())).code == Code.ACCESS_ACCEPT
        good.close()
        reasons = server.counters.refused
        assert reasons["peer_unknown"] == 1, "another name than the one known"
        assert reasons["certificate_revoked"] == 1
        assert reasons["certificate_has_expired"] == 1
        assert reasons["peer_did_not_return_a_certificate"] == 1
        assert sum(reasons.values()) == 6


async def test_what_it_was_let_in_by_ending_ends_the_connection(
    pki: Pki, ours: TrustFiles, theirs: TrustFiles
) -> None:
    by_ca = pki.end("partner")
    pki.lists()
    listed = TrustFiles(
        chain=ours.chain, key=ours.key, roots=ours.roots, lists=pki.folder / "lists.pem"
    )
    known = (known_as("dns:hub.example", VISITED), known_as("any", VISITED, "federation"))
    async with serving(listed, *known) as (server, _, bench):
        named = await Dialled.to(server.address, pki.context(theirs))
        federated = await Dialled.to(server.address, pki.context(pki.files(by_ca, "by-ca")))
        await named.ask(status())
        await federated.ask(status())
        assert [line.peer.partition("/")[0] for line in server.lines()] == ["federation", "peer"]
        bench.directory.clients = [known[1]]
        assert not await closed_soon(federated)
        assert await named.is_closed()
        pki.lists(by_ca)
        assert await federated.is_closed()
        # Who was known by name is one of the federation's as soon as it comes again.
        gone = {"peer_unknown": 1, "certificate_revoked": 1}
        await until(lambda: server.counters.closed == gone)


async def test_a_directory_that_fails_once_leaves_connections_looked_after(
    pki: Pki, ours: TrustFiles, theirs: TrustFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(ours) as (server, service, bench):
        peer = await Dialled.to(server.address, pki.context(theirs))
        await peer.ask(status())
        asked: list[Sequence[str]] = []
        known = service.lookup.peer

        def fails_once(names: Sequence[str]) -> RadiusClient | None:
            asked.append(names)
            if len(asked) == 1:
                raise RuntimeError("database is locked")
            return known(names)

        monkeypatch.setattr(service.lookup, "peer", fails_once)
        await until(lambda: len(asked) == 2)
        assert [line.peer for line in server.lines()] == ["peer"]
        bench.directory.clients = []
        assert await peer.is_closed()


async def test_of_one_client_s_connections_the_one_from_an_address_is_asked(
    pki: Pki, ours: TrustFiles, theirs: TrustFiles
) -> None:
    async with serving(ours) as (server, _, _):
        venues = [
            Dialled(
                *await asyncio.open_connection(
                    *server.address, ssl=pki.context(theirs), local_addr=(host, 0)
                )
            )
            for host in ("127.0.0.2", "127.0.0.3")
        ]
        for used_last in venues:
            await used_last.ask(status())
            for host in ("127.0.0.2", "127.0.0.3"):
                found = server.to("peer", host)
                assert found is not None
                assert found.address[0] == host
            other = server.to("peer", "192.0.2.1")
            assert other is not None
            assert other.address[1] == peer_port(used_last)
        assert server.to("else", "127.0.0.2") is None
        for venue in venues:
            venue.close()


async def test_the_answer_of_a_repeat_goes_to_the_newest_connection(
    pki: Pki, ours: TrustFiles, theirs: TrustFiles
) -> None:
    """The first connection is gone, or only silent, while its request is in work: once."""
    async with serving(ours) as (server, service, bench):
        gate, record = threading.Event(), bench.sink.record

        def held(unit: Any, observations: Any) -> int:
            assert gate.wait(10)
            return int(record(unit, observations))

        bench.sink.record = held
        context = pki.context(theirs)
        peers = [await Dialled.to(server.address, context) for _ in range(3)]
        for number, peer in enumerate(peers):
            peer.writer.write(accounting(1))
            await until(lambda number=number: service.metrics.duplicates == number)  # type: ignore[misc]
            await peer.ask(status(50 + number))  # its request came
        peers[0].close()
        gate.set()
        assert (await peers[2].packet())[:2] == bytes((Code.ACCOUNTING_RESPONSE, 1))
        assert (await peers[1].ask(accounting(1))).code == Code.ACCOUNTING_RESPONSE
        assert len(bench.sink.observations) == 1
        for peer in peers[1:]:
            peer.close()


async def closed_soon(peer: Dialled) -> bool:
    try:
        async with asyncio.timeout(0.3):
            return await peer.is_closed()
    except TimeoutError:
        return False


async def test_connections_and_what_each_holds_have_limits(
    pki: Pki, ours: TrustFiles, theirs: TrustFiles
) -> None:
    limits = RadsecLimits(connections_max=2, per_peer_max=2, idle_s=0.5, handshake_s=0.3)
    async with serving(ours, limits=limits) as (server, _, _):
        context = pki.context(theirs)
        first, second = [await Dialled.to(server.address, context) for _ in range(2)]
        await until(lambda: server.counters.opened == 2)
        third = await Dialled.to(server.address, context)
        assert await third.is_closed()
        assert server.counters.refused["connections_full"] == 1
        await second.ask(status())
        silent = await asyncio.open_connection(*server.address)
        assert await silent[0].read() == b""
        await until(lambda: server.counters.refused["handshake_timeout"] == 1)
        assert await first.is_closed()
        assert await second.is_closed()
        await until(lambda: server.counters.closed == {"idle": 2})
        assert server.lines() == []
        silent[1].close()


async def test_peers_trusted_by_their_authority_alone_leave_room_for_those_known_by_name(
    pki: Pki, ours: TrustFiles, theirs: TrustFiles
) -> None:
    strangers = [pki.files(pki.end(f"s{n}", dns_names=(f"s{n}.example",)), f"s{n}") for n in "12"]
    limits = RadsecLimits(connections_max=4, reserve=3, per_peer_max=2)
    known = (known_as("any", VISITED), known_as("dns:hub.example", VISITED))
    async with serving(ours, *known, limits=limits) as (server, _, _):
        first, second = [
            await Dialled.to(server.address, pki.context(files)) for files in strangers
        ]
        await first.ask(status())
        assert await second.is_closed()
        assert server.counters.refused == {"connections_full": 1}
        hubs = [await Dialled.to(server.address, pki.context(theirs)) for _ in range(3)]
        for hub in hubs[:2]:
            await hub.ask(status())
        assert await hubs[2].is_closed()
        assert server.counters.refused["peer_connections_full"] == 1
        for peer in (first, *hubs):
            peer.close()


async def test_a_flood_of_handshakes_takes_nobody_s_connection(
    pki: Pki, ours: TrustFiles, theirs: TrustFiles
) -> None:
    """From many addresses: who answers at once is let in, and the oldest silent one gives way."""
    limits = RadsecLimits(connections_max=1, handshakes_max=3, handshakes_per_address_max=2)
    async with serving(ours, limits=limits) as (server, _, _):
        silent = [
            await asyncio.open_connection(*server.address, local_addr=(f"127.0.0.{n // 2 + 2}", 0))
            for n in range(6)
        ]
        assert await silent[0][0].read() == b""
        peer = await Dialled.to(server.address, pki.context(theirs))
        await peer.ask(status())
        assert server.counters.refused == {"handshake_displaced": 4}
        peer.close()
        for _, writer in silent:
            writer.close()


def test_handshakes_are_counted_by_what_one_host_may_call_itself() -> None:
    assert network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("::ffff:192.0.2.1") != network_of("::ffff:192.0.2.2")
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:ffff:ffff:ffff")
    assert network_of("2001:db8::1") != network_of("2001:db8:0:1::1")
    assert network_of("fe80::1%eth0") == network_of("fe80::2%eth0")


async def test_an_address_that_only_begins_handshakes_leaves_room_for_others(
    pki: Pki, ours: TrustFiles, theirs: TrustFiles
) -> None:
    limits = RadsecLimits(handshakes_per_address_max=2, handshake_s=0.3)
    async with serving(ours, limits=limits) as (server, _, _):
        begun = [await asyncio.open_connection(*server.address) for _ in range(3)]
        assert await begun[2][0].read() == b""
        assert server.counters.refused == {"handshakes_full": 1}
        await until(lambda: server.counters.refused["handshake_timeout"] == 2)
        peer = await Dialled.to(server.address, pki.context(theirs))
        await peer.ask(status())
        peer.close()
        for _, writer in begun:
            writer.close()


async def test_who_does_not_read_is_not_read_from(
    pki: Pki, ours: TrustFiles, theirs: TrustFiles
) -> None:
    limits = RadsecLimits(in_work_max=16, write_octets_max=1_024, stalled_s=0.3)
    async with serving(ours, limits=limits) as (server, service, _):
        peer = await Dialled.to(server.address, pki.context(theirs))
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        states = [(int(Type.PROXY_STATE), bytes(200))] * 18
        flood = b"".join(
            request(
                Code.STATUS_SERVER,
                number % 256,
                states,
                SECRET,
                authenticator=number.to_bytes(16, "big"),
            )
            for number in range(4_000)
        )
        peer.writer.write(flood)
        await until(lambda: server.counters.closed["slow_reader"] == 1)
        assert service.metrics.as_mapping()["dropped"] == {}
        peer.close()


async def test_certificates_rotate_under_load_and_every_request_is_answered(
    pki: Pki, theirs: TrustFiles
) -> None:
    files = pki.files(pki.end("aaa-1", dns_names=("aaa.home.example",)), "rotating")
    async with serving(files) as (server, _, bench):
        seen: set[int] = set()
        answered = 0

        async def load(first: int) -> None:
            nonlocal answered
            for turn in range(6):
                peer = await Dialled.to(server.address, pki.context(theirs))
                tls = peer.writer.get_extra_info("ssl_object")
                seen.add(tls.getpeercert()["serialNumber"])
                for number in range(20):
                    octets = accounting(first + turn * 20 + number)
                    assert (await peer.ask(octets)).code == Code.ACCOUNTING_RESPONSE
                    answered += 1
                    await asyncio.sleep(0.01)
                peer.close()

        async def rotate() -> None:
            for number in (2, 3):
                await asyncio.sleep(0.3)
                renewed = pki.end(f"aaa-{number}", dns_names=("aaa.home.example",))
                files.chain.write_bytes(renewed.chain_pem)  # half of it: the key does not fit
                await asyncio.sleep(0.15)
                files.key.write_bytes(renewed.key_pem)

        await asyncio.gather(*(load(n * 1_000) for n in range(3)), rotate())
        assert answered == 360
        assert len(bench.sink.observations) == 360
        assert len(seen) >= 2, "some handshake saw the renewed certificate"


def test_files_that_do_not_fit_are_refused_at_the_start(pki: Pki, ours: TrustFiles) -> None:
    other = pki.files(pki.end("another"), "another")
    with pytest.raises(ssl.SSLError):
        Trust(TrustFiles(chain=ours.chain, key=other.key, roots=ours.roots))
    with pytest.raises(OSError, match="No such file"):
        Trust(TrustFiles(chain=ours.chain, key=ours.chain.with_name("none"), roots=ours.roots))
