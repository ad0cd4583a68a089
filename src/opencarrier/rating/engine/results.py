"""The two result tables of a run in their one canonical form, which every engine must agree on."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import duckdb

TABLES: Final = ("positions", "nodes")
"""Who owes whom, and what each node earned."""

LINES: Final = {
    "positions": """
        select concat_ws(
            chr(9), home, visited, asset, currency, rate, decimals, records,
            seller_minor, host_minor, protocol_minor, tax_minor
        ) || chr(10) as line
        from positions order by line
    """,
    "nodes": """
        select concat_ws(
            chr(9), visited, node, asset, currency, rate, decimals, records, host_minor
        ) || chr(10) as line
        from nodes order by line
    """,
}
"""A row is its fields in this order with a tab between them, numbers in decimal, LF after it."""

BATCH_ROWS: Final = 1 << 16


def digest(database: duckdb.DuckDBPyConnection, table: str) -> str:
    """Return the SHA-256 over a result table's lines in the order of their octets."""
    found = database.execute(LINES[table])
    hasher = sha256()
    while rows := found.fetchmany(BATCH_ROWS):
        hasher.update("".join(line for (line,) in rows).encode())
    return hasher.hexdigest()
