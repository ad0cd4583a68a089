"""What goes on to the hub or the home: the access point's attributes, mended. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from opencarrier.access.agent.counters import WORD
from opencarrier.access.agent.location import location_attributes
from opencarrier.access.agent.model import AccessPoint, Venue
from opencarrier.access.agent.sessions import NUL, Accepted, Session
from opencarrier.access.wire.dictionary import AcctStatus, Code, Type
from opencarrier.access.wire.radius import (
    AUTHENTICATOR_OCTETS,
    HEADER_OCTETS,
    PACKET_OCTETS_MAX,
    Attribute,
    Packet,
    integer,
    text,
)
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import PeerError

RESERVE_OCTETS: Final = 176
"""Left free for what comes last: the meter statement, Acct-Delay-Time, Message-Authenticator."""

_HOP: Final = frozenset({int(Type.MESSAGE_AUTHENTICATOR), int(Type.PROXY_STATE)})
_PLACE: Final = frozenset(
    {
        int(Type.OPERATOR_NAME),
        int(Type.LOCATION_INFORMATION),
        int(Type.LOCATION_DATA),
        int(Type.NAS_IDENTIFIER),
    }
)
_IDENTITY: Final = frozenset(
    {int(Type.USER_NAME), int(Type.CHARGEABLE_USER_IDENTITY), int(Type.CLASS)}
)
_NUMBERS: Final = frozenset(
    {
        int(Type.ACCT_SESSION_ID),
        int(Type.ACCT_DELAY_TIME),
        int(Type.EVENT_TIMESTAMP),
        int(Type.ACCT_SESSION_TIME),
        int(Type.ACCT_INPUT_OCTETS),
        int(Type.ACCT_OUTPUT_OCTETS),
        int(Type.ACCT_INPUT_GIGAWORDS),
        int(Type.ACCT_OUTPUT_GIGAWORDS),
    }
)


@dataclass(frozen=True, slots=True)
class Place:
    """Which node a packet is of, and where that stands."""

    point: AccessPoint
    venue: Venue

    def attributes(self, packet: Packet) -> list[Attribute]:
        """NAS-Identifier, Operator-Name and location; an access point's own location stays."""
        out = [text(Type.NAS_IDENTIFIER, self.point.nas_identifier)]
        if self.venue.operator_name:
            out.append(text(Type.OPERATOR_NAME, self.venue.operator_name))
        if packet.get(Type.LOCATION_INFORMATION) is not None:
            out += _only(packet, (Type.LOCATION_INFORMATION, Type.LOCATION_DATA))
        elif self.venue.location is not None:
            out += location_attributes(self.venue.location, since_s=self.venue.located_s)
        return out


def access_request(packet: Packet, place: Place) -> list[Attribute]:
    """Return what an Access-Request asks on: where, and for a CUI where it does not by itself."""
    out = [a for a in packet.attributes if a[0] not in _HOP | _PLACE]
    out += place.attributes(packet)
    if packet.get(Type.CHARGEABLE_USER_IDENTITY) is None:
        out.append((int(Type.CHARGEABLE_USER_IDENTITY), NUL))
    return _fitting(out)


