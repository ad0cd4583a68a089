"""A rated month's records as leaf hashes, account by account in the order of their ids.

DuckDB sorts within a memory limit; the leaves' octets are laid out column by column, so Python
does little for a record but hash it. `rated_leaf` is the readable twin.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as compute

from opencarrier.clearing.rated_leaf import FACTS, FIGURES, heads, line_id
from opencarrier.kernel.ids import ID_OCTETS
from opencarrier.kernel.refusals import PeerError

BATCH_ROWS: Final = 1 << 10
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
        self._outer = bytes(octet ^ 0x5C for octet in key)
        self._lines = [line_id(line) for line in lines]
        id_head, commitment_head, self._salt_head, facts_head = heads()
        self._layout = _Layout(
            (bytes(octet ^ 0x36 for octet in key), ID_OCTETS, b""),
            (id_head, ID_OCTETS, commitment_head),
            (facts_head, FACTS.size, b""),
        )

    def runs(self, batch: pa.RecordBatch) -> Iterator[Run]:
        """Hash a batch and yield its runs; rows ascend by account, then by id."""
        _check_ascending(batch)
        accounts = memoryview(_octets(batch.column("account"), 4)).cast("i").tolist()
        joined = _joined_ids(batch.column("usage_id"))
        leaves = self._leaves(self._rows(batch, joined))
        begin = 0
        while begin < len(accounts):
            end = bisect_right(accounts, accounts[begin], begin)
            yield Run(
                account=accounts[begin],
                usage_ids=joined[begin * ID_OCTETS : end * ID_OCTETS],
                leaves=b"".join(leaves[begin:end]),
            )
            begin = end

    def _leaves(self, rows: bytes) -> list[bytes]:
        """Hash each record: its salt (HMAC-SHA256, RFC 2104, written out), commitment and leaf.

        In one expression: a call more for a record would cost as much as a hash.
        """
        outer, salt_head, digest = self._outer, self._salt_head, sha256
        return [
            digest(
                named
                + digest(
                    salt_head + digest(outer + digest(keyed).digest()).digest() + facts
                ).digest()
            ).digest()
            for keyed, named, facts in self._layout.unpack(rows)
        ]

    def _rows(self, batch: pa.RecordBatch, joined: bytes) -> bytes:
        """Lay out what is hashed of each record, by one strided copy for each word of a row."""
        rows = bytearray(self._layout.blank * batch.num_rows)
        words, stride = memoryview(rows).cast("q"), len(self._layout.blank) // _WORD
        keyed, named, facts = self._layout.places
        ids = memoryview(joined).cast("q")
        numbers = memoryview(_octets(batch.column("line"), 4)).cast("i")
        lines = memoryview(b"".join(map(self._lines.__getitem__, numbers))).cast("q")
        for word in range(ID_WORDS):
            words[keyed + word :: stride] = words[named + word :: stride] = ids[word::ID_WORDS]
            words[facts + len(FIGURES) + word :: stride] = lines[word::ID_WORDS]
        for word, name in enumerate(FIGURES):
            words[facts + word :: stride] = memoryview(_octets(batch.column(name), 8)).cast("q")
        return bytes(rows)


class _Layout:
    """Rows of parts, each a head, octets to fill in whole words, and a tail; one `struct` a row."""

    def __init__(self, *parts: tuple[bytes, int, bytes]) -> None:
        form, self.blank, self.places = "", b"", []
        for head, octets, tail in parts:
            before, after = -len(head) % _WORD, -len(tail) % _WORD
            self.places.append((len(self.blank) + before + len(head)) // _WORD)
            self.blank += bytes(before) + head + bytes(octets) + tail + bytes(after)
            form += f"{before}x{len(head) + octets + len(tail)}s{after}x"
        self.unpack = Struct(form).iter_unpack


def stream(
    rated: Path, accounts: Mapping[int, int], spill: Path, memory_mib: int = MEMORY_MIB
) -> Iterator[pa.RecordBatch]:
    """Yield the records of the lines in `accounts` (line to account), each account's by id.

    Files that have no account in common are sorted apart, so that hardly anything is spilled.
    """
    files = [str(path) for path in sorted((rated / "rated").glob("*.parquet"))]
    with duckdb.connect() as database:
        database.execute("set threads = 1")
        database.execute(f"set memory_limit = '{memory_mib}MiB'")
        database.execute("set temp_directory = ?", [str(spill)])
        database.register("given", _account_table(accounts))
        for group in _groups(database, files):
            yield from database.sql(_ORDERED, params=[group]).to_arrow_reader(BATCH_ROWS)


def _groups(database: duckdb.DuckDBPyConnection, files: Sequence[str]) -> list[list[str]]:
    """Return files in groups: two that have records of one account are in the same one."""
    groups: list[tuple[set[int], list[str]]] = []
    for file in files:
        found = database.execute(_ACCOUNTS, [file]).fetchall()
        accounts, members = {account for (account,) in found}, [file]
        for group in [group for group in groups if not group[0].isdisjoint(accounts)]:
            groups.remove(group)
            accounts, members = accounts | group[0], group[1] + members
        groups.append((accounts, members))
    return [members for _, members in groups]


_ACCOUNTS: Final = """
select distinct given.account from read_parquet(?) join given using (line) where status = 0
"""
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


def _check_ascending(batch: pa.RecordBatch) -> None:
    ids, accounts = batch.column("usage_id"), batch.column("account")
    rises = compute.less(ids[:-1], ids[1:])
    twice = compute.and_not(compute.equal(accounts[:-1], accounts[1:]), rises)
    place = compute.index(twice, True).as_py()
    if place >= 0:
        raise PeerError("twice", f"usage {ids[place].as_py().hex()} is rated twice")
