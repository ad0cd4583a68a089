"""The agent's HTTP server: its limits, and what it takes for a request."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.access.agent.scene import Scene, start
from tests.access.fakes import peer_error

from opencarrier.access.agent.holders import Held
from opencarrier.access.agent.request import END, HEAD_OCTETS_MAX, Head, read_head
from opencarrier.access.agent.sessions import Accepted, Seen, begin
from opencarrier.access.agent.store import AgentStore
from opencarrier.access.wire.dictionary import AcctStatus, Type
from opencarrier.app.config import ConfigError
from opencarrier.app.node_desk import Asker, NodeDesk, PaymentSettings
from opencarrier.app.node_folder import NodeFolder
from opencarrier.app.node_http import FROM_ONE, NodeHttp
from opencarrier.channels.carried import Contract
from opencarrier.kernel.signatures import Address

from .test_node_agent import folder_with
from .test_node_payments import ask, request

SETTINGS = PaymentSettings(
    host="127.0.0.1",
    port=0,
    contract=Contract(chain_id=1, address=Address("0x" + "ab" * 20)),
    connections_max=3,
    connections_each_max=2,
    request_s=0.3,
    per_s=0.001,
    burst=3,
)
SEEN = Seen(
    status=AcctStatus.START,
    acct_session_id="s1",
    station="020000000001",
    event_us=1,
    session_time_s=None,
    octets_in=None,
    octets_out=None,
)
SHOW = request("GET", "/v1/session")


def nobody(_: str) -> str:
    """No address is a neighbour's."""
    return ""


async def test_connections_turns_and_time_are_limited(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "node.sqlite")
    async with scene.open() as radio:
        await radio.tell(start(), (int(Type.FRAMED_IP_ADDRESS), bytes((127, 0, 0, 1))))
        desk = NodeDesk(scene.running, SETTINGS, station_of=nobody, monotonic=lambda: 0.0)
        http = NodeHttp(desk, SETTINGS, lambda: 0.0)
        await http.start()
        where = http.address
        idle = [await asyncio.open_connection(*where, local_addr=("127.0.0.1", 0)) for _ in "12"]
        with pytest.raises(ConnectionError):
            await ask(where, SHOW)
        stranger = await asyncio.open_connection(*where, local_addr=("127.0.0.2", 0))
        with pytest.raises(ConnectionError):
            await ask(where, SHOW, "127.0.0.3")
        for reader, writer in (*idle, stranger):
            assert await reader.read() == b"", "who says nothing is not waited for"
            writer.close()
        assert [(await ask(where, SHOW)).status for _ in range(4)] == [200, 200, 200, 429]
        turns = [(await ask(where, SHOW, f"127.0.0.{last}")).status for last in (2, 3, 4, 5)]
        assert turns == [404, 404, 404, 429], "strangers share theirs"
        for number in range(int(FROM_ONE.burst) + 1):
            try:
                answer = await ask(where, SHOW, "127.0.0.9")
                assert (number < FROM_ONE.burst, answer.status) == (True, 429)
            except ConnectionError:
                assert number == FROM_ONE.burst, "one connection too many is not looked at"
        held = await asyncio.open_connection(*where)
        await http.stop()
        assert await held[0].read() == b""
        held[1].close()


def test_addresses_are_plain_whatever_socket_they_came_through(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "node.sqlite")
    service = scene.service()
    desk, store = NodeDesk(service, SETTINGS, station_of=nobody), service.agent.store
    session, _ = begin(SEEN, "ap1", Accepted())
    with store.write():
        number = store.put_session(None, session, "s1")
        for address in ("192.0.2.1", "2001:db8:1::/64", "fe80::1"):
            store.hold(number, session, Held(address), 1)
        store.hold(number, session, Held("192.0.2.2", 1_024, 2_047), 1)
    for source in ("::ffff:192.0.2.1", "192.0.2.1", "fe80::1%eth0", "2001:db8:1::abcd"):
        assert desk.asker(source) == Asker(number, session)
    for source in ("192.0.2.2", "2001:db8:2::1"):
        assert desk.asker(source) == Asker(None, None), "ports shared behind a NAT name nobody"
    store.close()


