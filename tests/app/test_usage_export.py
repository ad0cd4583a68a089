"""`usage export`: what was rated live comes out of the month's engine to the unit."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
from tests.app.scene import scene

from opencarrier.app.exporting import export_usage
from opencarrier.rating.agreements.rows import rows_of
from opencarrier.rating.engine.run import Order, rate
from opencarrier.spine.money import Kind, Role
from opencarrier.spine.usage import Status
from opencarrier.usage.dataset import read_records
from opencarrier.usage.record import check

LEGS = {
    Role.SELLER: "seller_minor",
    Role.HOST: "host_minor",
    Role.PROTOCOL: "protocol_minor",
    Role.TAX: "tax_minor",
}


def test_a_session_over_two_cycles_costs_the_same_live_and_in_the_month(tmp_path: Path) -> None:
    with scene(tmp_path / "data") as played:
        grant = played.authorise()
        played.use("a", octets=7_777_777, grant=grant, status=Status.INTERIM)
        played.use("b", octets=12_345, grant=None, seconds=10)
        played.settle()
        played.use("a", octets=9_999_991, grant=grant, seconds=700)
        played.settle()
        base = played.place.base
        told = export_usage(base, tmp_path / "usage")
        assert told["records"] == 3
        assert export_usage(base, tmp_path / "usage")["duplicates"] == 3
        with base.store.read() as unit:
            usages = list(base.usage.every(unit))
            live = {
                usage.usage_id: rated.wholesale
                for usage in usages
                if (rated := base.rating.rated(unit, usage.usage_id)) is not None
            }
            rows = [row for item in base.rating.agreements(unit) for row in rows_of(item)]
    records = list(read_records(tmp_path / "usage"))
    assert [check(item) for item in records] == [None] * 3
    assert sorted(item.from_octets_out for item in records) == [0, 0, 7_777_777]
    rate(Order(usage=tmp_path / "usage", rows=rows, subscribers=None, out=tmp_path / "out"))
    audit = pq.read_table(next((tmp_path / "out" / "rated").iterdir())).to_pylist()
    assert live
    assert {row["usage_id"] for row in audit if row["status"] == 0} == set(live)
    for row in audit:
        if row["status"] == 0:
            charge = live[row["usage_id"]]
            assert charge.kind is Kind.WHOLESALE
            legs: Counter[str] = Counter()
            for leg in charge.allocations:
                legs[LEGS[leg.role]] += leg.amount_minor
            assert {name: row[name] for name in LEGS.values()} == {
                name: legs[name] for name in LEGS.values()
            }


def test_the_command_tells_what_it_wrote(here, tmp_path: Path) -> None:
    here("operator", "add", "Lumen", "--jurisdiction", "FR")
    told = json.loads(here("usage", "export", "--out", str(tmp_path / "records"), "--json"))
    assert told == {"records": 0, "duplicates": 0, "files": 0, "refused": {}}
