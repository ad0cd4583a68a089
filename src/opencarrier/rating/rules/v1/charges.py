"""From what rating reads to a charge with its allocations."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.rating.model import AgreementHead, RetailPlan, Tariff
from opencarrier.rating.rules.v1.formula import (
    VERSION,
    WholesaleLegs,
    fits,
    quantity,
    retail_legs,
    wholesale_legs,
)
from opencarrier.spine.ids import charge_id
from opencarrier.spine.money import Allocation, Charge, Kind, Role
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Counters, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class WholesaleInputs:
    """Everything rating reads for the charge between two operators.

    `tariff_at_us` is the instant the tariff was looked up at: the grant's, else the start of the
    session.
    """

    head: AgreementHead
    tariff: Tariff
    tariff_at_us: int
    host: PartyId
    counters_from: Counters
    counters_to: Counters

    def __post_init__(self) -> None:
        assert self.tariff.hash in self.head.tariff_hashes, "the tariff is not the agreement's"
        assert self.tariff.window.holds(self.tariff_at_us), "the tariff was not in force"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetailInputs:
    """Everything rating reads for the charge between the seller and its subscriber."""

    plan: RetailPlan
    plan_at_us: int
    subscriber: PartyId
    discount_ppm: int
    counters_from: Counters
    counters_to: Counters

    def __post_init__(self) -> None:
        assert self.plan.price.window.holds(self.plan_at_us), "the plan was not in force"


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """What rating says of a usage under one contract; with the usage's id it is a charge."""

    kind: Kind
    payer: PartyId
    seller: PartyId
    asset: AssetId
    amount_minor: int
    discount_minor: int
    tariff_hash: Id
    agreement_hash: Id
    allocations: tuple[Allocation, ...]


def ratable(inputs: WholesaleInputs | RetailInputs) -> bool:
    """Say whether the session's counters lie within the guards of the formula."""
    counters = inputs.counters_to
    if isinstance(inputs, WholesaleInputs):
        return fits(inputs.tariff, quantity(inputs.tariff.unit, counters))
    price = inputs.plan.price
    return fits(price, quantity(price.unit, counters), inputs.discount_ppm)


def rate(inputs: WholesaleInputs | RetailInputs) -> Priced:
    """Price what a usage adds to its session: every leg after it, less the leg before it."""
    return _wholesale(inputs) if isinstance(inputs, WholesaleInputs) else _retail(inputs)


def charge(usage: Usage, priced: Priced, inputs: bytes, *, rule_version: str = VERSION) -> Charge:
    """Make the charge of a usage from its price and the encoded inputs it was priced from."""
    return Charge(
        charge_id=charge_id(
            usage.usage_id,
            priced.kind,
            inputs_hash=sha256(inputs).digest(),
            rule_version=rule_version,
            amount_minor=priced.amount_minor,
        ),
        usage_id=usage.usage_id,
        kind=priced.kind,
        payer=priced.payer,
        seller=priced.seller,
        asset=priced.asset,
        amount_minor=priced.amount_minor,
        discount_minor=priced.discount_minor,
        tariff_hash=priced.tariff_hash,
        agreement_hash=priced.agreement_hash,
        rule_version=rule_version,
        inputs=inputs,
        allocations=priced.allocations,
    )


def _wholesale(inputs: WholesaleInputs) -> Priced:
    head, tariff = inputs.head, inputs.tariff
    before = wholesale_legs(tariff, head.protocol_ppm, inputs.counters_from)
    after = wholesale_legs(tariff, head.protocol_ppm, inputs.counters_to)
    legs = wholesale_allocations(
        after - before,
        visited=head.visited,
        host=inputs.host,
        protocol_party=head.protocol_party,
        tax_party=head.tax_party,
    )
    return Priced(
        kind=Kind.WHOLESALE,
        payer=head.home,
        seller=head.visited,
        asset=head.asset,
        amount_minor=sum(leg.amount_minor for leg in legs),
        discount_minor=0,
        tariff_hash=tariff.hash,
        agreement_hash=head.hash,
        allocations=legs,
    )


def _retail(inputs: RetailInputs) -> Priced:
    plan, discount_ppm = inputs.plan, inputs.discount_ppm
    before = retail_legs(plan.price, discount_ppm, inputs.counters_from)
    after = retail_legs(plan.price, discount_ppm, inputs.counters_to)
    legs = _legs(
        (Role.SELLER, plan.home, "revenue", after.seller_minor - before.seller_minor),
        (Role.TAX, plan.home, "retail-tax", after.tax_minor - before.tax_minor),
    )
    return Priced(
        kind=Kind.RETAIL,
        payer=inputs.subscriber,
        seller=plan.home,
        asset=plan.asset,
        amount_minor=sum(leg.amount_minor for leg in legs),
        discount_minor=after.discount_minor - before.discount_minor,
        tariff_hash=plan.price.hash,
        agreement_hash=plan.hash,
        allocations=legs,
    )


def wholesale_allocations(
    legs: WholesaleLegs,
    *,
    visited: PartyId,
    host: PartyId,
    protocol_party: PartyId,
    tax_party: PartyId,
) -> tuple[Allocation, ...]:
    """Say whose each leg is, and in which account."""
    return _legs(
        (Role.SELLER, visited, "clearing", legs.seller_minor),
        (Role.HOST, host, "accrued", legs.host_minor),
        (Role.PROTOCOL, protocol_party, "clearing", legs.protocol_minor),
        (Role.TAX, tax_party, "clearing", legs.tax_minor),
    )


def _legs(*legs: tuple[Role, PartyId, str, int]) -> tuple[Allocation, ...]:
    """Make allocations of the legs that carry anything, in the order of their roles."""
    return tuple(
        Allocation(role=role, party=party, account=f"{kind}/{party}", amount_minor=amount_minor)
        for role, party, kind, amount_minor in legs
        if amount_minor != 0
    )
