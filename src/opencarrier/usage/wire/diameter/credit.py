"""Credit-control requests as what a session used (RFC 8506; 3GPP TS 32.299 for Gy and Ro)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.usage.wire.diameter.message import (
    DEPTH_MAX,
    VENDOR_3GPP,
    Avp,
    Code,
    avps,
    text,
    time_us,
    unsigned,
)

REQUESTS_MAX = 65_536
"""Requests of one session that are told apart; a session of more is refused from there on."""

GROUPS_MAX = 256
"""Rating groups of one session; a request that would bring more is refused."""


class RequestType(IntEnum):
    """CC-Request-Type (RFC 8506 section 8.3)."""

    INITIAL = 1
    UPDATE = 2
    TERMINATION = 3
    EVENT = 4


class SubscriptionType(IntEnum):
    """Subscription-Id-Type (RFC 8506 section 8.47), the better known first."""

    IMSI = 1
    E164 = 0
    SIP_URI = 2
    NAI = 3
    PRIVATE = 4


_SESSION_ID: Final[Code] = (0, 263)
_REQUEST_TYPE: Final[Code] = (0, 416)
_REQUEST_NUMBER: Final[Code] = (0, 415)
_EVENT_TIMESTAMP: Final[Code] = (0, 55)
_ORIGIN_HOST: Final[Code] = (0, 264)
_ORIGIN_REALM: Final[Code] = (0, 296)
_DESTINATION_REALM: Final[Code] = (0, 283)
_SERVICE_CONTEXT: Final[Code] = (0, 461)
_SUBSCRIPTION: Final[Code] = (0, 443)
_SUBSCRIPTION_TYPE: Final[Code] = (0, 450)
_SUBSCRIPTION_DATA: Final[Code] = (0, 444)
_SERVICES: Final[Code] = (0, 456)
_RATING_GROUP: Final[Code] = (0, 432)
_USED: Final[Code] = (0, 446)
_TIME: Final[Code] = (0, 420)
_TOTAL: Final[Code] = (0, 421)
_INPUT: Final[Code] = (0, 412)
_OUTPUT: Final[Code] = (0, 414)
_SPECIFIC: Final[Code] = (0, 417)
_RAT: Final[Code] = (VENDOR_3GPP, 21)
_SERVING_PLMN: Final[Code] = (VENDOR_3GPP, 18)
_LOCATION: Final[Code] = (VENDOR_3GPP, 22)
_NESTED: Final = frozenset({_SERVICES, (VENDOR_3GPP, 873), (VENDOR_3GPP, 874)})
"""Groups whose attributes stand for the request: services, Service- and PS-Information."""


@dataclass(slots=True)
class Units:
    """What was used: octets from and to the device, seconds, and units of the service's own."""

    octets_in: int = 0
    octets_out: int = 0
    duration_s: int = 0
    specific: int = 0

    def add(self, other: Units) -> None:
        """Add what another request reports; raises `PeerError`: `range`."""
        self.octets_in += other.octets_in
        self.octets_out += other.octets_out
        self.duration_s += other.duration_s
        self.specific += other.specific
        if max(self.octets_in, self.octets_out, self.duration_s, self.specific) > INT64_MAX:
            raise PeerError("range")


Used = dict[int | None, Units]
"""What was used by rating group, None for what is told of none."""


def add_used(total: Used, other: Used) -> None:
    """Add what was used, group by group; raises `PeerError`: `range`, `groups` beyond the limit."""
    if len(total.keys() | other.keys()) > GROUPS_MAX:
        raise PeerError("groups")
    for group, units in other.items():
        total.setdefault(group, Units()).add(units)


@dataclass(slots=True)
class Request:
    """A credit-control request, as far as usage is told by it."""

    session: str = ""
    type: RequestType = RequestType.INITIAL
    number: int = 0
    event_us: int | None = None
    origin_host: str = ""
    origin_realm: str = ""
    destination_realm: str = ""
    context: str = ""
    subscriptions: dict[int, str] = field(default_factory=dict)
    used: Used = field(default_factory=dict)
    rat: int | None = None
    serving_plmn: str | None = None
    location: bytes | None = None

    @property
    def subscriber(self) -> str | None:
        """Who used it: the IMSI where it is told, else the first of the other names."""
        named = [
            self.subscriptions[kind] for kind in SubscriptionType if kind in self.subscriptions
        ]
        return named[0] if named else None


