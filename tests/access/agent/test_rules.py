"""Counters, statements, locations and holders: what is read of a packet, without any file."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.access.agent.counters import (
    WORD,
    Counter,
    Flag,
    PortMeter,
    PortReading,
    flowable,
)
from opencarrier.access.agent.holders import (
    EXTENDED_TYPE_1,
    IP_PORT_RANGE,
    Entry,
    Held,
    Outcome,
    Request,
    WhoReason,
    covers,
    first_break,
    held,
    permitted,
)
from opencarrier.access.agent.location import Location, location_attributes
from opencarrier.access.agent.statement import (
    BEGINNING,
    ENTERPRISE,
    METER_CHAIN,
    METER_SIGNATURE,
    Finding,
    Flaw,
    Signed,
    judge,
    sign,
    statement_for,
    statement_of,
)
from opencarrier.access.agent.stored import (
    entry_octets,
    read_entry,
    read_signed,
    signed_octets,
)
from opencarrier.access.wire.dictionary import AcctStatus, Code, Type
from opencarrier.access.wire.radius import Attribute, Packet, encode, integer, parse, text, vendor
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.kernel.signatures import Address, KeySigner

NODE = KeySigner(b"\x01" * 32)
OTHER = KeySigner(b"\x02" * 32)
GIGABIT = 125_000_000
NOW_US = 1_767_603_600 * SECOND_US
steps = st.lists(st.integers(0, 3 << 30), min_size=1, max_size=12)


@given(steps)
def test_octets_of_32_bits_are_counted_on_through_every_wrap(flows: list[int]) -> None:
    counter, sent = Counter(), 0
    for octets in flows:
        sent += octets
        counter, _ = counter.risen(sent % WORD, most=WORD - 1)
    assert counter.total == sent


@given(steps)
def test_octets_with_gigawords_need_no_guess(flows: list[int]) -> None:
    counter, sent = Counter(), 0
    for octets in flows:
        sent += octets
        counter, flag = counter.risen(sent, most=0)
        assert flag is Flag.NONE
    assert counter.total == sent


@pytest.mark.parametrize(
    ("elapsed_s", "flag", "total"),
    [(12, Flag.WRAPPED, WORD + 1_000), (11, Flag.BEGAN_AGAIN, WORD - 1_500_000_000 + 1_000)],
)
def test_a_counter_that_fell_wrapped_only_where_so_much_could_flow(
    elapsed_s: int, flag: Flag, total: int
) -> None:
    """1.5 GB and a little: over 12 s of a gigabit link, of which one is slack."""
    counter = Counter(last=WORD - 1_500_000_000, total=WORD - 1_500_000_000)
    most = flowable(GIGABIT, elapsed_s * SECOND_US)
    assert counter.risen(1_000, most) == (Counter(1_000, total), flag)


def test_a_wrap_at_the_edge_of_what_could_flow() -> None:
    counter = Counter(last=WORD - 10, total=WORD - 10)
    assert counter.risen(5, most=15)[1] is Flag.WRAPPED
    assert counter.risen(5, most=14)[1] is Flag.BEGAN_AGAIN


def reading(interface: int, octets_in: int, octets_out: int) -> PortReading:
    return PortReading(interface=interface, octets_in=octets_in, octets_out=octets_out)


def test_a_port_is_read_from_where_the_session_began() -> None:
    meter = PortMeter.from_reading(reading(7, 1_000, 2_000))
    meter, flag = meter.read(reading(7, 1_500, 2_100))
    assert (meter.octets_in.total, meter.octets_out.total, flag) == (500, 100, Flag.NONE)
    meter, flag = meter.read(reading(8, 40, 50))
    assert (meter.octets_in.total, meter.octets_out.total, flag) == (540, 150, Flag.BEGAN_AGAIN)
    meter, flag = meter.read(reading(8, 30, 60))
    assert (meter.octets_in.total, meter.octets_out.total, flag) == (570, 160, Flag.BEGAN_AGAIN)


def report(
    event_s: int, octets: int, status: AcctStatus = AcctStatus.INTERIM_UPDATE
) -> list[Attribute]:
    return [
        text(Type.NAS_IDENTIFIER, "cafe-1"),
        integer(Type.ACCT_STATUS_TYPE, status),
        text(Type.ACCT_SESSION_ID, "s1"),
        (int(Type.CLASS), b"one"),
        (int(Type.CLASS), b"two"),
        integer(Type.EVENT_TIMESTAMP, event_s),
        integer(Type.ACCT_SESSION_TIME, event_s - 1_000),
        integer(Type.ACCT_INPUT_OCTETS, octets % WORD),
        integer(Type.ACCT_INPUT_GIGAWORDS, octets // WORD),
        integer(Type.ACCT_OUTPUT_OCTETS, 1),
    ]


def chain_of(count: int, key: KeySigner = NODE, factor: int = 1_000) -> list[Signed]:
    chain: list[Signed] = []
    previous = BEGINNING
    for number in range(count):
        told = statement_for(
            report(1_000 + number, factor * number),
            sequence=number,
            previous=previous,
            flags=Flag.NONE,
            started_s=1_000,
        )
        chain.append(sign(told, key))
        previous = told.head
    return chain


def packet_of(attributes: list[Attribute]) -> Packet:
    return parse(encode(Code.ACCOUNTING_REQUEST, 1, bytes(16), attributes))


@given(st.integers(1_000, 1 << 32), st.integers(0, (1 << 62)))
def test_a_statement_is_read_back_from_the_packet_it_went_out_with(
    event_s: int, octets: int
) -> None:
    attributes = report(min(event_s, WORD - 1), octets)
    told = statement_for(
        attributes, sequence=3, previous=Id(b"p" * 32), flags=Flag.WRAPPED, started_s=9
    )
    signed = sign(told, NODE)
    assert statement_of(packet_of([*attributes, *signed.attributes()])) == signed
    assert read_signed(signed_octets(signed)) == signed


@pytest.mark.parametrize(
    "changed", [Type.ACCT_INPUT_OCTETS, Type.ACCT_SESSION_TIME, Type.EVENT_TIMESTAMP, Type.CLASS]
)
def test_a_number_changed_on_the_way_is_no_longer_the_nodes(changed: Type) -> None:
    attributes = report(2_000, 5_000)
    signed = sign(
        statement_for(attributes, sequence=0, previous=BEGINNING, flags=Flag.NONE, started_s=9),
        NODE,
    )
    forged = [(k, b"\x00\x00\x00\x07" if k == changed else v) for k, v in attributes]
    told = packet_of([*forged, *signed.attributes()])
    assert signer_of(told) != NODE.address


def signer_of(packet: Packet) -> Address | None:
    try:
        found = statement_of(packet)
    except PeerError:
        return None
    return found.signature.kid if found else None


@given(st.binary(max_size=60), st.binary(max_size=70))
def test_whatever_stands_in_the_attributes_is_read_or_a_peers_mistake(
    chain: bytes, signature: bytes
) -> None:
    ours = [
        vendor(ENTERPRISE, METER_CHAIN, chain),
        vendor(ENTERPRISE, METER_SIGNATURE, signature),
    ]
    try:
        statement_of(packet_of([*report(2_000, 1), *ours]))
    except PeerError:
        return


def test_a_packet_without_a_statement_has_none() -> None:
    assert statement_of(packet_of(report(2_000, 1))) is None


def test_flags_nobody_knows_are_a_peers_mistake() -> None:
    octets = b"\x01" + bytes(4) + b"\x80\x00" + bytes(36)
    ours = [
        vendor(ENTERPRISE, METER_CHAIN, octets),
        vendor(ENTERPRISE, METER_SIGNATURE, bytes(65)),
    ]
    with pytest.raises(PeerError, match="meter_flags"):
        statement_of(packet_of([*report(2_000, 1), *ours]))


def test_a_whole_chain_has_no_flaw_in_any_order_and_twice() -> None:
    chain = chain_of(5)
    assert judge([*reversed(chain), *chain], [NODE.address]) == []


def test_what_is_missing_is_a_gap_and_no_lie() -> None:
    chain = chain_of(5)
    assert judge([*chain[:2], *chain[3:]], [NODE.address]) == [Finding(Flaw.GAP, 3)]
    assert judge(chain[2:], [NODE.address]) == [Finding(Flaw.GAP, 2)]


def test_two_statements_of_one_place_are_a_fork() -> None:
    chain, other = chain_of(4), chain_of(4, factor=999)
    findings = judge([*chain, other[2]], [NODE.address])
    assert Finding(Flaw.FORK, 2) in findings
    assert {found.flaw for found in findings} <= {Flaw.FORK, Flaw.BROKEN}


def test_another_keys_statement_is_forged() -> None:
    chain = chain_of(2)
    assert judge([chain[0], chain_of(2, OTHER)[1]], [NODE.address]) == [Finding(Flaw.FORGED, 1)]


def test_a_statement_that_follows_from_none_breaks_the_chain() -> None:
    first, second = chain_of(2)
    loose = sign(replace(second.statement, previous=Id(b"x" * 32)), NODE)
    assert judge([first, loose], [NODE.address]) == [Finding(Flaw.BROKEN, 1)]
    begun = sign(replace(first.statement, previous=Id(b"x" * 32)), NODE)
    assert judge([begun], [NODE.address]) == [Finding(Flaw.BROKEN, 0)]


def test_counters_that_fall_are_found() -> None:
    first, second = chain_of(2)
    fallen = replace(second.statement, session_time_s=first.statement.session_time_s - 1)
    assert judge([first, sign(fallen, NODE)], [NODE.address]) == [Finding(Flaw.FALLS, 1)]


def test_where_a_node_stands_in_the_standards_octets() -> None:
    """Worked out by hand from RFC 5580 sections 4.2 and 4.3 and RFC 6225 section 2.1."""
    place = Location(
        country="FR",
        civic={"city": "Nice", "postal_code": "06000"},
        latitude_microdegrees=43_500_000,
        longitude_microdegrees=-7_250_000,
    )
    civic_told, civic, map_told, on_map = location_attributes(place, since_s=0)
    assert civic_told == (127, bytes.fromhex("0001 00 01 83aa7e80 00000000") + civic_told[1][12:])
    assert civic_told[1][-6:] == b"Manual"
    assert civic == (128, b"\x00\x01FR" + b"\x03\x04Nice" + b"\x18\x0506000")
    assert map_told[1][:4] == bytes.fromhex("0002 01 01")
    bits = int.from_bytes(on_map[1][2:], "big")
    assert len(on_map[1]) == 18
    assert bits >> 122 == 34
    assert (bits >> 88) & (1 << 34) - 1 == 87 << 24
    assert (bits >> 48) & (1 << 34) - 1 == (1 << 34) - (29 << 23)
    assert bits & 0xFF == 1


def test_no_location_says_nothing() -> None:
    assert location_attributes(Location(), since_s=0) == []


def tlv(kind: int, value: bytes) -> bytes:
    return bytes((kind, len(value) + 2)) + value


def test_addresses_prefixes_and_ports_are_read() -> None:
    ports = tlv(3, b"\xc0\x00\x02\x01") + tlv(9, b"\x00\x00\x04\x00") + tlv(10, b"\x00\x00\x07\xff")
    packet = packet_of(
        [
            (int(Type.FRAMED_IP_ADDRESS), b"\x0a\x00\x00\x07"),
            (int(Type.FRAMED_IPV6_PREFIX), b"\x00\x40" + bytes.fromhex("20010db800010002")),
            (EXTENDED_TYPE_1, bytes((IP_PORT_RANGE,)) + ports),
        ]
    )
    assert held(packet) == [
        Held("10.0.0.7"),
        Held("2001:db8:1:2::/64"),
        Held("192.0.2.1", 1024, 2047),
    ]


@given(st.binary(max_size=40), st.sampled_from([EXTENDED_TYPE_1, int(Type.FRAMED_IPV6_PREFIX)]))
def test_whatever_an_address_attribute_holds_is_read_or_a_peers_mistake(
    value: bytes, kind: int
) -> None:
    prefix = bytes((IP_PORT_RANGE,)) if kind == EXTENDED_TYPE_1 else b""
    try:
        held(packet_of([(kind, prefix + value)]))
    except PeerError:
        return


def test_a_prefix_covers_its_addresses() -> None:
    assert covers("2001:db8:1:2::/64", "2001:db8:1:2::7")
    assert not covers("2001:db8:1:2::/64", "2001:db8:1:3::7")
    assert not covers("2001:db8:1:2::/64", "10.0.0.7")
    assert covers("10.0.0.7", "10.0.0.7")


REQUEST = Request(
    node=NODE.address,
    address="10.0.0.7",
    port=None,
    at_us=NOW_US - 5,
    purpose="order 4711 of the court of Nice",
    written_us=NOW_US - 1,
)
PERSONS = [KeySigner(bytes((n,)) * 32) for n in (11, 12, 13)]


def asked(request: Request, *signers: KeySigner) -> list[Address] | Refusal:
    return permitted(
        request,
        [signer.sign(request.digest).octets for signer in signers],
        node=NODE.address,
        persons=[person.address for person in PERSONS[:2]],
        now_us=NOW_US,
    )


def test_two_persons_may_ask_and_one_may_not() -> None:
    one, two, stranger = PERSONS
    assert asked(REQUEST, one, two) == sorted([one.address, two.address])
    for signers, reason in (
        ((), WhoReason.NEEDS_TWO_PERSONS),
        ((one,), WhoReason.NEEDS_TWO_PERSONS),
        ((one, one), WhoReason.NEEDS_TWO_PERSONS),
        ((one, stranger), WhoReason.UNKNOWN_SIGNER),
        ((one, two, stranger), WhoReason.UNKNOWN_SIGNER),
    ):
        refusal = asked(REQUEST, *signers)
        assert isinstance(refusal, Refusal)
        assert refusal.reason is reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"address": "not one"}, WhoReason.MALFORMED_ADDRESS),
        ({"node": OTHER.address}, WhoReason.OTHER_NODE),
        ({"purpose": " "}, WhoReason.PURPOSE_MISSING),
        ({"purpose": "x" * 513}, WhoReason.PURPOSE_MISSING),
        ({"written_us": NOW_US + 1}, WhoReason.OUT_OF_DATE),
        ({"written_us": NOW_US - 30 * 86_400 * SECOND_US - 1}, WhoReason.OUT_OF_DATE),
    ],
)
def test_what_two_persons_may_not_ask(change: dict[str, object], reason: WhoReason) -> None:
    refusal = asked(replace(REQUEST, **change), *PERSONS[:2])  # type: ignore[arg-type]
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason


def test_signatures_are_for_one_request() -> None:
    signatures = [person.sign(REQUEST.digest).octets for person in PERSONS[:2]]
    refusal = permitted(
        replace(REQUEST, address="10.0.0.8"),
        signatures,
        node=NODE.address,
        persons=[person.address for person in PERSONS],
        now_us=NOW_US,
    )
    assert isinstance(refusal, Refusal)
    assert refusal.reason is WhoReason.UNKNOWN_SIGNER


def test_a_line_that_was_changed_or_taken_out_of_the_log_shows() -> None:
    log: list[Entry] = []
    previous = BEGINNING
    for number in range(4):
        entry = Entry(
            number=number,
            previous=previous,
            at_us=NOW_US + number,
            request=REQUEST,
            signers=(),
            outcome=Outcome.REFUSED,
            reason="needs_two_persons",
            found=0,
        )
        log.append(entry)
        previous = entry.head
    assert [read_entry(entry_octets(entry)) for entry in log] == log
    assert first_break(log, BEGINNING) is None
    assert first_break([log[0], log[2], log[3]], BEGINNING) == 1
    assert first_break([log[0], replace(log[1], found=1), *log[2:]], BEGINNING) == 2
