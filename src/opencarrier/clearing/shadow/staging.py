"""Rows of statements as Parquet, a bounded batch at a time, for the comparison to read again."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from opencarrier.clearing.shadow.model import NANO_DECIMALS, ShadowOrder
from opencarrier.spine.statements import StatementForm, StatementRow, Unread

BATCH_ROWS: Final = 1 << 14
_TEXTS: Final = frozenset(("home", "visited", "period", "currency"))
_TYPES: Final = {"key": pa.binary(), "service": pa.int8(), "is_adjustment": pa.bool_()}
_SCHEMA: Final = pa.schema(
    [
        *(
            (name, pa.string() if name in _TEXTS else _TYPES.get(name, pa.int64()))
            for name in StatementRow._fields
        ),
        ("beside", pa.bool_()),
        ("unit_nano", pa.int64()),
    ]
)


def stage(order: ShadowOrder, form: StatementForm, path: Path, refused: Path) -> Counter[str]:
    """Write what was read of all statements, and what was refused as CSV; count that by reason."""
    counts: Counter[str] = Counter()
    with pq.ParquetWriter(path, _SCHEMA) as writer, refused.open("w", newline="") as file:
        told = csv.writer(file, lineterminator="\n")
        told.writerow(("statement", "offset", "reason", "detail"))
        for items, is_beside in ((order.statement, False), (order.beside, True)):
            name = "beside" if is_beside else "statement"
            rows = _rows(items, name, told, counts)
            while batch := list(islice(rows, BATCH_ROWS)):
                writer.write_table(_table(batch, form, is_beside=is_beside))
    return counts


def _rows(
    items: Iterable[StatementRow | Unread], name: str, told: Any, counts: Counter[str]
) -> Iterator[StatementRow]:
    for item in items:
        if isinstance(item, Unread):
            told.writerow((name, *item))
            counts[item.reason] += 1
        else:
            yield item


def _table(rows: Sequence[StatementRow], form: StatementForm, *, is_beside: bool) -> pa.Table:
    unit_nano = 10 ** (NANO_DECIMALS - form.decimals)
    columns = [*zip(*rows, strict=True), [is_beside] * len(rows), [unit_nano] * len(rows)]
    arrays = [pa.array(values, kind.type) for values, kind in zip(columns, _SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_SCHEMA)
