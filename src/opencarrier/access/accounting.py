"""From an Accounting-Request to an observation: pure rules (RFC 2866, RFC 2869, RFC 4372)."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from opencarrier.access.class_token import ClassClaims
from opencarrier.access.cui import named_subject
from opencarrier.access.model import AccessKeys, Metrics
from opencarrier.access.wire.dictionary import AcctStatus, Type
from opencarrier.access.wire.radius import Packet
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import Node, RadiusClient
from opencarrier.spine.usage import Counters, Observation, Status

DELAY_MAX_S = 86_400
"""An Acct-Delay-Time beyond a day is not believed."""

AHEAD_MAX_S = 86_400
"""An Event-Timestamp more than a day ahead of the clock is not believed."""

_STATUS: Final = {
    AcctStatus.START: Status.START,
    AcctStatus.STOP: Status.STOP,
    AcctStatus.INTERIM_UPDATE: Status.INTERIM,
    AcctStatus.ACCOUNTING_ON: Status.ON,
    AcctStatus.ACCOUNTING_OFF: Status.OFF,
}
_GIGAWORD: Final = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How a packet came: from whom, over what, when, and its exact octets' digest."""

    client: RadiusClient
    node: Node
    source: str
    now_us: int
    digest: bytes


def packet_digest(datagram: bytes) -> bytes:
    """The evidence: SHA-256 over the packet without padding."""
    return sha256(datagram[: int.from_bytes(datagram[2:4], "big")]).digest()


def observe(packet: Packet, arrival: Arrival, keys: AccessKeys, metrics: Metrics) -> Observation:
    """Read an Accounting-Request as a fact; `PeerError` where it lacks what RFC 2866 demands.

    `home` is what the sealed Class says; without one it is None, for the caller to find by realm.
    """
    status = _status(packet)
    session = packet.text(Type.ACCT_SESSION_ID) or ""
    whole_node = status in (Status.ON, Status.OFF)
    if not whole_node and not session:
        raise PeerError("acct_session_id_missing")
    claims = _claims(packet, arrival, keys, metrics)
    return Observation(
        status=status,
        home=claims.home if claims else None,
        visited=arrival.node.operator,
        nas_key=arrival.node.nas_identifier,
        node_id=arrival.node.node_id,
        authorisation_id=claims.authorisation_id if claims else None,
        acct_session_id=session,
        counters=None if whole_node else _counters(packet),
        subject="" if whole_node else _subject(packet, arrival, claims, keys),
        event_us=event_us_of(packet, arrival.now_us),
        terminate_cause=packet.integer(Type.ACCT_TERMINATE_CAUSE),
        reporter=arrival.node.operator,
        source=arrival.source,
        packet_digest=arrival.digest,
    )


def realm_of(packet: Packet) -> str | None:
    """The lower-case realm of User-Name, after the last `@` (RFC 7542), or None."""
    name = packet.text(Type.USER_NAME)
    _, at, realm = (name or "").rpartition("@")
    return realm.lower() if at and realm else None


def _status(packet: Packet) -> Status:
    value = packet.integer(Type.ACCT_STATUS_TYPE)
    if value is None:
        raise PeerError("acct_status_type_missing")
    try:
        return _STATUS[AcctStatus(value)]
    except ValueError as error:
        raise PeerError("acct_status_type", f"value {value}") from error


def _claims(
    packet: Packet, arrival: Arrival, keys: AccessKeys, metrics: Metrics
) -> ClassClaims | None:
    for token in packet.all(Type.CLASS):
        opened = keys.ring.open(token, visited=arrival.node.operator, node_id=arrival.node.node_id)
        if isinstance(opened, ClassClaims):
            return opened
        metrics.class_refused[opened.code] += 1
    return None


def _counters(packet: Packet) -> Counters | None:
    session_time_s = packet.integer(Type.ACCT_SESSION_TIME)
    octets_in = packet.integer(Type.ACCT_INPUT_OCTETS)
    octets_out = packet.integer(Type.ACCT_OUTPUT_OCTETS)
    if session_time_s is None and octets_in is None and octets_out is None:
        return None
    return Counters(
        session_time_s=session_time_s or 0,
        octets_in=joined_octets(packet, octets_in, Type.ACCT_INPUT_GIGAWORDS),
        octets_out=joined_octets(packet, octets_out, Type.ACCT_OUTPUT_GIGAWORDS),
    )


def joined_octets(packet: Packet, octets: int | None, gigawords: Type) -> int:
    """Return octets with their gigawords joined; `PeerError` beyond 63 bits (RFC 2869 5.1)."""
    joined = (packet.integer(gigawords) or 0) * _GIGAWORD + (octets or 0)
    if joined > INT64_MAX:
        raise PeerError("counter_range", f"{joined} octets")
    return joined


def _subject(packet: Packet, arrival: Arrival, claims: ClassClaims | None, keys: AccessKeys) -> str:
    """The pseudonym that use is kept under: never a permanent identity in clear."""
    if claims is not None:
        return claims.cui
    name = packet.text(Type.USER_NAME) or packet.text(Type.CALLING_STATION_ID) or ""
    return named_subject(keys.cui_key, name, arrival.node.operator)


def event_us_of(packet: Packet, now_us: int, *, behind_max_s: int | None = None) -> int:
    """Event-Timestamp where it is credible, else the arrival less Acct-Delay-Time.

    One further back than `behind_max_s` is of a clock that was never set.
    """
    stamped_us = (packet.integer(Type.EVENT_TIMESTAMP) or 0) * SECOND_US
    earliest_us = 0 if behind_max_s is None else now_us - behind_max_s * SECOND_US
    if max(earliest_us, 1) <= stamped_us <= now_us + AHEAD_MAX_S * SECOND_US:
        return stamped_us
    delay_s = packet.integer(Type.ACCT_DELAY_TIME) or 0
    return now_us - (delay_s if delay_s <= DELAY_MAX_S else 0) * SECOND_US
