"""Which tables a stretch of work reads whole, by the plans of its statements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from opencarrier.app.store import Store

SMALL = frozenset({
    "access_outbox", "alembic_version", "clearing_partner", "identity_data_key", "identity_route",
    "identity_tally", "rewards_followed", "usage_tally",
})  # fmt: skip
"""Tables of a row for each partner, realm or tally: none grows with use, nodes or people."""

SCAN = re.compile(r"SCAN (\w+)(?: USING .*)?$")

OPEN = re.compile(r"SEARCH (\w+) USING (?:COVERING )?INDEX sqlite_autoindex_\w+ \(\w+>\?\)$")
"""Along the keys from one on, whatever else is asked of the rows."""


@contextmanager
def read_whole(store: Store) -> Iterator[set[str]]:
    """Collect tables that SQLite reads from end to end; a server may read a short table whole.

    Going along until a limit is none of that, where every row counts and nothing is sorted after.
    """
    asked: dict[str, Any] = {}
    found: set[str] = set()

    def note(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:
        if statement.startswith(("SELECT", "WITH")):
            asked.setdefault(statement, values)

    event.listen(store._engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(store._engine, "before_cursor_execute", note)
    if store.embedded:
        with store.read() as unit:
            for statement, values in asked.items():
                plan = unit.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
                found |= _whole(statement, [line.detail for line in plan])


def _whole(statement: str, plan: list[str]) -> set[str]:
    words = " ".join(statement.split())
    is_filtered, is_limited = " WHERE " in words, " LIMIT " in words
    if is_limited and not is_filtered and "USE TEMP B-TREE FOR ORDER BY" not in plan:
        return set()
    along = OPEN if is_limited and " AND " in words else SCAN
    tables = {found[1] for line in plan if (found := SCAN.match(line) or along.match(line))}
    return {one for one in tables if f"FROM {one}" in words} - SMALL
