"""Statements over a set of rows: one for all of them, made once, sent to the driver as they are.

On PostgreSQL a statement costs more than the rows it is about, and the generic way sends one a row;
there a set goes as an array per column. SQLite is in the process and takes the rows themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Integer,
    Row,
    RowMapping,
    Select,
    Table,
    bindparam,
    func,
    literal,
)
from sqlalchemy.dialects.postgresql import ARRAY

KEYS_MAX: Final = 2_000
"""Keys asked for in one statement."""

AnyRow: TypeAlias = Row[*tuple[Any, ...]]
Values: TypeAlias = tuple[Any, ...]
"""A row's values in the order of its statement's columns; none that needs a conversion."""

_HALF_BITS: Final = 31
_SHIFT: Final = literal(_HALF_BITS, Integer)
"""PostgreSQL shifts a wide number by a narrow one only."""

_LOW: Final = (1 << _HALF_BITS) - 1


def halves(name: str) -> tuple[str, str]:
    """Name the columns of a number's two halves."""
    return f"{name}_high", f"{name}_low"


def split(name: str, value: int) -> dict[str, int]:
    """Return a number as two, of which many can be summed: a database adds up to 64 bits."""
    return dict(
        zip(halves(name), (value >> _HALF_BITS, value & ((1 << _HALF_BITS) - 1)), strict=True)
    )


def sums(column: Column[int], name: str) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """Sum a column in halves, each labelled."""
    high, low = halves(name)
    return (
        func.sum(column.op(">>")(_SHIFT)).label(high),
        func.sum(column.op("&")(_LOW)).label(low),
    )


def whole(row: RowMapping, name: str) -> int:
    """Put a number together again from its halves, or a sum from those of its halves."""
    high, low = (int(row[half]) for half in halves(name))
    return (high << _HALF_BITS) + low


class Insertion:
    """Inserts rows of a table; with `ignoring`, what is there already stays as it is."""

    def __init__(
        self, table: Table, columns: Sequence[str] = (), *, ignoring: bool = False
    ) -> None:
        self._table = table
        self._columns = tuple(columns) or tuple(table.c.keys())
        self._ignoring = ignoring
        self._texts: dict[str, str] = {}

    def __call__(self, unit: Connection, rows: Sequence[Values]) -> int:
        """Insert rows; return how many are new."""
        return _send(unit, self._texts.get(unit.dialect.name) or self._text(unit.dialect), rows)

    def _text(self, dialect: Dialect) -> str:
        if dialect.name == "postgresql":
            source = f"SELECT * FROM {_arrays(self._table, self._columns, dialect)}"  # noqa: S608
        else:
            source = f"VALUES ({', '.join('?' * len(self._columns))})"
        conflict = " ON CONFLICT DO NOTHING" if self._ignoring else ""
        text = f"INSERT INTO {self._table.name} ({', '.join(self._columns)}) {source}{conflict}"
        return self._texts.setdefault(dialect.name, text)


class Change:
    """Gives rows of a table new values, each found by its keys, which stand first."""

    def __init__(self, table: Table, keys: Sequence[str], columns: Sequence[str]) -> None:
        self._table = table
        self._keys = tuple(keys)
        self._columns = (*keys, *columns)
        self._texts: dict[str, str] = {}

    def __call__(self, unit: Connection, rows: Sequence[Values]) -> int:
        """Change rows, no two of one key; return how many there were."""
        return _send(unit, self._texts.get(unit.dialect.name) or self._text(unit.dialect), rows)

    def _text(self, dialect: Dialect) -> str:
        name, count = self._table.name, len(self._keys)
        if dialect.name == "postgresql":
            arrays = _arrays(self._table, self._columns, dialect)
            source = f" FROM {arrays} AS new({', '.join(self._columns)})"
            values = [f"new.{column}" for column in self._columns]
        else:
            source, values = "", [f"?{place + 1}" for place in range(len(self._columns))]
        pairs = list(zip(self._columns, values, strict=True))
        chosen = " AND ".join(f"{name}.{column} = {value}" for column, value in pairs[:count])
        news = ", ".join(f"{column} = {value}" for column, value in pairs[count:])
        text = f"UPDATE {name} SET {news}{source} WHERE {chosen}"  # noqa: S608
        return self._texts.setdefault(dialect.name, text)


class Lookup:
    """Finds rows whose column has one of some values; the query may have parameters besides."""

    def __init__(self, query: Select[*tuple[Any, ...]], column: ColumnElement[Any]) -> None:
        self._some = query.where(column.in_(bindparam("keys", expanding=True)))
        array = bindparam("keys", type_=ARRAY(column.type))
        self._any = query.where(column == func.any(array))
        self._text = ""
        self._given: dict[str, Any] = {}

    def __call__(self, unit: Connection, keys: Iterable[Any], **given: Any) -> Iterator[AnyRow]:
        """Return the rows, a bounded number of keys at a time."""
        remaining = iter(sorted(set(keys)))
        while chunk := list(islice(remaining, KEYS_MAX)):
            yield from self._found(unit, {**given, "keys": chunk})

    def _found(self, unit: Connection, given: dict[str, Any]) -> Iterable[AnyRow]:
        if unit.dialect.name != "postgresql":
            return unit.execute(self._some, given)
        if not self._text:
            made = self._any.compile(dialect=unit.dialect)
            self._given = dict(made.params)
            self._text = str(made).replace("%(keys)s", "%(keys)b")
        return unit.exec_driver_sql(self._text, self._given | given)


def _arrays(table: Table, columns: Iterable[str], dialect: Dialect) -> str:
    types = (table.c[name].type.compile(dialect=dialect) for name in columns)
    return f"unnest({', '.join(f'%b::{type_}[]' for type_ in types)})"


def _send(unit: Connection, text: str, rows: Sequence[Values]) -> int:
    if not rows:
        return 0
    if unit.dialect.name == "postgresql":
        return unit.exec_driver_sql(text, tuple(map(list, zip(*rows, strict=True)))).rowcount
    return unit.exec_driver_sql(text, list(rows)).rowcount