def whole_node(packet: Packet, place: Place, *, event_us: int) -> list[Attribute]:
    """Return an Accounting-On or -Off as it goes on."""
    dropped = _HOP | _PLACE | {int(Type.ACCT_DELAY_TIME), int(Type.EVENT_TIMESTAMP)}
    out = [a for a in packet.attributes if a[0] not in dropped]
    return _fitting(
        [*out, integer(Type.EVENT_TIMESTAMP, event_us // SECOND_US), *place.attributes(packet)]
    )


def accounting(
    packet: Packet, place: Place, session: Session, *, event_us: int
) -> tuple[list[Attribute], list[str]]:
    """Return a session's report as it goes on, and the names of what was mended in it.

    Acct-Delay-Time is left out: it is right only at the moment of sending.
    """
    attributes, mended = _accounting(packet, place, session, event_us=event_us)
    return _fitting(attributes), mended


def _accounting(
    packet: Packet, place: Place, session: Session, *, event_us: int
) -> tuple[list[Attribute], list[str]]:
    dropped = _HOP | _PLACE | _IDENTITY | _NUMBERS
    out = [a for a in packet.attributes if a[0] not in dropped]
    identity, mended = mended_identity(packet, session.accepted)
    if packet.get(Type.NAS_IDENTIFIER) != place.point.nas_identifier.encode():
        mended.append("nas_identifier")
    if packet.text(Type.ACCT_SESSION_ID) != session.acct_session_id:
        mended.append("acct_session_id")
    out += [*identity, *place.attributes(packet), *_numbers(session, event_us)]
    return out, mended


def said_again(place: Place, session: Session, *, event_us: int) -> list[Attribute]:
    """Return an Interim-Update of the agent's own: what was told last, at a later time."""
    told = [integer(Type.ACCT_STATUS_TYPE, AcctStatus.INTERIM_UPDATE)]
    if session.station:
        told.append(text(Type.CALLING_STATION_ID, session.station))
    packet = Packet(Code.ACCOUNTING_REQUEST, 0, bytes(AUTHENTICATOR_OCTETS), tuple(told))
    return _accounting(packet, place, session, event_us=event_us)[0]


def mended_identity(packet: Packet, accepted: Accepted) -> tuple[list[Attribute], list[str]]:
    """Return User-Name, CUI and Class as the home gave them, where the access point lost them.

    What the access point has beyond that is newer, and stays.
    """
    mended: list[str] = []

    def chosen(kind: Type, told: list[bytes], given: list[bytes], lost: bool) -> list[Attribute]:
        if lost:
            mended.append(kind.name.lower())
        return [(int(kind), value) for value in (given if lost else told)]

    names, cuis, classes = (
        list(packet.all(kind))
        for kind in (Type.USER_NAME, Type.CHARGEABLE_USER_IDENTITY, Type.CLASS)
    )
    given_classes = list(accepted.classes)
    lost_class = set(classes) < set(given_classes) or (
        set(classes) == set(given_classes) and len(classes) < len(given_classes)
    )
    out = chosen(Type.USER_NAME, names, [accepted.user_name], _name_lost(names, accepted))
    out += chosen(
        Type.CHARGEABLE_USER_IDENTITY,
        [cui for cui in cuis if cui != NUL],
        [accepted.cui],
        bool(accepted.cui) and (not cuis or cuis[0] == NUL),
    )
    out += chosen(Type.CLASS, classes, given_classes, lost_class)
    return out, mended


def _name_lost(names: list[bytes], accepted: Accepted) -> bool:
    if not accepted.user_name or names[:1] == [accepted.user_name]:
        return False
    return accepted.assigned or not names or accepted.user_name.startswith(names[0])


def _numbers(session: Session, event_us: int) -> list[Attribute]:
    out = [
        text(Type.ACCT_SESSION_ID, session.acct_session_id),
        integer(Type.EVENT_TIMESTAMP, event_us // SECOND_US),
        integer(Type.ACCT_SESSION_TIME, min(session.time.total, WORD - 1)),
    ]
    for octets, low, high in (
        (session.told_in, Type.ACCT_INPUT_OCTETS, Type.ACCT_INPUT_GIGAWORDS),
        (session.told_out, Type.ACCT_OUTPUT_OCTETS, Type.ACCT_OUTPUT_GIGAWORDS),
    ):
        out += [integer(low, octets % WORD), integer(high, min(octets // WORD, WORD - 1))]
    return out


def _only(packet: Packet, kinds: Iterable[Type]) -> list[Attribute]:
    wanted = {int(kind) for kind in kinds}
    return [a for a in packet.attributes if a[0] in wanted]


def _fitting(attributes: list[Attribute]) -> list[Attribute]:
    size = HEADER_OCTETS + sum(len(value) + 2 for _, value in attributes)
    if size + RESERVE_OCTETS > PACKET_OCTETS_MAX:
        raise PeerError("packet_full", f"{size} octets")
    return attributes
