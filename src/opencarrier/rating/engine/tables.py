"""What a run reads besides records: the lines of agreements, and what subscribers have off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.agreements.rows import ANY, Row
from opencarrier.rating.rules.v2 import UNITS
from opencarrier.spine.records import Qos, RcoiClass

CLASSES_PER_QOS: Final = 4
CLASS_MAX: Final = 127
LINES_MAX: Final = 4_000_000

UNIT_CODES: Final = {unit: code for code, unit in enumerate(UNITS, start=1)}
"""octets_total, octets_in, octets_out, duration_s, sessions, units: as `quantity` counts them."""

_TEXTS: Final = ("home", "visited", "currency", "asset", "protocol_party", "tax_party")
_NUMBERS: Final = (
    *("valid_from_us", "valid_until_us", "first_step", "next_step", "price_nano"),
    *("fixed_minor", "minimum_minor", "tax_ppm", "host_ppm", "protocol_ppm", "rate"),
)
_ACCOUNT: Final = ("visited", "asset", "currency", "rate", "decimals")


def line_table(rows: Iterable[Row]) -> pa.Table:
    """Return the rows as a table with a number each, in an order that their content decides.

    A class is `qos * 4 + rcoi`; a row for any quality but one consortium class is written out for
    each quality. `account` numbers what sums may be added: the visited operator's in one currency
    at one rate.
    """
    spans = [(row, *span) for row in rows for span in _classes(row)]
    spans.sort(key=lambda item: (*_order(item[0]), item[1]))
    assert len(spans) <= LINES_MAX
    accounts = {key: place for place, key in enumerate(sorted({_key(row) for row, *_ in spans}))}
    made = [row for row, *_ in spans]
    columns: dict[str, pa.Array] = {
        "line": pa.array(range(len(spans)), pa.int32()),
        "agreement_hash": pa.array([row.agreement_hash for row in made], pa.binary(32)),
        "place": pa.array([row.place for row in made], pa.int32()),
        "service": pa.array([int(row.service) for row in made], pa.int8()),
        "class_from": pa.array([low for _, low, _ in spans], pa.int8()),
        "class_until": pa.array([high for *_, high in spans], pa.int8()),
        "unit": pa.array([UNIT_CODES[row.unit] for row in made], pa.int8()),
        "tax_included": pa.array([row.tax_included for row in made], pa.bool_()),
        "in_band": pa.array([row.in_band for row in made], pa.bool_()),
        "decimals": pa.array([row.decimals for row in made], pa.int32()),
        "account": pa.array([accounts[_key(row)] for row in made], pa.int32()),
        **{name: pa.array([getattr(row, name) for row in made], pa.string()) for name in _TEXTS},
        **{name: pa.array([getattr(row, name) for row in made], pa.int64()) for name in _NUMBERS},
    }
    return pa.table(columns)


def account_table(lines: pa.Table) -> pa.Table:
    """Return what each account number of the lines stands for."""
    return lines.select(["account", *_ACCOUNT]).group_by(["account", *_ACCOUNT]).aggregate([])


def load_subscribers(database: duckdb.DuckDBPyConnection, file: Path | None) -> int:
    """Make the table of who has how much off; `PeerError` where the file does not say it well.

    CSV with a head line, or Parquet: `subject` (32 hex digits, UUID or 16 octets), `discount_ppm`.
    """
    database.execute("create table subscribers (subject uuid, keep_ppm bigint)")
    if file is None:
        return 0
    source = "read_csv(?, all_varchar = true)" if file.suffix == ".csv" else "read_parquet(?)"
    try:
        database.execute(_LOAD.format(source=source), [str(file)])
    except duckdb.Error as error:
        raise PeerError("subscribers", str(error).splitlines()[0]) from None
    found = database.execute(_LOADED).fetchone()
    assert found is not None
    count, complete, subjects, least, greatest = found
    if count != complete:
        raise PeerError("subscribers", "a subject or its discount is missing")
    if count != subjects:
        raise PeerError("subscribers", "a subject stands twice")
    if count and not 0 <= least <= greatest <= 1_000_000:
        raise PeerError("subscribers", "discount_ppm is not from 0 to 1000000")
    database.execute("delete from subscribers where keep_ppm = 1000000")
    return int(count)


_LOAD: Final = """
insert into subscribers
select
    case
        when typeof(subject) = 'BLOB' then hex(subject::blob)::uuid
        else subject::varchar::uuid
    end,
    1000000 - discount_ppm::bigint
from {source}
"""
_LOADED: Final = """
select
    count(*),
    count(*) filter (subject is not null and keep_ppm is not null),
    count(distinct subject),
    min(keep_ppm),
    max(keep_ppm)
from subscribers
"""


def _classes(row: Row) -> Sequence[tuple[int, int]]:
    """Return the spans of classes a row prices, each first to last."""
    if row.qos == ANY and row.rcoi == ANY:
        return [(0, CLASS_MAX)]
    qualities = list(Qos) if row.qos == ANY else [row.qos]
    first, last = (0, CLASSES_PER_QOS - 1) if row.rcoi == ANY else (row.rcoi, row.rcoi)
    assert len(RcoiClass) <= CLASSES_PER_QOS
    return [(qos * CLASSES_PER_QOS + first, qos * CLASSES_PER_QOS + last) for qos in qualities]


def _order(row: Row) -> tuple[Any, ...]:
    names = ("home", "visited", "service", "valid_from_us", "agreement_hash", "place")
    return tuple(getattr(row, name) for name in names)


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in _ACCOUNT)
