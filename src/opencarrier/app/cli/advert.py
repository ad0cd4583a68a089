"""Commands about adverts: who serves where at what price, and of whom sessions are chosen."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opencarrier.app.cli.common import DEFAULT_DATA, AsJson, Data, group, installation, taken
from opencarrier.app.output import CommandError, Exit, emit

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from opencarrier.app.bootstrap import Installation
    from opencarrier.identity.model import PartyKind
    from opencarrier.spine.parties import PartyId

advert = group("advert", "Who serves where, at what price and quality, and who is chosen.")

Place = Annotated[str, typer.Option("--place", help="The place: a geohash or a venue's name.")]
PriceNano = Annotated[
    int, typer.Option("--price-nano", min=0, help="Billionths of the currency per 1,024 octets.")
]
Currency = Annotated[str, typer.Option("--currency", help="Three letters (ISO 4217).")]
OperatorName = Annotated[str, typer.Argument(help="The operator's name or party id.")]


@advert.command("sign")
def advert_sign(
    operator: OperatorName,
    place: Place,
    price_nano: PriceNano,
    currency: Currency,
    quality_ppm: Annotated[
        int, typer.Option("--quality-ppm", min=0, max=1_000_000, help="Millionths of faultless.")
    ] = 1_000_000,
    hours: Annotated[int, typer.Option("--hours", min=1, max=744, help="How long it holds.")] = 24,
    out: Annotated[Path | None, typer.Option("--out", help="Write it here.")] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Make an advert of an operator whose key is here, take it, and print it for others.

    Example: opencarrier advert sign Lumen --place u09tvw --price-nano 900 --currency EUR
    """
    from opencarrier.app import advertising
    from opencarrier.identity.model import PartyKind
    from opencarrier.routing.document import write_advert

    _check(place, currency)
    with installation(data) as base:
        with base.store.read() as unit:
            seller = _find(base, unit, PartyKind.OPERATOR, operator)
            made = advertising.advert_of(
                base,
                seller,
                place=place,
                currency=currency,
                price_nano=price_nano,
                quality_ppm=quality_ppm,
                hours=hours,
            )
            signed = advertising.sign(base, unit, made)
        if signed is None:
            raise CommandError(Exit.REFUSED, f"the key of {operator} is not here", "sign elsewhere")
        text = write_advert(signed)
        taken(advertising.take(base, text))
    if out is None:
        sys.stdout.write(text + "\n")
    else:
        out.write_text(text + "\n")


@advert.command("add")
def advert_add(
    files: Annotated[list[Path], typer.Argument(help="Adverts others signed, one a file.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Take adverts; the seller's key must be the one this installation knows.

    Example: opencarrier advert add lumen-u09tvw.json
    """
    from opencarrier.app import advertising
    from opencarrier.kernel.refusals import PeerError

    with installation(data) as base:
        for path in files:
            try:
                taken(advertising.take(base, path.read_text().strip()))
            except (OSError, UnicodeDecodeError, PeerError) as error:
                raise CommandError(Exit.REFUSED, f"{path}: {error}", "see: advert sign") from None
    emit({"taken": len(files)}, as_json=as_json)


@advert.command("choose")
def advert_choose(
    place: Place,
    home: Annotated[str, typer.Option("--home", help="The home: its name or party id.")],
    plan: Annotated[str, typer.Option("--plan", help="The plan whose ceiling holds.")],
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Say who may serve a plan's subscribers at a place, the best first.

    Example: opencarrier advert choose --place u09tvw --home Lumen --plan daily --json
    """
    from opencarrier.app import advertising
    from opencarrier.identity.model import PartyKind

    with installation(data) as base:
        with base.store.read() as unit:
            party = _find(base, unit, PartyKind.OPERATOR, home)
        ranked = advertising.chosen(base, place, party, plan)
    emit(
        {"place": place, "ranked": ranked},
        as_json=as_json,
        empty="nobody serves there within the ceiling: opencarrier advert add --help",
    )


@advert.command("place")
def advert_place(
    node_id: Annotated[str, typer.Argument(help="The node.")],
    place: Annotated[str, typer.Argument(help="Where it stands.")],
    data: Data = DEFAULT_DATA,
) -> None:
    """Say at which place a node stands.

    Example: opencarrier advert place cafe-1 u09tvw
    """
    from opencarrier.routing import store

    _check(place, "EUR")
    with installation(data) as base, base.store.write() as unit:
        if base.identity.directory.node_by_id(unit, node_id) is None:
            raise CommandError(Exit.REFUSED, f"{node_id}: unknown node", "see: opencarrier node")
        store.put_place(unit, node_id, place)


@advert.command("floor")
def advert_floor(
    host: Annotated[str, typer.Argument(help="The host's name or party id.")],
    price_nano: PriceNano,
    data: Data = DEFAULT_DATA,
) -> None:
    """Say the least a host's nodes serve for, in billionths per 1,024 octets.

    Example: opencarrier advert floor "Cafe Lumiere" --price-nano 300
    """
    from opencarrier.identity.model import PartyKind
    from opencarrier.routing import store

    with installation(data) as base, base.store.write() as unit:
        store.put_floor(unit, _find(base, unit, PartyKind.HOST, host), price_nano)


@advert.command("ceiling")
def advert_ceiling(
    home: OperatorName,
    plan: Annotated[str, typer.Argument(help="The plan.")],
    price_nano: PriceNano,
    currency: Currency,
    quality_min_ppm: Annotated[
        int, typer.Option("--quality-min-ppm", min=0, max=1_000_000, help="The least quality.")
    ] = 0,
    data: Data = DEFAULT_DATA,
) -> None:
    """Say the most a home pays where a plan's subscribers are served.

    Example: opencarrier advert ceiling Lumen daily --price-nano 2000 --currency EUR
    """
    from opencarrier.identity.model import PartyKind
    from opencarrier.routing import store
    from opencarrier.routing.model import Ceiling

    _check("x", currency)
    with installation(data) as base, base.store.write() as unit:
        ceiling = Ceiling(
            home=_find(base, unit, PartyKind.OPERATOR, home),
            plan_id=plan,
            currency=currency,
            ceiling_nano=price_nano,
            quality_min_ppm=quality_min_ppm,
        )
        store.put_ceiling(unit, ceiling)


def _find(base: Installation, unit: Connection, kind: PartyKind, name: str) -> PartyId:
    from opencarrier.identity.cli import find

    return taken(find(base.identity, unit, kind, name))


def _check(place: str, currency: str) -> None:
    from opencarrier.routing.document import is_currency, is_place

    if not is_place(place):
        raise CommandError(Exit.USAGE, f"--place {place}", "lower-case letters, digits, dots")
    if not is_currency(currency):
        raise CommandError(Exit.USAGE, f"--currency {currency}", "three letters, such as EUR")
