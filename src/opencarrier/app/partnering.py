"""Partners elsewhere: the card an operator hands over, and who our operators exchange with.

A card names the operator and the parties its charges have legs for by the ids they have at home, so
that agreements and positions mean the same in both installations.
"""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Installation
from opencarrier.clearing.exchange import partners
from opencarrier.clearing.exchange.live import DOMAIN
from opencarrier.clearing.exchange.partners import Partner
from opencarrier.identity.cli import find
from opencarrier.identity.model import IdentityReason, Party, PartyKind
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.receipts.form import check_nesting
from opencarrier.spine.parties import Operator, PartyId

FORMAT: Final = "opencarrier/card/v1"
CARD_OCTETS_MAX: Final = 16 << 10
_OPERATOR: Final = ("party_id", "name", "address", "jurisdiction", "realms", "plmns")
_PARTY: Final = ("party_id", "name", "address")


def card(base: Installation, unit: Connection, operator: str) -> dict[str, Any] | Refusal:
    """Return an operator's card: itself, its country's tax party and this domain's party."""
    party = find(base.identity, unit, PartyKind.OPERATOR, operator)
    if isinstance(party, Refusal):
        return party
    found = base.identity.directory.operator(unit, party)
    assert found is not None, "what was found by name is an operator"
    tax = base.identity.directory.named(unit, PartyKind.TAX, f"tax {found.jurisdiction}")
    assert tax is not None, "an operator is added with its country's tax party"
    return {
        "format": FORMAT,
        "operator": {
            name: list(value) if isinstance(value := getattr(found, name), tuple) else value
            for name in _OPERATOR
        },
        "tax": _told(tax),
        "protocol": _told(base.hub),
    }


def read_card(text: str) -> dict[str, Any]:
    """Read a card; `PeerError` for what is none."""
    if len(text) > CARD_OCTETS_MAX:
        raise PeerError("too_long", f"a card has {CARD_OCTETS_MAX} octets at most")
    try:
        check_nesting(text)
        document = json.loads(text)
    except ValueError as error:
        raise PeerError("not_a_card", str(error)) from None
    parts = {"operator": _OPERATOR, "tax": _PARTY, "protocol": _PARTY}
    if not isinstance(document, dict) or set(document) != {"format", *parts}:
        raise PeerError("not_a_card", f"a card has format, {', '.join(parts)}")
    if document["format"] != FORMAT:
        raise PeerError("not_a_card", f"its format is not {FORMAT}")
    for name, fields in parts.items():
        _check_part(name, document[name], fields)
    return document


def _check_part(name: str, part: Any, fields: tuple[str, ...]) -> None:
    if not isinstance(part, dict) or set(part) != set(fields):
        raise PeerError("not_a_card", f"{name} has {', '.join(fields)}")
    for field, value in part.items():
        items = value if field in ("realms", "plmns") and isinstance(value, list) else [value]
        if not all(isinstance(item, str) for item in items):
            raise PeerError("not_a_card", f"{name}: {field} is text")


def take_card(base: Installation, unit: Connection, given: dict[str, Any]) -> Operator | Refusal:
    """Add the parties of a card, each with its id; the same card again changes nothing."""
    told = given["operator"]
    made = base.identity.register.add_operator(unit, **told)
    if isinstance(made, Refusal):
        return made
    for kind, part in ((PartyKind.TAX, given["tax"]), (PartyKind.PROTOCOL, given["protocol"])):
        added = _add_party(base, unit, kind, part, made.name)
        if isinstance(added, Refusal):
            return added
    return made


def _add_party(
    base: Installation, unit: Connection, kind: PartyKind, part: dict[str, str], operator: str
) -> Party | Refusal:
    """Add a tax or protocol party; where its name is another's here, the operator's is put after.

    Two operators of one installation have both in common.
    """
    known = base.identity.directory.named(unit, kind, part["party_id"])
    if known is not None and known.address == part["address"]:
        return known
    names_another = base.identity.directory.named(unit, kind, part["name"]) is not None
    name = f"{part['name']} of {operator}" if names_another else part["name"]
    return base.identity.register.add_party(
        unit,
        kind=kind,
        name=name,
        address=part["address"],
        party_id=PartyId(part["party_id"]),
    )


def add_partner(
    base: Installation,
    unit: Connection,
    *,
    own: Operator,
    peer: Operator,
    asset: AssetId,
    url: str,
    tolerance_ppm: int,
) -> Partner | Refusal:
    """Exchange with another installation's operator from now on; again changes the address."""
    if own.party_id == peer.party_id:
        return Refusal(IdentityReason.UNKNOWN_OPERATOR, "the partner is our operator itself")
    partner = Partner(
        domain=DOMAIN,
        asset=asset,
        own=own.address,
        peer=peer.address,
        tolerance_ppm=tolerance_ppm,
        url=url,
    )
    return partners.put(unit, partner) or partner


def _told(party: Party) -> dict[str, Any]:
    return {name: getattr(party, name) for name in _PARTY}
