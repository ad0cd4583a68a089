"""What each node earned in a cleared month, in the asset: a position's host leg, to the unit.

Nodes share the leg of their operator in the order of their names: a node has what is due up to it,
rounded down, less what was due before it. So the parts sum to the leg, none is off by one or more,
and nothing depends on the order of records.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from opencarrier.clearing.placed_positions import PlacedPosition
from opencarrier.clearing.rated_rows import MEMORY_MIB
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.money import Role

FILE: Final = "earnings.parquet"
_SUM: Final = pa.decimal128(38, 0)
_GROUPS: Final = pa.schema(
    [
        *((name, pa.string()) for name in ("visited", "asset", "currency")),
        ("rate", pa.int64()),
        ("decimals", pa.int64()),
        ("total", _SUM),
        ("leg", _SUM),
    ]
)

_UNLIKE: Final = """
select visited, asset from (
    select visited, asset, currency, rate, decimals, sum(host_minor)::decimal(38, 0) as earned
    from read_parquet(?) group by all having sum(host_minor) > 0
) full join groups using (visited, asset, currency, rate, decimals)
where total is distinct from earned limit 1
"""

_EARNED: Final = """
copy (
    select
        visited, node, asset, currency, records,
        (leg * due // total - leg * (due - own) // total)::decimal(38, 0) as earned_minor
    from (
        select
            nodes.*, host_minor::hugeint as own, leg::hugeint as leg, total::hugeint as total,
            sum(host_minor::hugeint) over (
                partition by visited, asset, currency, rate, decimals
                order by node rows unbounded preceding
            )::hugeint as due
        from read_parquet(?) as nodes
        join groups using (visited, asset, currency, rate, decimals)
    )
    order by visited, asset, currency, rate, decimals, node
) to '{}' (compression zstd)
"""


def write_earnings(
    rated: Path, placed: Iterable[PlacedPosition], folder: Path, memory_mib: int = MEMORY_MIB
) -> None:
    """Write a row a node; `PeerError` where the nodes' sums are not those of the positions."""
    nodes = rated / "nodes.parquet"
    if not nodes.exists():
        raise PeerError("rated", f"{rated} holds no rated month: {nodes.name} is missing")
    with duckdb.connect() as database:
        database.execute("set threads = 1")
        database.execute(f"set memory_limit = '{memory_mib}MiB'")
        database.execute("set temp_directory = ?", [str(folder / "spill")])
        database.register("groups", _groups(placed))
        unlike = database.execute(_UNLIKE, [str(nodes)]).fetchone()
        if unlike is not None:
            raise PeerError("nodes", f"nodes of {unlike[0]} earned another sum than its lines")
        try:
            database.execute(_EARNED.format(folder / FILE), [str(nodes)])
        except duckdb.OutOfRangeException:
            raise PeerError("amount", "what nodes earned is beyond 128 bits") from None


def _groups(placed: Iterable[PlacedPosition]) -> pa.Table:
    """Sum host shares and host legs by operator, asset, currency and rate."""
    sums: defaultdict[tuple[str, str, str, int, int], list[int]] = defaultdict(lambda: [0, 0])
    for item in placed:
        account = item.account
        if account.host_minor:
            key = (
                account.creditor,
                account.asset,
                account.currency,
                account.rate,
                account.decimals,
            )
            sums[key][0] += account.host_minor
            sums[key][1] += sum(
                leg.amount_minor for leg in item.position.legs if leg.role is Role.HOST
            )
    rows = [dict(zip(_GROUPS.names, (*key, *sums[key]), strict=True)) for key in sorted(sums)]
    return pa.Table.from_pylist(rows, schema=_GROUPS)
