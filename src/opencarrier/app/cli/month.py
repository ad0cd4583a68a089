"""Commands about a month of a whole network: rate its usage records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from opencarrier.app.cli.common import AsJson
from opencarrier.app.output import CommandError, Exit, emit


def rate(
    usage: Annotated[Path, typer.Option("--usage", help="A folder of usage records (Parquet).")],
    agreements: Annotated[
        Path, typer.Option("--agreements", help="Agreements: a document, or .jsonl, one a line.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder of the results.")],
    subscribers: Annotated[
        Path | None,
        typer.Option("--subscribers", help="CSV or Parquet: subject, discount_ppm."),
    ] = None,
    suspense_of: Annotated[
        Path | None,
        typer.Option("--suspense-of", help="Rate only what an earlier run left waiting."),
    ] = None,
    rules: Annotated[str, typer.Option("--rules", help="The rule version.")] = "rating/v2",
    engine: Annotated[str, typer.Option("--engine", help="local or ray.")] = "local",
    workers: Annotated[int, typer.Option(help="Workers of a cluster begun here.", min=1)] = 2,
    cluster: Annotated[
        str,
        typer.Option("--cluster", help="HOST:PORT of a Ray cluster to join."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Rate usage records by agreements: an audit row a record, positions, what nodes earned.

    Example: opencarrier rate --usage usage --agreements book.jsonl --out rated
    """
    from opencarrier.kernel.refusals import PeerError
    from opencarrier.rating.agreements.book import read_book
    from opencarrier.rating.engine.on_ray import rate_on_ray
    from opencarrier.rating.engine.run import Order
    from opencarrier.rating.engine.run import rate as run
    from opencarrier.rating.terms import DocumentError

    if engine not in ("local", "ray"):
        raise CommandError(Exit.USAGE, f"there is no engine {engine!r}", "local or ray")
    for given in (usage, agreements, subscribers, suspense_of):
        if given is not None and not given.exists():
            raise CommandError(Exit.ENVIRONMENT, f"{given} is not there", "name what exists")
    try:
        rows = list(read_book(agreements.read_text(), str(agreements)).rows())
        order = Order(
            usage=usage, rows=rows, subscribers=subscribers, out=out, rules=rules, only=suspense_of
        )
        if engine == "local":
            report = run(order)
        else:
            report = rate_on_ray(order, workers=workers, address=cluster)
    except DocumentError as error:
        raise CommandError(Exit.REFUSED, error.what, error.hint) from None
    except PeerError as error:
        raise CommandError(Exit.REFUSED, str(error), "see: opencarrier rate --help") from None
    emit(report.as_mapping(), as_json=as_json)


def sql(
    dialect: Annotated[str, typer.Argument(help="spark, postgres, bigquery, ...")],
    with_proof: Annotated[
        bool, typer.Option("--proof", help="A query to try the engine with, and its answer.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the rating statement in another engine's SQL, or what shows that the engine is exact.

    The statement rates `records` by `lines` and `subscribers`, the tables of the engine here;
    `lines` is made of a run's lines.parquet (`line_rows`) by a query that is printed too. Some
    engines divide integers through floats: take one only if it answers the proof to the unit.

    Example: opencarrier sql spark --proof --json
    """
    from opencarrier.kernel.refusals import PeerError
    from opencarrier.rating.engine.dialects import lines_query, proof, translated

    try:
        if not with_proof:
            told = {"sql": translated(dialect), "lines": lines_query(dialect)}
            emit({"dialect": dialect, **told}, as_json=as_json)
            return
        query, rows = proof(dialect)
    except PeerError as error:
        raise CommandError(Exit.REFUSED, str(error), "see: opencarrier sql --help") from None
    emit({"dialect": dialect, "sql": query, "rows": [list(row) for row in rows]}, as_json=as_json)
