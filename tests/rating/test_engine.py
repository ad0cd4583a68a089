"""The engine over Parquet: `rules/v2` record by record, exact sums, whatever the partition."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.engine import run as engine
from opencarrier.rating.engine.run import Order, merge, rate
from opencarrier.rating.engine.tables import line_table
from opencarrier.spine.records import Qos, RcoiClass, RecordKind, Service, Side

from . import months
from .months import AT_US, DAY_US, FAR_US, LEGS, MIDDLE_US, record, row

FEW = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}


@given(st.data())
@settings(max_examples=12, **FEW)
def test_sql_and_rules_agree_record_by_record(tmp_path_factory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("run")
    uses = [data.draw(months.uses(number)) for number in range(data.draw(st.integers(1, 30)))]
    rows = [
        data.draw(months.lines(valid_until_us=MIDDLE_US)),
        data.draw(months.lines(valid_from_us=MIDDLE_US, rcoi=RcoiClass.SETTLED)),
        data.draw(months.lines(valid_from_us=MIDDLE_US, rcoi=RcoiClass.NONE, qos=Qos.GOLD)),
    ]
    discounts = {derive("subject", n)[:16]: data.draw(months.PPMS) for n in range(3)}
    file = months.subscribers(folder, discounts)
    months.run(folder, uses, rows, subscribers=file)
    found, wanted = months.rated(folder / "out"), months.by_rules(uses, rows, discounts)
    assert found.keys() == wanted.keys()
    for usage_id, entry in wanted.items():
        assert {name: found[usage_id][name] for name in entry} == entry
    pairs, nodes = months.sums(uses, rows, found)
    assert _sums(folder / "out", "positions", ("home", "visited"), (*LEGS, "records")) == pairs
    assert _sums(folder / "out", "nodes", ("visited", "node"), ("host_minor", "records")) == nodes


def _sums(out: Path, name: str, keys: tuple[str, ...], values: tuple[str, ...]) -> Counter:
    found: Counter[tuple[Any, ...]] = Counter()
    for entry in months.table(out, name):
        money = (entry["asset"], entry["currency"], entry["rate"], entry["decimals"])
        for value in values:
            found[(*(entry[key] for key in keys), *money, value)] += int(entry[value])
    return found


def test_guards_at_both_sides(tmp_path: Path) -> None:
    """8 TiB, 2^53 + 1, prices at the guards: rated where the formula holds, else they wait."""
    rows = [
        row(home="op_a", price_nano=(1 << 63) - 1, next_step=1, first_step=1),
        row(home="op_b", price_nano=1, next_step=1, first_step=1),
        row(home="op_c", price_nano=9_199_999, next_step=1, first_step=1, tax_ppm=1_000_000),
    ]
    uses = [
        record(1, home="op_a", octets_in=1),
        record(2, home="op_a", octets_in=2),
        record(3, home="op_b", octets_in=8 << 40),
        record(4, home="op_b", octets_in=(1 << 53) + 1),
        record(5, home="op_b", octets_in=1 << 61, octets_out=1 << 61),
        record(6, home="op_b", octets_in=1 << 61, octets_out=(1 << 61) + 1),
        record(7, home="op_b", octets_in=FAR_US, octets_out=FAR_US),
        record(8, home="op_c", octets_in=10**9),
        record(9, home="op_c", octets_in=1_000_000_108_696),
        record(10, home="op_c", octets_in=1_000_000_108_695),
    ]
    months.run(tmp_path, uses, rows)
    found = months.rated(tmp_path / "out")
    assert {key: found[key]["status"] for key in found} == {
        item.usage_id: entry["status"]
        for item in uses
        for entry in [months.by_rules(uses, rows, {})[item.usage_id]]
    }
    status = [found[item.usage_id]["status"] for item in uses]
    assert status == [6, 6, 0, 0, 6, 6, 6, 0, 6, 6]
    assert found[uses[2].usage_id]["seller_minor"] is not None


def test_legs_sum_to_the_charge_and_a_session_in_pieces_costs_what_it_costs_whole(
    tmp_path: Path,
) -> None:
    lines = [row(price_nano=333_333_333, next_step=60, first_step=60, unit="duration_s")]
    pieces = [record(n, duration_s=10, from_duration_s=10 * n) for n in range(177)]
    whole = record(1_000, duration_s=1_770, visited="op_w")
    lines.append(row(visited="op_w", price_nano=333_333_333, next_step=60, first_step=60))
    lines[1] = row(
        visited="op_w", price_nano=333_333_333, next_step=60, first_step=60, unit="duration_s"
    )
    months.run(tmp_path, [*pieces, whole], lines)
    found = months.rated(tmp_path / "out")
    for name in LEGS:
        assert sum(found[item.usage_id][name] for item in pieces) == found[whole.usage_id][name]


def test_a_million_charges_of_one_unit_and_sums_beyond_64_bits(tmp_path: Path) -> None:
    """Sums are exact at 10^6 charges of one, and where they leave 64 bits."""
    with duckdb.connect() as database:
        engine._make_tables(database, "rating/v2", line_table([row()]))
        database.execute(_CHARGES)
        database.execute(engine._sql("rating/v2", "results"))
        sums = database.execute(
            "select records, seller_minor, protocol_minor, tax_minor from line_sums"
        ).fetchone()
    assert [int(value) for value in sums or ()] == [
        10**6,
        10**6,
        9_199_999_999_999 * 10**6,
        ((1 << 63) - 1) * 10**6,
    ]


_CHARGES = """
create table rated as select
    ''::blob as usage_id, 0::tinyint as status, 0::tinyint as dispute, 0::integer as line,
    0::integer as account, 'node' as node, 1::bigint as amount, 1::bigint as seller_minor,
    0::bigint as host_minor, 9199999999999::bigint as protocol_minor,
    9223372036854775807 as tax_minor, null::varchar as waiting_home,
    null::varchar as waiting_visited, null::bigint as waiting_day
