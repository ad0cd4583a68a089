"""A month of a network from a seed: its usage records as files, its lines, its discounts.

400 operators, each with 16 partners and itself; three services, two validities: 40,800 rows.
A few users have most of the use (a power law); the logarithm of a volume is a sum of coin tosses, a
few are 8 TiB; one record in two thousand is of a home without agreement. Of eighty sessions in a
hundred the home tells its meter too, in a file beside the visited operator's: of these one in a
hundred is apart beyond tolerance, five within. All of it is integer arithmetic on a mixed counter,
so that a seed gives the same month wherever it is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import AssetId
from opencarrier.rating.agreements.rows import ANY, Row
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Service, Side
from opencarrier.usage.columns import arrow_schema
from opencarrier.usage.dataset import REPEATED
from opencarrier.usage.record import FIELDS

OPERATORS: Final = 400
PARTNERS: Final = 17
"""Homes whose subscribers an operator serves: sixteen partners' and its own."""

START_US: Final = 1_772_323_200_000_000
DAY_US: Final = 86_400_000_000
DAYS: Final = 31
MIDDLE_US: Final = START_US + 14 * DAY_US
END_US: Final = (1 << 63) - 1
MONTH_RECORDS: Final = 23_000_000
RECORDS_PER_USER: Final = 10
SERVICES: Final = (Service.WIFI, Service.VOICE, Service.EVENT)
DISCOUNTS_PPM: Final = (0, 50_000, 100_000, 200_000, 333_333)
ASSET: Final = AssetId("issuer/EUR")

VISITED_FILES: Final = "*/*/visited.parquet"
HOME_FILES: Final = "*/*/home.parquet"

SEED_STEP: Final = 1_000_003
"""How far apart the dice of two seeds are."""

_STRIDE: Final = 23
_MASK: Final = (1 << 32) - 1
_FIRST: Final = 2_146_121_005
_SECOND: Final = 1_812_433_253


