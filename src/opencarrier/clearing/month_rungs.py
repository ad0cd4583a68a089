"""A rated month by rung: records of sessions that both sides report alike are co-signed.

Each line is there twice, below for what is one-sided and above for what is co-signed, with sums of
its own; the records name the line of their rung. Everything else reads it as any rated month.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import duckdb

from opencarrier.clearing.rated_rows import MEMORY_MIB
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.usage import Rung

_VISITED: Final = """
select distinct visited from read_parquet(?) as rated join read_parquet(?) as lines using (line)
order by visited
"""
_SIGNED: Final = """
create or replace temp table signed as
select used.usage_id
from read_parquet($used, hive_partitioning = false) as used
semi join (
    select visited, home, session_id, service
    from read_parquet($matches)
    where rung = 2 and visited in ({visited})
        and paid_octets_in = claimed_octets_in
        and paid_octets_out = claimed_octets_out
        and paid_duration_s = claimed_duration_s
        and paid_units = claimed_units
) as matches
    on matches.visited = used.visited and matches.home is not distinct from used.home
    and matches.session_id = used.session_id and matches.service = used.service
where used.side = 1
"""
_RATED: Final = """
copy (
    select rated.* replace (
        case when usage_id in (select usage_id from signed)
            then line + {lines} else line end::integer as line
    )
    from read_parquet(?) as rated
) to '{target}' (compression lz4_raw)
"""
_SUMS: Final = """
copy (
    select line,
        count(*)::decimal(38, 0) as records,
        sum(amount)::decimal(38, 0) as amount,
        sum(seller_minor)::decimal(38, 0) as seller_minor,
        sum(host_minor)::decimal(38, 0) as host_minor,
        sum(protocol_minor)::decimal(38, 0) as protocol_minor,
        sum(tax_minor)::decimal(38, 0) as tax_minor
    from read_parquet('{folder}/rated/*.parquet')
    where status = 0 and line is not null group by line order by line
) to '{folder}/line_sums.parquet'
"""
_LINES: Final = """
copy (
    select * replace (line + {lines} * place_of_rung as line), (1 + place_of_rung)::tinyint as rung
    from read_parquet(?), (values (0), (1)) as rungs(place_of_rung)
    order by line
) to '{folder}/lines.parquet'
"""


def by_rung(
    rated: Path, matched: Path, usage: Path, folder: Path, memory_mib: int = MEMORY_MIB
) -> Path:
    """Write a rated month by rung into a folder and return it; `PeerError` for what is missing.

    A session counts where what is paid is all that was claimed: where the other side has less, its
    records stay one-sided, for a rung says nothing of another amount. A file of records is of
    whole visited operators, so one is done at a time: memory follows the largest.
    """
    assert (Rung.ONE_SIDED, Rung.CO_SIGNED) == (1, 2), "as the lines say"
    matches = _files(matched / "matches", "outcomes")
    used, records = _files(usage, "usage records"), _files(rated / "rated", "rated records")
    lines = str(rated / "lines.parquet")
    (folder / "rated").mkdir(parents=True)
    with duckdb.connect() as database:
        database.execute("set threads = 1")
        database.execute(f"set memory_limit = '{memory_mib}MiB'")
        database.execute("set temp_directory = ?", [str(folder / "spill")])
        ((count,),) = database.execute("select count(*) from read_parquet(?)", [lines]).fetchall()
        for path in records:
            visited = [name for (name,) in database.execute(_VISITED, [path, lines]).fetchall()]
            _sign(database, visited, used, matches)
            target = folder.joinpath("rated", Path(path).name)
            database.execute(_RATED.format(lines=count, target=target), [path])
        database.execute(_SUMS.format(folder=folder))
        database.execute(_LINES.format(lines=count, folder=folder), [lines])
    return folder


def _sign(
    database: duckdb.DuckDBPyConnection,
    visited: Sequence[str],
    used: Sequence[str],
    matches: Sequence[str],
) -> None:
    """Find which records of some visited operators both sides report alike."""
    folders = {f"visited={name}" for name in visited}
    theirs = [path for path in used if Path(path).parent.name in folders]
    if not theirs:
        database.execute("create or replace temp table signed (usage_id blob)")
        return
    names = ", ".join("'" + name.replace("'", "''") + "'" for name in visited)
    database.execute(_SIGNED.format(visited=names), {"used": theirs, "matches": list(matches)})


def _files(folder: Path, what: str) -> list[str]:
    found = sorted(str(path) for path in folder.rglob("*.parquet"))
    if not found:
        raise PeerError("matched", f"{folder} holds no {what}")
    return found
