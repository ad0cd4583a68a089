"""Reads a transfer file as it arrives: its header, its events one by one, its audit, its faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.usage.wire.ber import Closed, ElementReader, Opened, Path, Whole, application
from opencarrier.usage.wire.local_time import utc_us
from opencarrier.usage.wire.records import Refused, Severity
from opencarrier.usage.wire.tap.batch import (
    Accounting,
    Audit,
    BatchControl,
    Network,
    Notification,
    accounting_of,
    audit_of,
    control_of,
    network_of,
)
from opencarrier.usage.wire.tap.catalogue import FATAL, SEVERE, finding
from opencarrier.usage.wire.tap.event import TOTAL, EventDecoder, TapEvent
from opencarrier.usage.wire.tap.tags import tree

AGAIN_OCTETS = 1 << 22
"""An event is known to stand in a file twice if no more than this lies between."""

_BATCH: Final[Path] = (application(1),)
_EVENTS: Final[Path] = (*_BATCH, application(3))
_NOTIFICATION: Final[Path] = (application(2),)
_DESCRIPTIONS: Final[Path] = (*_BATCH, application(8))
_UNSETTLED: Final = frozenset(("contentTransaction", "locationService"))
"""Kinds whose charges the audit counts, and that are no use of a network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """All that must be known of a file before its events mean anything."""

    offset: int
    control: BatchControl
    accounting: Accounting
    network: Network


class Dated(NamedTuple):
    """An event that was taken: when it began in UTC, the local offset then, its charges in full."""

    event: TapEvent
    start_us: int
    utc_offset_min: int
    charge: int


@dataclass(slots=True)
class Sums:
    """What the events of a file come to, for its audit and its return."""

    count: int = 0
    unread: int = 0
    charge: int = 0
    refund: int = 0
    tax: int = 0
    tax_refund: int = 0
    discount: int = 0
    discount_refund: int = 0
    earliest_us: int | None = None
    latest_us: int | None = None

    def add(self, event: TapEvent) -> int:
        """Add an event, taken or not, and return its charge; what it gives back counts apart."""
        charge, tax, discount = event.total_charge, event.total_tax, event.total_discount
        if event.refunds:
            self.refund += charge
            self.tax_refund += tax
            self.discount_refund += discount
        else:
            self.charge += charge
            self.tax += tax
            self.discount += discount
        return charge


class End(NamedTuple):
    """The file's end: its own audit, and what its events came to."""

    offset: int
    audit: Audit
    sums: Sums


TapItem = Header | Dated | Notification | End


