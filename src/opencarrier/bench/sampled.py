"""Records drawn from a rated month, rated one by one by the readable rules and compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import duckdb

from opencarrier.bench import month as months
from opencarrier.bench.month import Month
from opencarrier.rating.agreements.rows import Row
from opencarrier.rating.reasons import SuspenseReason
from opencarrier.rating.rules import v2

SAMPLE: Final = 100_000
LEGS: Final = ("seller_minor", "host_minor", "protocol_minor", "tax_minor")
Terms = Mapping[tuple[str, str, int], list[Row]]


def compare(folder: Path, month: Month, sample: int = SAMPLE) -> dict[str, int]:
    """Rate a sample by `rules/v2`; tell how many records were drawn, and of how many all agrees."""
    terms: defaultdict[tuple[str, str, int], list[Row]] = defaultdict(list)
    for row in months.rows(month):
        terms[row.home, row.visited, int(row.service)].append(row)
    drawn = agreed = 0
    for record in _draw(folder, month, sample):
        said = _by_rules(record, terms)
        drawn += 1
        agreed += said == {name: record[name] for name in said}
    return {"sampled": drawn, "agreed": agreed}


def _by_rules(record: Mapping[str, Any], terms: Terms) -> dict[str, int | None]:
    """Return what the audit file must say of a record."""
    at_us = record["start_us"] if record["tariff_at_us"] is None else record["tariff_at_us"]
    rows = terms.get((record["home"], record["visited"], record["service"]), [])
    found = [row for row in rows if row.valid_from_us <= at_us < row.valid_until_us]
    if not found:
        return {"status": int(SuspenseReason.NO_AGREEMENT), **dict.fromkeys(LEGS)}
    (line,) = found
    used = v2.Amounts(**{name: record[name] for name in v2.Amounts.__slots__})
    assert not any(record[f"from_{name}"] for name in v2.Amounts.__slots__), "none goes on"
    rated = v2.rate(
        line,
        line.protocol_ppm,
        before=v2.NOTHING,
        used=used,
        discount_ppm=record["told_discount_ppm"],
    )
    legs = {name: getattr(rated.legs, name) for name in LEGS}
    return {
        "status": 0,
        "amount": v2.quantity(line.unit, used),
        "discount_ppm": record["told_discount_ppm"],
        **legs,
    }


def _draw(folder: Path, month: Month, sample: int) -> Iterator[dict[str, Any]]:
    """Yield as many records as asked for, those on which the seed's dice fall lowest."""
    files = {
        "usage": str(folder / "usage" / months.VISITED_FILES),
        "rated": str(folder / "rated/rated/*.parquet"),
        "subscribers": str(folder / "subscribers.parquet"),
    }
    with duckdb.connect() as database:
        database.execute("set threads = 2")
        database.execute("set memory_limit = '800MiB'")
        database.execute(months.MIX)
        values = {"sample": sample, "seed": month.seed * months.SEED_STEP}
        database.execute(_CHOSEN.format(**files), values)
        found = database.execute(_DRAWN.format(**files))
        names = [column[0] for column in found.description or ()]
        while row := found.fetchone():
            yield dict(zip(names, row, strict=True))


_CHOSEN: Final = """
create temp table chosen as
select usage_id from read_parquet('{usage}', hive_partitioning = false)
order by mix(source_offset * 8 + 7 + $seed), source_offset limit $sample
"""
_DRAWN: Final = """
select used.* exclude (usage_id, subject), audit.*,
    coalesce(off.discount_ppm, 0) as told_discount_ppm
from (
    select usage_id, subject, home, visited, service, start_us, tariff_at_us,
        octets_in, octets_out, duration_s, units,
        from_octets_in, from_octets_out, from_duration_s, from_units
    from read_parquet('{usage}', hive_partitioning = false) semi join chosen using (usage_id)
) as used
join (
    select * from read_parquet('{rated}') semi join chosen using (usage_id)
) as audit using (usage_id)
left join read_parquet('{subscribers}') as off on off.subject = used.subject
"""
