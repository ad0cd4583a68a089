"""A month in the tables: an installation that the demo left, its rows told again many times over.

Each telling has ids, sessions and instants of its own: ids end in its number, cycles are of one of
240 tellings, instants move through the month before now. People, nodes and accounts stay those of
the demo, so that its lists are as long as lists can be: 40 subscribers have all the sessions of the
month. Sums that are kept (balances, charges by month) stay as they were; signatures and paths do
not hold of what was retold.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

MONTH_RECORDS: Final = 23_000_000
RECORDS_PER_SESSION: Final = 10
CYCLES: Final = 240
MONTH_US: Final = 31 * 86_400_000_000
STEP: Final = 500
"""Tellings of one transaction."""

_ID = "CAST(substr({0}, 1, length({0}) - 4) || printf('%04x', n.k) AS BLOB)"
_OF_CYCLE = (
    f"CAST(substr({{0}}, 1, length({{0}}) - 4) || printf('%04x', 1 + (n.k - 1) % {CYCLES}) AS BLOB)"
)
_INSTANT = f"{{0}} + :moved_us + ((n.k - 1) % {CYCLES}) * {MONTH_US // CYCLES}"
_SESSION = "{0} || '-' || n.k"


def _columns(**kinds: str) -> dict[str, str]:
    """Return what becomes of each column: kinds name columns, apart by blanks."""
    forms = {"ids": _ID, "of_cycle": _OF_CYCLE, "instants": _INSTANT, "sessions": _SESSION}
    return {name: forms[kind] for kind, names in kinds.items() for name in names.split()}


def _numbered(column: str, table: str = "") -> dict[str, str]:
    """Return a number that goes on from telling to telling."""
    last = f"(SELECT max({column}) FROM told.{table or '{1}'})"  # noqa: S608 # names of ours
    return {column: f"{{0}} + n.k * {last}"}


OF_CYCLES: Final[Mapping[str, Mapping[str, str]]] = {
    "settlement_cycle": {
        **_columns(of_cycle="cycle_id", instants="cut_us"),
        **_numbered("sequence"),
    },
    "settlement_attempt": {
        **_columns(of_cycle="cycle_id settlement_id intent_id", instants="ordered_us final_us"),
        **_numbered("sequence", "settlement_cycle"),
    },
    "settlement_row": _columns(of_cycle="cycle_id"),
    "usage_cut": _columns(of_cycle="cycle_id", instants="cut_us"),
    "clearing_position": _columns(of_cycle="position_id cycle_id settled_in", instants="cut_us"),
    "clearing_leg": _columns(of_cycle="position_id"),
    "clearing_root": _columns(of_cycle="cycle_id"),
    "clearing_signature": _columns(of_cycle="position_id"),
    "rewards_cycles": {**_columns(of_cycle="cycle_id"), **_numbered("number")},
    "rewards_shares": _numbered("number", "rewards_cycles"),
}
"""What becomes of the columns of rows that a cycle has, told 240 times."""

OF_SESSIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "usage": _columns(
        ids="usage_id session_id authorisation_id", of_cycle="cycle_id", instants="start_us end_us"
    ),
    "usage_session": _columns(
        ids="session_id authorisation_id",
        sessions="acct_session_id",
        instants="birth_us start_us end_us last_us settled_us",
    ),
    "rating_authorisations": _columns(
        ids="authorisation_id", instants="granted_us expires_us hold_expires_us"
    ),
    "rating_authorised_sessions": _columns(ids="authorisation_id session_id"),
    "rating_charges": _columns(ids="usage_id charge_id session_id", of_cycle="cycle_id"),
    "rating_allocations": _columns(ids="charge_id"),
    "clearing_record": {
        **_columns(ids="usage_id", of_cycle="position_id"),
        **_numbered("leaf_index", "leaves"),
    },
    "ledger_journal": {**_columns(instants="at_us"), **_numbered("entry"), **_numbered("sequence")},
    "ledger_transfers": {
        **_columns(ids="transfer_id hold_id reference"),
        **_numbered("sequence", "ledger_journal"),
        **_numbered("entry", "ledger_journal"),
    },
}
"""What becomes of the columns of rows that a session has."""

OBSERVATION: Final[Mapping[str, str]] = {
    **_columns(ids="observation_id authorisation_id", instants="event_us"),
    **_numbered("sequence"),
    "acct_session_id": "{0} || '-' || n.k % :tellings",
}
"""What becomes of an accounting record, told until all are there."""

OBSERVATIONS: Final = "usage_observation"
TALLIED: Final[Mapping[str, str]] = {
    "sessions": "usage_session",
    "sessions_open": "usage_session WHERE closed_by = ''",
    "taken": f"{OBSERVATIONS} WHERE sequence NOT IN (SELECT sequence FROM usage_deferred)",  # noqa: S608 # ours
    "usages": "usage",
    "cuts": "usage_cut",
}
"""What the room of use tallies, and the rows of each."""

_LEAVES: Final = "SELECT max(leaf_index) + 1 AS leaf_index FROM main.clearing_record"
_NUMBERS: Final = (
    "WITH RECURSIVE n(k) AS (SELECT :first UNION ALL SELECT k + 1 FROM n WHERE k < :last)"
)
_KEPT: Final = {"ledger_transfers": "reference IS NOT NULL AND flags NOT IN (2, 3, 9)"}
"""Which rows are told again, where not all are: money that moved, no holds."""


def tell(path: Path, now_us: int, records: int = MONTH_RECORDS) -> Mapping[str, int]:
    """Tell the rows of an installation's database again until it holds so many records.

    Returned is how many rows each table has then. Nothing is kept safe from a crash meanwhile: the
    database is a bench's own.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as unit:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
            unit.execute(f"PRAGMA {pragma}")
        unit.execute("ATTACH ':memory:' AS told")
        for table in (*OF_CYCLES, *OF_SESSIONS, OBSERVATIONS):
            where = _KEPT.get(table, "1")
            kept = f"SELECT * FROM main.{table} WHERE {where}"  # noqa: S608 # names of ours
            unit.execute(f"CREATE TABLE told.{table} AS {kept}")
        unit.execute(f"CREATE TABLE told.leaves AS {_LEAVES}")
        (first_us,) = unit.execute("SELECT min(event_us) FROM usage_observation").fetchone()
        tellings = records // (_rows(unit, "usage_session") * RECORDS_PER_SESSION)
        given = {"moved_us": now_us - MONTH_US - first_us, "tellings": tellings}
        often = dict.fromkeys(OF_CYCLES, CYCLES) | dict.fromkeys(OF_SESSIONS, tellings)
        often[OBSERVATIONS] = records // _rows(unit, OBSERVATIONS)
        for table, times in often.items():
            _tell(unit, table, times, given)
        _cut(unit)
        unit.execute("PRAGMA journal_mode = WAL")
        return {table: _rows(unit, table) * (1 + times) for table, times in often.items()}


