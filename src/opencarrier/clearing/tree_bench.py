"""What the tree over every record of a month costs, beside the hashes it cannot do without."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import repeat
from pathlib import Path
from typing import Any, Final

import duckdb

from opencarrier.clearing.month import build_trees
from opencarrier.clearing.rated_leaf import FACTS, heads
from opencarrier.clearing.rated_rows import RowHasher, stream
from opencarrier.kernel.ids import ID_OCTETS
from opencarrier.kernel.money import PPM

RECORDS: Final = 1_000_000
PAIRS: Final = 1_000
_MS: Final = 1_000_000
_HMAC_OCTETS: Final = 64 + ID_OCTETS
_NODE_OCTETS: Final = 1 + 2 * ID_OCTETS


def run(records: int = RECORDS) -> dict[str, int]:
    """Make a rated month of random records and build its tree; CPU in milliseconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pairs = min(PAIRS, records)
        _make(folder, records, pairs)
        lines = [
            {"agreement_hash": bytes(32), "place": place, "currency": "", "rate": 1, "decimals": 0}
            for place in range(pairs)
        ]
        return measure(folder, lines, {line: line for line in range(pairs)}, folder / "tree")


def measure(
    rated: Path, lines: Sequence[Mapping[str, Any]], accounts: Mapping[int, int], out: Path
) -> dict[str, int]:
    """Build the tree of a rated month in a new folder, then do its hashes bare in the same run."""
    started_ns = time.process_time_ns()
    hasher = RowHasher(bytes(32), lines)
    batches = stream(rated, accounts, out.with_name("spill"))
    runs = (part for batch in batches for part in hasher.runs(batch))
    sizes = [placed.size for _, placed in build_trees(runs, out)]
    tree_ns = time.process_time_ns() - started_ns
    floor_ns = _floor_ns(sum(sizes), sum(size - 1 for size in sizes))
    return {
        "records": sum(sizes),
        "trees": len(sizes),
        "hashes": 4 * sum(sizes) + sum(size - 1 for size in sizes),
        "tree_cpu_ms": tree_ns // _MS,
        "floor_cpu_ms": floor_ns // _MS,
        "tree_ppm_of_floor": tree_ns * PPM // floor_ns,
    }


def _floor_ns(leaves: int, nodes: int) -> int:
    """Hash as many octets as often: two for a salt, commitment and leaf, and the nodes above."""
    id_head, commitment_head, salt_head, facts_head = heads()
    keyed, node = bytes(_HMAC_OCTETS), bytes(_NODE_OCTETS)
    leaf = bytes(len(id_head + commitment_head) + 2 * ID_OCTETS)
    part = bytes(len(salt_head + facts_head) + ID_OCTETS + FACTS.size)
    started_ns = time.process_time_ns()
    for _ in repeat(None, leaves):
        sha256(keyed).digest()
        sha256(keyed).digest()
        sha256(part).digest()
        sha256(leaf).digest()
    for _ in repeat(None, nodes):
        sha256(node).digest()
    return time.process_time_ns() - started_ns


def _make(folder: Path, records: int, pairs: int) -> None:
    """Write rated records as the engine does, with ids and figures that follow from a count."""
    (folder / "rated").mkdir()
    with duckdb.connect() as database:
        database.execute(_RECORDS.format(records=records, pairs=pairs, out=folder))


_RECORDS: Final = """
copy (
    select unhex(sha256(n::varchar)) as usage_id, (hash(n) % {pairs})::integer as line,
        (hash(n + 1) % 1000000000)::bigint as amount, 0::integer as discount_ppm,
        0::tinyint as status,
        (hash(n + 2) % 1000000)::bigint as seller_minor,
        (hash(n + 3) % 1000000)::bigint as host_minor,
        (hash(n + 4) % 1000)::bigint as protocol_minor, (hash(n + 5) % 1000)::bigint as tax_minor
    from range({records}) numbers(n)
) to '{out}/rated/0000.parquet' (format parquet, compression snappy)
"""
