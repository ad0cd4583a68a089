"""Ingest: the same packets from a capture or a detail file as from the wire, and a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Connection

from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import Node, PartyId
from opencarrier.spine.usage import Counters, Observation, Status
from opencarrier.usage import store
from opencarrier.usage.model import (
    AccountingDecoder,
    Arrival,
    Decoded,
    IngestReport,
    RefusedRecord,
    Session,
    Stream,
)
from opencarrier.usage.service import STREAMS_MAX, UsageService
from opencarrier.usage.set_aside import RefusedAt, note_refusals
from opencarrier.usage.wire.detail import DetailReader
from opencarrier.usage.wire.pcap import MAGICS, PcapReader
from opencarrier.usage.wire.pcapng import MAGIC, PcapngReader
from opencarrier.usage.wire.records import Datagram, Reader, Refused

CHUNK_PACKETS = 512
"""Packets a transaction holds; a run that dies is run again and finds these done."""

READ_OCTETS = 65_536
REFUSED_MAX = 1_000
"""Refusals listed one by one; beyond, they are counted."""

ACCOUNTING_PORTS = frozenset({1813, 1646})
_ACCOUNTING_REQUEST = 4
_EVENT_TIMESTAMP = 55
_HEADER_OCTETS = 20

Transactions = Callable[[], AbstractContextManager[Connection]]
HomeOf = Callable[[Connection, str], PartyId | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOrder:
    """Whose files these are: the node that wrote the packets, its operator, perhaps the home.

    `home` stands for packets whose Class names none; without it their realm is asked.
    """

    node: Node
    home: PartyId | None = None
    secret: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    digest: bytes
    octets: int
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """Reads files into observations, a chunk of packets a transaction."""

    usage: UsageService
    decoder: AccountingDecoder
    transactions: Transactions
    home_of: HomeOf
    clock: Clock

    def run(self, paths: Sequence[Path], order: IngestOrder) -> IngestReport:
        """Ingest files and report what a cut will see of them.

        Every file is looked through first, so `OSError` for one that cannot be read comes before
        anything is kept. The same files again, whole or in part, change nothing.
        """
        files = [_look(path) for path in paths]
        run = _Run(self, order)
        for file in files:
            run.read(file)
        return run.report(files)


def _look(path: Path) -> _File:
    digest, octets, first = sha256(), 0, b""
    with path.open("rb") as stream:
        while chunk := stream.read(READ_OCTETS):
            first = first or chunk[:4]
            digest.update(chunk)
            octets += len(chunk)
    kind = "pcap" if first in MAGICS else "pcapng" if first == MAGIC else "detail"
    return _File(path, digest.digest(), octets, kind)


def _reader(kind: str) -> Reader[Datagram]:
    readers: dict[str, Callable[[], Reader[Datagram]]] = {
        "pcap": PcapReader,
        "pcapng": PcapngReader,
    }
    return readers.get(kind, DetailReader)()


class _Run:
    """One run over some files; it keeps a line per session and no packet."""

    def __init__(self, ingest: Ingest, order: IngestOrder) -> None:
        self._ingest, self._order = ingest, order
        self._before: dict[Stream, Mapping[Id, Counters]] = {}
        self._chunk: list[Decoded] = []
        self._refused: list[RefusedRecord] = []
        self._refused_here: dict[int, RefusedAt] = {}
        self._refused_count = self._packets = self._new = 0

    def read(self, file: _File) -> None:
        """Read a file to its end."""
        source = f"{file.kind}:{file.digest.hex()}@"
        self._refused_here.clear()
        for item in _items(file):
            if isinstance(item, Refused):
                self._refuse(file, item.offset, item.reason)
            elif _is_accounting(item):
                self._take(file, item, source)
            if len(self._chunk) >= CHUNK_PACKETS:
                self._flush()
        self._flush()
        with self._ingest.transactions() as unit:
            store.add_file(
                unit,
                digest=file.digest,
                kind=file.kind,
                octets=file.octets,
                node=self._order.node,
                verified=self._verifies(file),
                ingested_us=self._ingest.clock.now_us(),
            )
            refused = self._refused_here.values()
            note_refusals(unit, file.digest, self._order.node, refused)

    def report(self, files: Sequence[_File]) -> IngestReport:
        """Compare what every session shows now with what it showed before."""
        found = list(self._outcomes())
        totals = [session.total for session, _ in found]
        return IngestReport(
            files=len(files),
            packets=self._packets,
            observations_new=self._new,
            sessions=len(found),
            usage_new=sum(before != session.counters for session, before in found),
            usage_duplicate=sum(
                before == session.counters != session.base for session, before in found
            ),
            refused=tuple(self._refused),
            refused_count=self._refused_count,
            octets_in=sum(total.octets_in for total in totals),
            octets_out=sum(total.octets_out for total in totals),
            duration_s=sum(total.session_time_s for total in totals),
            verified=all(self._verifies(file) for file in files),
        )

    def _outcomes(self) -> Iterator[tuple[Session, Counters]]:
        streams = sorted(self._before)
        for start in range(0, len(streams), STREAMS_MAX):
            with self._ingest.transactions() as unit:
                now = self._ingest.usage.preview(unit, streams[start : start + STREAMS_MAX])
            for stream, sessions in now.items():
                for session in sessions:
                    before = self._before[stream].get(session.session_id, session.base)
                    yield session, before

    def _verifies(self, file: _File) -> bool:
        return self._order.secret is not None and file.kind != "detail"

    def _take(self, file: _File, item: Datagram, source: str) -> None:
        self._packets += 1
        now_us = self._ingest.clock.now_us()
        at_us = item.time_us if item.time_us is not None else _event_us(item.payload)
        if at_us is None:
            self._refuse(file, item.offset, "time_missing")
            return
        arrival = Arrival(
            node=self._order.node,
            at_us=min(at_us, now_us),
            source=f"{source}{item.offset}",
            secret=self._order.secret if self._verifies(file) else None,
        )
        try:
            decoded = self._ingest.decoder.decode(item.payload, arrival)
        except PeerError as error:
            self._refuse(file, item.offset, error.reason)
            return
        if decoded is None:
            self._packets -= 1
        elif decoded.nas_identifier not in (None, "", self._order.node.nas_identifier):
            self._refuse(file, item.offset, "nas_identifier_of_another_node")
        elif _largest(decoded.observation) > INT64_MAX:
            self._refuse(file, item.offset, "counter_range")
        else:
            event_us = min(decoded.observation.event_us, now_us)
            observation = replace(decoded.observation, event_us=event_us)
            self._chunk.append(replace(decoded, observation=observation))

    def _flush(self) -> None:
        """Keep a chunk, having noted how the sessions stood that it is the first to touch."""
        if not self._chunk:
            return
        with self._ingest.transactions() as unit:
            seen = [self._at_home(unit, decoded) for decoded in self._chunk]
            touched = {_stream(o) for o in seen if o.status not in (Status.ON, Status.OFF)}
            fresh = sorted(touched - self._before.keys())
            for stream, sessions in self._ingest.usage.preview(unit, fresh).items():
                self._before[stream] = {s.session_id: s.counters for s in sessions}
            self._new += self._ingest.usage.record(unit, seen)
        self._chunk.clear()

    def _at_home(self, unit: Connection, decoded: Decoded) -> Observation:
        observation = decoded.observation
        home = observation.home or self._order.home
        if home is None and decoded.realm:
            home = self._ingest.home_of(unit, decoded.realm)
        return replace(observation, home=home)

    def _refuse(self, file: _File, offset: int, reason: str) -> None:
        self._refused_count += 1
        if len(self._refused_here) < REFUSED_MAX:
            self._refused_here.setdefault(offset, RefusedAt(offset, reason))
        if len(self._refused) < REFUSED_MAX:
            self._refused.append(RefusedRecord(file=str(file.path), offset=offset, reason=reason))


def _items(file: _File) -> Iterator[Datagram | Refused]:
    """Read as much of a file as was looked through, though it may have grown since."""
    reader, left = _reader(file.kind), file.octets
    with file.path.open("rb") as stream:
        while left and (chunk := stream.read(min(READ_OCTETS, left))):
            left -= len(chunk)
            yield from reader.feed(chunk)
    yield from reader.finish()
    if file.octets == 0:
        yield Refused(0, "empty")


def _is_accounting(datagram: Datagram) -> bool:
    """Whether it was sent to an accounting port, or looks like a request on another one."""
    payload = datagram.payload
    if datagram.port in ACCOUNTING_PORTS:
        return True
    return (
        len(payload) >= _HEADER_OCTETS
        and payload[0] == _ACCOUNTING_REQUEST
        and int.from_bytes(payload[2:4], "big") == len(payload)
    )


def _event_us(packet: bytes) -> int | None:
    """Return Event-Timestamp, for files that do not say when they saw a packet."""
    at = _HEADER_OCTETS
    while at + 2 <= len(packet) and packet[at + 1] >= 2:
        if packet[at] == _EVENT_TIMESTAMP and packet[at + 1] == 6 and at + 6 <= len(packet):
            return int.from_bytes(packet[at + 2 : at + 6], "big") * SECOND_US
        at += packet[at + 1]
    return None


def _largest(observation: Observation) -> int:
    counters = observation.counters
    return max(counters.octets_in, counters.octets_out) if counters else 0


def _stream(observation: Observation) -> Stream:
    return Stream(observation.visited, observation.nas_key, observation.acct_session_id)