@dataclass(frozen=True, slots=True)
class Month:
    """How much is made: below 23 million records the month has fewer days, equally full."""

    records: int
    seed: int = 1

    @property
    def days(self) -> int:
        """Days that have records."""
        return min(DAYS, max(1, self.records * DAYS // MONTH_RECORDS))

    @property
    def users(self) -> int:
        """Subscribers, of all homes."""
        return max(OPERATORS, self.records // RECORDS_PER_USER)

    @property
    def nodes(self) -> int:
        """Nodes of one operator."""
        return max(1, self.records * 17 // 230 // OPERATORS)


def mix(number: int) -> int:
    """Scatter a number over 32 bits; no step leaves 63, so that SQL does the same."""
    number = (number ^ number >> 16) & _MASK
    number = number * _FIRST & _MASK
    number = (number ^ number >> 15) * _SECOND & _MASK
    return number ^ number >> 16


def party(number: int) -> PartyId:
    """Name an operator."""
    return PartyId(f"op_{number:032x}")


def home_of(visited: int, partner: int) -> int:
    """Return the home of an operator's partner by its place; 0 is the operator itself."""
    return (visited + partner * _STRIDE) % OPERATORS


def rows(month: Month) -> Iterator[Row]:
    """Yield every line in force, 40,800 in all."""
    for visited in range(OPERATORS):
        for partner in range(PARTNERS):
            for service in SERVICES:
                for half in (0, 1):
                    yield _row(month, visited, partner, service, half)


def write_usage(month: Month, folder: Path) -> None:
    """Write the records as a dataset is: by day and visited operator."""
    with duckdb.connect() as database:
        database.execute("set threads = 1")
        database.execute("set preserve_insertion_order = true")
        database.execute(MIX)
        for visited in range(OPERATORS):
            table = _records(database, month, visited)
            for day in range(month.days):
                _write_day(table, folder, visited, day)


def write_subscribers(month: Month, file: Path) -> None:
    """Write what each subscriber has off."""
    with duckdb.connect() as database:
        database.execute(
            _SUBSCRIBERS,
            {"users": month.users, "discounts": list(DISCOUNTS_PPM), "file": str(file)},
        )


@lru_cache(maxsize=16)
def _agreement(visited: int, home: int) -> Id:
    return derive("agreement", "month", visited, home)


def _row(month: Month, visited: int, partner: int, service: Service, half: int) -> Row:
    home = home_of(visited, partner)
    dice = mix(mix(visited * 512 + home) * 8 + service + half + month.seed)
    step = {
        Service.WIFI: (1, 10_240, 1_024),
        Service.VOICE: (1, 30, 60),
        Service.EVENT: (1, 1, 1),
    }[service][dice % 3]
    return Row(
        agreement_hash=_agreement(visited, home),
        place=half,
        home=party(home),
        visited=party(visited),
        service=service,
        qos=ANY,
        rcoi=ANY,
        valid_from_us=MIDDLE_US if half else 0,
        valid_until_us=END_US if half else MIDDLE_US,
        unit=_UNITS[service],
        first_step=step,
        next_step=step,
        price_nano=(1 + dice % 5) * step * _NANO_PER_UNIT[service],
        fixed_minor=0,
        minimum_minor=1_000 * (dice >> 8 & 1),
        currency="",
        tax_ppm=(0, 190_000, 200_000, 255_000)[visited % 4],
        tax_included=visited % 8 == 1,
        host_ppm=(550_000, 650_000, 700_000)[visited % 3],
        protocol_ppm=10_000,
        in_band=False,
        rate=1,
        decimals=0,
        asset=ASSET,
        protocol_party=party(OPERATORS),
        tax_party=PartyId(f"tax_{visited % 190:032x}"),
    )


_NANO_PER_UNIT: Final = {Service.WIFI: 1, Service.VOICE: 100_000, Service.EVENT: 3_333_333}
_UNITS: Final = {
    Service.WIFI: "octets_total",
    Service.VOICE: "duration_s",
    Service.EVENT: "units",
}


def _records(database: duckdb.DuckDBPyConnection, month: Month, visited: int) -> pa.Table:
    """Make an operator's records, by day and in a partition's order."""
    share, rest = divmod(month.records, OPERATORS)
    values = {
        "first": visited * share + min(visited, rest),
        "count": share + (visited < rest),
        "seed": month.seed * SEED_STEP,
        "homes": [party(home_of(visited, partner)) for partner in range(PARTNERS)],
        "places": [home_of(visited, partner) for partner in range(PARTNERS)],
        "visited": party(visited),
        "prefix": f"n{visited:03d}-",
        "users": month.users // OPERATORS,
        "nodes": month.nodes,
        "operators": OPERATORS,
        "days": month.days,
        "start_us": START_US,
    }
    made: pa.Table = database.sql(_RECORDS, params=values).to_arrow_table()
    return made


def _write_day(table: pa.Table, folder: Path, visited: int, day: int) -> None:
    days = table.column("day")
    first, last = _span(days, day)
    if first == last:
        return
    part = table.slice(first, last - first)
    target = folder / f"day=2026-03-{day + 1:02d}" / f"visited={party(visited)}"
    target.mkdir(parents=True)
    _write(part, target / "visited.parquet")
    _write(_told_by_home(part), target / "home.parquet")


def _told_by_home(part: pa.Table) -> pa.Table:
    """Return what the homes' meters say of the sessions they tell of; they know no node."""
    told = part.filter(part.column("home_tells"))
    count = told.num_rows
    said = {name: told.column(f"home_{name}") for name in ("octets_out", "duration_s", "units")}
    changed = {
        **said,
        "side": pa.array([int(Side.HOME)] * count, pa.int8()),
        "reporter": told.column("home"),
        "node": pa.nulls(count, pa.string()),
    }
    for name, column in changed.items():
        told = told.set_column(told.column_names.index(name), name, column)
    return told


def _write(part: pa.Table, file: Path) -> None:
    columns = [_column(part, field.name) for field in FIELDS]
    rows = pa.Table.from_arrays(columns, schema=arrow_schema())
    pq.write_table(rows, file, compression="zstd", use_dictionary=list(REPEATED))


def _span(days: pa.ChunkedArray, day: int) -> tuple[int, int]:
    """Return where a day's rows are among rows in the order of days."""
    below = pc.sum(pc.less(days, day)).as_py()
    return below, below + pc.sum(pc.equal(days, day)).as_py()


def _column(part: pa.Table, name: str) -> pa.ChunkedArray | pa.Array:
    """Return a column in the dataset's type; what the month does not say is empty or zero."""
    kind = arrow_schema().field(name).type
    if name not in part.column_names:
        nothing = pa.nulls(part.num_rows, kind)
        return nothing if arrow_schema().field(name).nullable else _zeros(part.num_rows, kind)
    column = part.column(name).combine_chunks()
    if isinstance(kind, pa.ExtensionType):
        return pa.ExtensionArray.from_storage(kind, column.cast(kind.storage_type))
    return column.cast(kind)


def _zeros(count: int, kind: pa.DataType) -> pa.Array:
    value = bytes(kind.byte_width) if pa.types.is_fixed_size_binary(kind) else 0
    return pa.repeat(pa.scalar(value).cast(kind), count)


MIX: Final = f"""
create macro once(x) as (xor(x, x >> 16) & {_MASK}) * {_FIRST} & {_MASK};
create macro twice(x) as (xor(once(x), once(x) >> 15) * {_SECOND}) & {_MASK};
create macro mix(x) as xor(twice(x), twice(x) >> 16);
"""

_RECORDS: Final = """
with
counted as (select $first + range as number from range($count)),
tossed as (
    select
        number,
        mix(number * 8 + $seed) as a, mix(number * 8 + 1 + $seed) as b,
        mix(number * 8 + 2 + $seed) as c, mix(number * 8 + 3 + $seed) as d,
        mix(number * 8 + 4 + $seed) as e, mix(number * 8 + 5 + $seed) as f,
        mix(number * 8 + 6 + $seed) as g
    from counted
),
placed as (
    select
        *,
        a % 17 as partner,
        case when a // 17 % 100 < 90 then 1 when a // 17 % 100 < 97 then 3 else 5 end as service,
        -- The cube of a uniform number: few users have most of the use.
        (((b >> 1) * (b >> 1) >> 31) * (b >> 1) >> 31) * $users >> 31 as user,
        c * $days * 86400 >> 32 as second,
        case
            when d % 100003 = 0 then 8796093022208
            else (64::bigint << bit_count((d & 1073741823)::bigint)) + f % 4096
        end as octets,
        g // 100 % 100 as apart
    from tossed
)
select
    unhex(sha256('usage' || number)) as usage_id,
    unhex(sha256('session' || number)) as session_id,
    1 as kind, true as is_final, 1 as side, 1 as rat,
    $visited as reporter, $visited as visited,
    case when e % 2000 = 0 then 'op_stranger' else $homes[partner + 1] end as home,
    unhex(md5('user' || (user * $operators + $places[partner + 1]))) as subject,
    $prefix || lpad((f % $nodes)::varchar, 6, '0') as node,
    'AA' as jurisdiction_home, 'BB' as jurisdiction_visited,
    service,
    second // 86400 as day,
    $start_us + second * 1000000 + e % 1000000 as start_us,
    $start_us + second * 1000000 + e % 1000000 + (1 + f % 7200) * 1000000 as end_us,
    case when service = 1 then octets // 8 else 0 end as octets_in,
    case when service = 1 then octets - octets // 8 else 0 end as octets_out,
    case when service <> 5 then 1 + f % 7200 else 0 end as duration_s,
    case when service = 5 then 1 else 0 end as units,
    number as source_offset,
    $start_us as ingested_us,
    'month/1' as decoder,
    -- Beyond tolerance at 0: half of it, or an event more; within it at 1 to 5: a hundredth less.
    g % 100 < 80 and e % 2000 <> 0 as home_tells,
    case
        when apart = 0 then octets_out // 2
        when apart <= 5 then octets_out - octets_out // 100
        else octets_out
    end as home_octets_out,
    case
        when apart = 0 then duration_s // 2
        when apart <= 5 then duration_s - duration_s // 100
        else duration_s
    end as home_duration_s,
    case when apart = 0 and service = 5 then 2 else units end as home_units
from placed
order by day, home, service, node, start_us
"""

_SUBSCRIBERS: Final = """
copy (
    select md5('user' || range)::uuid as subject, $discounts[1 + range % 5]::integer as discount_ppm
    from range($users)
) to $file (format parquet, compression zstd)
"""
