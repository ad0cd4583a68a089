"""Near real time roaming data exchange, NRTRDE 2.1: files of calls hours after they were made.

They are for watching fraud, tell no settled price, and tell of the same use as the transferred
accounts that follow. The table of tags is our own; all are of class application.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Service, Side
from opencarrier.usage.record import UsageRecord
from opencarrier.usage.wire.ber import Closed, ElementReader, Opened, Path, Whole, application
from opencarrier.usage.wire.local_time import offset_min, utc_us
from opencarrier.usage.wire.origin import Origin, session_id, usage_id
from opencarrier.usage.wire.records import Refused, Severity
from opencarrier.usage.wire.tap.records import SHORT_MESSAGES
from opencarrier.usage.wire.tap.tags import Kind, Tag, tree

DECODER: Final = "nrtrde/1"
VERSION: Final = (2, 1)

_LEAVES: Final = {
    Kind.INTEGER: {
        "specificationVersionNumber": 41,
        "releaseVersionNumber": 37,
        "callEventDuration": 19,
        "callEventsCount": 20,
        "callReference": 23,
        "causeForTermination": 24,
        "chargingId": 26,
        "dataVolumeIncoming": 28,
        "dataVolumeOutgoing": 29,
        "cellId": 47,
        "locationArea": 48,
    },
    Kind.TEXT: {
        "sender": 38,
        "recipient": 36,
        "sequenceNumber": 39,
        "fileAvailableTimeStamp": 31,
        "utcTimeOffset": 45,
        "callEventStartTimeStamp": 21,
        "recEntityId": 35,
        "sgsnAddress": 40,
    },
    Kind.DIGITS: {"imsi": 34, "msisdn": 49},
    Kind.HEX: {"teleServiceCode": 43, "bearerServiceCode": 18},
}
_IN_EVENT: Final = (
    *("imsi", "msisdn", "callEventStartTimeStamp", "utcTimeOffset", "callEventDuration"),
    *("serviceCode", "callReference", "chargingId", "dataVolumeIncoming", "dataVolumeOutgoing"),
    *("recEntityId", "sgsnAddress", "locationArea", "cellId"),
)
_TAGS: Final = (
    *(Tag(name, n, kind) for kind, names in _LEAVES.items() for name, n in names.items()),
    Tag("serviceCode", 46, Kind.GROUP, ("teleServiceCode", "bearerServiceCode")),
    *(Tag(name, n, Kind.GROUP, _IN_EVENT) for name, n in {"moc": 3, "mtc": 4, "gprs": 5}.items()),
)
KNOWN: Final = {application(tag.number): tag for tag in _TAGS}

_ROOT: Final[Path] = (application(1),)
_EVENTS: Final[Path] = (*_ROOT, application(2))
_SEQUENCE = re.compile(r"\d{1,7}", re.ASCII)


class _Header(NamedTuple):
    """Whose calls they are, as we call the operators."""

    visited: PartyId
    home: PartyId


class NrtrdeRecordReader:
    """Reads a file of near real time calls as usage records, without prices.

    A header or count that is wrong is fatal, a call that is wrong costs that call.
    """

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._elements = ElementReader(frozenset((_ROOT, _EVENTS)))
        self._fields: dict[str, Any] = {}
        self._header: _Header | None = None
        self._count = 0
        self._rooted = self._fatal = False

    def feed(self, octets: bytes) -> Iterator[UsageRecord | Refused]:
        """Take the next octets and yield what they complete."""
        for piece in self._elements.feed(octets):
            yield from self._piece(piece)

    def finish(self) -> Iterator[UsageRecord | Refused]:
        """Say that the file ends here; yield the refusal of what it cut."""
        for piece in self._elements.finish():
            yield from self._piece(piece)

    def _piece(self, piece: Whole | Opened | Closed | Refused) -> Iterator[UsageRecord | Refused]:
        if isinstance(piece, Refused):
            self._count += piece.reason == "element_size"
            self._fatal = self._fatal or piece.severity is Severity.FATAL
            yield piece
        elif isinstance(piece, Whole):
            yield from self._whole(piece)
        elif isinstance(piece, Opened):
            self._rooted = True
            if piece.path == _EVENTS:
                yield from self._begin(piece.offset)
        elif piece.path == _ROOT:
            yield from self._end(piece.offset)

    def _whole(self, piece: Whole) -> Iterator[UsageRecord | Refused]:
        in_events = piece.path[:-1] == _EVENTS
        self._count += in_events
        try:
            name, value = tree(piece.octets, known=KNOWN)
            if not in_events:
                self._field(name, value)
            elif self._header is not None:
                yield self._record(piece.offset, name, value)
        except PeerError as error:
            severity = Severity.SEVERE if in_events else Severity.FATAL
            if len(piece.path) < 2:
                yield Refused(piece.offset, "root", Severity.FATAL)
            elif in_events or error.reason != "tag_unknown":
                self._fatal = self._fatal or not in_events
                yield Refused(piece.offset, error.reason, severity, error.detail)

    def _field(self, name: str, value: Any) -> None:
        if name in self._fields:
            raise PeerError("twice", name)
        self._fields[name] = value

    def _begin(self, offset: int) -> Iterator[Refused]:
        """Know both operators before their calls."""
        fields, origin = self._fields, self._origin
        version = fields.get("specificationVersionNumber"), fields.get("releaseVersionNumber")
        names = [fields.get(key, "") for key in ("sender", "recipient")]
        visited, home = (origin.party_of(name) for name in names)
        if version != VERSION:
            yield self._fault(offset, "version", ".".join(map(str, version)))
        elif not _SEQUENCE.fullmatch(fields.get("sequenceNumber", "")):
            yield self._fault(offset, "sequence_number")
        elif visited is None or home is None:
            yield self._fault(offset, "operator_unknown", " ".join(names)[:40])
        else:
            self._header = _Header(visited, home)

    def _end(self, offset: int) -> Iterator[Refused]:
        told = self._fields.get("callEventsCount")
        if not self._fatal and told != self._count:
            yield self._fault(offset, "count", f"file {told}, calls {self._count}")

    def _fault(self, offset: int, reason: str, detail: str = "") -> Refused:
        self._fatal = True
        return Refused(offset, reason, Severity.FATAL, detail)

    def _record(self, offset: int, kind: str, fields: dict[str, Any]) -> UsageRecord:
        header, origin = self._header, self._origin
        assert header is not None, "the header stands before the calls"
        if kind not in ("moc", "mtc", "gprs"):
            raise PeerError("event_kind", kind)
        start_us, local_min = _start(fields)
        octets_in, octets_out, duration_s = (
            _amount(fields.get(name, 0))
            for name in ("dataVolumeOutgoing", "dataVolumeIncoming", "callEventDuration")
        )
        subject = origin.subject_of(_subscriber(fields))
        service = _service(kind, fields)
        units = int(service is Service.MESSAGE)
        session = session_id("tap", header.visited, header.home, subject, *_key(kind, fields))
        return UsageRecord(
            usage_id=usage_id(session, start_us, octets_in, octets_out, duration_s, units),
            session_id=session,
            reporter=header.visited,
            side=Side.VISITED,
            home=header.home,
            visited=header.visited,
            subject=subject,
            node=_node(fields),
            jurisdiction_home=origin.jurisdiction_of(header.home),
            jurisdiction_visited=origin.jurisdiction_of(header.visited),
            service=service,
            start_us=start_us,
            end_us=start_us + duration_s * SECOND_US,
            utc_offset_min=local_min,
            octets_in=octets_in,
            octets_out=octets_out,
            duration_s=duration_s,
            units=units,
            source_digest=origin.source_digest,
            source_offset=offset,
            ingested_us=origin.ingested_us,
            decoder=DECODER,
        )


def _start(fields: dict[str, Any]) -> tuple[int, int]:
    offset = offset_min(fields.get("utcTimeOffset", ""))
    return utc_us(fields.get("callEventStartTimeStamp", ""), offset), offset


def _amount(value: int) -> int:
    if not 0 <= value <= INT64_MAX:
        raise PeerError("range", str(value))
    return value


def _subscriber(fields: dict[str, Any]) -> str:
    name: str = fields.get("imsi") or fields.get("msisdn") or ""
    if not name:
        raise PeerError("subscriber")
    return name


def _service(kind: str, fields: dict[str, Any]) -> Service:
    if kind == "gprs":
        return Service.DATA
    code = fields.get("serviceCode", {}).get("teleServiceCode")
    return Service.MESSAGE if code in SHORT_MESSAGES else Service.VOICE


def _key(kind: str, fields: dict[str, Any]) -> tuple[str | int, ...]:
    """Name a data session as its transferred account does: by its charging id."""
    if kind == "gprs" and "chargingId" in fields:
        return "gprsCall", fields["chargingId"]
    return kind, fields.get("callReference", 0), fields["callEventStartTimeStamp"]


def _node(fields: dict[str, Any]) -> str | None:
    if "cellId" in fields:
        return f"{fields.get('locationArea', 0)}-{fields['cellId']}"
    return fields.get("recEntityId") or fields.get("sgsnAddress") or None
