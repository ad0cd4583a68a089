"""What the driver of PostgreSQL is told of us: how columns are written, whether a line still lives.

A set of rows goes to the server as an array per column (`rowsets`). The driver's own way writes
element by element through a general dumper; columns of whole numbers, octets or text are most of
what an Accounting-Response waits for.
"""

from __future__ import annotations

from collections.abc import Callable
from select import POLLIN, poll
from struct import Struct
from types import NoneType
from typing import Any, NamedTuple

from psycopg import Connection
from psycopg.abc import DumperKey
from psycopg.adapt import PyFormat
from psycopg.types.array import BaseListDumper, ListBinaryDumper
from psycopg.types.numeric import IntLoader

_HEAD = Struct("!iiIii")
"""Dimensions, whether there are nulls, the elements' type, their number, the first one's index."""

_NUMBER = Struct("!iq")
_LENGTH = Struct("!i")
_NULL = _LENGTH.pack(-1)
_NUMBER_MIN, _NUMBER_MAX = -(1 << 63), (1 << 63) - 1


def _number(value: int) -> bytes:
    return _NUMBER.pack(8, value)


def _octets(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


def _text(value: str) -> bytes:
    return _octets(value.encode())


class _Kind(NamedTuple):
    """How values of a type are written: the element's and the array's number (`pg_type`)."""

    oid: int
    array_oid: int
    write: Callable[[Any], bytes]


_KINDS: dict[type, _Kind] = {
    int: _Kind(20, 1016, _number),
    bytes: _Kind(17, 1001, _octets),
    str: _Kind(25, 1009, _text),
}


class ColumnDumper(ListBinaryDumper):
    """Writes a column; each of its values once, however often it stands there."""

    _kind: type | None = None

    def get_key(self, obj: list[Any], format: PyFormat) -> DumperKey:  # noqa: A002
        """Return what lists that are written alike have in common."""
        kind = _kind_of(obj)
        return super().get_key(obj, format) if kind is None else (ColumnDumper, kind)

    def upgrade(self, obj: list[Any], format: PyFormat) -> BaseListDumper:  # noqa: A002
        """Return what writes such a list."""
        kind = _kind_of(obj)
        if kind is None:
            return super().upgrade(obj, format)
        dumper = ColumnDumper(self.cls, self._tx)
        dumper._kind, dumper.oid = kind, _KINDS[kind].array_oid
        return dumper

    def dump(self, obj: list[Any]) -> Any:
        """Return the array as the server reads it."""
        if self._kind is None:
            return super().dump(obj)
        kind, values = _KINDS[self._kind], set(obj)
        written = {value: kind.write(value) for value in values - {None}} | {None: _NULL}
        head = _HEAD.pack(1, None in values, kind.oid, len(obj), 1)
        return head + b"".join(map(written.__getitem__, obj))


def _kind_of(column: list[Any]) -> type | None:
    """Return the type of a column's values, None where it is not one that is written here."""
    kinds = set(map(type, column)) - {NoneType}
    kind = kinds.pop() if len(kinds) == 1 else NoneType
    if kind is int:
        numbers = [value for value in column if value is not None]
        if min(numbers) < _NUMBER_MIN or max(numbers) > _NUMBER_MAX:
            return None
    return kind if kind in _KINDS else None


def prepare(connection: Connection[Any]) -> None:
    """Let a new connection write and read as the rooms expect, and begin when it is told to.

    The driver's own BEGIN would be a message of its own, there and back, before the writer's turn.
    """
    connection.autocommit = True
    connection.adapters.register_loader("numeric", IntLoader)  # sums of bigint: whole numbers
    connection.adapters.register_dumper(list, ColumnDumper)


def lives(connection: Connection[Any]) -> bool:
    """Say whether a line that rests still lives: one that has something to say was ended."""
    asked = poll()
    asked.register(connection.fileno(), POLLIN)
    return not asked.poll(0)
