"""Commands about exchanges with another installation: open, run, show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opencarrier.app.cli.common import (
    DEFAULT_DATA,
    AsJson,
    Data,
    digest_of,
    group,
    installation,
    operator_address,
    taken,
)
from opencarrier.app.output import CommandError, Exit, emit, say

if TYPE_CHECKING:
    from opencarrier.kernel.ids import Id

exchange = group("exchange", "Exchanges with another installation: one statement, signed by both.")

Identifier = Annotated[str, typer.Argument(help="The exchange, as 0x and 64 hex digits.")]


@exchange.command("open")
def exchange_open(
    records: Annotated[Path, typer.Argument(help="Rated usages, a JSON object a line.")],
    own: Annotated[str, typer.Option("--as", help="Our operator: its name or address.")],
    peer: Annotated[str, typer.Option("--with", help="The other operator: its name or address.")],
    asset: Annotated[str, typer.Option("--asset", help="The asset that amounts are in.")],
    sequence: Annotated[int, typer.Option("--sequence", min=0, help="The cycle's number.")],
    cut_us: Annotated[int, typer.Option("--cut-us", min=0, help="Usages that ended by then.")],
    domain: Annotated[str, typer.Option("--domain", help="The clearing domain.")] = "opencarrier",
    tolerance_ppm: Annotated[
        int, typer.Option("--tolerance-ppm", min=0, max=1_000_000, help="Amounts apart.")
    ] = 30_000,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Stand by what our side has up to a cut; the peer does the same with the same terms.

    Example: opencarrier exchange open june.jsonl --as Lumen --with 0x7099... --asset EUR
    --sequence 6 --cut-us 1782864000000000
    """
    from opencarrier.app.exchanging import exchanges, read_entries, told
    from opencarrier.clearing.exchange.model import Terms
    from opencarrier.kernel.money import AssetId
    from opencarrier.kernel.refusals import PeerError

    with installation(data) as base:
        ours, theirs = operator_address(base, own), operator_address(base, peer)
        if ours == theirs:
            raise CommandError(Exit.USAGE, "--as and --with are one", "name two operators")
        first, second = sorted((ours, theirs))
        terms = Terms(
            domain=domain,
            asset=AssetId(asset),
            sequence=sequence,
            first=first,
            second=second,
            tolerance_ppm=tolerance_ppm,
        )
        try:
            entries = list(read_entries(records))
        except OSError as error:
            raise CommandError(
                Exit.ENVIRONMENT, f"{records}: {error.strerror}", "name a file you may read"
            ) from None
        except PeerError as error:
            raise CommandError(
                Exit.REFUSED, f"{records}: {error}", "see docs/reference/exchange.md"
            ) from None
        with base.store.write() as unit:
            party = taken(exchanges(base).open(unit, terms, ours, entries, cut_us=cut_us))
    emit(told(party), as_json=as_json)


@exchange.command("run")
def exchange_run(
    identifier: Identifier,
    url: Annotated[str, typer.Option("--url", help="The other installation over HTTP.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Speak with the other installation until both have signed one statement.

    Ends with 4 where it does not answer: run it again, nothing is doubled. Where the other side
    runs this, ours only has to be up.

    Example: opencarrier exchange run 0x5ac1... --url https://lumen.example
    """
    from opencarrier.app import exchanging
    from opencarrier.kernel.refusals import PeerError

    with installation(data) as base:
        try:
            party = taken(exchanging.run(base, _id(identifier), url))
        except PeerError as error:
            raise CommandError(
                Exit.REFUSED, f"{url}: {error}", "the other side is not who it should be"
            ) from None
        except exchanging.PeerUnavailableError as error:
            raise CommandError(
                Exit.UNKNOWN, str(error), "run it again; nothing is doubled"
            ) from None
    emit(exchanging.told(party), as_json=as_json)
    if not party.complete:
        say(f"not signed by both: {exchanging.state_of(party)}")
        raise typer.Exit(Exit.REFUSED if party.proof or party.too_many else Exit.UNKNOWN)


@exchange.command("show")
def exchange_show(
    identifier: Identifier, data: Data = DEFAULT_DATA, as_json: AsJson = False
) -> None:
    """Show where an exchange stands: statement, signatures, every entry that differs, proofs.

    Example: opencarrier exchange show 0x5ac1... --json
    """
    from opencarrier.app.exchanging import exchanges, told

    with installation(data) as base, base.store.read() as unit:
        party = taken(exchanges(base).find(unit, _id(identifier)))
        emit(told(party), as_json=as_json)


def _id(text: str) -> Id:
    from opencarrier.kernel.ids import Id

    return Id(digest_of(text, "exchange"))