def _cut(unit: sqlite3.Connection) -> None:
    """Let the cuts have taken what was told, and tally what was told."""
    unit.execute("UPDATE usage_cut SET mark = (SELECT max(sequence) FROM usage_observation)")
    for what, rows in TALLIED.items():
        counted = f"SELECT count(*) FROM {rows}"  # noqa: S608 # names of ours
        unit.execute(f"UPDATE usage_tally SET number = ({counted}) WHERE what = ?", (what,))  # noqa: S608


def _rows(unit: sqlite3.Connection, table: str) -> int:
    query = f"SELECT count(*) FROM told.{table}"  # noqa: S608 # names of ours
    return int(unit.execute(query).fetchone()[0])


def _tell(unit: sqlite3.Connection, table: str, times: int, given: Mapping[str, int]) -> None:
    names = [row[1] for row in unit.execute(f"PRAGMA main.table_info({table})")]
    columns = {**OF_CYCLES, **OF_SESSIONS, OBSERVATIONS: OBSERVATION}[table]
    said = ", ".join(columns.get(name, "{0}").format(name, table) for name in names)
    rows = f"SELECT {said} FROM n CROSS JOIN told.{table}"  # noqa: S608 # names of ours
    again = f"{_NUMBERS} INSERT INTO main.{table} {rows}"
    for first in range(1, times + 1, STEP):
        unit.execute(again, {**given, "first": first, "last": min(first + STEP - 1, times)})
