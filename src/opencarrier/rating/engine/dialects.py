"""The rating statement in another engine's SQL, taken only where that engine proves exact.

Translation (sqlglot) writes macros out, names no alias before it is defined elsewhere, and has 128
bits as DECIMAL(38, 0). Whether the result is exact is not a matter of its text: some engines divide
integers through floats. So `prove` has the engine rate cases at the edges of what a float holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final, TypeAlias

from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.engine.run import VERSIONS
from opencarrier.rating.rules import v2

Run: TypeAlias = Callable[[str], Sequence[Sequence[Any]]]
"""Have an engine answer a query: its rows."""

OUTPUT: Final = (
    *("usage_id", "line", "amount", "discount_ppm", "status", "dispute"),
    *("seller_minor", "host_minor", "protocol_minor", "tax_minor"),
)


def translated(dialect: str, rules: str = v2.VERSION) -> str:
    """Return the statement that rates `records` by `lines` and `subscribers`, in a dialect.

    The tables have the columns of the engine's own; `PeerError` for a dialect nobody knows.
    """
    sqlglot = _sqlglot()
    statement = sqlglot.parse_one(_text(rules, "rate"), read="duckdb").expression
    macros = {
        each.this.this.name: ([one.name for one in each.this.expressions], each.expression)
        for each in sqlglot.parse(_text(rules, "formula"), read="duckdb")
    }
    statement = statement.transform(_written_out, sqlglot.exp, macros)
    for select in statement.find_all(sqlglot.exp.Select):
        _define_aliases(select, sqlglot.exp)
    return _written(statement.transform(_portable, sqlglot.exp), dialect)


def lines_query(dialect: str, rules: str = v2.VERSION) -> str:
    """Return the query that makes `lines` of `line_rows`, the table a run leaves as a file."""
    made, *_ = _sqlglot().parse(_text(rules, "tables"), read="duckdb")
    return _written(made.expression, dialect)


def prove(run: Run, dialect: str, rules: str = v2.VERSION) -> None:
    """See that an engine rates the edge cases to the unit; `PeerError` names the first it does not.

    Volumes of 2^53 + 1, 8 TiB and 2^62, discounts that do not divide, prices at the guards.
    """
    query, expected = proof(dialect, rules)
    try:
        answered = sorted(run(query), key=lambda row: int(row[0]))
    except Exception as error:
        raise PeerError("dialect_fails", f"{dialect}: {error}") from None
    told = [tuple(None if one is None else int(one) for one in row) for row in answered]
    for want, got in zip(expected, told, strict=False):
        if want != got:
            pairs = zip(OUTPUT, want, got, strict=True)
            wrong = ", ".join(f"{name} {two} for {one}" for name, one, two in pairs if one != two)
            raise PeerError("dialect_inexact", f"{dialect}, case {want[0]}: {wrong}")
    if len(expected) != len(told):
        raise PeerError("dialect_inexact", f"{dialect}: {len(told)} of {len(expected)} rows")


@cache
def proof(dialect: str, rules: str = v2.VERSION) -> tuple[str, tuple[tuple[int | None, ...], ...]]:
    """Return a query that needs no table, and the rows an exact engine answers it with."""
    return _with_cases(translated(dialect, rules), dialect), _expected(rules)


def _written(statement: Any, dialect: str) -> str:
    try:
        return str(statement.sql(dialect=dialect, pretty=True))
    except ValueError:
        raise PeerError("unknown_dialect", dialect) from None


def _written_out(node: Any, exp: Any, macros: dict[str, tuple[list[str], Any]]) -> Any:
    """Put a macro's body in the place of its call."""
    if not isinstance(node, exp.Anonymous) or node.name.lower() not in macros:
        return node
    names, body = macros[node.name.lower()]
    given = dict(zip(names, node.expressions, strict=True))

    def fill(inner: Any) -> Any:
        if isinstance(inner, exp.Column) and not inner.table and inner.name in given:
            return exp.paren(given[inner.name].copy())
        return inner

    return exp.paren(body.copy().transform(fill).transform(_written_out, exp, macros))


def _define_aliases(select: Any, exp: Any) -> None:
    """Write out what a select refers to by an alias of its own: few engines look there."""
    known: dict[str, Any] = {}
    for place, item in enumerate(select.expressions):
        filled = item.transform(
            lambda node: (
                exp.paren(known[node.name].copy())
                if isinstance(node, exp.Column) and not node.table and node.name in known
                else node
            )
        )
        select.expressions[place].replace(filled)
        if isinstance(filled, exp.Alias):
            known[filled.alias] = filled.this


def _portable(node: Any, exp: Any) -> Any:
    if isinstance(node, exp.DataType) and node.this == exp.DataType.Type.INT128:
        return exp.DataType.build("DECIMAL(38, 0)")
    if isinstance(node, exp.Table) and isinstance(node.this, exp.Anonymous):
        return exp.to_table("records")
    return node


def _sqlglot() -> Any:
    try:
        import sqlglot
    except ModuleNotFoundError:
        raise PeerError("sqlglot", "it is not installed: pip install 'opencarrier[sql]'") from None
    return sqlglot


def _text(rules: str, name: str) -> str:
    if rules not in VERSIONS:
        raise PeerError("unknown_rule_version", rules)
    return resources.files(__package__).joinpath(VERSIONS[rules], f"{name}.sql").read_text()


# Cases at the edges

