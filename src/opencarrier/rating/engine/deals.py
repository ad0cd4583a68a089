"""The deals of a month: what each comes to by the records of a run, and the adjustments left.

A run charged records one by one. Here their sums are read again, by line and by the window of each
deal, and every deal's adjustment is made from them (`rating/adjustments`); the arithmetic is there.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from opencarrier.kernel.clock import Window
from opencarrier.kernel.ids import Id, to_hex
from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.adjustment_inputs import decode_inputs
from opencarrier.rating.adjustments import adjust, due_of, inputs_of, readjust
from opencarrier.rating.agreements.book import Book
from opencarrier.rating.agreements.model import Deal, RoamingAgreement
from opencarrier.rating.periods import Legs, LineSum, PeriodSums, windows_in
from opencarrier.rating.rules.v1 import WholesaleLegs
from opencarrier.spine.money import Adjustment, Due

BOOKED_MAX: Final = 1_000_000
"""Earlier adjustments read at once."""

MEMORY_MIB: Final = 800
_Key = tuple[bytes, bytes, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DealOrder:
    """What is adjusted: a run over a dataset, by which agreements, and what was booked before.

    `until_us` is now: a window that ended by then is adjusted for good, one that began is open.
    """

    usage: Path
    rated: Path
    book: Book
    booked: Sequence[Adjustment]
    until_us: int
    memory_mib: int = MEMORY_MIB


@dataclass(frozen=True, slots=True)
class _Scope:
    """A deal in one of its windows."""

    agreement: RoamingAgreement
    deal: Deal
    window: Window

    @property
    def key(self) -> _Key:
        """What earlier adjustments of it are found by."""
        return self.agreement.hash, self.deal.hash, self.window.start_us

    def places(self) -> Iterator[int]:
        """Return the places of all lines it reads, the other direction's too."""
        names = {name for item in self.deal.pricings for name in (*item.lines, *item.reverse_lines)}
        return (at for at, line in enumerate(self.agreement.lines) if line.line in names)


def adjustments_of(order: DealOrder) -> list[Adjustment]:
    """Return what every deal that has begun still has to move, in the order of the agreements.

    `PeerError` where the run cannot be read; `MoneyError` where a sum leaves 64 bits.
    """
    scopes = [scope for scope in _scopes(order.book) if scope.window.start_us < order.until_us]
    earlier = _by_scope(order.booked)
    if not scopes:
        return []
    found: list[Adjustment] = []
    with duckdb.connect() as database:
        database.execute(f"set memory_limit = '{order.memory_mib}MiB'")
        _see(database, order, scopes)
        for number, sums in enumerate(_sums(database, scopes)):
            scope = scopes[number]
            inputs = inputs_of(
                scope.agreement,
                scope.deal,
                scope.window,
                sums,
                earlier=tuple(earlier.get(scope.key, ())),
                is_final=scope.window.end_us <= order.until_us,
            )
            made = adjust(inputs)
            found += [] if made is None else [made]
    return found


def _by_scope(booked: Iterable[Adjustment]) -> Mapping[_Key, Sequence[Adjustment]]:
    """Return the earlier adjustments of each deal and window, none missing and none twice."""
    found: defaultdict[_Key, list[Adjustment]] = defaultdict(list)
    for item in sorted(booked, key=lambda item: item.number):
        earlier = found[item.agreement_hash, item.deal_hash, item.start_us]
        if item.number != len(earlier):
            raise PeerError("adjustments", f"number {len(earlier)} of a deal is missing or twice")
        earlier.append(item)
    return found


def write_adjustments(items: Iterable[Adjustment]) -> str:
    """Write adjustments, one JSON object a line; the inputs are what counts, the rest is shown."""
    return "".join(json.dumps(_shown(item)) + "\n" for item in items)


def read_adjustments(source: str) -> list[Adjustment]:
    """Read adjustments from what `write_adjustments` wrote, each made again from its inputs.

    `PeerError` where one was not made from the inputs it shows.
    """
    lines = [line for line in source.split("\n") if line.strip()]
    if len(lines) > BOOKED_MAX:
        raise PeerError("adjustments", f"more than {BOOKED_MAX}")
    return [_read(line) for line in lines]


def dues_of(book: Book, items: Iterable[Adjustment]) -> list[Due]:
    """Exchange adjustments by the agreements they are of; `PeerError` where one is not there."""
    known = {
        entry.agreement.hash: entry.agreement
        for entry in book.entries
        if isinstance(entry.agreement, RoamingAgreement)
    }
    found = []
    for item in items:
        agreement = known.get(Id(item.agreement_hash))
        if agreement is None:
            raise PeerError("adjustments", f"no agreement is {to_hex(item.agreement_hash)}")
        found.append(due_of(agreement, item))
    return found