def request_of(octets: bytes) -> Request:
    """Read a request's attributes.

    Raises `PeerError`: as `avps` does, `request` where it names no session, type or number.
    """
    request, found = Request(), set[Code]()
    _read(octets, request, found, None, 1)
    if not {_SESSION_ID, _REQUEST_TYPE, _REQUEST_NUMBER} <= found or not request.session:
        raise PeerError("request")
    return request


def _read(octets: bytes, request: Request, found: set[Code], group: int | None, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise PeerError("depth")
    for avp in avps(octets):
        found.add(avp.code)
        if avp.code in _NESTED:
            inner = _group(avp.value) if avp.code == _SERVICES else group
            _read(avp.value, request, found, inner, depth + 1)
        elif avp.code == _USED:
            add_used(request.used, {group: _units(avp.value)})
        elif avp.code == _SUBSCRIPTION:
            request.subscriptions.update(_subscription(avp.value))
        else:
            _set(request, avp)


def _group(octets: bytes) -> int | None:
    """Return the rating group of a Multiple-Services-Credit-Control, wherever in it it stands."""
    told = (unsigned(avp.value, 4) for avp in avps(octets) if avp.code == _RATING_GROUP)
    return next(told, None)


def _set(request: Request, avp: Avp) -> None:
    code, value = avp
    name = _TEXTS.get(code)
    if name is not None:
        setattr(request, name, text(value))
    elif code == _REQUEST_TYPE:
        request.type = _request_type(value)
    elif code == _REQUEST_NUMBER:
        request.number = unsigned(value, 4)
    elif code == _EVENT_TIMESTAMP:
        request.event_us = time_us(value)
    elif code == _RAT:
        request.rat = unsigned(value, 1)
    elif code == _LOCATION:
        request.location = value


_TEXTS: Final = {
    _SESSION_ID: "session",
    _ORIGIN_HOST: "origin_host",
    _ORIGIN_REALM: "origin_realm",
    _DESTINATION_REALM: "destination_realm",
    _SERVICE_CONTEXT: "context",
    _SERVING_PLMN: "serving_plmn",
}


def _request_type(value: bytes) -> RequestType:
    number = unsigned(value, 4)
    if number not in RequestType.__members__.values():
        raise PeerError("request")
    return RequestType(number)


def _units(octets: bytes) -> Units:
    """Read a Used-Service-Unit; where a total is told, it is what the octets come to."""
    told = {avp.code: avp.value for avp in avps(octets)}

    def count(code: Code, size: int = 8) -> int | None:
        return unsigned(told[code], size) if code in told else None

    octets_in, octets_out, total = count(_INPUT) or 0, count(_OUTPUT) or 0, count(_TOTAL)
    if total is not None:
        octets_in = min(octets_in, total)
        octets_out = total - octets_in
    return Units(octets_in, octets_out, count(_TIME, 4) or 0, count(_SPECIFIC) or 0)


def _subscription(octets: bytes) -> Iterator[tuple[int, str]]:
    told = {avp.code: avp.value for avp in avps(octets)}
    if _SUBSCRIPTION_TYPE in told and _SUBSCRIPTION_DATA in told:
        yield unsigned(told[_SUBSCRIPTION_TYPE], 4), text(told[_SUBSCRIPTION_DATA])


@dataclass(slots=True)
class Session:
    """What the requests of one session told so far."""

    first: Request
    offset: int
    start_us: int
    end_us: int
    used: Used = field(default_factory=dict)
    numbers: set[int] = field(default_factory=set)
    is_final: bool = False

    def take(self, request: Request, at_us: int) -> bool:
        """Add a request, once however often it was sent; True where it was new.

        Raises `PeerError`: `requests` and `groups` beyond the limit, `range`.
        """
        if request.number in self.numbers:
            return False
        if len(self.numbers) >= REQUESTS_MAX:
            raise PeerError("requests")
        self.numbers.add(request.number)
        add_used(self.used, request.used)
        self.start_us, self.end_us = min(self.start_us, at_us), max(self.end_us, at_us)
        self.is_final = self.is_final or request.type in (
            RequestType.TERMINATION,
            RequestType.EVENT,
        )
        return True

    @property
    def missing(self) -> int:
        """How many requests the capture lacks: all before the first it has, and between."""
        return max(self.numbers) + 1 - len(self.numbers)
