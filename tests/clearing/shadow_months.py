"""A small month of three operators, and another house's statement of it by plain decimals.

The statement is computed from the records alone: nothing of the engine, its formula or its
integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from tests.rating.months import AT_US, record, row, run

from opencarrier.clearing.shadow.model import Month
from opencarrier.kernel.money import AssetId
from opencarrier.rating.agreements.rows import Row
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Service
from opencarrier.spine.statements import RowsAre, StatementForm, StatementRow
from opencarrier.usage.record import UsageRecord

HOUR_US = 3_600_000_000
MARCH = Month(name="2026-03", since_us=AT_US, until_us=AT_US + 31 * 24 * HOUR_US)
ASSET = AssetId("issuer/EUR")
PARTIES = ("op_a", "op_b", "op_c")
CURRENCIES = {"op_a": "EUR", "op_b": "USD", "op_c": "XOF"}
"""What each visited operator charges in."""

MEBI = 1 << 20
LATE = 40
"""The record that begins in the last hour of the month."""

_STEPS = {Service.DATA: (MEBI, "0.002"), Service.VOICE: (60, "0.05"), Service.MESSAGE: (1, "0.01")}
_UNITS = {Service.DATA: "octets_total", Service.VOICE: "duration_s", Service.MESSAGE: "units"}
_TAX = Decimal("0.2")
_MICRO = Decimal("0.000001")


def lines() -> list[Row]:
    """Return a line for each pair and service; nobody has an agreement with op_x."""
    return [
        row(
            place=place,
            home=home,
            visited=visited,
            service=service,
            unit=_UNITS[service],
            first_step=step,
            next_step=step,
            price_nano=int(Decimal(price) * 10**9),
            currency=CURRENCIES[visited],
            asset=ASSET,
            rate=655_957 if visited == "op_c" else 1_000_000,
            decimals=6,
        )
        for place, (home, visited, (service, (step, price))) in enumerate(
            (home, visited, item)
            for home in PARTIES
            for visited in PARTIES
            for item in _STEPS.items()
        )
    ]


def records(count: int) -> list[UsageRecord]:
    """Return records of March, hours apart, each a session; each eleventh of an unknown partner."""
    return [_record(number) for number in range(count)]


def _record(number: int) -> UsageRecord:
    visited = PARTIES[number % 3]
    service = (Service.DATA, Service.VOICE, Service.MESSAGE)[number // 2 % 3]
    hour = 743 if number == LATE else number * 37 % 740
    start_us = MARCH.since_us + hour * HOUR_US + number * 1_000_000
    return record(
        number,
        home="op_x" if number % 11 == 10 else PARTIES[number // 3 % 3],
        visited=visited,
        reporter=visited,
        service=service,
        start_us=start_us,
        end_us=start_us + HOUR_US,
        octets_in=(3 + number) * MEBI + 17 if service is Service.DATA else 0,
        octets_out=number * 5 * MEBI if service is Service.DATA else 0,
        duration_s=61 + 60 * number,
        units=int(service is Service.MESSAGE),
    )


def rate(folder: Path, items: Sequence[UsageRecord]) -> tuple[Path, Path]:
    """Rate records; return the dataset and the run."""
    run(folder, items, lines())
    return folder / "usage", folder / "out"


@dataclass(frozen=True)
class Billed:
    """A row as the other house computes it."""

    number: int
    record: UsageRecord
    net: Decimal
    tax: Decimal

    @property
    def gross(self) -> Decimal:
        return self.net + self.tax


def bill(items: Iterable[UsageRecord]) -> list[Billed]:
    """Charge records as the other house does, with tax half up at six decimals."""
    found = []
    for number, item in enumerate(items):
        if item.home != "op_x":
            step, price = _STEPS[item.service]
            steps = -(-_quantity(item) // step)
            net = (steps * Decimal(price)).quantize(_MICRO, ROUND_HALF_UP)
            found.append(Billed(number, item, net, (net * _TAX).quantize(_MICRO, ROUND_HALF_UP)))
    return found


def _quantity(item: UsageRecord) -> int:
    if item.service is Service.DATA:
        return item.octets_in + item.octets_out
    return item.duration_s if item.service is Service.VOICE else item.units


FORM = StatementForm(rows_are=RowsAre.PART, decimals=6, with_tax=False, tells_tax=True)


def told(billed: Billed, *, decimals: int = 6, **changes: Any) -> StatementRow:
    """Return a billed record as a row of the statement."""
    item = billed.record
    row = StatementRow(
        line=billed.number + 2,
        home=PartyId(item.home or ""),
        visited=item.visited,
        key=item.session_id,
        start_s=item.start_us // 1_000_000,
        service=item.service,
        is_adjustment=False,
        period=None,
        currency=CURRENCIES[item.visited],
        amount_minor=minor(billed.net, decimals),
        tax_minor=minor(billed.tax, decimals),
        octets_in=item.octets_in,
        octets_out=item.octets_out,
        octets=None,
        duration_s=item.duration_s,
        units=item.units,
        records=1,
        exchange_nano=None,
    )
    return row._replace(**changes)


def minor(amount: Decimal, decimals: int) -> int:
    """Return an amount in units of its last decimal, half up."""
    return int((amount * 10**decimals).to_integral_value(ROUND_HALF_UP))


def day_of(time_us: int) -> str:
    """Return the day of a time as sums are told by."""
    return datetime.fromtimestamp(time_us // 1_000_000, tz=UTC).strftime("%Y-%m-%d")


def later(item: UsageRecord, hours: int) -> UsageRecord:
    """Return a record as if it had begun so many hours later."""
    moved = hours * HOUR_US
    return replace(item, start_us=item.start_us + moved, end_us=item.end_us + moved)
