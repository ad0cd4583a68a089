"""A clearing house's statement as a CSV, by a mapping file; money is read exactly or refused.

What the mapping may say is in `docs/reference/shadow.md`. Nothing is computed: a volume in another
unit aside, every number is the file's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import ID_OCTETS, Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Service
from opencarrier.spine.statements import RowsAre, StatementForm, StatementRow
from opencarrier.usage.wire.csv_mapping import (
    OCTETS,
    PERIODS,
    SECONDS,
    SERVICES,
    CsvMapping,
    Shape,
    fields,
)
from opencarrier.usage.wire.csv_rows import CsvReader, Row
from opencarrier.usage.wire.mapped_csv import currency_of
from opencarrier.usage.wire.origin import session_id
from opencarrier.usage.wire.records import Refused

ADJUSTMENT: Final = "adjustment"
"""The service of what a deal came to at the period's end, not of any use."""

STATEMENT: Final = Shape(
    fields=fields(
        **dict.fromkeys(("home", "visited", "units", "records", "exchange_rate"), ""),
        service="words",
        session="form",
        start="format offset",
        period="unit format offset",
        octets_in="unit",
        octets_out="unit",
        octets="unit",
        duration="unit",
        amount="decimals form",
        tax="decimals",
        currency="assets",
    ),
    needed=frozenset(("home", "visited", "amount", "currency")),
    together=(("octets_in", "octets_out"),),
    apart=(("session", "period"), ("octets", "octets_in"), ("start", "period")),
    words=SERVICES | {ADJUSTMENT},
)
EXCHANGE_DECIMALS: Final = 9
RECORDS_MAX: Final = 1 << 40
_ID = re.compile(rf"(?:0x)?([0-9a-fA-F]{{{2 * ID_OCTETS}}})", re.ASCII)


def form_of(mapping: CsvMapping) -> StatementForm:
    """Return what a statement's rows are; raises `PeerError`: `mapping`, naming the key."""
    columns = mapping.columns
    amount, period = columns["amount"], columns.get("period")
    if period is not None and "service" not in columns:
        raise PeerError("mapping", "fields.service is missing")
    if period is None and "session" not in columns:
        raise PeerError("mapping", "fields.session or fields.period is missing")
    tax = columns.get("tax")
    if tax is not None and tax.decimals != amount.decimals:
        raise PeerError("mapping", "fields.tax.decimals are not fields.amount's")
    assets = columns["currency"].assets or {}
    return StatementForm(
        rows_are=_rows_are(mapping),
        decimals=amount.decimals,
        with_tax=amount.form == "with_tax",
        tells_tax=tax is not None,
        period="" if period is None else period.unit,
        offset_min=0 if period is None else period.offset_min or 0,
        assets={currency: AssetId(asset) for currency, asset in assets.items()},
    )


def _rows_are(mapping: CsvMapping) -> RowsAre:
    session = mapping.columns.get("session")
    if session is None:
        return RowsAre.SUM
    if session.form == "usage_id":
        return RowsAre.USAGE
    return RowsAre.PART if "start" in mapping.columns else RowsAre.SESSION


class StatementReader:
    """Reads a statement's rows, fed its octets in pieces of any size.

    `party_of` knows operators by what the statement calls them; None where nobody is called so.
    """

    def __init__(self, mapping: CsvMapping, party_of: Callable[[str], PartyId | None]) -> None:
        self._form = form_of(mapping)
        self._mapping = mapping
        self._party_of = party_of
        self._rows = CsvReader(mapping, self._row)

    def feed(self, octets: bytes) -> Iterator[StatementRow | Refused]:
        """Take the next octets and yield what they complete."""
        return self._rows.feed(octets)

    def finish(self) -> Iterator[StatementRow | Refused]:
        """Say that the file ends here; yield its last row, or the refusal of what it cut."""
        return self._rows.finish()

    def _row(self, row: Row) -> StatementRow:
        visited = self._party(row, "visited")
        service, is_adjustment = _service(row)
        is_record = not is_adjustment and self._form.rows_are is not RowsAre.SUM
        has_start = is_record and self._form.rows_are is RowsAre.PART
        return StatementRow(
            line=row.line,
            home=self._party(row, "home"),
            visited=visited,
            key=self._key(row, visited) if is_record else None,
            start_s=row.time("start")[0] // SECOND_US if has_start else None,
            service=service,
            is_adjustment=is_adjustment,
            period=None if is_record else _period(row),
            currency=currency_of(row),
            amount_minor=self._money(row, "amount"),
            tax_minor=self._money(row, "tax") if row.has("tax") else None,
            octets_in=_volume(row, "octets_in"),
            octets_out=_volume(row, "octets_out"),
            octets=_volume(row, "octets"),
            duration_s=row.scaled("duration", *_unit_of(row)) if _told(row, "duration") else None,
            units=row.scaled("units", 1) if _told(row, "units") else None,
            records=_records(row),
            exchange_nano=_exchange(row),
        )

    def _party(self, row: Row, side: str) -> PartyId:
        told = row.text(side)
        found = self._party_of(told)
        if found is None:
            raise PeerError(f"{side}_unknown", told[:40])
        return found

    def _money(self, row: Row, field: str) -> int:
        return row.exact(field, self._form.decimals, signed=True)

    def _key(self, row: Row, visited: PartyId) -> Id:
        """Return the id of the usage or session: told, or made as the reader of its file did."""
        told, form = row.text("session"), row.column("session").form
        if not told:
            raise PeerError("session")
        if form in ("csv", "diameter"):
            return session_id(form, visited, told)
        found = _ID.fullmatch(told)
        if found is None:
            raise PeerError("session", told[:40])
        return Id(bytes.fromhex(found[1]))


def _service(row: Row) -> tuple[Service | None, bool]:
    if not row.has("service"):
        return None, False
    word = row.word("service")
    if word == ADJUSTMENT:
        return None, True
    try:
        return Service[word.upper()], False
    except KeyError as error:
        raise PeerError("service", row.text("service")[:40]) from error


def _period(row: Row) -> str | None:
    """Read the day or month of a sum and write it in one way."""
    if not row.has("period"):
        return None
    column = row.column("period")
    try:
        at = datetime.strptime(row.text("period"), column.format).replace(tzinfo=UTC)
    except ValueError as error:
        raise PeerError("time", "period") from error
    return at.strftime(PERIODS[column.unit])


def _told(row: Row, field: str) -> bool:
    return row.has(field) and bool(row.text(field))


def _volume(row: Row, field: str) -> int | None:
    return row.scaled(field, OCTETS[row.column(field).unit]) if _told(row, field) else None


def _unit_of(row: Row) -> tuple[int, int]:
    return SECONDS[row.column("duration").unit]


def _records(row: Row) -> int:
    found = row.scaled("records", 1) if _told(row, "records") else 1
    if found > RECORDS_MAX:
        raise PeerError("range", "records")
    return found


def _exchange(row: Row) -> int | None:
    return row.exact("exchange_rate", EXCHANGE_DECIMALS) if _told(row, "exchange_rate") else None