class TapReader:
    """Reads one transfer file or notification; yields a `Header`, `Dated` events and an `End`.

    Nothing is yielded of events where the header is not whole: the file is returned as it is.
    """

    def __init__(self, decoder: EventDecoder | None = None) -> None:
        self._elements = ElementReader(frozenset((_BATCH, _EVENTS)))
        self._decoder = decoder or EventDecoder()
        self._parts: dict[str, Any] = {}
        self._header: Header | None = None
        self._in_events = self._events_seen = self._fatal = False
        self._sums = Sums()
        self._recent = _Recent()
        self._found: list[Refused] = []

    def feed(self, octets: bytes) -> Iterator[TapItem | Refused]:
        """Take the next octets and yield what they complete."""
        for piece in self._elements.feed(octets):
            if type(piece) is Whole and self._in_events:
                dated = self._event(piece)
                if self._found:
                    yield from self._found
                    self._found.clear()
                if dated is not None:
                    yield dated
            else:
                yield from self._other(piece)

    def finish(self) -> Iterator[TapItem | Refused]:
        """Say that the file ends here; yield the refusal of what it cut."""
        for piece in self._elements.finish():
            yield from self._other(piece)

    def _other(self, piece: Whole | Opened | Closed | Refused) -> Iterator[TapItem | Refused]:
        if isinstance(piece, Refused):
            if self._in_events and piece.severity is Severity.SEVERE:
                self._sums.count += 1
                self._sums.unread += 1
            yield self._noted(piece)
        elif isinstance(piece, Whole):
            yield from self._part(piece)
        elif piece.path == _EVENTS:
            self._in_events = isinstance(piece, Opened)
            if self._in_events:
                yield from self._begin(piece.offset)
        elif isinstance(piece, Closed):
            yield from self._end(piece.offset)

    def _noted(self, refused: Refused) -> Refused:
        self._fatal = self._fatal or refused.severity is Severity.FATAL
        return refused

    def _refuse(self, offset: int, error: PeerError) -> Refused:
        reason = error.reason if error.reason in FATAL else "form"
        detail = error.detail if reason == error.reason else error.reason
        return self._noted(finding(offset, reason, detail))

    def _part(self, piece: Whole) -> Iterator[TapItem | Refused]:
        """Take a part of the batch, or a notification."""
        reads = {
            "batchControlInfo": control_of,
            "accountingInfo": accounting_of,
            "networkInfo": network_of,
            "auditControlInfo": audit_of,
            "notification": control_of,
        }
        try:
            name, fields = tree(piece.octets)
        except PeerError as error:
            if error.reason == "tag_unknown":
                yield from self._unknown(piece)
            else:
                yield self._refuse(piece.offset, error)
            return
        if name not in reads or (piece.path == _NOTIFICATION) is not (name == "notification"):
            yield from self._unknown(piece)
            return
        if name in self._parts:
            yield self._noted(finding(piece.offset, "part_twice", name))
            return
        try:
            self._parts[name] = reads[name](fields)
        except PeerError as error:
            self._parts[name] = None
            yield self._refuse(piece.offset, error)
            return
        if name == "notification":
            yield Notification(offset=piece.offset, control=self._parts[name])
        if name == "auditControlInfo":
            yield from self._audit(piece.offset, self._parts[name])

    def _unknown(self, piece: Whole) -> Iterator[Refused]:
        """Pass over what a batch may hold and we do not know; a file is a batch or nothing."""
        if len(piece.path) < 2:
            yield self._noted(finding(piece.offset, "root"))
        elif piece.path != _DESCRIPTIONS:
            yield finding(piece.offset, "part_unknown")

    def _begin(self, offset: int) -> Iterator[TapItem | Refused]:
        """Know the file before its events, or say what is missing."""
        if self._events_seen:
            yield self._noted(finding(offset, "part_twice", "callEventDetails"))
            return
        self._events_seen = True
        yield from self._make_header(offset)

    def _make_header(self, offset: int) -> Iterator[TapItem | Refused]:
        parts = self._parts
        needed = {
            "batchControlInfo": "batch_control",
            "accountingInfo": "accounting",
            "networkInfo": "network",
        }
        for name, reason in needed.items():
            if name not in parts:
                yield self._noted(finding(offset, reason))
        if all(parts.get(name) is not None for name in needed):
            self._header = Header(
                offset=offset,
                control=parts["batchControlInfo"],
                accounting=parts["accountingInfo"],
                network=parts["networkInfo"],
            )
            yield self._header

    def _event(self, piece: Whole) -> Dated | None:
        """Take an event, or find why not."""
        sums, header = self._sums, self._header
        sums.count += 1
        try:
            event = self._decoder.decode(piece.octets, piece.offset)
        except PeerError as error:
            sums.unread += 1
            reason = error.reason if error.reason in SEVERE else "event_syntax"
            detail = error.detail if reason == error.reason else error.reason
            self._found.append(finding(piece.offset, reason, detail))
            return None
        charge = sums.add(event)
        if header is None:
            return None
        try:
            if self._recent.again(piece.octets):
                raise PeerError("event_again")
            dated = date(event, charge, header.network)
            check(event, charge, header)
        except PeerError as error:
            self._found.append(finding(piece.offset, error.reason, error.detail))
            return None
        start_us, cut_off_us = dated.start_us, header.control.cut_off_us
        if sums.earliest_us is None or start_us < sums.earliest_us:
            sums.earliest_us = start_us
        if sums.latest_us is None or start_us > sums.latest_us:
            sums.latest_us = start_us
        if cut_off_us is not None and start_us > cut_off_us:
            self._found.append(finding(piece.offset, "after_cut_off"))
        for item in event.charges:
            if item.rate_code is None and item.details:
                self._found.append(finding(piece.offset, "rate_code_missing"))
        return dated

    def _audit(self, offset: int, audit: Audit) -> Iterator[TapItem | Refused]:
        """Compare what the sender summed with what there is."""
        if self._header is not None:
            for refused in audit_findings(offset, audit, self._sums):
                yield self._noted(refused)
            yield End(offset, audit, self._sums)

    def _end(self, offset: int) -> Iterator[TapItem | Refused]:
        """The batch closed: say what it never had, unless it is damaged anyway."""
        if self._fatal:
            return
        if not self._events_seen:
            yield from self._make_header(offset)
        if "auditControlInfo" not in self._parts:
            yield self._noted(finding(offset, "audit"))


