"""The federation's own attributes, each way: what an access network tells, what a home answers.

Source: WBA RADIUS-VSA (vendor 14122, sub-types 12 to 17), RFC 4372, RFC 5580.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from opencarrier.access.openroaming.names import OperatorName, read_name
from opencarrier.access.wire.dictionary import (
    MICROSOFT,
    WBA,
    WBA_CUSTOM_SLA,
    WBA_DATA_CLEARING_PROVIDER,
    WBA_FINANCIAL_CLEARING_PROVIDER,
    WBA_IDENTITY_PROVIDER,
    WBA_LINEAR_VOLUME_RATE,
    WBA_OFFERED_SERVICE,
    WFA,
    WISPR_BANDWIDTH_MAX_DOWN,
    WISPR_BANDWIDTH_MAX_UP,
    Type,
)
from opencarrier.access.wire.radius import Attribute, Packet, text, vendor
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.access import Quote, Rate
from opencarrier.spine.records import Qos

RATES_MAX: Final = 8
"""More rates than this in one request are not read."""
RATE_OCTETS: Final = 8
SLA_OCTETS: Final = 4
BOLIVARS: Final = "VES"
"""The currency whose rate is told in whole units."""

EAP_KEY_NAME: Final = 102
BASIC_LOCATION_POLICY: Final = 129
REQUESTED_LOCATION: Final = 132
"""RFC 4072 section 4.1.4, RFC 5580 sections 4.4 to 4.7."""

_NANO: Final = 10**9
_WORD_MAX: Final = (1 << 32) - 1
_SERVICES: Final = {qos: f"OpenRoaming {qos.name.capitalize()}" for qos in Qos if qos}
_QUALITIES: Final = {words.encode(): qos for qos, words in _SERVICES.items()}


@dataclass(frozen=True, slots=True)
class CustomSla:
    """What a network that moves can keep: a bandwidth in bits a second, how much of the time."""

    availability_percent: int
    bandwidth_bits_per_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a packet says in the federation's attributes; empty where it says nothing."""

    operator: OperatorName | None = None
    qos: Qos = Qos.NONE
    financial_clearing: OperatorName | None = None
    data_clearing: OperatorName | None = None
    rates: tuple[Rate, ...] = ()
    identity_provider: OperatorName | None = None
    slas: tuple[CustomSla, ...] = ()


_OF_STRANGERS: Final = frozenset(
    {
        int(kind)
        for kind in (
            *(Type.USER_NAME, Type.CHARGEABLE_USER_IDENTITY, Type.CLASS, Type.STATE),
            *(Type.EAP_MESSAGE, Type.REPLY_MESSAGE, Type.SESSION_TIMEOUT, Type.IDLE_TIMEOUT),
            *(Type.TERMINATION_ACTION, Type.ACCT_INTERIM_INTERVAL, Type.EVENT_TIMESTAMP),
            *(Type.ERROR_CAUSE, Type.OPERATOR_NAME, Type.MESSAGE_AUTHENTICATOR),
        )
    }
    | {EAP_KEY_NAME, *range(BASIC_LOCATION_POLICY, REQUESTED_LOCATION + 1)}
)

_NAMES_OF_SESSIONS: Final = frozenset(
    {
        *(Type.NAS_IDENTIFIER, Type.NAS_IP_ADDRESS, Type.NAS_IPV6_ADDRESS, Type.NAS_PORT),
        *(Type.NAS_PORT_ID, Type.CALLED_STATION_ID, Type.CALLING_STATION_ID, Type.PROXY_STATE),
        *(Type.ACCT_SESSION_ID, Type.ACCT_MULTI_SESSION_ID, Type.FRAMED_IP_ADDRESS),
        *(Type.FRAMED_INTERFACE_ID, Type.FRAMED_IPV6_PREFIX, Type.ACCT_TERMINATE_CAUSE),
    }
)
"""What an order says which session is meant with (RFC 5176 section 3)."""

SILENT: Final = Told()
"""Nothing is told."""


def told(packet: Packet) -> Told:
    """Read a packet of either direction; `PeerError` where an attribute is malformed.

    Where only financial clearing is named, the same provider clears the data. A service or a
    currency that is not known is not offered.
    """
    values: dict[int, list[bytes]] = {}
    for kind, value in packet.vendor(WBA):
        values.setdefault(kind, []).append(value)
    financial = _name(values.get(WBA_FINANCIAL_CLEARING_PROVIDER))
    operator = packet.get(Type.OPERATOR_NAME)
    return Told(
        operator=None if operator is None else read_name(operator),
        qos=_QUALITIES.get(next(iter(values.get(WBA_OFFERED_SERVICE, ())), b""), Qos.NONE),
        financial_clearing=financial,
        data_clearing=_name(values.get(WBA_DATA_CLEARING_PROVIDER)) or financial,
        rates=_rates(values.get(WBA_LINEAR_VOLUME_RATE, ())),
        identity_provider=_name(values.get(WBA_IDENTITY_PROVIDER)),
        slas=tuple(_sla(value) for value in values.get(WBA_CUSTOM_SLA, ())),
    )


