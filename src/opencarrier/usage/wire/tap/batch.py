"""What stands around the events of a transfer file: control, accounting, network, audit."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from opencarrier.kernel.refusals import PeerError
from opencarrier.usage.wire.local_time import offset_min, utc_us
from opencarrier.usage.wire.tap.event import TOTAL

SEQUENCE_MAX = 99_999
DECIMALS_MAX = 6
RATE_DECIMALS_MAX = 9
SPECIFICATION = 3
RELEASES: Final = (10, 11, 12)

_SEQUENCE = re.compile(r"\d{5}", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}")
_OPERATOR = re.compile(r"[0-9A-Z]{5}")

Fields = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchControl:
    """Whose file it is, for whom, and its number; `is_test` files are never settled."""

    sender: str
    recipient: str
    sequence: int
    is_test: bool
    specification: int
    release: int
    rap_sequence: str | None
    created_us: int | None
    cut_off_us: int | None
    available_us: int | None


class ExchangeRate(NamedTuple):
    """What one SDR is in the file's currency: an integer, and how many digits are decimals."""

    rate: int
    decimals: int


class Tax(NamedTuple):
    """A tax by its type, and its rate as the seven digits in the file, five of them decimals."""

    type: str | None
    rate: str | None


class Discount(NamedTuple):
    """A discount: an amount, or a rate in hundredths of a per cent."""

    fixed: int | None
    rate: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounting:
    """What money means in the file: `currency` is TAP's where it names one, else the sender's."""

    local_currency: str
    currency: str
    decimals: int
    rates: Mapping[int, ExchangeRate]
    taxes: Mapping[int, Tax]
    discounts: Mapping[int, Discount]


class Entity(NamedTuple):
    """A switch, gateway or access point that recorded events."""

    type: int | None
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The codes of offsets from UTC (minutes) and of recording entities."""

    offsets: Mapping[int, int]
    entities: Mapping[int, Entity]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What the sender counted and summed; None where the file leaves it out."""

    count: int | None
    total_charge: int | None
    total_refund: int
    total_tax: int | None
    total_tax_refund: int
    total_discount: int | None
    total_discount_refund: int
    earliest_us: int | None
    latest_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A file that says there was nothing to transfer, so that its number is not missed."""

    offset: int
    control: BatchControl


def control_of(fields: Fields) -> BatchControl:
    """Read the control part; raises `PeerError` with a fatal reason of the catalogue."""
    sender, recipient = fields.get("sender", ""), fields.get("recipient", "")
    if not _OPERATOR.fullmatch(sender) or not _OPERATOR.fullmatch(recipient):
        raise PeerError("batch_control", "sender or recipient")
    sequence = fields.get("fileSequenceNumber", "")
    if not _SEQUENCE.fullmatch(sequence) or not int(sequence):
        raise PeerError("sequence_number", sequence)
    version = fields.get("specificationVersionNumber"), fields.get("releaseVersionNumber")
    if version[0] != SPECIFICATION or version[1] not in RELEASES:
        raise PeerError("version", ".".join(map(str, version)))
    return BatchControl(
        sender=sender,
        recipient=recipient,
        sequence=int(sequence),
        is_test=fields.get("fileTypeIndicator") == "T",
        specification=version[0],
        release=version[1],
        rap_sequence=fields.get("rapFileSequenceNumber"),
        created_us=_long_time(fields.get("fileCreationTimeStamp")),
        cut_off_us=_long_time(fields.get("transferCutOffTimeStamp")),
        available_us=_long_time(fields.get("fileAvailableTimeStamp")),
    )


def accounting_of(fields: Fields) -> Accounting:
    """Read the accounting part; raises `PeerError` with a fatal reason of the catalogue."""
    local = fields.get("localCurrency", "")
    currency = fields.get("tapCurrency", local)
    if not _CURRENCY.fullmatch(local) or not _CURRENCY.fullmatch(currency):
        raise PeerError("currency", f"{local} {currency}")
    decimals = fields.get("tapDecimalPlaces", -1)
    if not 0 <= decimals <= DECIMALS_MAX:
        raise PeerError("decimal_places", str(decimals))
    return Accounting(
        local_currency=local,
        currency=currency,
        decimals=decimals,
        rates=_by_code(fields.get("currencyConversionList", ()), "exchangeRateCode", _rate),
        taxes=_by_code(fields.get("taxationList", ()), "taxCode", _tax, several=True),
        discounts=_by_code(fields.get("discountingList", ()), "discountCode", _discount),
    )


def network_of(fields: Fields) -> Network:
    """Read the network part; raises `PeerError` with a fatal reason of the catalogue."""
    offsets, entities = fields.get("utcTimeOffsetInfoList", ()), fields.get("recEntityInfoList", ())
    return Network(
        offsets=_by_code(
            offsets, "utcTimeOffsetCode", lambda f: offset_min(f.get("utcTimeOffset", ""))
        ),
        entities=_by_code(
            entities,
            "recEntityCode",
            lambda f: Entity(f.get("recEntityType"), f.get("recEntityId")),
        ),
    )


def audit_of(fields: Fields) -> Audit:
    """Read the audit part; raises `PeerError`: `time`, `offset`."""
    total, refund = fields.get("totalCharge"), fields.get("totalChargeRefund", 0)
    for value in fields.get("totalChargeValueList", ()):
        if total is None and value.get("chargeType") == TOTAL:
            total, refund = value.get("absoluteAmount"), value.get("totalChargeRefund", 0)
    return Audit(
        count=fields.get("callEventDetailsCount"),
        total_charge=total,
        total_refund=refund,
        total_tax=fields.get("totalTaxValue"),
        total_tax_refund=fields.get("totalTaxRefund", 0),
        total_discount=fields.get("totalDiscountValue"),
        total_discount_refund=fields.get("totalDiscountRefund", 0),
        earliest_us=_long_time(fields.get("earliestCallTimeStamp")),
        latest_us=_long_time(fields.get("latestCallTimeStamp")),
    )


def _long_time(fields: Fields | None) -> int | None:
    if fields is None:
        return None
    return utc_us(fields.get("localTimeStamp", ""), offset_min(fields.get("utcTimeOffset", "")))


def _by_code(
    rows: Sequence[Fields], key: str, read: Callable[[Fields], T], *, several: bool = False
) -> dict[int, T]:
    found: dict[int, T] = {}
    for row in rows:
        code = row.get(key)
        if code is None:
            raise PeerError("form", key)
        if code in found and not several:
            raise PeerError("code_twice", f"{key} {code}")
        found[code] = read(row)
    return found


def _rate(fields: Fields) -> ExchangeRate:
    rate, decimals = fields.get("exchangeRate", 0), fields.get("numberOfDecimalPlaces", -1)
    if rate <= 0 or not 0 <= decimals <= RATE_DECIMALS_MAX:
        raise PeerError("rate", f"{rate} with {decimals} decimals")
    return ExchangeRate(rate, decimals)


def _tax(fields: Fields) -> Tax:
    return Tax(fields.get("taxType"), fields.get("taxRate"))


def _discount(fields: Fields) -> Discount:
    applied = fields.get("discountApplied", {})
    return Discount(applied.get("fixedDiscountValue"), applied.get("discountRate"))
