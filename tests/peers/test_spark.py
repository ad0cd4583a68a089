"""The rating statement on Spark itself: exact at the edges, a month leg by leg, else refused."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlglot
from sqlglot import exp
from tests.rating import months
from tests.rating.months import AT_US, DAY_US, MIDDLE_US, record, row
from tests.spark import Spark, is_installed, spark

from opencarrier.kernel.ids import derive
from opencarrier.kernel.money import PPM
from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.agreements.rows import Row
from opencarrier.rating.engine.dialects import OUTPUT, lines_query, prove, translated
from opencarrier.rating.engine.run import Report
from opencarrier.rating.rules import v2
from opencarrier.spine.records import Qos, RcoiClass, Service
from opencarrier.usage.columns import plain_schema
from opencarrier.usage.record import UsageRecord

pytestmark = [
    pytest.mark.peer,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not is_installed(), reason="Spark or Java is missing (./dev peers)"),
]

RECORDS = 4_000
DISCOUNTS = {derive("subject", 0)[:16]: 333_333, derive("subject", 1)[:16]: 125_000}


@pytest.fixture(scope="module")
def engine() -> Iterator[Spark]:
    with spark() as made:
        yield made


def lines(dice: Random) -> list[Row]:
    """Lines of three homes at four operators, each unit, some with a change in the month."""
    made = []
    for place, (home, visited) in enumerate((h, v) for h in "abc" for v in "wxyz"):
        unit = v2.UNITS[place % len(v2.UNITS)]
        host_ppm = dice.choice([0, 333_333, 600_000, PPM])
        terms = {
            "unit": unit,
            "in_band": unit.startswith("octets"),
            "price_nano": dice.choice([0, 7, 1_900, 10**9, 10**12]),
            "fixed_minor": dice.choice([0, 5]),
            "minimum_minor": dice.choice([0, 1_000]),
            "tax_ppm": dice.choice([0, 180_000]),
            "tax_included": dice.random() < 0.5,
            "host_ppm": host_ppm,
            "protocol_ppm": dice.randrange(PPM - host_ppm + 1),
            "currency": dice.choice(["EUR", "XDR"]),
            "home": f"op_{home}",
            "visited": f"op_{visited}",
        }
        made.append(row(**terms, valid_until_us=MIDDLE_US))
        if visited != "z":
            later = terms | {"price_nano": 3_333, "first_step": 10_240}
            made += [row(**later, valid_from_us=MIDDLE_US, rcoi=rcoi) for rcoi in (0, 1)]
    return made


def use(number: int, dice: Random) -> UsageRecord:
    """Make a record: some go on, are quoted, are free, have no home, node or agreement."""
    goes_on = dice.random() < 0.3
    amounts = {}
    for name in ("octets_in", "octets_out", "duration_s", "units"):
        amounts[name] = dice.choice([0, 1, 1_025, 1 << 43, (1 << 53) + 1, dice.randrange(10**10)])
        amounts[f"from_{name}"] = dice.randrange(10**10) if goes_on else 0
    quote = dice.choice([None, None, 0, 1_900, 10**13])
    return record(
        number,
        **amounts,
        home=dice.choice(["op_a", "op_b", "op_c", "op_unknown", None]),
        visited=f"op_{dice.choice('wxyz')}",
        node=dice.choice([None, *(f"node-{place}" for place in range(9))]),
        service=dice.choice([Service.WIFI] * 9 + [Service.IOT]),
        qos=dice.choice(list(Qos)),
        rcoi=RcoiClass(dice.choice([0, 0, 1, 1, 2])),
        start_us=AT_US + dice.randrange(28) * DAY_US,
        tariff_at_us=dice.choice([None, None, AT_US]),
        quoted_nano_per_kib=quote,
        quoted_currency=None if quote is None else dice.choice(["EUR", "XDR"]),
    )


@pytest.fixture(scope="module")
def month(tmp_path_factory, engine: Spark) -> tuple[Path, Report]:
    """A month rated by the engine here, and its tables as Spark's views."""
    folder = tmp_path_factory.mktemp("month")
    dice = Random(4)
    rows = lines(dice)
    uses = [use(number, dice) for number in range(RECORDS)]
    file = months.subscribers(folder, DISCOUNTS)
    report = months.run(folder, uses, rows, subscribers=file)
    kept = {
        "subject": pa.array(DISCOUNTS, pa.binary()),
        "keep_ppm": pa.array([PPM - ppm for ppm in DISCOUNTS.values()], pa.int64()),
    }
    pq.write_table(pa.table(kept), folder / "subscribers.parquet")
    engine.rows(
        f"create temporary view records ({declared()}) "
        f"using parquet options (path '{folder / 'usage'}')"
    )
    for name, path in (("line_rows", "out/lines"), ("subscribers", "subscribers")):
        made = f"select * from parquet.`{folder / path}.parquet`"
        engine.rows(f"create temporary view {name} as {made}")
    engine.rows(f"create temporary view lines as {lines_query('spark')}")
    engine.rows(f"cache table rated as {translated('spark')}")
    return folder, report