def test_a_neighbour_is_who_the_kernel_says(tmp_path: Path) -> None:
    """Whoever uses another's address is served as itself, or not at all."""
    scene, known = Scene(tmp_path / "node.sqlite"), {"192.0.2.1": "020000000002"}
    service = scene.service()
    desk = NodeDesk(service, SETTINGS, station_of=lambda address: known.get(address, ""))
    store = service.agent.store
    with store.write():
        numbers = []
        for station in ("020000000001", "020000000002"):
            told = replace(SEEN, acct_session_id=station, station=station)
            numbers.append(store.put_session(None, begin(told, "ap1", Accepted())[0], station))
        for address in ("192.0.2.1", "192.0.2.7"):
            store.hold(numbers[0], begin(SEEN, "ap1", Accepted())[0], Held(address), 1)
    assert desk.asker("192.0.2.1").number == numbers[1]
    assert desk.asker("192.0.2.7").number == numbers[0], "no neighbour: the access point's word"
    known["192.0.2.1"] = "020000000099"
    assert desk.asker("192.0.2.1").number is None
    store.close()


def test_an_address_is_whose_it_became_last(tmp_path: Path) -> None:
    store = AgentStore(tmp_path / "node.sqlite")
    with store.write():
        for name, from_us in (("s1", 5), ("s2", 9), ("s3", 7)):
            session, _ = begin(replace(SEEN, acct_session_id=name), "ap1", Accepted())
            number = store.put_session(None, session, name)
            store.hold(number, session, Held("192.0.2.1"), from_us)
    found = store.session_holding("192.0.2.1")
    assert found is not None
    assert found[1].acct_session_id == "s2"
    store.close()


def head(text: str) -> str:
    return peer_error(read_head, text.replace("\n", "\r\n").encode() + END)


def test_a_head_is_read_strictly() -> None:
    whole = b"POST /v1/payment HTTP/1.1\r\nHost: [2001:db8::1]:4021\r\ncontent-length:12 \r\n\r\n"
    assert read_head(whole) == Head("POST", "/v1/payment", 12)
    assert head("GET / HTTP/1.0\nHost: 192.0.2.1") == "parsed"
    assert head("GET / HTTP/1.0\nHost: 192.0.2.1\nHost: 192.0.2.2") == "field_twice"
    assert head("GET / HTTP/1.1\nHost: agent.example") == "host"
    assert head("GET / HTTP/1.1\nHost: 300.0.2.1") == "host"
    assert head("GET / HTTP/1.1") == "host"
    assert head("GET / HTTP/2\nHost: 192.0.2.1") == "request_line"
    assert head("GET / HTTP/1.1\n Host: 192.0.2.1") == "field_form"
    for length in ("-1", "1e3", "", "9" * 10):
        assert head(f"GET / HTTP/1.1\nHost: 1.1.1.1\nContent-Length: {length}") == "content_length"
    chunked = "POST / HTTP/1.1\nHost: 1.1.1.1\nTransfer-Encoding: chunked"
    assert head(chunked) == "transfer_encoding"
    assert head("GET /" + "a" * HEAD_OCTETS_MAX) == "head_size"
    assert peer_error(read_head, b"GET / HTTP/1.1") == "head_size"


@given(st.binary(max_size=120))
@example(b"GET / HTTP/1.1\r\nHost: 1.1.1.1:999999")
@settings(max_examples=60)
def test_whatever_comes_is_a_head_or_a_peers_mistake(octets: bytes) -> None:
    assert peer_error(read_head, octets + END) != ""


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('chain_id = 0\ncontract = "0x' + "ab" * 20 + '"', "chain_id"),
        ('chain_id = 1\ncontract = "0xAB"', "contract"),
        ("chain_id = 1", "contract is missing"),
        ('chain_id = 1\ncontract = "0x' + "ab" * 20 + '"\nport = 70000', "port"),
        ('chain_id = 1\ncontract = "0x' + "ab" * 20 + '"\nprice = 1', "price"),
    ],
)
def test_settings_are_read_strictly(tmp_path: Path, table: str, words: str) -> None:
    folder = folder_with(tmp_path, 'transport = "udp"\nsecret_file = "hub.secret"\n')
    assert folder.load().payments is None, "off unless told"
    with_payments(folder, table)
    with pytest.raises(ConfigError, match=words):
        folder.load()


def test_a_table_of_payments_is_read(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, 'transport = "udp"\nsecret_file = "hub.secret"\n')
    with_payments(folder, 'chain_id = 8453\ncontract = "0x' + "ab" * 20 + '"')
    found = folder.load().payments
    assert found is not None
    assert (found.host, found.port, found.contract.chain_id) == ("127.0.0.1", 4021, 8453)


def with_payments(folder: NodeFolder, table: str) -> None:
    text = folder.settings_file.read_text()
    folder.settings_file.write_text(f"{text}\n[payments]\n{table}\n")
