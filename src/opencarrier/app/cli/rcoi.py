"""Commands about roaming consortium identifiers: what a policy comes to, and what one says."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from opencarrier.app.cli.common import AsJson, group
from opencarrier.app.output import CommandError, Exit, emit

if TYPE_CHECKING:
    from opencarrier.access.openroaming.rcoi import IdentityType, Rcoi

rcoi = group("rcoi", "OpenRoaming's consortium identifiers (RCOI): of a policy, and in words.")


class Payment(StrEnum):
    """Which base an identifier begins with."""

    FREE = "free"
    SETTLED = "settled"


class Quality(StrEnum):
    """The qualities an identifier can name."""

    BRONZE = "bronze"
    SILVER = "silver"


Paid = Annotated[list[Payment] | None, typer.Option("--paid", help="The bases; free by default.")]
Own = Annotated[list[str] | None, typer.Option("--own", help="An own OUI, six hex digits.")]
Enhanced = Annotated[bool, typer.Option("--enhanced", help="Identities are proven well.")]
Identified = Annotated[bool, typer.Option("--identified", help="Users are identified.")]
Short = Annotated[bool, typer.Option("--short-lived", help="Credentials live shortly.")]
Types = Annotated[
    list[str] | None, typer.Option("--type", help="enterprise, government, ...: an identity type.")
]
Service = Annotated[Quality, typer.Option("--quality", help="The least wanted, the best offered.")]


@rcoi.command("carried")
def carried(
    paid: Paid = None,
    own: Own = None,
    enhanced: Enhanced = False,
    identified: Identified = False,
    short_lived: Short = False,
    types: Types = None,
    quality: Service = Quality.BRONZE,
    as_json: AsJson = False,
) -> None:
    """List every identifier a home's policy satisfies: what its devices carry.

    Example: opencarrier rcoi carried --paid free --paid settled --enhanced --type education
    """
    from opencarrier.access.openroaming import rcoi as rules

    identity = rules.Identity(
        bases=_bases(paid, own),
        assurance=rules.Assurance(enhanced),
        least=rules.Tier[quality.name],
        identified=identified,
        types=frozenset(_type(name) for name in types or ()),
        short_lived=short_lived,
    )
    _list(rules.carried(identity), as_json=as_json)


@rcoi.command("broadcast")
def broadcast(
    paid: Paid = None,
    own: Own = None,
    enhanced: Enhanced = False,
    identified: Identified = False,
    short_lived: Short = False,
    types: Types = None,
    quality: Service = Quality.BRONZE,
    as_json: AsJson = False,
) -> None:
    """List the identifiers an access network shows: what it asks of whom it lets on.

    Example: opencarrier rcoi broadcast --quality silver
    """
    from opencarrier.access.openroaming import rcoi as rules

    asked = frozenset(_type(name) for name in types or ())
    network = rules.Network(
        bases=_bases(paid, own),
        assurance=rules.Assurance(enhanced),
        best=rules.Tier[quality.name],
        identified=identified,
        types=asked or frozenset((rules.IdentityType.ALL,)),
        short_lived=short_lived,
    )
    _list(rules.broadcast(network), as_json=as_json)


@rcoi.command("read")
def read(
    identifier: Annotated[str, typer.Argument(help="Six or ten hex digits.")],
    own: Own = None,
    as_json: AsJson = False,
) -> None:
    """Say what an identifier means.

    Example: opencarrier rcoi read BAA2D02000
    """
    from opencarrier.access.openroaming import rcoi as rules
    from opencarrier.kernel.refusals import PeerError

    bases = tuple(_oui(name) for name in own or ())
    try:
        found = rules.read(_octets(identifier), bases)
    except PeerError as error:
        hint = "name an own base with --own" if error.reason == "rcoi_base" else ""
        raise CommandError(Exit.REFUSED, f"{identifier}: {error}", hint) from None
    payment = rules.class_of(found.octets, bases)
    emit(
        {
            "rcoi": str(found),
            "paid": payment.name.lower(),
            "assurance": found.assurance.name.lower(),
            "quality": found.tier.name.lower(),
            "users": "identified" if found.identified else "anonymous",
            "identity": found.identity.name.lower(),
            "credential": "short-lived" if found.short_lived else "long-lived",
        },
        as_json=as_json,
    )


def _list(found: tuple[Rcoi, ...], *, as_json: bool) -> None:
    if as_json:
        emit({"rcoi": [str(item) for item in found]}, as_json=True)
        return
    print("\n".join(str(item) for item in found))


def _bases(paid: list[Payment] | None, own: list[str] | None) -> tuple[bytes, ...]:
    from opencarrier.access.openroaming.rcoi import SETTLED, SETTLEMENT_FREE

    ours = [_oui(name) for name in own or ()]
    asked = paid or ([] if ours else [Payment.FREE])
    named = [SETTLED if item is Payment.SETTLED else SETTLEMENT_FREE for item in asked]
    return tuple(dict.fromkeys([*named, *ours]))


def _type(name: str) -> IdentityType:
    from opencarrier.access.openroaming.rcoi import IdentityType

    known = {item.name.lower().replace("_", "-"): item for item in IdentityType}
    if name not in known:
        raise CommandError(Exit.USAGE, f"there is no identity type {name!r}", ", ".join(known))
    return known[name]


def _oui(name: str) -> bytes:
    from opencarrier.access.openroaming.rcoi import BASE_OCTETS

    octets = _octets(name)
    if len(octets) != BASE_OCTETS:
        raise CommandError(Exit.USAGE, f"{name} is no OUI", "give six hex digits")
    return octets


def _octets(name: str) -> bytes:
    try:
        return bytes.fromhex(name.replace("-", ""))
    except ValueError:
        raise CommandError(Exit.USAGE, f"{name} is no identifier", "give hex digits") from None
