"""Records as Arrow columns: the schema, rows to a table, a table's batches to records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

import pyarrow as pa

from opencarrier.usage.record import FIELDS, Field, UsageRecord
from opencarrier.usage.record_json import CODES

_TYPES: Final = {
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
}
WORDS: Final = frozenset(("party", "text", "letters"))


@cache
def arrow_schema() -> pa.Schema:
    """Return a dataset's columns: signed integers, octets of fixed size, words by dictionary.

    The pseudonym is marked as a UUID: engines then have it as one 128-bit number.
    """
    return pa.schema([pa.field(f.name, _type(f), nullable=f.nullable) for f in FIELDS])


@cache
def plain_schema() -> pa.Schema:
    """Return the same columns with words written out, as they are sorted and filtered."""
    return pa.schema([pa.field(f.name, _plain_type(f), nullable=f.nullable) for f in FIELDS])


def to_table(records: Sequence[UsageRecord]) -> pa.Table:
    """Turn records into a table of the plain schema."""
    columns = [
        _column(field, [getattr(record, field.name) for record in records]) for field in FIELDS
    ]
    return pa.Table.from_arrays(columns, schema=plain_schema())


def to_records(table: pa.Table | pa.RecordBatch) -> Iterator[UsageRecord]:
    """Turn rows back into records."""
    for row in table.to_pylist():
        yield UsageRecord(**{name: _value(name, value) for name, value in row.items()})


def _column(field: Field, values: list[Any]) -> pa.Array:
    kind = _plain_type(field)
    if isinstance(kind, pa.ExtensionType):
        return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))
    return pa.array(values, kind)


def _value(name: str, value: Any) -> Any:
    if name == "subject":
        return bytes.fromhex(value.replace("-", "")) if isinstance(value, str) else value.bytes
    return CODES[name](value) if name in CODES else value


def _type(field: Field) -> pa.DataType:
    plain = _plain_type(field)
    return pa.dictionary(pa.int32(), plain) if field.type in WORDS else plain


def _plain_type(field: Field) -> pa.DataType:
    if field.name == "subject":
        return pa.uuid()
    if field.type == "binary":
        return pa.binary(field.least)
    return pa.string() if field.type in WORDS else _TYPES[field.type]
