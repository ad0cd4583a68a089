"""A rated month's records between two operators as entries of an exchange."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow.parquet as pq

from opencarrier.clearing.exchange.model import ENTRIES_MAX, Entry
from opencarrier.kernel.ids import ID_OCTETS, Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address
from opencarrier.spine.parties import PartyId

MEMORY_MIB: Final = 512
_BATCH_ROWS: Final = 1 << 13

_RECORDS: Final = """
select line, usage_id, seller_minor + host_minor + protocol_minor + tax_minor as amount_minor
from read_parquet(?)
where status = 0 and list_contains(?, line)
    and seller_minor + host_minor + protocol_minor + tax_minor > 0
limit ?
"""


def read_month(rated: Path, between: Mapping[PartyId, Address], asset: AssetId) -> Iterator[Entry]:
    """Yield what a month's records cost between two, in an asset or in a currency of that name.

    A rated record names no instant, so its end is 0: before every cut. `PeerError` where the folder
    holds no rated month, or more than one exchange takes.
    """
    debtors = {
        line["line"]: between[line["home"]]
        for line in _lines(rated)
        if {line["home"], line["visited"]} == set(between)
        and (line["currency"] or line["asset"]) == asset
    }
    files = [str(path) for path in sorted((rated / "rated").glob("*.parquet"))]
    if not files or not debtors:
        return
    with duckdb.connect() as database:
        database.execute("set threads = 1")
        database.execute(f"set memory_limit = '{MEMORY_MIB}MiB'")
        wanted = [files, list(debtors), ENTRIES_MAX + 1]
        count = 0
        for batch in database.sql(_RECORDS, params=wanted).to_arrow_reader(_BATCH_ROWS):
            count += batch.num_rows
            if count > ENTRIES_MAX:
                raise PeerError("too_many", f"an exchange has {ENTRIES_MAX} entries at most")
            for row in batch.to_pylist():
                yield _entry(row, debtors[row["line"]])


def _lines(rated: Path) -> list[dict[str, Any]]:
    path = rated / "lines.parquet"
    if not path.exists():
        raise PeerError("rated", f"{rated} holds no rated month: {path.name} is missing")
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def _entry(row: Mapping[str, Any], debtor: Address) -> Entry:
    if len(row["usage_id"]) != ID_OCTETS:
        raise PeerError("usage_id", "an id has 32 octets")
    return Entry(
        usage_id=Id(row["usage_id"]), debtor=debtor, end_us=0, amount_minor=row["amount_minor"]
    )
