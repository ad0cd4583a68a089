"""A statement's records as a transfer file of TAP 3.12, for partners who read no other.

Records hold pseudonyms and a transfer file needs the subscriber's own number, so whoever may know
it says it for each record. What has no number, or no kind of event in TAP, is refused by reason and
the file goes on without it: `subscriber_unknown`, `service`, `range`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.records import Service
from opencarrier.usage.record import UsageRecord
from opencarrier.usage.wire.local_time import local_text, offset_text
from opencarrier.usage.wire.records import Refused
from opencarrier.usage.wire.tap.batch import DECIMALS_MAX, SEQUENCE_MAX, ExchangeRate
from opencarrier.usage.wire.tap.event import TOTAL
from opencarrier.usage.wire.tap.writer import encode, transfer_batch

TELEPHONY, MESSAGE_SENT = "11", "22"
"""Teleservices (TS 22.003)."""

TAX_TYPE: Final = "01"
REFUSED_MAX: Final = 1_000
_RATE_CODE = _TAX_CODE = _ENTITY_CODE = 1
_GATEWAY: Final = 3
_CELL = re.compile(r"(\d{1,5})-(\d{1,9})", re.ASCII)
_DATA: Final = frozenset((Service.DATA, Service.WIFI, Service.IOT))


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOrder:
    """Whose file it is, its number and times; money has `decimals` of `currency`, at a rate to SDR.

    `tax_rate` has seven digits, five of them decimals, where charges are taxed.
    """

    sender: str
    recipient: str
    sequence: int
    currency: str
    decimals: int
    rate: ExchangeRate
    cut_off_us: int
    available_us: int
    tax_rate: str | None = None
    is_test: bool = False

    def __post_init__(self) -> None:
        assert 0 < self.sequence <= SEQUENCE_MAX, "a file's number has five digits"
        assert 0 <= self.decimals <= DECIMALS_MAX, "TAP has at most six decimals"


class Line(NamedTuple):
    """A record and what it costs, in the order's decimals; tax comes on top."""

    record: UsageRecord
    charge_minor: int
    tax_minor: int


@dataclass(slots=True)
class Sums:
    """What the events of a file come to, and when the first and the last began."""

    count: int = 0
    charge: int = 0
    tax: int = 0
    earliest: tuple[int, int] | None = None
    latest: tuple[int, int] | None = None

    def add(self, line: Line) -> None:
        """Count a line in."""
        at = line.record.start_us, line.record.utc_offset_min
        self.count += 1
        self.charge += line.charge_minor
        self.tax += line.tax_minor
        self.earliest = min(self.earliest or at, at)
        self.latest = max(self.latest or at, at)


@dataclass(slots=True)
class OutgoingFile:
    """Writes a file; `refused` holds what it goes without, by the record's place in the statement.

    Of more than `REFUSED_MAX` the rest is only counted; `sums` is what the file holds.

    `lines` is asked twice: for the offsets from UTC, which stand before the events, and for the
    events. Nothing but a line waits in memory unless definite lengths are asked for.
    """

    order: FileOrder
    lines: Callable[[], Iterable[Line]]
    imsi_of: Callable[[UsageRecord], str | None]
    refused: list[Refused] = field(default_factory=list)
    refused_counts: Counter[str] = field(default_factory=Counter)
    sums: Sums = field(default_factory=Sums)

    def octets(self, *, definite: bool = False) -> Iterator[bytes]:
        """Yield the file."""
        offsets = sorted({line.record.utc_offset_min for line in self.lines()})
        codes = {offset: code for code, offset in enumerate(offsets)}
        return transfer_batch(
            self._control(),
            self._accounting(),
            self._network(codes),
            self._events(codes),
            self._audit(),
            definite=definite,
        )

    def _events(self, codes: dict[int, int]) -> Iterator[bytes]:
        for number, line in enumerate(self.lines()):
            try:
                event = self._event(line, codes)
            except PeerError as error:
                self._refuse(Refused(number, error.reason, detail=error.detail))
                continue
            self.sums.add(line)
            yield event

    def _refuse(self, refused: Refused) -> None:
        self.refused_counts[refused.reason] += 1
        if len(self.refused) < REFUSED_MAX:
            self.refused.append(refused)

    def _event(self, line: Line, codes: dict[int, int]) -> bytes:
        record = line.record
        imsi = self.imsi_of(record)
        if imsi is None:
            raise PeerError("subscriber_unknown")
        if not (0 <= line.charge_minor <= INT64_MAX and 0 <= line.tax_minor <= INT64_MAX):
            raise PeerError("range")
        subscriber = {"simChargeableSubscriber": {"imsi": imsi}}
        start = {
            "localTimeStamp": local_text(record.start_us, record.utc_offset_min),
            "utcTimeOffsetCode": codes[record.utc_offset_min],
        }
        if record.service in _DATA:
            return encode("gprsCall", _gprs(line, subscriber, start))
        if record.service in (Service.VOICE, Service.MESSAGE):
            return encode("mobileOriginatedCall", _call(line, subscriber, start))
        raise PeerError("service", record.service.name.lower())

    def _control(self) -> dict[str, Any]:
        order = self.order
        told: dict[str, Any] = {
            "sender": order.sender,
            "recipient": order.recipient,
            "fileSequenceNumber": f"{order.sequence:05}",
            "transferCutOffTimeStamp": _long_time(order.cut_off_us, 0),
            "fileAvailableTimeStamp": _long_time(order.available_us, 0),
            "specificationVersionNumber": 3,
            "releaseVersionNumber": 12,
        }
        return told | ({"fileTypeIndicator": "T"} if order.is_test else {})

    def _accounting(self) -> dict[str, Any]:
        order = self.order
        rate = {
            "exchangeRateCode": _RATE_CODE,
            "numberOfDecimalPlaces": order.rate.decimals,
            "exchangeRate": order.rate.rate,
        }
        told: dict[str, Any] = {
            "localCurrency": order.currency,
            "currencyConversionList": [rate],
            "tapDecimalPlaces": order.decimals,
        }
        if order.tax_rate is not None:
            tax = {"taxCode": _TAX_CODE, "taxType": TAX_TYPE, "taxRate": order.tax_rate}
            told["taxationList"] = [tax]
        return told

    def _network(self, codes: dict[int, int]) -> dict[str, Any]:
        entity = {"recEntityCode": _ENTITY_CODE, "recEntityType": _GATEWAY}
        return {
            "utcTimeOffsetInfoList": [
                {"utcTimeOffsetCode": code, "utcTimeOffset": offset_text(offset)}
                for offset, code in codes.items()
            ],
            "recEntityInfoList": [entity | {"recEntityId": self.order.sender}],
        }

    def _audit(self) -> Iterator[dict[str, Any]]:
        sums = self.sums
        told: dict[str, Any] = {
            "totalCharge": sums.charge,
            "totalTaxValue": sums.tax,
            "totalDiscountValue": 0,
            "callEventDetailsCount": sums.count,
        }
        if sums.earliest is not None and sums.latest is not None:
            told["earliestCallTimeStamp"] = _long_time(*sums.earliest)
            told["latestCallTimeStamp"] = _long_time(*sums.latest)
        yield told


