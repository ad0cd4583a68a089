"""The rating statement in other engines' SQL, and engines that are not exact."""

from __future__ import annotations

import duckdb
import pytest
import sqlglot
from sqlglot import exp
from tests.rating.months import row

from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.engine.dialects import lines_query, proof, prove, translated
from opencarrier.rating.engine.tables import line_table


def answer(query: str) -> list[tuple]:
    with duckdb.connect() as database:
        return database.execute(query).fetchall()


def test_the_engine_itself_is_exact():
    prove(answer, "duckdb")


def test_the_cases_reach_every_outcome():
    """Rated, beyond the guards, at each side of 2^53 and 2^62, and a sum beyond 64 bits."""
    _, rows = proof("duckdb")
    assert {row[4] for row in rows} == {0, 6}
    amounts = {row[2] for row in rows if row[4] == 0}
    assert {(1 << 53) + 1, 1 << 62, 1 << 43} <= amounts
    assert None in {row[2] for row in rows}


def test_an_engine_that_divides_through_floats_is_refused():
    """What some libraries make of `//`: a quotient that a float rounded first."""

    def halved(node: exp.Expression) -> exp.Expression:
        if not isinstance(node, exp.IntDiv):
            return node
        left, right = (f"cast({side.sql('duckdb')} as double)" for side in (node.left, node.right))
        return sqlglot.parse_one(f"cast(floor({left} / {right}) as bigint)", read="duckdb")

    def through_floats(query: str) -> list[tuple]:
        return answer(sqlglot.parse_one(query, read="duckdb").transform(halved).sql("duckdb"))

    with pytest.raises(PeerError, match=r"dialect_inexact.*_minor"):
        prove(through_floats, "duckdb")


@pytest.mark.parametrize("wrong", [lambda rows: rows[:-1], lambda rows: [*rows, rows[-1]]])
def test_rows_that_are_lost_or_doubled_are_refused(wrong):
    with pytest.raises(PeerError, match="dialect_inexact"):
        prove(lambda query: wrong(sorted(answer(query))), "duckdb")


@pytest.mark.parametrize("dialect", ["trino", "clickhouse"])
def test_an_engine_that_cannot_answer_is_refused(dialect):
    """Their translation divides through floats, or is not understood: either is a refusal."""
    with pytest.raises(PeerError, match="dialect_"):
        prove(answer, dialect)


def test_a_sum_in_64_bits_is_refused():
    """One of the cases leaves them: an engine says so, or is caught where it wraps (on Spark)."""
    with pytest.raises(PeerError, match=r"dialect_fails.*Overflow"):
        prove(lambda query: answer(query.replace("DECIMAL(38, 0)", "BIGINT")), "duckdb")


@pytest.mark.parametrize("write", [translated, lines_query])
def test_a_dialect_nobody_knows_is_refused(write):
    with pytest.raises(PeerError, match="unknown_dialect"):
        write("cobol")


def test_lines_are_made_of_what_a_run_leaves():
    """Steps and guards as the engine's own table has them."""
    rows = [row(tax_included=True, first_step=10_240), row(price_nano=0, host_ppm=1_000_000)]
    with duckdb.connect() as database:
        database.register("line_rows", line_table(rows))
        text = lines_query("duckdb")
        found = database.execute(
            f"select first_steps, steps_max, tax_base_ppm, tax_within, left_ppm from ({text})"
        ).fetchall()
    assert found == [
        (10, ((1 << 63) - 1) // 1_900, 1_200_000, 1, 400_000),
        (1, (1 << 63) - 1, 1_000_000, 0, 1),
    ]


def test_spark_divides_integers_as_integers():
    text = translated("spark")
    assert " DIV " in text
    assert "DOUBLE" not in text
    assert "INT128" not in text
    assert "records" in text
