"""What a rated month knows of where money stands: rated, suspended and why, adjusted by deals."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import duckdb

from opencarrier.kernel.ids import Id, to_hex
from opencarrier.rating.agreements.book import read_book
from opencarrier.rating.agreements.model import Deal, RoamingAgreement
from opencarrier.rating.engine.deals import read_adjustments
from opencarrier.rating.engine.run import REPORT
from opencarrier.rating.reasons import DisputeReason, SuspenseReason
from opencarrier.rating.stages import adjusted_step
from opencarrier.spine.money import Adjustment
from opencarrier.spine.stages import Stage, StageReason, Step

LEGS: Final = ("seller_minor", "host_minor", "protocol_minor", "tax_minor")


@dataclass(frozen=True, slots=True)
class _Reach:
    """An adjustment, and the lines its deal reads by their places in the agreement."""

    adjustment: Adjustment
    places: frozenset[int]

    def reads(self, line: Mapping[str, Any], at_us: int) -> bool:
        """Say whether a record of a line at an instant is among what was adjusted."""
        item = self.adjustment
        return (
            item.agreement_hash == line["agreement_hash"]
            and line["place"] in self.places
            and item.start_us <= at_us < item.end_us
        )


class RatedStages:
    """Answers the port `Stages` for the usages of a run over `records`.

    `adjusted` are the files of adjustments; which lines they read is in the `book`.
    """

    def __init__(
        self, records: Path, rated: Path, *, adjusted: Sequence[Path] = (), book: Path | None = None
    ) -> None:
        self._records, self._rated = records, rated
        self._adjusted, self._book = adjusted, book
        self._lines: dict[int, dict[str, Any]] = {}

    def steps(self, unit: duckdb.DuckDBPyConnection, about: Sequence[Id]) -> Sequence[Step]:
        """Return what usages cost, by which line, or why they wait."""
        files = [str(path) for path in sorted(self._rated.glob("rated/*.parquet"))]
        if not files:
            return []
        rows = _rows(unit, _RATED, [files, list(about)])
        self._read_lines(unit, {row["line"] for row in rows if row["line"] is not None})
        steps = [self._suspended(row) if row["status"] else self._charged(row) for row in rows]
        return [*steps, *self._adjustments(unit, rows)]

    def _read_lines(self, unit: duckdb.DuckDBPyConnection, wanted: set[int]) -> None:
        """Read the lines that are not known yet, each once."""
        fresh = sorted(wanted - self._lines.keys())
        file = str(self._rated.joinpath("lines.parquet"))
        for row in _rows(unit, _LINES, [file, fresh]) if fresh else ():
            self._lines[row["line"]] = row

    @cached_property
    def _rules(self) -> str:
        return str(json.loads(self._rated.joinpath(REPORT).read_text())["rules"])

    @cached_property
    def _reaches(self) -> list[_Reach]:
        if not self._adjusted or self._book is None:
            return []
        book = read_book(self._book.read_text(), str(self._book))
        agreements = {
            entry.agreement.hash: entry.agreement
            for entry in book.entries
            if isinstance(entry.agreement, RoamingAgreement)
        }
        items = (item for path in self._adjusted for item in read_adjustments(path.read_text()))
        return [
            _reach(item, agreements[Id(item.agreement_hash)])
            for item in items
            if item.agreement_hash in agreements
        ]

    def _suspended(self, row: Mapping[str, Any]) -> Step:
        return Step(
            stage=Stage.SUSPENDED,
            reason=SuspenseReason(row["status"]).name.lower(),
            about=Id(row["usage_id"]),
            facts={"rule_version": self._rules},
        )

    def _charged(self, row: Mapping[str, Any]) -> Step:
        legs = {name: row[name] for name in LEGS}
        facts = {"amount_minor": sum(legs.values()), **legs, "rule_version": self._rules}
        if row["line"] is None:
            reason = StageReason.SETTLEMENT_FREE
        else:
            reason = StageReason.WHOLESALE
            line = self._lines[row["line"]]
            facts |= {
                "asset": line["asset"],
                "currency": line["currency"] or None,
                "payer": line["home"],
                "seller": line["visited"],
                "agreement_hash": to_hex(line["agreement_hash"]),
                "place": line["place"],
                "rated_amount": row["amount"],
                "discount_ppm": row["discount_ppm"],
                "dispute": _dispute(row["dispute"]),
            }
        return Step(
            stage=Stage.RATED,
            reason=reason.name.lower(),
            about=Id(row["usage_id"]),
            facts=facts,
        )

    def _adjustments(
        self, unit: duckdb.DuckDBPyConnection, rows: Iterable[Mapping[str, Any]]
    ) -> Iterator[Step]:
        """Tell which deals' adjustments a rated usage is part of."""
        lines = {
            Id(row["usage_id"]): self._lines[row["line"]]
            for row in rows
            if row["status"] == 0 and row["line"] is not None and self._reaches
        }
        for usage_id, at_us in self._instants(unit, lines):
            for reach in self._reaches:
                if reach.reads(lines[usage_id], at_us):
                    yield adjusted_step(usage_id, reach.adjustment)

    def _instants(
        self, unit: duckdb.DuckDBPyConnection, lines: Mapping[Id, Mapping[str, Any]]
    ) -> Iterator[tuple[Id, int]]:
        """Yield the instant whose tariff each usage has."""
        visited = {line["visited"] for line in lines.values()}
        files = [
            str(path)
            for name in sorted(visited)
            for path in sorted(self._records.rglob(f"visited={name}/*.parquet"))
        ]
        for row in _rows(unit, _INSTANTS, [files, list(lines)]) if files else ():
            yield Id(row["usage_id"]), row["at_us"]


_RATED: Final = """
select * from read_parquet(?) where usage_id in (select unnest(?::blob[])) order by usage_id
"""
_LINES: Final = "select * from read_parquet(?) where line in (select unnest(?::integer[]))"
_INSTANTS: Final = """
select usage_id, coalesce(tariff_at_us, start_us) as at_us
from read_parquet(?, hive_partitioning = false)
where side = 1 and usage_id in (select unnest(?::blob[])) order by usage_id
"""


def _rows(
    unit: duckdb.DuckDBPyConnection, query: str, values: Sequence[Any]
) -> list[dict[str, Any]]:
    found = unit.execute(query, values)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _reach(item: Adjustment, agreement: RoamingAgreement) -> _Reach:
    names = _names(next(deal for deal in agreement.deals if deal.hash == item.deal_hash))
    places = (place for place, line in enumerate(agreement.lines) if line.line in names)
    return _Reach(item, frozenset(places))


def _names(deal: Deal) -> set[str]:
    return {name for item in deal.pricings for name in (*item.lines, *item.reverse_lines)}


def _dispute(code: int) -> str | None:
    return DisputeReason(code).name.lower() if code else None
