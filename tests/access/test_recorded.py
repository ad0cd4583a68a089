"""Recorded packets are read by the same rules as those from the wire."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.access.fakes import KEYS, NAS, NODE, NOW_US, REALM, SECRET, peer_error
from tests.access.test_server import Driver, observed

from opencarrier.access.recorded import Recorded, RecordReader
from opencarrier.access.wire.authenticators import access_request, accounting_request
from opencarrier.access.wire.dictionary import Type
from opencarrier.access.wire.radius import Attribute, integer, text
from opencarrier.kernel.refusals import PeerError

ATTRIBUTES: list[Attribute] = [
    integer(Type.ACCT_STATUS_TYPE, 2),
    text(Type.ACCT_SESSION_ID, "s"),
    text(Type.NAS_IDENTIFIER, NAS),
    text(Type.USER_NAME, f"somebody@{REALM.upper()}"),
    integer(Type.ACCT_SESSION_TIME, 9),
]
PACKET = accounting_request(1, ATTRIBUTES, SECRET)


def read(packet: bytes, secret: bytes | None = SECRET) -> Recorded | None:
    return RecordReader(KEYS).read(
        packet, node=NODE, at_us=NOW_US, source="pcap:x@24", secret=secret
    )


def test_it_is_the_same_fact_as_from_the_wire() -> None:
    recorded = read(PACKET)
    assert recorded is not None
    assert (recorded.realm, recorded.nas_identifier) == (REALM, NAS)
    wire = observed(Driver(), *ATTRIBUTES)
    assert not isinstance(wire, str)
    assert recorded.observation == replace(wire, source="pcap:x@24")


def test_the_secret_is_asked_for_only_where_it_is_known() -> None:
    with pytest.raises(PeerError, match="request_authenticator"):
        read(PACKET, b"other")
    assert read(PACKET, None) is not None


def test_a_packet_of_another_code_is_passed_over() -> None:
    assert read(access_request(1, bytes(16), [], SECRET)) is None


@given(st.binary(max_size=150))
def test_anything_is_read_or_is_a_peer_error(packet: bytes) -> None:
    assert peer_error(read, packet, None)
