"""Events of transfer files as usage records: whose, what, when, and what the file says it costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from opencarrier.kernel.clock import SECOND_US
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Service, Side
from opencarrier.usage.record import UsageRecord
from opencarrier.usage.wire.origin import Origin, session_id, usage_id
from opencarrier.usage.wire.records import Refused
from opencarrier.usage.wire.tap.batch import Notification
from opencarrier.usage.wire.tap.catalogue import finding
from opencarrier.usage.wire.tap.event import TapEvent
from opencarrier.usage.wire.tap.reader import Dated, Header, TapItem, TapReader
from opencarrier.usage.wire.tap.returns import Return, Sequences

DECODER: Final = "tap/1"
SHORT_MESSAGES: Final = frozenset(("21", "22"))
"""Teleservices of short messages, received and sent (TS 22.003)."""

LAST_PARTIAL: Final = "L"

_SERVICES: Final = {
    "gprsCall": Service.DATA,
    "mobileOriginatedCall": Service.VOICE,
    "mobileTerminatedCall": Service.VOICE,
    "mobileSession": Service.VOICE,
    "serviceCentreUsage": Service.MESSAGE,
    "messagingEvent": Service.MESSAGE,
    "supplServiceEvent": Service.EVENT,
}


@dataclass(frozen=True, slots=True)
class _Known:
    """The file's header in our names."""

    header: Header
    visited: PartyId
    home: PartyId
    jurisdiction_home: str | None
    jurisdiction_visited: str | None


class TapRecordReader:
    """Reads a transfer file as usage records; `returned` knows what goes back to its sender.

    With `sequences` a file whose number came before is told so: with the same octets it is known,
    with others it is fatal.
    """

    def __init__(self, origin: Origin, sequences: Sequences | None = None) -> None:
        self.returned = Return()
        self._origin = origin
        self._sequences = sequences
        self._reader = TapReader()
        self._known: _Known | None = None

    def feed(self, octets: bytes) -> Iterator[UsageRecord | Refused]:
        """Take the next octets and yield what they complete."""
        return self._records(self._reader.feed(octets))

    def finish(self) -> Iterator[UsageRecord | Refused]:
        """Say that the file ends here; yield the refusal of what it cut."""
        return self._records(self._reader.finish())

    def _records(self, items: Iterable[TapItem | Refused]) -> Iterator[UsageRecord | Refused]:
        for item in items:
            self.returned.take(item)
            if isinstance(item, Dated):
                if self._known is not None:
                    yield record_of(item, self._known, self._origin)
            elif isinstance(item, Refused):
                yield item
            elif isinstance(item, Header | Notification):
                yield from self._number(item)
                if isinstance(item, Header):
                    yield from self._begin(item)

    def _number(self, item: Header | Notification) -> Iterator[Refused]:
        """Count the file among those of its sender."""
        if self._sequences is not None:
            refused = self._sequences.add(item, self._origin.source_digest)
            if refused is not None:
                yield self._refuse(refused)

    def _begin(self, header: Header) -> Iterator[Refused]:
        """Know both operators; a file of one that is not known, or a test, is nobody's use."""
        control, origin = header.control, self._origin
        visited, home = (origin.party_of(name) for name in (control.sender, control.recipient))
        for name, party in ((control.sender, visited), (control.recipient, home)):
            if party is None:
                yield self._refuse(finding(header.offset, "operator_unknown", name))
        if control.is_test:
            yield self._refuse(finding(header.offset, "test_file"))
        elif visited is not None and home is not None:
            places = origin.jurisdiction_of(home), origin.jurisdiction_of(visited)
            self._known = _Known(header, visited, home, *places)

    def _refuse(self, refused: Refused) -> Refused:
        self.returned.take(refused)
        return refused


def record_of(dated: Dated, known: _Known, origin: Origin) -> UsageRecord:
    """Make the record of an event; its amounts are those of the event alone."""
    event, accounting = dated.event, known.header.accounting
    subject = origin.subject_of(event.imsi or event.msisdn or event.min or "")
    service, duration_s = service_of(event), event.duration_s or 0
    units = int(service in (Service.MESSAGE, Service.EVENT))
    octets_in, octets_out = event.volume_out or 0, event.volume_in or 0
    session = session_id("tap", known.visited, known.home, subject, *_key(dated))
    return UsageRecord(
        usage_id=usage_id(session, dated.start_us, octets_in, octets_out, duration_s, units),
        session_id=session,
        is_final=event.partial in (None, LAST_PARTIAL),
        reporter=known.visited,
        side=Side.VISITED,
        home=known.home,
        visited=known.visited,
        subject=subject,
        node=_node(event, known.header),
        jurisdiction_home=known.jurisdiction_home,
        jurisdiction_visited=known.jurisdiction_visited,
        service=service,
        start_us=dated.start_us,
        end_us=dated.start_us + duration_s * SECOND_US,
        utc_offset_min=dated.utc_offset_min,
        octets_in=octets_in,
        octets_out=octets_out,
        duration_s=duration_s,
        units=units,
        charged_minor=dated.charge,
        charged_currency=accounting.currency,
        charged_decimals=accounting.decimals,
        source_digest=origin.source_digest,
        source_offset=event.offset,
        ingested_us=origin.ingested_us,
        decoder=DECODER,
    )


def service_of(event: TapEvent) -> Service:
    """Say what was used: a call of a short message's teleservice is a message."""
    if event.service_code in SHORT_MESSAGES and event.kind.endswith("Call"):
        return Service.MESSAGE
    return _SERVICES[event.kind]


def _key(dated: Dated) -> tuple[str | int, ...]:
    """What the sender calls the session; where it names none, the event is one by itself."""
    event = dated.event
    if event.charging_id is not None:
        return event.kind, event.charging_id
    if event.reference is not None:
        return event.kind, event.reference, dated.start_us
    return event.kind, dated.start_us


def _node(event: TapEvent, header: Header) -> str | None:
    """Name the cell, else what recorded the event."""
    if event.cell_id is not None:
        return f"{event.location_area or 0}-{event.cell_id}"
    entity = header.network.entities.get(event.entity_code) if event.entity_code else None
    return entity.name if entity is not None and entity.name else None
