"""What is fuzzed of the node's agent: what access points, devices, people and the kernel tell."""

from __future__ import annotations

from ipaddress import ip_network

from opencarrier.access.agent.agent import _seen, _status
from opencarrier.access.agent.documents import read_request, write_request
from opencarrier.access.agent.holders import held
from opencarrier.access.agent.location import Location
from opencarrier.access.agent.model import AccessPoint, Venue
from opencarrier.access.agent.netlink import read_family, read_neighbours, read_station
from opencarrier.access.agent.outgoing import Place, access_request, accounting
from opencarrier.access.agent.payments import carried_of, session_id_at, verdict_of
from opencarrier.access.agent.request import read_head
from opencarrier.access.agent.sessions import Accepted, account, begin, continues, is_old
from opencarrier.access.agent.statement import statement_for
from opencarrier.access.wire.dictionary import Type
from opencarrier.access.wire.radius import parse
from opencarrier.channels.carried import VOUCHER_OCTETS, pack, unpack
from opencarrier.channels.wire import read_brought, write_brought

NOW_US = 1_767_603_600_000_000
ACCEPTED = Accepted(classes=(b"\x02" + bytes(32), b"sealed"), cui=b"cui", user_name=b"ada")
PLACE = Place(
    AccessPoint(
        name="hall",
        prefix=ip_network("192.0.2.1"),
        secret=b"secret",
        nas_identifier="cafe-1",
    ),
    Venue(operator_name="4LUMEN:FR", location=Location(country="FR", civic={"city": "Nice"})),
)
STATION = bytes.fromhex("020000000001")


def mended(data: bytes) -> object:
    """A report of an access point: what the agent makes of it goes on and is read again."""
    packet = parse(data)
    access_request(packet, PLACE)
    seen = _seen(packet, _status(packet), NOW_US, kernel_only=False)
    session, _ = begin(seen, "hall", ACCEPTED)
    assert not is_old(session, seen)
    continues(session, seen)
    moved, flags = account(session, seen, None, octets_per_s=1_000_000)
    told, _ = accounting(packet, PLACE, moved, event_us=NOW_US)
    statement_for(told, sequence=0, previous=session.previous, flags=flags, started_s=0)
    return held(packet)


def payment_attributes(data: bytes) -> object:
    """A packet that may carry a payment, its verdict, and a session's name."""
    packet = parse(data)
    session_id_at(packet.all(Type.CLASS), "cafe-1", "s1")
    return carried_of(packet), verdict_of(packet)


def carried_payment(data: bytes) -> object:
    """A voucher and an ack as they are carried, and the same packed again."""
    payment = unpack(data[:VOUCHER_OCTETS], data[VOUCHER_OCTETS:])
    assert b"".join(pack(payment)) == data
    return payment


def brought_payment(data: bytes) -> object:
    """What a device hands in, and the same written again."""
    brought = read_brought(data)
    assert read_brought(write_brought(*brought).encode()) == brought
    return brought


def device_head(data: bytes) -> object:
    """The head of a device's request."""
    return read_head(data)


def who_request(data: bytes) -> object:
    """A request for who held an address, and the same written again."""
    signed = read_request(data)
    assert read_request(write_request(signed)) == signed
    return signed


def family(data: bytes) -> object:
    """What the kernel says of a family."""
    return read_family(data, 7)


def neighbours(data: bytes) -> object:
    """What the kernel says of its neighbours."""
    return read_neighbours(data, 7)


def station(data: bytes) -> object:
    """What the kernel says of a station."""
    return read_station(data, 28, 5, STATION, 7)


AGENT_TARGETS = (
    mended,
    payment_attributes,
    carried_payment,
    brought_payment,
    device_head,
    who_request,
    family,
    neighbours,
    station,
)
