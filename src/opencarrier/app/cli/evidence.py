"""Commands about evidence and proof: ingest, cycle, receipt, verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from opencarrier.app.cli.common import (
    DEFAULT_DATA,
    AsJson,
    Data,
    folder_of,
    group,
    installation,
    standard_input_once,
    taken,
    venue,
)
from opencarrier.app.output import CommandError, Exit, emit, for_people, say
from opencarrier.kernel.ids import from_hex

cycle = group("cycle", "Cycles: the agreed end of a stretch of use, and its settlement.")

RECEIPTS_MAX = 100_000


def ingest(
    files: Annotated[list[Path], typer.Argument(help="pcap, pcapng or FreeRADIUS detail files.")],
    operator: Annotated[str, typer.Option("--operator", help="The visited operator.")],
    node: Annotated[str, typer.Option("--node", help="The node that wrote the packets.")],
    home: Annotated[
        str | None, typer.Option("--home", help="The home operator, where packets name none.")
    ] = None,
    secret_file: Annotated[
        str | None, typer.Option("--secret-file", help="Shared secret, to check the packets.")
    ] = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Read accounting from captures and detail files, as it would have come over the wire.

    Example: opencarrier ingest capture.pcap --operator "Lumen Mobile" --node cafe-1
    """
    from opencarrier.app.ingesting import ingest_files
    from opencarrier.identity.cli import read_secret

    secret = None
    if any(_is_of_records(path) for path in files):
        raise CommandError(
            Exit.USAGE, "roaming files hold no accounting packets", "see: opencarrier usage import"
        )
    if secret_file is not None:
        standard_input_once(secret_file)
        secret = read_secret(secret_file, standard_input=sys.stdin)
    with installation(data) as base:
        try:
            report = taken(
                ingest_files(base, files, operator=operator, node_id=node, home=home, secret=secret)
            )
        except OSError as error:
            raise CommandError(
                Exit.ENVIRONMENT, f"{error.filename}: {error.strerror}", "name files you may read"
            ) from None
    emit(report, as_json=as_json)


def _is_of_records(path: Path) -> bool:
    """Tell whether a file holds records already; one that cannot be read is told of later."""
    from opencarrier.usage.formats import HEAD_OCTETS, NRTRDE, TAP, format_of

    try:
        with path.open("rb") as stream:
            return format_of(stream.read(HEAD_OCTETS)) in (TAP, NRTRDE)
    except OSError:
        return False