def declared() -> str:
    """Declare the columns: Spark infers none where a file has a UUID."""
    kinds = {pa.int8(): "tinyint", pa.int16(): "smallint", pa.int32(): "int", pa.int64(): "bigint"}
    kinds |= {pa.string(): "string", pa.bool_(): "boolean"}
    return ", ".join(f"`{one.name}` {kinds.get(one.type, 'binary')}" for one in plain_schema())


def test_spark_is_exact_at_every_edge(engine: Spark):
    """With ANSI mode, its own default, and without: the guards leave nothing to overflow."""
    prove(engine.rows, "spark")
    prove(lambda query: engine.rows(query, spark_sql_ansi_enabled="false"), "spark")


@pytest.mark.parametrize(
    ("ansi", "why"),
    [("true", "dialect_fails.*ARITHMETIC_OVERFLOW"), ("false", "dialect_inexact.* amount -")],
)
def test_a_sum_that_leaves_64_bits_is_refused(engine: Spark, ansi: str, why: str):
    """Written in 64 bits it overflows: Spark says so, or goes around silently and is caught."""

    def narrow(query: str) -> list[list]:
        assert "DECIMAL(38, 0)" in query
        narrowed = query.replace("DECIMAL(38, 0)", "BIGINT")
        return engine.rows(narrowed, spark_sql_ansi_enabled=ansi)

    with pytest.raises(PeerError, match=why):
        prove(narrow, "spark")


def test_a_division_through_floats_is_refused(engine: Spark):
    """Spark's own `/` between integers is a float's."""

    def through_floats(query: str) -> list[list]:
        def naive(node: exp.Expression) -> exp.Expression:
            if not isinstance(node, exp.IntDiv):
                return node
            left, right = node.left.sql("spark"), node.right.sql("spark")
            return sqlglot.parse_one(f"CAST(FLOOR({left} / {right}) AS BIGINT)", read="spark")

        return engine.rows(sqlglot.parse_one(query, read="spark").transform(naive).sql("spark"))

    with pytest.raises(PeerError, match=r"dialect_inexact.*_minor"):
        prove(through_floats, "spark")


def test_a_month_has_every_leg_that_the_engine_here_gives(month, engine: Spark):
    """Row by row the audit file's; what waits for want of any agreement is told apart later."""
    folder, report = month
    found = {
        one[0]: tuple(one[1:]) for one in engine.rows(f"select {', '.join(OUTPUT)} from rated")
    }
    audit = duckdb.execute(
        f"select lower(hex(usage_id)), {', '.join(OUTPUT[1:])} from read_parquet(?)",
        [str(folder / "out" / "rated" / "*.parquet")],
    ).fetchall()
    assert len(found) == len(audit) == RECORDS == report.records
    statuses = set()
    for usage_id, line, amount, discount_ppm, status, *rest in audit:
        known = 4 if status == 3 else status
        assert found[usage_id] == (line, amount, discount_ppm, known, *rest)
        statuses.add(status)
    assert statuses == {0, 1, 3, 4, 5, 6}
    assert report.disputed > 0


POSITIONS = """
select
    home, visited, asset, currency, rate, decimals, count(*),
    sum(cast(seller_minor as decimal(38, 0))), sum(cast(host_minor as decimal(38, 0))),
    sum(cast(protocol_minor as decimal(38, 0))), sum(cast(tax_minor as decimal(38, 0)))
from rated join line_rows using (line) where status = 0
group by home, visited, asset, currency, rate, decimals
"""
NODES = """
select
    visited, node, asset, currency, rate, decimals, count(*),
    sum(cast(host_minor as decimal(38, 0)))
from rated join line_rows using (line) where status = 0 and node is not null
group by visited, node, asset, currency, rate, decimals
"""


def test_sums_by_spark_have_the_digests_of_the_run(month, engine: Spark):
    _, report = month
    assert digest(engine.rows(POSITIONS)) == report.positions_sha256
    assert digest(engine.rows(NODES)) == report.nodes_sha256
    assert report.positions > 6
    assert report.nodes > 30


def digest(rows: list[list]) -> str:
    """Hash rows as `engine.results` does: tabs between fields, LF, in the order of octets."""
    listed = sorted("\t".join(map(str, one)) + "\n" for one in rows)
    return sha256("".join(listed).encode()).hexdigest()
