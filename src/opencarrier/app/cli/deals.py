"""Commands about what deals between operators make of a whole period."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from opencarrier.app.cli.common import AsJson
from opencarrier.app.output import CommandError, Exit, emit


def adjust(
    usage: Annotated[Path, typer.Option("--usage", help="A folder of usage records (Parquet).")],
    rated: Annotated[Path, typer.Option("--rated", help="The folder `rate` made of them.")],
    agreements: Annotated[
        Path, typer.Option("--agreements", help="Agreements: a document, or .jsonl, one a line.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The file of the adjustments (.jsonl).")],
    booked: Annotated[
        list[Path] | None,
        typer.Option("--booked", help="A file of adjustments made before; all that there are."),
    ] = None,
    until_us: Annotated[
        int | None,
        typer.Option("--until-us", min=0, help="UTC microseconds: what ended is final; else now."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Adjust what records were charged by what a whole period came to: tiers, commitments, access.

    Example: opencarrier adjust --usage usage --rated rated --agreements book.jsonl --out june.jsonl
    """
    from opencarrier.app.system import SystemClock
    from opencarrier.kernel.money import MoneyError
    from opencarrier.kernel.refusals import PeerError
    from opencarrier.rating.agreements.book import read_book
    from opencarrier.rating.engine import deals
    from opencarrier.rating.terms import DocumentError

    for given in (usage, rated, agreements, *(booked or [])):
        if not given.exists():
            raise CommandError(Exit.ENVIRONMENT, f"{given} is not there", "name what exists")
    if out.exists():
        raise CommandError(Exit.USAGE, f"{out} is there", "adjustments are kept: name a new file")
    try:
        earlier = [
            item for path in booked or [] for item in deals.read_adjustments(path.read_text())
        ]
        order = deals.DealOrder(
            usage=usage,
            rated=rated,
            book=read_book(agreements.read_text(), str(agreements)),
            booked=earlier,
            until_us=SystemClock().now_us() if until_us is None else until_us,
        )
        made = deals.adjustments_of(order)
    except DocumentError as error:
        raise CommandError(Exit.REFUSED, error.what, error.hint) from None
    except (PeerError, MoneyError) as error:
        raise CommandError(Exit.REFUSED, str(error), "see: opencarrier adjust --help") from None
    unready = out.with_name(f".{out.name}.unready")
    unready.write_text(deals.write_adjustments(made))
    unready.rename(out)
    sums: dict[str, int] = {}
    for item in made:
        sums[item.currency] = sums.get(item.currency, 0) + item.amount_minor
    final = sum(item.is_final for item in made)
    emit({"adjustments": len(made), "final": final, "amount_minor": sums}, as_json=as_json)
