"""Agreements and plans from a few terms and people's names, for those who write no documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Installation
from opencarrier.identity.cli import find
from opencarrier.identity.model import IdentityReason, PartyKind
from opencarrier.kernel.clock import Window
from opencarrier.kernel.money import INT64_MAX, PPM, AssetId
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.rating.model import Agreement, Price, RetailPlan, Tariff
from opencarrier.rating.terms import DocumentError, read_price
from opencarrier.spine.parties import Operator


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """A linear price in force from ever to ever: nano currency units per step, tax on top."""

    unit: str
    step: int
    price_nano: int
    minimum_minor: int
    tax_ppm: int

    def price(self) -> Price:
        """Return the checked price; `DocumentError` names the term that is out of bounds."""
        return read_price(
            {
                "valid_from_us": 0,
                "valid_until_us": INT64_MAX,
                "unit": self.unit,
                "step": self.step,
                "price_nano": self.price_nano,
                "minimum_minor": self.minimum_minor,
                "tax_ppm": self.tax_ppm,
                "tax_included": False,
            },
            "terms",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far a plan trusts one session: octets a second, seconds granted, seconds to report."""

    rate_cap_octets_per_s: int
    session_s_max: int
    interim_s: int


def draft_agreement(
    base: Installation,
    unit: Connection,
    asset: AssetId,
    *,
    home: str,
    visited: str,
    terms: Terms,
    host_ppm: int,
    protocol_ppm: int,
) -> Agreement | Refusal:
    """Make an agreement between two operators; its tax goes to the visited country's tax party."""
    debtor, creditor = operator_named(base, unit, home), operator_named(base, unit, visited)
    if isinstance(debtor, Refusal):
        return debtor
    if isinstance(creditor, Refusal):
        return creditor
    tax_name = f"tax {creditor.jurisdiction}"
    tax = base.identity.directory.named(unit, PartyKind.TAX, tax_name)
    assert tax is not None, "an operator is added with its country's tax party"
    if min(host_ppm, protocol_ppm) < 0 or host_ppm + protocol_ppm > PPM:
        raise DocumentError(
            "host and protocol shares are out of bounds", "keep their sum <= 1000000"
        )
    price = terms.price()
    return Agreement(
        home=debtor.party_id,
        home_address=debtor.address,
        visited=creditor.party_id,
        visited_address=creditor.address,
        asset=asset,
        protocol_party=base.hub.party_id,
        protocol_ppm=protocol_ppm,
        tax_party=tax.party_id,
        tariffs=(Tariff(host_ppm=host_ppm, **_fields(price)),),
    )


def draft_plan(
    base: Installation,
    unit: Connection,
    asset: AssetId,
    *,
    operator: str,
    plan_id: str,
    terms: Terms,
    limits: Limits,
) -> RetailPlan | Refusal:
    """Make a home operator's retail plan."""
    home = operator_named(base, unit, operator)
    if isinstance(home, Refusal):
        return home
    try:
        return RetailPlan(
            plan_id=plan_id,
            home=home.party_id,
            asset=asset,
            price=terms.price(),
            rate_cap_octets_per_s=limits.rate_cap_octets_per_s,
            session_s_max=limits.session_s_max,
            interim_s=limits.interim_s,
        )
    except AssertionError as error:
        raise PeerError("terms", str(error)) from None


def home_of_imsi(base: Installation, unit: Connection, imsi: str) -> str | Refusal:
    """Return the operator whose PLMN an IMSI begins with (TS 23.003 section 2.2)."""
    for digits in (3, 2):
        realm = f"wlan.mnc{imsi[3 : 3 + digits].zfill(3)}.mcc{imsi[:3]}.3gppnetwork.org"
        found = base.identity.directory.home_of(unit, realm)
        if found is not None and imsi[:3] + imsi[3 : 3 + digits] in found.plmns:
            return found.party_id
    return Refusal(IdentityReason.UNKNOWN_OPERATOR, f"no operator has the PLMN of IMSI {imsi[:6]}…")


def only_plan(base: Installation, unit: Connection, operator: str) -> str | Refusal:
    """Return the plan of an operator that has just one."""
    home = operator_named(base, unit, operator)
    if isinstance(home, Refusal):
        return home
    plans = {plan.plan_id for plan in base.rating.plans(unit) if plan.home == home.party_id}
    if len(plans) != 1:
        return Refusal(IdentityReason.INVALID_NAME, f"{home.name} has {len(plans)} plans, not one")
    return plans.pop()


def operator_named(base: Installation, unit: Connection, name: str) -> Operator | Refusal:
    """Return the operator a name or an id means."""
    party = find(base.identity, unit, PartyKind.OPERATOR, name)
    if isinstance(party, Refusal):
        return party
    found = base.identity.directory.operator(unit, party)
    assert found is not None
    return found


def _fields(price: Price) -> dict[str, Any]:
    return {
        "window": Window(price.window.start_us, price.window.end_us),
        "unit": price.unit,
        "step": price.step,
        "price_nano": price.price_nano,
        "minimum_minor": price.minimum_minor,
        "tax_ppm": price.tax_ppm,
        "tax_included": price.tax_included,
    }
