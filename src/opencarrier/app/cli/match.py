"""The command about two sides of one session: match."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from opencarrier.app.cli.common import AsJson
from opencarrier.app.output import CommandError, Exit, emit


def match(
    usage: Annotated[Path, typer.Option("--usage", help="A dataset of usage records.")],
    out: Annotated[Path, typer.Option("--out", help="A new folder for the outcomes.")],
    volume_ppm: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Octets apart, of the larger.")
    ] = 30_000,
    duration_ppm: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Seconds apart, of the larger.")
    ] = 50_000,
    duration_s: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Seconds apart beside that.")
    ] = 10,
    tolerances: Annotated[
        Path | None, typer.Option("--tolerances", help="CSV: pairs whose agreements have others.")
    ] = None,
    with_corrections: Annotated[
        bool,
        typer.Option("--correct", help="Correct the records to what is paid, where that is less."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Match what visited operator, home operator and device say of each session.

    Example: opencarrier match --usage month --out matched --json
    """
    from opencarrier.kernel.refusals import PeerError
    from opencarrier.usage.agreed_records import correct
    from opencarrier.usage.matched import MatchOrder, match_dataset
    from opencarrier.usage.matching import Tolerance
    from opencarrier.usage.tolerances import read_tolerances

    tolerance = Tolerance(volume_ppm=volume_ppm, duration_ppm=duration_ppm, duration_s=duration_s)
    if tolerances is not None and not tolerances.is_file():
        raise CommandError(Exit.ENVIRONMENT, f"{tolerances} is not there", "name what exists")
    try:
        agreed = read_tolerances(tolerances) if tolerances else {}
        order = MatchOrder(usage=usage, out=out, tolerances=agreed, default=tolerance)
        report = match_dataset(order)
        corrected = {"corrections": correct(usage, out)} if with_corrections else {}
    except PeerError as error:
        raise CommandError(Exit.REFUSED, str(error), "see: opencarrier match --help") from None
    emit({**report.as_mapping(), **corrected}, as_json=as_json)
