"""The command about another clearing of the same month: shadow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from opencarrier.app.cli.common import AsJson, codes_of, mapping_text, readable
from opencarrier.app.output import CommandError, Exit, emit

PAGE = "docs/reference/shadow.md"


def shadow(
    usage: Annotated[Path, typer.Option("--usage", help="A folder of usage records (Parquet).")],
    rated: Annotated[Path, typer.Option("--rated", help="The folder `rate` made of them.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of the report.")],
    statement: Annotated[
        Path | None,
        typer.Option("--statement", help="Theirs as CSV; else what the records' files charged."),
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option("--mapping", help="The mapping of the statement (TOML).")
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option("--beside", help="A statement of a neighbouring month, by that mapping."),
    ] = None,
    party: Annotated[
        list[str] | None,
        typer.Option("--party", help="CODE=PARTY: the operator's id that a name in it means."),
    ] = None,
    adjustments: Annotated[
        list[Path] | None, typer.Option("--adjustments", help="A file that `adjust` made.")
    ] = None,
    month: Annotated[str, typer.Option("--month", help="2026-06: UTC; else all of the run.")] = "",
    rounding: Annotated[
        int,
        typer.Option(
            min=0, max=1_000, help="Units of their last decimal a record may be rounded by."
        ),
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Compare a rated month with another house's statement: every difference, and why.

    No money moves: no installation is opened, nothing is booked.

    Example: opencarrier shadow --usage usage --rated rated --statement june.csv
    --mapping house.toml --month 2026-06 --out shadow
    """
    from opencarrier.app.shadowing import ShadowFiles
    from opencarrier.app.shadowing import shadow as run
    from opencarrier.kernel.refusals import PeerError

    if (statement is None) is not (mapping is None) or (beside and statement is None):
        raise CommandError(
            Exit.USAGE, "a statement has a mapping", "give --statement and --mapping, or neither"
        )
    _check_there(usage, rated, statement, mapping, *(beside or []), *(adjustments or []))
    codes = codes_of(party or [])
    try:
        with readable():
            told = run(
                ShadowFiles(
                    usage=usage,
                    rated=rated,
                    out=out,
                    statement=statement,
                    mapping=None if mapping is None else mapping_text(mapping, PAGE),
                    beside=beside or [],
                    adjustments=adjustments or [],
                    codes=codes,
                    month=month,
                    rounding=rounding,
                )
            )
    except PeerError as error:
        raise CommandError(Exit.REFUSED, str(error), "see: opencarrier shadow --help") from None
    if as_json:
        emit(told, as_json=True)
    else:
        print(out.joinpath("summary.txt").read_text(), end="")


def _check_there(*given: Path | None) -> None:
    for path in given:
        if path is not None and not path.exists():
            raise CommandError(Exit.ENVIRONMENT, f"{path} is not there", "name what exists")
