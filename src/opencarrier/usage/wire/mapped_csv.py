"""Rows of a CSV as usage records, by a mapping file; a bad row is refused by line and offset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Service, Side
from opencarrier.usage.record import UsageRecord
from opencarrier.usage.wire.csv_mapping import CsvMapping
from opencarrier.usage.wire.csv_rows import CsvReader, Row
from opencarrier.usage.wire.origin import Origin, session_id, usage_id
from opencarrier.usage.wire.records import Refused

DECODER: Final = "csv/1"


class CsvRecordReader:
    """Reads usage records out of a CSV, fed its octets in pieces of any size."""

    def __init__(self, origin: Origin, mapping: CsvMapping) -> None:
        self._origin = origin
        self._rows = CsvReader(mapping, self._record)

    def feed(self, octets: bytes) -> Iterator[UsageRecord | Refused]:
        """Take the next octets and yield what they complete."""
        return self._rows.feed(octets)

    def finish(self) -> Iterator[UsageRecord | Refused]:
        """Say that the file ends here; yield its last row, or the refusal of what it cut."""
        return self._rows.finish()

    def _record(self, row: Row) -> UsageRecord:
        origin = self._origin
        visited = self._party(row.text("visited"), origin.visited)
        home = self._party(row.text("home"), origin.home)
        if visited is None:
            raise PeerError("visited_unknown", row.text("visited")[:40])
        if row.text("home") and home is None:
            raise PeerError("home_unknown", row.text("home")[:40])
        subscriber = row.text("subject")
        if not subscriber:
            raise PeerError("subscriber")
        start_us, offset = row.time("start")
        end_us, duration_s = _span(row, start_us)
        service = _service(row)
        amounts = (
            row.octets("octets_in"),
            row.octets("octets_out"),
            duration_s,
            _units(row, service),
        )
        charged, currency, decimals = _charged(row)
        subject = origin.subject_of(subscriber)
        named = row.text("session")
        key = (named,) if named else (home, subject, int(service), start_us)
        session = session_id("csv", visited, *key)
        reporter = origin.reporter or visited
        return UsageRecord(
            usage_id=usage_id(session, start_us, *amounts),
            session_id=session,
            reporter=reporter,
            side=Side.VISITED if reporter == visited else Side.HOME,
            home=home,
            visited=visited,
            subject=subject,
            node=row.text("node")[:80] or None,
            jurisdiction_home=origin.jurisdiction_of(home) if home is not None else None,
            jurisdiction_visited=origin.jurisdiction_of(visited),
            service=service,
            start_us=start_us,
            end_us=end_us,
            utc_offset_min=offset,
            octets_in=amounts[0],
            octets_out=amounts[1],
            duration_s=duration_s,
            units=amounts[3],
            charged_minor=charged,
            charged_currency=currency,
            charged_decimals=decimals,
            source_digest=origin.source_digest,
            source_offset=row.offset,
            ingested_us=origin.ingested_us,
            decoder=DECODER,
        )

    def _party(self, name: str, otherwise: PartyId | None) -> PartyId | None:
        return self._origin.party_of(name) if name else otherwise


def _span(row: Row, start_us: int) -> tuple[int, int]:
    if not row.has("end"):
        duration_s = row.seconds()
        return start_us + duration_s * SECOND_US, duration_s
    end_us = row.time("end")[0]
    if end_us < start_us:
        raise PeerError("ends_before_it_starts")
    return end_us, (end_us - start_us) // SECOND_US


def _service(row: Row) -> Service:
    try:
        return Service[row.word("service").upper()]
    except KeyError as error:
        raise PeerError("service", row.text("service")[:40]) from error


def _units(row: Row, service: Service) -> int:
    if row.has("units"):
        return row.scaled("units", 1)
    return int(service in (Service.MESSAGE, Service.EVENT))


def _charged(row: Row) -> tuple[int | None, str | None, int | None]:
    if not row.has("charged") or not row.text("charged"):
        return None, None, None
    decimals = row.column("charged").decimals
    return row.exact("charged", decimals), currency_of(row), decimals


def currency_of(row: Row) -> str:
    """Read the currency, three capital letters; raises `PeerError`: `currency`."""
    currency = row.text("currency")
    if len(currency) != 3 or not (currency.isascii() and currency.isalpha() and currency.isupper()):
        raise PeerError("currency", currency[:10])
    return currency
