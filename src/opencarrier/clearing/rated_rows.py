"""A rated month's records as leaf hashes, account by account in the order of their ids.

DuckDB sorts within a memory limit; the leaves' octets are laid out column by column, so Python
does little for a record but hash it. `rated_leaf` is the readable twin.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from operator import lt
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as compute

from opencarrier.clearing.rated_leaf import FACTS, FIGURES, heads, line_id
from opencarrier.kernel.ids import ID_OCTETS
from opencarrier.kernel.refusals import PeerError

BATCH_ROWS: Final = 1 << 13
"""Records laid out at once: their octets stay within a core's cache."""
MEMORY_MIB: Final = 800
_HASH_BLOCK: Final = 64
_WORD: Final = 8
ID_WORDS: Final = ID_OCTETS // _WORD


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Records of one account that stand together: ids and leaf hashes, 32 octets each."""

    account: int
    usage_ids: bytes
    leaves: bytes


class RowHasher:
    """Hashes leaves by the batch, with a cycle's secret and the lines of a run of rating."""

    def __init__(self, secret: bytes, lines: Sequence[Mapping[str, Any]]) -> None:
        key = secret.ljust(_HASH_BLOCK, b"\0")
        assert len(key) == _HASH_BLOCK
        self._inner = bytes(octet ^ 0x36 for octet in key)
        self._outer = bytes(octet ^ 0x5C for octet in key)
        self._lines = [line_id(line) for line in lines]
        self._id_head, self._commitment_head, self._salt_head, self._facts_head = heads()

    def runs(self, batch: pa.RecordBatch) -> Iterator[Run]:
        """Hash a batch and yield its runs; rows ascend by account, then by id."""
        accounts = memoryview(_octets(batch.column("account"), 4)).cast("i").tolist()
        joined = _joined_ids(batch.column("usage_id"))
        ids = [joined[place : place + ID_OCTETS] for place in range(0, len(joined), ID_OCTETS)]
        leaves = self._leaves(batch, ids)
        begin = 0
        while begin < len(accounts):
            end = bisect_right(accounts, accounts[begin], begin)
            _check_ascending(ids[begin:end])
            yield Run(
                account=accounts[begin],
                usage_ids=joined[begin * ID_OCTETS : end * ID_OCTETS],
                leaves=b"".join(leaves[begin:end]),
            )
            begin = end

    def _leaves(self, batch: pa.RecordBatch, ids: Sequence[bytes]) -> list[bytes]:
        """Hash each record: its salt (HMAC-SHA256, RFC 2104, written out), commitment and leaf.

        In one expression: a call more for a record would cost as much as a hash.
        """
        rows, begin, width = self._facts(batch)
        inner, outer, digest = self._inner, self._outer, sha256
        id_head, commitment_head = self._id_head, self._commitment_head
        salt_head = self._salt_head
        return [
            digest(
                id_head
                + usage_id
                + commitment_head
                + digest(
                    salt_head
                    + digest(outer + digest(inner + usage_id).digest()).digest()
                    + rows[place + begin : place + width]
                ).digest()
            ).digest()
            for place, usage_id in zip(range(0, len(rows), width), ids, strict=True)
        ]

    def _facts(self, batch: pa.RecordBatch) -> tuple[bytes, int, int]:
        """Lay out the facts with their head, by one strided copy for each word of the width.

        Returned with where a row's head begins in it, and with a row's width.
        """
        head = self._facts_head.rjust(_WORD, b"\0")
        width = len(head) + FACTS.size
        rows = bytearray((head + bytes(FACTS.size)) * batch.num_rows)
        words, stride = memoryview(rows).cast("q"), width // _WORD
        for word, name in enumerate(FIGURES, start=1):
            words[word::stride] = memoryview(_octets(batch.column(name), 8)).cast("q")
        numbers = memoryview(_octets(batch.column("line"), 4)).cast("i")
        lines = memoryview(b"".join(map(self._lines.__getitem__, numbers))).cast("q")
        for word in range(ID_WORDS):
            words[1 + len(FIGURES) + word :: stride] = lines[word::ID_WORDS]
        return bytes(rows), len(head) - len(self._facts_head), width


def stream(
    rated: Path, accounts: Mapping[int, int], spill: Path, memory_mib: int = MEMORY_MIB
) -> Iterator[pa.RecordBatch]:
    """Yield the records of the lines in `accounts` (line to account), by account and id."""
    files = [str(path) for path in sorted((rated / "rated").glob("*.parquet"))]
    if not files:
        return
    with duckdb.connect() as database:
        database.execute("set threads = 1")
        database.execute(f"set memory_limit = '{memory_mib}MiB'")
        database.execute("set temp_directory = ?", [str(spill)])
        database.register("given", _account_table(accounts))
        yield from database.sql(_ORDERED, params=[files]).to_arrow_reader(BATCH_ROWS)


_ORDERED: Final = """
select given.account, usage_id, line, amount, discount_ppm::bigint as discount_ppm,
    seller_minor, host_minor, protocol_minor, tax_minor
from read_parquet(?) join given using (line)
where status = 0
order by given.account, usage_id
"""


def _account_table(accounts: Mapping[int, int]) -> pa.Table:
    return pa.table(
        {
            "line": pa.array(accounts.keys(), pa.int32()),
            "account": pa.array(accounts.values(), pa.int32()),
        }
    )


def _octets(column: pa.Array, width: int) -> bytes:
    """Return a column of integers as they lie in memory; none of them is null."""
    assert column.null_count == 0, "a rated record has every figure"
    octets = memoryview(column.buffers()[1])
    return bytes(octets[column.offset * width : (column.offset + len(column)) * width])


def _joined_ids(column: pa.Array) -> bytes:
    """Return a column of ids as they lie in memory, one behind the other."""
    lengths = compute.min_max(compute.binary_length(column)).as_py()
    if column.null_count or lengths != {"min": ID_OCTETS, "max": ID_OCTETS}:
        raise PeerError("usage_id", "an id has 32 octets")
    _, offsets, octets = column.buffers()
    begin = memoryview(offsets).cast("i")[column.offset]
    return bytes(memoryview(octets)[begin : begin + ID_OCTETS * len(column)])


def _check_ascending(ids: Sequence[bytes]) -> None:
    if not all(map(lt, ids, ids[1:])):
        twice = next(one for one, other in pairwise(ids) if one >= other)
        raise PeerError("twice", f"usage {twice.hex()} is rated twice")