def _gprs(line: Line, subscriber: dict[str, Any], start: dict[str, Any]) -> dict[str, Any]:
    record = line.record
    volume = record.octets_in + record.octets_out
    return {
        "gprsBasicCallInformation": {
            "gprsChargeableSubscriber": {"chargeableSubscriber": subscriber},
            "callEventStartTimeStamp": start,
            "totalCallEventDuration": record.duration_s,
            "causeForTerm": 0,
            "chargingId": int.from_bytes(record.session_id[:4], "big"),
            **({} if record.is_final else {"partialTypeIndicator": "F"}),
        },
        "gprsLocationInformation": {
            "gprsNetworkLocation": {"recEntityCodeList": [_ENTITY_CODE], **_cell(record)}
        },
        "gprsServiceUsed": {
            "dataVolumeIncoming": record.octets_out,
            "dataVolumeOutgoing": record.octets_in,
            "chargeInformationList": [_charge(line, "X", volume)],
        },
    }


def _call(line: Line, subscriber: dict[str, Any], start: dict[str, Any]) -> dict[str, Any]:
    record = line.record
    is_message = record.service is Service.MESSAGE
    charge = (
        _charge(line, "E", record.units) if is_message else _charge(line, "D", record.duration_s)
    )
    code = MESSAGE_SENT if is_message else TELEPHONY
    return {
        "moBasicCallInformation": {
            "chargeableSubscriber": subscriber,
            "callEventStartTimeStamp": start,
            "totalCallEventDuration": record.duration_s,
            "causeForTerm": 0,
        },
        "locationInformation": {
            "networkLocation": {
                "recEntityCode": _ENTITY_CODE,
                "callReference": record.session_id[:8].hex(),
                **_cell(record),
            }
        },
        "basicServiceUsedList": [
            {
                "basicService": {"basicServiceCode": {"teleServiceCode": code}},
                "chargeInformationList": [charge],
            }
        ],
    }


def _charge(line: Line, item: str, units: int) -> dict[str, Any]:
    detail = {
        "chargeType": TOTAL,
        "charge": line.charge_minor,
        "chargeableUnits": units,
        "chargedUnits": units,
    }
    told: dict[str, Any] = {
        "chargedItem": item,
        "exchangeRateCode": _RATE_CODE,
        "chargeDetailList": [detail],
    }
    if line.tax_minor:
        tax = {"taxCode": _TAX_CODE, "taxValue": line.tax_minor, "taxableAmount": line.charge_minor}
        told["taxInformationList"] = [tax]
    return told


def _cell(record: UsageRecord) -> dict[str, int]:
    """Tell the cell where a record's node is one, as our own reader names it."""
    found = _CELL.fullmatch(record.node or "")
    return {} if found is None else {"locationArea": int(found[1]), "cellId": int(found[2])}


def _long_time(time_us: int, offset: int) -> dict[str, str]:
    return {"localTimeStamp": local_text(time_us, offset), "utcTimeOffset": offset_text(offset)}
