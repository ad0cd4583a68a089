"""Commands about usage records: take in what others' files tell, write what was used here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opencarrier.app.cli.common import (
    DEFAULT_DATA,
    AsJson,
    Data,
    codes_of,
    group,
    installation,
    mapping_text,
    readable,
    taken,
)
from opencarrier.app.output import CommandError, Exit, emit

if TYPE_CHECKING:
    from opencarrier.spine.records import Service

usage = group("usage", "Usage records: what others' files tell, in a dataset of Parquet.")


@usage.command("import")
def usage_import(
    files: Annotated[
        list[Path], typer.Argument(help="TAP, NRTRDE, pcap, pcapng (Diameter) or CSV files.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The dataset to add to.")],
    party: Annotated[
        list[str] | None,
        typer.Option("--party", help="CODE=OPERATOR: whom a TADIG code or PLMN means."),
    ] = None,
    rating_group: Annotated[
        list[str] | None,
        typer.Option("--rating-group", help="NUMBER=SERVICE: what a rating group of Diameter is."),
    ] = None,
    home: Annotated[str | None, typer.Option("--home", help="Where a file names none.")] = None,
    visited: Annotated[
        str | None, typer.Option("--visited", help="Where a file names none.")
    ] = None,
    reporter: Annotated[
        str | None, typer.Option("--reporter", help="Whose meter it is; else the visited.")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option("--mapping", help="The mapping of a CSV (TOML).")
    ] = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Read files into a dataset, each whole or not at all, and tell what is to be returned.

    Example: opencarrier usage import CDFRA93SENBA00017 --out records --party FRA93=Lumen
    """
    from opencarrier.app.importing import import_files

    codes = codes_of(party or [])
    sides = {"home": home, "visited": visited, "reporter": reporter}
    with installation(data) as base, readable():
        told = taken(
            import_files(
                base,
                files,
                dataset=out,
                codes=codes,
                sides=sides,
                mapping=None if mapping is None else mapping_text(mapping),
                groups=_groups(rating_group or []),
            )
        )
    _tell(told, as_json=as_json)


@usage.command("export")
def usage_export(
    out: Annotated[Path, typer.Option("--out", help="The dataset to add to.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Write what the installation's cycles were cut from as usage records; again, nothing new.

    Example: opencarrier usage export --out records --json
    """
    from opencarrier.app.exporting import export_usage

    with installation(data) as base:
        told = export_usage(base, out)
    emit(told, as_json=as_json)


@usage.command("check")
def usage_check(
    files: Annotated[
        list[Path], typer.Argument(help="TAP, NRTRDE, pcap, pcapng (Diameter) or CSV files.")
    ],
    mapping: Annotated[
        Path | None, typer.Option("--mapping", help="The mapping of a CSV (TOML).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read files and keep nothing: what is wrong where, and what is to be returned.

    Example: opencarrier usage check CDFRA93SENBA00017 --json
    """
    from opencarrier.app.importing import check_files

    with readable():
        told = taken(check_files(files, None if mapping is None else mapping_text(mapping)))
    _tell(told, as_json=as_json)


@usage.command("tap")
def usage_tap(
    records: Annotated[Path, typer.Option("--usage", help="A folder of usage records (Parquet).")],
    rated: Annotated[Path, typer.Option("--rated", help="The folder `rate` made of them.")],
    home: Annotated[str, typer.Option("--home", help="Whose subscribers: an operator's id.")],
    visited: Annotated[str, typer.Option("--visited", help="Whose network: an operator's id.")],
    sender: Annotated[str, typer.Option("--sender", help="The visited operator's TADIG code.")],
    recipient: Annotated[str, typer.Option("--recipient", help="The home operator's.")],
    sequence: Annotated[int, typer.Option("--sequence", min=1, max=99_999, help="The file's.")],
    subscribers: Annotated[
        Path, typer.Option("--subscribers", help="CSV: subject (32 hex digits), imsi.")
    ],
    sdr_rate: Annotated[
        str, typer.Option("--sdr-rate", help="What one SDR is in the records' currency: 1.21734.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The new file.")],
    at_us: Annotated[
        int | None,
        typer.Option("--at-us", min=0, help="UTC microseconds of cut-off and file; else now."),
    ] = None,
    definite: Annotated[
        bool, typer.Option("--definite", help="Definite lengths; the file waits in memory.")
    ] = False,
    is_test: Annotated[bool, typer.Option("--test", help="A file of test data.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write what a pair's records were rated at as a transfer file of TAP 3.12, for the home.

    Example: opencarrier usage tap --usage records --rated rated --home op_90ab --visited op_1f7c
    --sender FRA93 --recipient SENBA --sequence 17 --subscribers imsis.csv
    --sdr-rate 1.21734 --out CDFRA93SENBA00017
    """
    from opencarrier.app.system import SystemClock
    from opencarrier.app.transferring import TapOrder, write_tap
    from opencarrier.kernel.refusals import PeerError
    from opencarrier.spine.parties import PartyId

    for given in (records, rated, subscribers):
        if not given.exists():
            raise CommandError(Exit.ENVIRONMENT, f"{given} is not there", "name what exists")
    if out.exists():
        raise CommandError(Exit.USAGE, f"{out} is there", "a number is sent once: name a new file")
    order = TapOrder(
        usage=records,
        rated=rated,
        home=PartyId(home),
        visited=PartyId(visited),
        sender=sender,
        recipient=recipient,
        sequence=sequence,
        subscribers=subscribers,
        sdr_rate=sdr_rate,
        at_us=SystemClock().now_us() if at_us is None else at_us,
        out=out,
        is_test=is_test,
        definite=definite,
    )
    try:
        with readable():
            told = write_tap(order)
    except PeerError as error:
        raise CommandError(Exit.REFUSED, str(error), "see: opencarrier usage tap --help") from None
    emit(told, as_json=as_json)


def _tell(told: dict[str, Any], *, as_json: bool) -> None:
    """Print what became of each file; one that is not kept ends with 1."""
    emit(told, as_json=as_json)
    if not all(file["kept"] for file in told["files"]):
        raise typer.Exit(Exit.REFUSED)


def _groups(pairs: list[str]) -> dict[int, Service]:
    from opencarrier.spine.records import Service

    found = {}
    for pair in pairs:
        number, _, name = pair.partition("=")
        known = name.upper() in Service.__members__ and name.islower()
        if not (known and number.isascii() and number.isdigit()) or int(number) in found:
            services = ", ".join(service.name.lower() for service in Service)
            raise CommandError(
                Exit.USAGE, f"--rating-group {pair}", f"say NUMBER=SERVICE, once each: {services}"
            )
        found[int(number)] = Service[name.upper()]
    return found