_FAR: Final = 1 << 60
_LINE: Final[dict[str, Any]] = {
    "home": "h", "visited": "v", "service": 1, "class_from": 0, "class_until": 127,
    "valid_from_us": 0, "valid_until_us": _FAR, "unit": 2, "first_steps": 1, "next_step": 1,
    "price_nano": 1_000, "fixed_minor": 0, "minimum_minor": 0,
    "currency": "USD", "tax_ppm": 180_000, "tax_base_ppm": 1_180_000, "tax_within": 1,
    "host_ppm": 550_000, "left_ppm": 450_000, "protocol_ppm": 33_333, "in_band": True,
    "account": 0,
}  # fmt: skip
_LINES: Final = tuple(
    {
        **(line := {**_LINE, **changes}),
        "line": number,
        "service": number,
        "steps_max": INT64_MAX // line["price_nano"],
    }
    for number, changes in enumerate(
        (
            {},
            {"next_step": 10_240, "first_steps": 3, "price_nano": 19_999_999},
            {"next_step": 1_024, "price_nano": 9_223_372_036},
            {"unit": 1, "price_nano": 1, "minimum_minor": 1_000},
            {"unit": 4, "next_step": 60, "price_nano": 333_333_333, "tax_ppm": 0},
            {"unit": 5, "price_nano": 7, "tax_base_ppm": 1_000_000, "tax_within": 0},
        ),
        start=1,
    )
)
_IN: Final = (
    *(0, 1, 1_023, 1_025, (1 << 33) - 1, 1 << 43, (1 << 53) + 1),
    9_100_000 * 10**9 - 1,  # a float takes it for the next whole thousand millions
    *(1 << 62, (1 << 62) + 1),
)
_VOLUMES: Final = (
    *((octets, 0) for octets in _IN),
    *((1 << 61, 1 << 61), (1 << 61, (1 << 61) + 1), (1 << 62, 1 << 62)),
)
"""Octets in and out; the last sum leaves 64 bits."""
_KEPT: Final = (1_000_000, 666_667, 1)


def _records() -> list[dict[str, Any]]:
    cases = [
        (service, octets, subject)
        for service in range(1, len(_LINES) + 1)
        for octets in _VOLUMES
        for subject in range(len(_KEPT))
    ]
    common = {
        "kind": 1, "corrects": None, "sequence": 1, "home": "h", "visited": "v", "node": "n",
        "start_us": 5, "rcoi": 1, "qos": 1, "tariff_at_us": None, "units": 0,
        "from_octets_in": 0, "from_octets_out": 0, "from_duration_s": 0, "from_units": 0,
        "quoted_currency": None, "quoted_nano_per_kib": None, "side": 1,
    }  # fmt: skip
    return [
        {
            **common,
            "usage_id": number,
            "service": service,
            "octets_in": octets_in,
            "octets_out": octets_out,
            "duration_s": octets_in >> 20,
            "subject": subject,
        }
        for number, (service, (octets_in, octets_out), subject) in enumerate(cases)
    ]


def _with_cases(statement: str, dialect: str) -> str:
    """Return the statement over the cases alone."""
    subscribers = [{"subject": n, "keep_ppm": keep} for n, keep in enumerate(_KEPT)]
    given = {"records": _records(), "lines": _LINES, "subscribers": subscribers}
    sqlglot = _sqlglot()
    query = sqlglot.parse_one(statement, read=dialect)
    for name, rows in reversed(given.items()):
        table = sqlglot.parse_one(_values(rows), read="duckdb")
        query = query.with_(name, as_=table)
        query.args["with_"].expressions.insert(0, query.args["with_"].expressions.pop())
    outer = sqlglot.exp.select(*OUTPUT).from_(query.subquery("answer"))
    return str(outer.sql(dialect=dialect))


def _values(rows: Sequence[dict[str, Any]]) -> str:
    """Write rows as a query; what they have in common is written once."""
    common = {n: _literal(v) for n, v in rows[0].items() if all(row[n] == v for row in rows)}
    own = [name for name in rows[0] if name not in common]
    typed = ", ".join(f"cast({common.get(n, n)} as {_kind(n)}) as {n}" for n in rows[0])
    listed = ", ".join(f"({', '.join(_literal(row[name]) for name in own)})" for row in rows)
    return f"select {typed} from (values {listed}) as cases ({', '.join(own)})"  # noqa: S608


_TEXTS: Final = ("home", "visited", "node", "currency", "quoted_currency")


def _kind(name: str) -> str:
    return "varchar" if name in _TEXTS else "boolean" if name == "in_band" else "bigint"


def _literal(value: Any) -> str:
    return "null" if value is None else f"'{value}'" if isinstance(value, str) else str(value)


def _expected(rules: str) -> tuple[tuple[int | None, ...], ...]:
    """Return what the engine's own statement says of the cases."""
    import duckdb

    with duckdb.connect() as database:
        database.execute(_text(rules, "formula"))
        for name, rows in (("given", _records()), ("lines", _LINES)):
            database.execute(f"create table {name} as {_values(rows)}")
        database.execute("create macro records() as table from given")
        kept = [{"subject": number, "keep_ppm": keep} for number, keep in enumerate(_KEPT)]
        database.execute(f"create table subscribers as {_values(kept)}")
        database.execute(_text(rules, "rate"))
        query = f"select {', '.join(OUTPUT)} from rated order by usage_id"  # noqa: S608
        return tuple(tuple(row) for row in database.execute(query).fetchall())