def _read(line: str) -> Adjustment:
    try:
        told = json.loads(line)
        octets = bytes.fromhex(told["inputs"].removeprefix("0x"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise PeerError("adjustments", "a line is no adjustment") from None
    made = adjust(decode_inputs(octets))
    if made is None or _shown(made) != told:
        raise PeerError("adjustments", "a line does not follow from its inputs")
    return made


def _shown(item: Adjustment) -> dict[str, Any]:
    return {
        "adjustment_id": to_hex(item.adjustment_id),
        "agreement_hash": to_hex(item.agreement_hash),
        "deal_hash": to_hex(item.deal_hash),
        "payer": item.payer,
        "seller": item.seller,
        "start_us": item.start_us,
        "end_us": item.end_us,
        "number": item.number,
        "is_final": item.is_final,
        "verdict": readjust(item.inputs).owed.verdict.name.lower(),
        "currency": item.currency,
        "amount_minor": item.amount_minor,
        "legs": {leg.role.name.lower(): leg.amount_minor for leg in item.allocations},
        "inputs": to_hex(item.inputs),
    }


def _scopes(book: Book) -> list[_Scope]:
    return [
        _Scope(entry.agreement, deal, window)
        for entry in book.entries
        if isinstance(entry.agreement, RoamingAgreement)
        for deal in entry.agreement.deals
        for window in windows_in(entry.agreement.periods_us, deal)
    ]


def _see(database: duckdb.DuckDBPyConnection, order: DealOrder, scopes: Sequence[_Scope]) -> None:
    """Make the table of all records that any deal reads, once for each window that holds it."""
    try:
        lines = pq.read_table(order.rated / "lines.parquet")
    except OSError as error:
        raise PeerError("rated", f"{order.rated} holds no run: {error}") from None
    places = [
        (number, scope, place) for number, scope in enumerate(scopes) for place in scope.places()
    ]
    database.register("line_rows", lines)
    database.register("scopes", _scope_table(places))
    rated = [str(path) for path in sorted((order.rated / "rated").glob("*.parquet"))]
    files = [str(path) for path in sorted(order.usage.rglob("visited=*/*.parquet"))]
    if not rated or not files:
        database.execute(_NOTHING)
        return
    database.execute("set variable rated = ?", [rated])
    database.execute("set variable files = ?", [files])
    sql = resources.files(__package__).joinpath("v2", "deals.sql")
    database.execute(sql.read_text())


_NOTHING: Final = """
create temp table seen (
    scope integer, agreement_hash blob, place integer, subject blob, amount bigint,
    seller_minor bigint, host_minor bigint, protocol_minor bigint, tax_minor bigint
)
"""


def _scope_table(places: Sequence[tuple[int, _Scope, int]]) -> pa.Table:
    return pa.table(
        {
            "scope": pa.array([number for number, _, _ in places], pa.int32()),
            "agreement_hash": pa.array(
                [item.agreement.hash for _, item, _ in places], pa.binary(32)
            ),
            "place": pa.array([place for *_, place in places], pa.int32()),
            "start_us": pa.array([item.window.start_us for _, item, _ in places], pa.int64()),
            "end_us": pa.array([item.window.end_us for _, item, _ in places], pa.int64()),
        }
    )


def _sums(database: duckdb.DuckDBPyConnection, scopes: Sequence[_Scope]) -> Iterator[PeriodSums]:
    """Yield each scope's sums."""
    lines: defaultdict[int, dict[str, LineSum]] = defaultdict(dict)
    for scope, place, amount, *legs in database.execute(_BY_LINE).fetchall():
        name = scopes[scope].agreement.lines[place].line
        lines[scope][name] = LineSum(int(amount), _legs(legs))
    for number, scope in enumerate(scopes):
        counts = [
            _subscribers(database, number, scope, pricing.lines)
            if pricing.measure == "subscribers"
            else 0
            for pricing in scope.deal.pricings
        ]
        yield PeriodSums(lines[number], tuple(counts))


_BY_LINE: Final = """
select
    scope, place, sum(amount),
    sum(seller_minor), sum(host_minor), sum(protocol_minor), sum(tax_minor)
from seen group by scope, place
"""


def _subscribers(
    database: duckdb.DuckDBPyConnection, number: int, scope: _Scope, names: Sequence[str]
) -> int:
    places = [at for at, line in enumerate(scope.agreement.lines) if line.line in names]
    query = "select count(distinct subject) from seen where scope = ? and list_contains(?, place)"
    row = database.execute(query, [number, places]).fetchone()
    assert row is not None
    return int(row[0])


def _legs(values: Sequence[Any]) -> Legs:
    named: Mapping[str, Any] = dict(zip(WholesaleLegs.__slots__, values, strict=True))
    return WholesaleLegs(**{name: int(value) for name, value in named.items()})
