"""A pair's records with what a run of rating made of each, for files that state both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import duckdb

from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId
from opencarrier.usage.columns import to_records
from opencarrier.usage.dataset import BATCH_ROWS, files_of
from opencarrier.usage.record import FIELDS
from opencarrier.usage.wire.tap.outgoing import Line

DECIMALS: Final = 6
"""A run charges in millionths of a line's currency."""

MEMORY_MIB: Final = 800


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The records of a home at a visited operator, in a dataset and a run over it.

    Beyond its limit of memory a query goes to `spill`.
    """

    usage: Path
    rated: Path
    home: PartyId
    visited: PartyId
    spill: Path

    def terms(self) -> tuple[str, int]:
        """Return the currency and the tax of all that is rated; `PeerError` for none or several."""
        with self._database() as database:
            found = database.execute(_TERMS).fetchall()
        if not found:
            raise PeerError("rated", f"nothing of {self.home} at {self.visited} is rated")
        if len(found) > 1:
            terms = ", ".join(f"{currency} with {ppm} ppm of tax" for currency, ppm in found)
            raise PeerError("terms", f"a file has one currency and one tax, the records {terms}")
        currency, tax_ppm = found[0]
        return currency, tax_ppm

    def lines(self) -> Iterator[Line]:
        """Yield the records as they began, each with its charge and its tax."""
        with self._database() as database:
            batches = database.sql(_sql()).to_arrow_reader(BATCH_ROWS)
            for batch in batches:
                told = (batch.column(name).to_pylist() for name in ("charge_minor", "tax_minor"))
                records = to_records(batch.select([field.name for field in FIELDS]))
                yield from map(Line, records, *told)

    @contextmanager
    def _database(self) -> Iterator[duckdb.DuckDBPyConnection]:
        audit = sorted((self.rated / "rated").glob("*.parquet"))
        lines = self.rated / "lines.parquet"
        files = files_of(self.usage)
        if not audit or not lines.exists():
            raise PeerError("rated", f"{self.rated} holds no rated month")
        if not files:
            raise PeerError("usage", f"{self.usage} holds no records")
        variables = {
            "files": [str(path) for path in files],
            "rated": [str(path) for path in audit],
            "lines": str(lines),
            "home": self.home,
            "visited": self.visited,
        }
        with duckdb.connect() as database:
            database.execute(f"set memory_limit = '{MEMORY_MIB}MiB'")
            database.execute("set temp_directory = ?", [str(self.spill)])
            for name, value in variables.items():
                database.execute(f"set variable {name} = ?", [value])
            yield database


_TERMS: Final = """
select distinct coalesce(nullif(lines.currency, ''), lines.asset), lines.tax_ppm
from read_parquet(getvariable('rated')) as rated
join read_parquet(getvariable('lines')) as lines on lines.line = rated.line
where rated.status = 0
    and lines.home = getvariable('home') and lines.visited = getvariable('visited')
order by all
"""


def _sql() -> str:
    return resources.files("opencarrier.usage").joinpath("priced.sql").read_text()
