"""Commands about exchanges with another installation: by hand, and the partners of each cycle."""

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
    from opencarrier.app.bootstrap import Installation
    from opencarrier.clearing.exchange.model import Entry, Terms
    from opencarrier.kernel.ids import Id

partner = group("partner", "Who our operators exchange with each cycle, by themselves.")
exchange = group("exchange", "Exchanges with another installation: one statement, signed by both.")

exchange.add_typer(partner)

Own = Annotated[str, typer.Option("--as", help="Our operator: its name or address.")]
Asset = Annotated[str, typer.Option("--asset", help="The asset that amounts are in.")]
TolerancePpm = Annotated[
    int, typer.Option("--tolerance-ppm", min=0, max=1_000_000, help="Amounts apart.")
]
Identifier = Annotated[str, typer.Argument(help="The exchange, as 0x and 64 hex digits.")]


@exchange.command("open")
def exchange_open(
    own: Own,
    peer: Annotated[str, typer.Option("--with", help="The other operator: its name or address.")],
    asset: Asset,
    sequence: Annotated[int, typer.Option("--sequence", min=0, help="The cycle's number.")],
    cut_us: Annotated[int, typer.Option("--cut-us", min=0, help="Usages that ended by then.")],
    records: Annotated[
        Path | None, typer.Argument(help="Rated usages, a JSON object a line.")
    ] = None,
    rated: Annotated[
        Path | None, typer.Option("--rated", help="Or a month that `rate` made.")
    ] = None,
    domain: Annotated[str, typer.Option("--domain", help="The clearing domain.")] = "opencarrier",
    tolerance_ppm: TolerancePpm = 30_000,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Stand by what our side has up to a cut; the peer does the same with the same terms.

    A rated month's records carry no time: all of it is before the cut. Both operators of one are
    named by what this installation knows them as.

    Example: opencarrier exchange open june.jsonl --as Lumen --with 0x7099... --asset EUR
    --sequence 6 --cut-us 1782864000000000
    """
    from opencarrier.app.exchanging import exchanges, told
    from opencarrier.clearing.exchange.model import Terms
    from opencarrier.kernel.money import AssetId

    if (records is None) == (rated is None):
        raise CommandError(Exit.USAGE, "name FILE or --rated, one of them", "see --help")
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
        entries = _entries(base, records, rated, terms)
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


@exchange.command("card")
def exchange_card(
    own: Own,
    out: Annotated[Path, typer.Option("--out", help="Where the card goes.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Write an operator's card, which the other installation takes to know it by the same ids.

    Example: opencarrier exchange card --as Borea --out borea.json
    """
    import json

    from opencarrier.app.partnering import card

    with installation(data) as base, base.store.read() as unit:
        made = taken(card(base, unit, own))
    out.write_text(json.dumps(made, indent=2) + "\n")
    emit({"card": str(out), "address": made["operator"]["address"]}, as_json=as_json)


@partner.command("know")
def partner_know(
    card: Annotated[Path, typer.Argument(help="The card of another installation's operator.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Add another installation's operator by its card; compare its address by another way first.

    Example: opencarrier exchange partner know borea.json
    """
    from opencarrier.app.partnering import read_card, take_card
    from opencarrier.kernel.refusals import PeerError

    try:
        given = read_card(card.read_text())
    except OSError as error:
        raise CommandError(
            Exit.ENVIRONMENT, f"{card}: {error.strerror}", "name a file you may read"
        ) from None
    except (PeerError, UnicodeDecodeError) as error:
        raise CommandError(
            Exit.REFUSED, f"{card}: {error}", "the other side writes it: exchange card"
        ) from None
    with installation(data) as base, base.store.write() as unit:
        made = taken(take_card(base, unit, given))
    emit({"party_id": made.party_id, "name": made.name, "address": made.address}, as_json=as_json)


@partner.command("add")
def partner_add(
    name: Annotated[str, typer.Argument(help="The other operator, known by its card.")],
    own: Own,
    url: Annotated[str, typer.Option("--url", help="The other installation over HTTP.")],
    asset: Annotated[
        str, typer.Option("--asset", help="The asset of the agreements; empty: this venue's.")
    ] = "",
    tolerance_ppm: TolerancePpm = 30_000,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Exchange with an operator each cycle from now on; `up` does it by itself.

    Example: opencarrier exchange partner add Borea --as Lumen --url https://borea.example
    """
    from dataclasses import asdict

    from opencarrier.app.cli.common import asset_of
    from opencarrier.app.partnering import add_partner
    from opencarrier.app.terms import operator_named
    from opencarrier.kernel.money import AssetId

    with installation(data) as base:
        of_asset = AssetId(asset) if asset else asset_of(base)
        with base.store.write() as unit:
            made = taken(
                add_partner(
                    base,
                    unit,
                    own=taken(operator_named(base, unit, own)),
                    peer=taken(operator_named(base, unit, name)),
                    asset=of_asset,
                    url=url,
                    tolerance_ppm=tolerance_ppm,
                )
            )
    emit(asdict(made), as_json=as_json)


@partner.command("list")
def partner_list(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """List the partners, and where the newest exchange with each stands.

    Example: opencarrier exchange partner list --json
    """
    from opencarrier.app.exchanger import exchange_lines

    with installation(data) as base, base.store.read() as unit:
        emit(
            {"partners": exchange_lines(base, unit)},
            as_json=as_json,
            empty="make yours known: opencarrier exchange card --help",
        )


@partner.command("remove")
def partner_remove(
    name: Annotated[str, typer.Argument(help="The other operator: its name or address.")],
    own: Own,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Exchange no more with an operator; what both signed stays.

    Example: opencarrier exchange partner remove Borea --as Lumen
    """
    from opencarrier.clearing.exchange import partners

    with installation(data) as base:
        ours, theirs = operator_address(base, own), operator_address(base, name)
        with base.store.write() as unit:
            known = [p for p in partners.every(unit) if (p.own, p.peer) == (ours, theirs)]
            for found in known:
                partners.remove(unit, found)
    emit({"removed": len(known)}, as_json=as_json)


def _entries(
    base: Installation, records: Path | None, rated: Path | None, terms: Terms
) -> list[Entry]:
    """Read what our side stands by from its file, or from a rated month."""
    from opencarrier.app.exchanging import month_entries, read_entries
    from opencarrier.kernel.refusals import PeerError

    given = records or rated
    try:
        if records is not None:
            return list(read_entries(records))
        assert rated is not None
        return taken(month_entries(base, rated, terms))
    except OSError as error:
        raise CommandError(
            Exit.ENVIRONMENT, f"{given}: {error.strerror}", "name what you may read"
        ) from None
    except PeerError as error:
        raise CommandError(
            Exit.REFUSED, f"{given}: {error}", "see docs/reference/exchange.md"
        ) from None


def _id(text: str) -> Id:
    from opencarrier.kernel.ids import Id

    return Id(digest_of(text, "exchange"))