@cycle.command("close")
def cycle_close(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Cut the open cycle now, rate and clear what was used, settle it, and wait until it is final.

    Example: opencarrier cycle close --json
    """
    running = folder_of(data).running()
    if running is not None:
        from opencarrier.app.cli.remote import post

        told = post(running, "/v1/cycles/close")
    else:
        from opencarrier.app.closing import close_and_settle

        with venue(data) as place:
            told = taken(close_and_settle(place), "see the cycle's state: opencarrier status")
    emit(told, as_json=as_json)
    if told["waits_for_approval"]:
        say(f"{told['note']}: approve it in the console, under Approvals")
        raise typer.Exit(Exit.REFUSED)
    if told["state"] not in ("final", "open"):
        say(f"not final yet: {told['note']}")
        raise typer.Exit(Exit.UNKNOWN)


@cycle.command("show")
def cycle_show(
    sequence: Annotated[int, typer.Argument(help="The cycle's number.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Show a cycle with the ids of the usages it settles, each good for a receipt.

    Example: opencarrier cycle show 1 --json
    """
    from opencarrier.app.closing import show

    with venue(data) as place, place.base.store.read() as unit:
        told = show(place, unit, sequence)
    if told is None:
        raise CommandError(
            Exit.REFUSED, f"there is no settled cycle {sequence}", "see: opencarrier status"
        )
    emit(told, as_json=as_json)


def receipt(
    usage_id: Annotated[str, typer.Argument(help="The usage, as 0x and 64 hex digits.")],
    audience: Annotated[
        str, typer.Option("--for", help="Who it is for: all, host or subscriber.")
    ] = "all",
    out: Annotated[Path | None, typer.Option("--out", help="Write it here.")] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Write the receipt of a settled usage: one JSON that verifies without us.

    Example: opencarrier receipt 0x5ac1... --for host --out receipt.json
    """
    from opencarrier.receipts.issue import AUDIENCES

    if audience not in AUDIENCES:
        known = ", ".join(AUDIENCES)
        raise CommandError(Exit.USAGE, f"--for {audience}: unknown", f"one of {known}")
    try:
        identifier = from_hex(usage_id)
    except ValueError as error:
        raise CommandError(
            Exit.USAGE, f"{usage_id}: {error}", "see a cycle's: opencarrier cycle show 1"
        ) from None
    with venue(data) as place, place.base.store.read() as unit:
        text = taken(
            place.issuer.issue(unit, identifier, parts=AUDIENCES[audience]),
            "a receipt exists once its cycle is final",
        )
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text)


def trace(
    identifier: Annotated[
        str, typer.Argument(help="A usage, session, subscriber, node, host, file or cycle.")
    ],
    month: Annotated[
        Path | None,
        typer.Option("--month", help="A month's folder: records, matched, rated, cleared."),
    ] = None,
    after: Annotated[str, typer.Option("--after", help="Where the last page ended.")] = "",
    limit: Annotated[int, typer.Option("--limit", help="Items of a page.")] = 20,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Say where the money is: one timeline a use, with a reason at every stage.

    Example: opencarrier trace 0x5ac1... --month june --json
    """
    from opencarrier.app.timelines import items, lines

    if month is None:
        told = _trace_installation(data, identifier, after, limit)
    else:
        told = _trace_month(month, identifier, after, limit)
    if as_json or for_people():
        emit(told, as_json=as_json, shown=lambda: items(told))
        return
    for line in lines(told):
        print(line)


def _trace_installation(data: Path, identifier: str, after: str, limit: int) -> dict[str, Any]:
    from opencarrier.app.tracing import Tracing

    with venue(data) as place:
        return taken(
            Tracing(place).trace(identifier, after=after, limit=limit),
            "ids are 0x and 64 hex digits, cycle:N, a party, a node or a pseudonym",
        )


def _trace_month(month: Path, identifier: str, after: str, limit: int) -> dict[str, Any]:
    from opencarrier.app.month_tracing import MonthTracing
    from opencarrier.kernel.refusals import PeerError
    from opencarrier.rating.terms import DocumentError

    try:
        return taken(
            MonthTracing(month).trace(identifier, after=after, limit=limit),
            "ids are 0x and 64 hex digits, a pseudonym's 32, or a node",
        )
    except DocumentError as error:
        raise CommandError(Exit.REFUSED, error.what, error.hint) from None
    except PeerError as error:
        raise CommandError(Exit.REFUSED, str(error), "see docs/reference/trace.md") from None


def verify(
    files: Annotated[list[Path], typer.Argument(help="Receipts, or folders or ZIPs of them.")],
    rpc: Annotated[str, typer.Option("--rpc", help="Any node of the chain.")],
    manifest: Annotated[
        Path | None, typer.Option("--manifest", help="The venue you trust; see venue.json.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check receipts against a chain and a pinned manifest, and nothing of ours besides.

    Example: opencarrier verify receipt.json --rpc http://127.0.0.1:8400/rpc --manifest venue.json
    """
    from opencarrier.app.verifying import verify_files

    told = verify_files(_expand(files), rpc=rpc, manifest=manifest)
    emit(told, as_json=as_json)
    if told["failed"]:
        raise typer.Exit(Exit.REFUSED)


def _expand(files: list[Path]) -> list[Path]:
    found: list[Path] = []
    for path in files:
        found += sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not found or len(found) > RECEIPTS_MAX:
        raise CommandError(
            Exit.USAGE, f"{len(found)} receipts found", f"name 1 to {RECEIPTS_MAX} receipts"
        )
    return found