def attributes_of(said: Told) -> list[Attribute]:
    """Write what is to be told, in ascending order of sub-types, Operator-Name first.

    The rates are written as they are: a price that 32 bits cannot tell is our mistake.
    """
    named = (
        (WBA_FINANCIAL_CLEARING_PROVIDER, said.financial_clearing),
        (WBA_DATA_CLEARING_PROVIDER, said.data_clearing),
    )
    provider = said.identity_provider
    return [
        *([(int(Type.OPERATOR_NAME), said.operator.octets)] if said.operator else []),
        *([vendor(WBA, WBA_OFFERED_SERVICE, _SERVICES[said.qos].encode())] if said.qos else []),
        *(vendor(WBA, kind, name.octets) for kind, name in named if name is not None),
        *(vendor(WBA, WBA_LINEAR_VOLUME_RATE, rate_octets(rate)) for rate in said.rates),
        *([vendor(WBA, WBA_IDENTITY_PROVIDER, provider.octets)] if provider else []),
        *(vendor(WBA, WBA_CUSTOM_SLA, _sla_octets(sla)) for sla in said.slas),
    ]


def filter_id(qos: Qos) -> list[Attribute]:
    """Confirm the service that was offered, in its own words; nothing where none was."""
    return [text(Type.FILTER_ID, _SERVICES[qos])] if qos else []


def from_a_stranger(attributes: Iterable[Attribute]) -> tuple[list[Attribute], list[Attribute]]:
    """Part what a home of the federation may tell access points of ours from what it may not.

    Who is let in, for how long, under which names and at what rate; no VLAN, no rule or route of
    our network, no right to administer it, nothing of vendors but link keys and the federation's.
    """
    kept: list[Attribute] = []
    left_out: list[Attribute] = []
    for attribute in attributes:
        (kept if _may_tell(*attribute) else left_out).append(attribute)
    return kept, left_out


def orders_of_a_stranger(attributes: Iterable[Attribute]) -> list[Attribute]:
    """Return what a home of the federation may not order of a session in our network."""
    return [one for one in from_a_stranger(attributes)[1] if one[0] not in _NAMES_OF_SESSIONS]


def _may_tell(kind: int, value: bytes) -> bool:
    if kind == Type.VENDOR_SPECIFIC:
        return int.from_bytes(value[:4], "big") in (MICROSOFT, WBA, WFA)
    if kind == Type.FILTER_ID:
        return value in _QUALITIES
    return kind in _OF_STRANGERS


def bandwidth(octets_per_s: int) -> list[Attribute]:
    """Ask the access point to keep to a rate both ways together: a quarter up, the rest down.

    In bits a second, as WISPr tells it. Were each direction given all of it, twice as much could
    be used as is held for.
    """
    up = octets_per_s // 4
    return [
        vendor(WBA, kind, min(octets * 8, _WORD_MAX).to_bytes(4, "big"))
        for kind, octets in (
            (WISPR_BANDWIDTH_MAX_UP, up),
            (WISPR_BANDWIDTH_MAX_DOWN, octets_per_s - up),
        )
    ]


def rate_octets(rate: Rate) -> bytes:
    """Write three letters of a currency, an index, and 32 bits of nano-units per 1,024 octets."""
    quote = rate.quote
    told = quote.nano_per_kib // _NANO if quote.currency == BOLIVARS else quote.nano_per_kib
    assert 0 <= told <= _WORD_MAX, "a rate that 32 bits cannot tell"
    return quote.currency.encode("ascii") + bytes((rate.index,)) + told.to_bytes(4, "big")


def _rates(values: Iterable[bytes]) -> tuple[Rate, ...]:
    read = (_rate(value) for value in list(values)[:RATES_MAX])
    return tuple(rate for rate in read if rate is not None)


def _rate(value: bytes) -> Rate | None:
    letters = value[:3]
    if len(value) != RATE_OCTETS or not letters.isalpha() or not letters.isupper():
        return None
    currency, said = letters.decode("ascii"), int.from_bytes(value[4:], "big")
    return Rate(value[3], Quote(currency, said * _NANO if currency == BOLIVARS else said))


def _name(values: list[bytes] | None) -> OperatorName | None:
    return read_name(values[0]) if values else None


def _sla(value: bytes) -> CustomSla:
    if len(value) != SLA_OCTETS or value[0] > 100:
        raise PeerError("custom_sla", value.hex())
    return CustomSla(value[0], int.from_bytes(value[1:], "big"))


def _sla_octets(sla: CustomSla) -> bytes:
    return bytes((sla.availability_percent,)) + sla.bandwidth_bits_per_s.to_bytes(3, "big")