from range(1000000)
"""


def _month(rows_of_pairs: int = 3) -> tuple[list, list]:
    homes = [f"op_h{n}" for n in range(rows_of_pairs)]
    rows = [
        row(home=home, visited=f"op_v{n}", price_nano=1_000 + 7 * n)
        for home in homes
        for n in range(4)
    ]
    uses = [
        record(
            n,
            home=homes[n % 4] if n % 4 < 3 else "op_nobody",
            visited=f"op_v{n % 5}",
            node=f"node-{n % 7}",
            octets_in=n * 7_919,
            start_us=AT_US + (n % 3) * DAY_US,
        )
        for n in range(400)
    ]
    return uses, rows


def test_any_partition_and_batching_gives_the_same_digests(tmp_path: Path) -> None:
    uses, rows = _month()
    whole = months.run(tmp_path / "whole", uses, rows)
    assert whole.suspense == {"no_agreement": 160}
    small = months.run(tmp_path / "small", reversed(uses), rows, batch_octets=1, threads=1)
    assert small == whole
    parts = []
    for number in range(3):
        folder = tmp_path / f"part{number}"
        months.run(folder, uses[number::3], rows)
        parts.append(folder / "out")
    assert merge(parts, tmp_path / "merged") == whole
    assert merge(list(reversed(parts)), tmp_path / "merged") == whole
    assert json.loads((tmp_path / "merged" / "run.json").read_text()) == whole.as_mapping()


def test_the_same_run_again_is_the_same_to_the_bit(tmp_path: Path) -> None:
    uses, rows = _month()
    first = months.run(tmp_path, uses, rows)
    again = rate(
        Order(usage=tmp_path / "usage", rows=rows[::-1], subscribers=None, out=tmp_path / "again")
    )
    assert again == first
    for name in ("positions", "nodes", "suspense", "lines"):
        one, other = (tmp_path / out / f"{name}.parquet" for out in ("out", "again"))
        assert one.read_bytes() == other.read_bytes()


def test_parts_rated_by_other_lines_are_not_merged(tmp_path: Path) -> None:
    uses, rows = _month()
    months.run(tmp_path / "a", uses, rows)
    months.run(tmp_path / "b", uses, rows[1:])
    with pytest.raises(PeerError, match="parts_differ"):
        merge([tmp_path / "a" / "out", tmp_path / "b" / "out"], tmp_path / "merged")


def test_what_waited_is_rated_when_its_agreement_arrives(tmp_path: Path) -> None:
    uses, rows = _month()
    before = months.run(tmp_path, uses, rows)
    more = [*rows, *(row(home="op_nobody", visited=f"op_v{n}") for n in range(5))]
    late = rate(
        Order(
            usage=tmp_path / "usage",
            rows=more,
            subscribers=None,
            out=tmp_path / "late",
            only=tmp_path / "out",
        )
    )
    assert late.records == sum(before.suspense.values())
    assert sum(late.suspense.values()) == 60
    at_once = rate(
        Order(usage=tmp_path / "usage", rows=more, subscribers=None, out=tmp_path / "all")
    )
    assert before.charge_minor + late.charge_minor == at_once.charge_minor
    both = months.rated(tmp_path / "out") | months.rated(tmp_path / "late")
    everything = months.rated(tmp_path / "all")
    for usage_id, entry in everything.items():
        assert {name: both[usage_id][name] for name in LEGS} == {name: entry[name] for name in LEGS}


def test_settlement_free_use_costs_nothing_and_makes_no_position(tmp_path: Path) -> None:
    free = record(1, rcoi=RcoiClass.SETTLEMENT_FREE, octets_in=10**9)
    report = months.run(tmp_path, [free], [row()])
    assert (report.settlement_free, report.positions, report.charge_minor) == (1, 0, 0)
    assert months.rated(tmp_path / "out")[free.usage_id]["seller_minor"] == 0
    alone = record(2, home="op_x", rcoi=RcoiClass.SETTLEMENT_FREE)
    assert months.run(tmp_path / "b", [alone], [row()]).suspense == {}


def test_corrections_and_voids_take_the_place_of_what_they_name(tmp_path: Path) -> None:
    uses = [record(n, octets_in=1_024_000) for n in range(5)]

    def correct(number: int, of: int, **more: Any) -> Any:
        kind = more.pop("kind", RecordKind.CORRECTION)
        return record(number, kind=kind, corrects=derive("month", of), **more)

    changes = [
        correct(10, 0, octets_in=2_048_000, sequence=1),
        correct(11, 0, octets_in=4_096_000, sequence=2, start_us=AT_US + DAY_US),
        correct(12, 1, kind=RecordKind.VOID),
        correct(13, 2, octets_in=0),
        correct(14, 13, octets_in=512_000),
        correct(15, 3, octets_in=1, sequence=1),
        correct(16, 3, kind=RecordKind.VOID, sequence=2),
    ]
    months.run(tmp_path, [*uses, *changes], [row()])
    assert months.rated(tmp_path / "out").keys() == {derive("month", n) for n in (11, 14, 4)}


def test_only_the_visited_operators_report_is_rated(tmp_path: Path) -> None:
    items = [
        record(1, octets_in=1_024),
        record(2, reporter="op_h", side=Side.HOME, octets_in=9_999),
        record(3, side=Side.DEVICE, octets_in=9_999),
    ]
    assert months.run(tmp_path, items, [row()]).records == 1


def test_a_late_correction_may_lie_in_another_batch_of_days(tmp_path: Path) -> None:
    uses = [record(1, octets_in=1_024), record(2, visited="op_w", octets_in=1_024)]
    change = record(
        3, kind=RecordKind.VOID, corrects=derive("month", 1), start_us=AT_US + 9 * DAY_US
    )
    rows = [row(), row(visited="op_w")]
    report = months.run(tmp_path, [*uses, change], rows, batch_octets=1)
    assert report.records == 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("subject,discount_ppm\nab,1\n", "UUID"),
        ("subject,discount_ppm\n" + "ab" * 16 + ",1000001\n", "not from 0"),
        ("subject,discount_ppm\n" + "ab" * 16 + ",-1\n", "not from 0"),
        ("subject,discount_ppm\n" + ("ab" * 16 + ",1\n") * 2, "twice"),
        ("subject,discount_ppm\n,1\n", "missing"),
        ("who,discount_ppm\n" + "ab" * 16 + ",1\n", "subject"),
        ("subject,discount_ppm\n" + "ab" * 16 + ",x\n", "x"),
    ],
)
def test_a_bad_file_of_subscribers_is_refused(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "subscribers.csv"
    file.write_text(text)
    with pytest.raises(PeerError, match=what):
        months.run(tmp_path, [record(1)], [row()], subscribers=file)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(PeerError, match="holds no run"):
        months.run(tmp_path, [record(1)], [row()])
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"


def test_unknown_rules_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match="unknown_rule_version"):
        months.run(tmp_path, [record(1)], [row()], rules="rating/v9")


def test_currencies_and_rates_are_summed_apart(tmp_path: Path) -> None:
    rows = [
        row(currency="XDR", rate=1_231, decimals=3, valid_until_us=MIDDLE_US),
        row(currency="XDR", rate=1_298, decimals=3, valid_from_us=MIDDLE_US),
        row(service=Service.DATA),
    ]
    uses = [
        record(1, octets_in=10**6),
        record(2, octets_in=10**6, start_us=MIDDLE_US),
        record(3, octets_in=10**6, start_us=MIDDLE_US - 1),
        record(4, octets_in=10**6, service=Service.DATA),
    ]
    months.run(tmp_path, uses, rows)
    found = months.table(tmp_path / "out", "positions")
    assert [(entry["currency"], entry["rate"], int(entry["records"])) for entry in found] == [
        ("", 1, 1),
        ("XDR", 1_231, 2),
        ("XDR", 1_298, 1),
    ]


def test_a_record_of_totals_has_the_terms_of_its_start_and_parts_have_their_own(
    tmp_path: Path,
) -> None:
    """Nobody knows how much of a file's record fell before a change, so it is not cut."""
    early = row(valid_until_us=MIDDLE_US, price_nano=1_000, tax_ppm=0)
    late = row(valid_from_us=MIDDLE_US, price_nano=3_000, tax_ppm=0, place=1)
    across = record(1, start_us=MIDDLE_US - 1, end_us=MIDDLE_US + 10**9, octets_in=100 << 10)
    first = record(2, start_us=MIDDLE_US - 1, end_us=MIDDLE_US, octets_in=40 << 10)
    second = record(
        3, session_id=first.session_id, sequence=1, start_us=MIDDLE_US, octets_in=60 << 10,
        from_octets_in=40 << 10,
    )  # fmt: skip
    begins = record(4, start_us=MIDDLE_US, octets_in=100 << 10)
    months.run(tmp_path, [across, first, second, begins], [early, late])
    told = months.rated(tmp_path / "out")
    amounts = [
        sum(told[item.usage_id][name] for name in LEGS) for item in (across, first, second, begins)
    ]
    assert amounts == [100, 40, 180, 300]