def date(event: TapEvent, charge: int, network: Network) -> Dated:
    """Place an event in UTC; raises `PeerError`: `start_time`, `offset_code`."""
    local, code = event.start or (None, None)
    if local is None:
        raise PeerError("start_time")
    offset = network.offsets.get(code) if code is not None else None
    if offset is None:
        raise PeerError("offset_code", str(code))
    try:
        return Dated(event, utc_us(local, offset), offset, charge)
    except PeerError as error:
        raise PeerError("start_time", "no such time") from error


def check(event: TapEvent, charge: int, header: Header) -> None:
    """Judge an event of a total charge by the header; raises `PeerError` with a severe reason."""
    if event.kind in _UNSETTLED:
        raise PeerError("event_kind", event.kind)
    if not (event.imsi or event.msisdn or event.min):
        raise PeerError("subscriber")
    if event.entity_code is not None and event.entity_code not in header.network.entities:
        raise PeerError("entity_code", str(event.entity_code))
    amounts = [charge, event.volume_in, event.volume_out, event.duration_s, event.camel_fee]
    accounting = header.accounting
    for item in event.charges:
        if item.rate_code is not None and item.rate_code not in accounting.rates:
            raise PeerError("rate_code", str(item.rate_code))
        amounts += [detail.charge for detail in item.details]
        if item.details and TOTAL not in [detail.kind for detail in item.details]:
            raise PeerError("total_missing", item.item or "")
    for tax in event.taxes:
        amounts.append(tax.value)
        if tax.code not in accounting.taxes:
            raise PeerError("tax_code", str(tax.code))
    for discount in event.discounts:
        amounts.append(discount.value)
        if discount.code not in accounting.discounts:
            raise PeerError("discount_code", str(discount.code))
    for amount in amounts:
        if amount is not None and not 0 <= amount <= INT64_MAX:
            raise PeerError("range", str(amount))


class _Recent:
    """The octets of the events that came last: in two halves, the older forgotten at once."""

    def __init__(self) -> None:
        self._older: set[bytes] = set()
        self._newer: set[bytes] = set()
        self._octets = 0

    def again(self, octets: bytes) -> bool:
        """Tell whether these octets came before, and remember them."""
        if octets in self._newer or octets in self._older:
            return True
        self._newer.add(octets)
        self._octets += len(octets)
        if self._octets > AGAIN_OCTETS:
            self._older, self._newer, self._octets = self._newer, set(), 0
        return False


def audit_findings(offset: int, audit: Audit, sums: Sums) -> Iterator[Refused]:
    """Yield what an audit says otherwise than the events: both numbers, its own first."""
    compared = (
        ("audit_total_charge", audit.total_charge, sums.charge),
        ("audit_total_charge", audit.total_refund, sums.refund),
        ("audit_total_tax", audit.total_tax or 0, sums.tax),
        ("audit_total_tax", audit.total_tax_refund, sums.tax_refund),
        ("audit_total_discount", audit.total_discount or 0, sums.discount),
        ("audit_total_discount", audit.total_discount_refund, sums.discount_refund),
    )
    if audit.count != sums.count:
        yield finding(offset, "audit_count", f"audit {audit.count}, events {sums.count}")
    if sums.unread:
        yield finding(offset, "audit_unread", str(sums.unread))
        return
    for reason, told, summed in compared:
        if told != summed:
            yield finding(offset, reason, f"audit {told}, events {summed}")
    for reason, told, seen in (
        ("audit_earliest", audit.earliest_us, sums.earliest_us),
        ("audit_latest", audit.latest_us, sums.latest_us),
    ):
        if told is not None and seen is not None and told != seen:
            yield finding(offset, reason, f"audit {told}, events {seen}")
