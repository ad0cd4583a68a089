"""The door of rating: agreements and plans, quotes and holds, charges; `unit` is the caller's.

Answers the ports `AccessPolicy` and `Rater`. Nothing here keeps state between calls: what it
knows stands in the unit's database, so a restart needs no hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from opencarrier.kernel.clock import SECOND_US, Window
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId, Money, divide_ceiling
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, Signature, verify
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.rating import charges, credit, discounts, period_ends, store
from opencarrier.rating.agreements.book import read_any, twice_priced
from opencarrier.rating.agreements.model import RoamingAgreement
from opencarrier.rating.agreements.rows import (
    AnyAgreement,
    Row,
    pairs_of,
    rows_of,
    signers_of,
)
from opencarrier.rating.holds import Authorisation, cover_transfers, hold_transfer
from opencarrier.rating.model import INTERIM_FLOOR_S, RetailPlan, overlap
from opencarrier.rating.ports import NoDiscounts, NoSales
from opencarrier.rating.quote import Offer, Quote, RetailPrice, quote, retail_price
from opencarrier.rating.rater import Run
from opencarrier.rating.reasons import AccessReason, DocumentReason
from opencarrier.rating.rules import v1
from opencarrier.rating.rules.v2.charges import FreeTerms
from opencarrier.rating.wholesale import Terms, in_force, terms_of
from opencarrier.spine.access import (
    AUTHORISATION_OCTETS,
    WIFI,
    AuthorisationRequest,
    Grant,
    Offered,
)
from opencarrier.spine.money import Charge, Discount, Due, Kind, RatedUsage, Suspense
from opencarrier.spine.parties import Operator, PartyId
from opencarrier.spine.ports import Directory, Discounts, Notary, Sales, UsageSource
from opencarrier.spine.records import RcoiClass
from opencarrier.spine.usage import Counters, Usage

RATED_MAX = 500
"""Usages rated and booked in one step of `rate`: what is kept in memory at once."""

RETRIED_MAX = 10_000
"""Suspended usages a cycle tries again; the rest wait for the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingSettings:
    """What an installation can tell rating.

    `grace_s` is how long after its timeout a session may go on counting (a lost packet, a slow
    access point). `settlement_lag_s` is how long a hold outlives its session, so that the cycle
    that rates it still finds it. `collateral_gate` refuses access while what the home owes and
    may come to owe is beyond its free collateral.
    """

    grace_s: int = 30
    settlement_lag_s: int = 7_200
    collateral_gate: bool = True


class RatingService:
    """Agreements, plans, quotes, holds and charges over the ledger."""

    def __init__(
        self,
        *,
        directory: Directory,
        usages: UsageSource,
        entropy: Entropy,
        discounts: Discounts | None = None,
        sales: Sales | None = None,
        settings: RatingSettings | None = None,
    ) -> None:
        self._directory = directory
        self._usages = usages
        self._entropy = entropy
        self._discounts = discounts or NoDiscounts()
        self._sales = sales or NoSales()
        self._settings = settings or RatingSettings()

    def add_agreement(
        self,
        unit: Connection,
        agreement: AnyAgreement,
        signatures: Sequence[Signature],
        *,
        at_us: int,
    ) -> Refusal | None:
        """Take an agreement both operators signed; None also when it is here already.

        The signatures are over the agreement's hash, by the operators' registered addresses; an
        operator's agreement with itself carries one. Refused by reason: unknown operators, a
        signature that is a stranger's, wrong or missing, and a tariff or line that would price the
        same use as one of the pair's, both named.
        """
        refusal = self._unsigned(unit, agreement, signatures)
        if refusal is not None:
            return refusal
        if store.agreement(unit, agreement.hash) is not None:
            return None
        refusal = _overlapping_agreement(unit, agreement)
        if refusal is None:
            store.insert_agreement(unit, agreement, tuple(signatures), at_us)
            if isinstance(agreement, RoamingAgreement):
                period_ends.insert_periods(unit, agreement)
        return refusal

    def sign_agreement(
        self, unit: Connection, agreement: AnyAgreement, notary: Notary
    ) -> tuple[Signature, ...]:
        """Return the signatures this installation can give: of the operators whose keys it has."""
        addresses = sorted(signers_of(agreement))
        made = [notary.sign(unit, address, agreement.hash) for address in addresses]
        return tuple(signature for signature in made if signature is not None)

    def add_plan(self, unit: Connection, plan: RetailPlan, *, at_us: int) -> Refusal | None:
        """Take a home's retail plan; None also when it is here already.

        Versions of one plan follow each other: one in force at the same time as another is
        refused, both named.
        """
        if self._directory.operator(unit, plan.home) is None:
            return Refusal(DocumentReason.UNKNOWN_OPERATOR, plan.home)
        if store.plan(unit, plan.hash) is not None:
            return None
        for other in store.plans_named(unit, plan.home, plan.plan_id):
            if overlap((other.price, plan.price)) is not None:
                detail = f"{plan.price} and {other.price} are in force at once"
                return Refusal(DocumentReason.OVERLAPS, detail)
        store.insert_plan(unit, plan, at_us)
        return None

    def agreements(self, unit: Connection) -> list[AnyAgreement]:
        """Return every agreement, ascending by home, visited and hash."""
        return store.all_agreements(unit)

    def agreement_document(self, unit: Connection, agreement_hash: bytes) -> str | None:
        """Return an agreement's JSON with both signatures, as a receipt shows it."""
        return store.agreement_document(unit, agreement_hash)

    def agreement_signatures(self, unit: Connection, agreement_hash: bytes) -> Sequence[Signature]:
        """Return the signatures under an agreement, none where it is unknown."""
        document = store.agreement_document(unit, agreement_hash)
        return () if document is None else read_any(document)[1]

    def plans(self, unit: Connection) -> list[RetailPlan]:
        """Return every plan, ascending by home, name and when it begins."""
        return store.all_plans(unit)

    def retail_price(
        self, unit: Connection, *, home: PartyId, plan_id: str, counters: Counters, at_us: int
    ) -> RetailPrice | Refusal:
        """Price an amount of use on a plan in force; nothing is held or kept."""
        plan = _plan_at(unit, home, plan_id, at_us)
        return plan if isinstance(plan, Refusal) else retail_price(plan, counters)

    def authorise(self, unit: Connection, request: AuthorisationRequest) -> Grant | Refusal:
        """Quote both contracts, open the hold and keep the authorisation; or say why not.

        Where the subscriber pays as it uses, whoever sells to it here is its home for this
        authorisation, and nothing is held in advance.
        """
        sale = self._sales.sale(unit, request.subscriber, request.visited)
        if sale is not None:
            seller = replace(request.subscriber, home=sale.seller, plan_id=sale.plan_id)
            request = replace(request, subscriber=seller)
        offer = self._offer(unit, request, prepaid=sale is None)
        if isinstance(offer, Refusal):
            return offer
        discount = self._discount(unit, request, offer)
        if discount is not None:
            offer = _reduced(offer, discount, request.at_us)
        quoted = quote(offer)
        if isinstance(quoted, Refusal):
            return quoted
        authorisation = self._authorisation(request, offer, quoted)
        self._open_hold(unit, authorisation, request.at_us)
        store.insert_authorisation(unit, authorisation)
        if discount is not None:
            ends_us = discount.unlock_at_s * SECOND_US if sale is None else None
            discounts.insert(
                unit,
                authorisation,
                discount,
                reserved_minor=quoted.spend_minor,
                ends_us=ends_us,
            )
        grant = _grant(authorisation)
        if sale is not None:
            self._sales.sold(unit, grant)
        return grant

    def retail_minor(
        self, unit: Connection, authorisation_id: bytes, counters: Counters
    ) -> int | None:
        """Return the price of a session so far, tax included; None beyond the formula's range."""
        item = self._known(unit, authorisation_id)
        plan = store.plan(unit, item.plan_hash)
        assert plan is not None, "an authorisation's plan is gone"
        if not v1.fits(plan.price, v1.quantity(plan.price.unit, counters), item.discount_ppm):
            return None
        legs = v1.retail_legs(plan.price, item.discount_ppm, counters)
        return legs.seller_minor + legs.tax_minor

    def cover(
        self,
        unit: Connection,
        authorisation_id: bytes,
        amount_minor: int,
        *,
        payer: str,
        reference: Id,
        at_us: int,
    ) -> None:
        """Move money from the account `payer` to the subscriber, and hold it for the session.

        The same reference again moves nothing. A hold whose time is over is left to expire.
        """
        item = self._known(unit, authorisation_id)
        paid = cover_transfers(item, amount_minor, payer=payer, reference=reference, at_us=at_us)
        if ledger.booked(unit, [paid.transfers[0].transfer_id]):
            return
        ledger.ensure(unit, item.asset, [payer, paid.transfers[0].credit, paid.hold.credit])
        outcomes = ledger.apply(unit, paid.transfers, at_us)
        assert set(outcomes) == {None}, f"a session's cover is refused: {outcomes}"
        store.write_authorisations(unit, [paid.authorisation])

    def reserve(
        self,
        unit: Connection,
        authorisation_id: bytes,
        session_id: Id,
        *,
        used: Counters,
        octets: int,
        ahead_s: int,
        at_us: int,
    ) -> int | None:
        """Hold what is used and as many more octets as the money covers; return how many.

        None where what is used is beyond the formula's range.
        """
        item = self._known(unit, authorisation_id)
        return credit.reserve(
            unit, item, session_id, used=used, octets=octets, ahead_s=ahead_s, at_us=at_us
        )

    def _known(self, unit: Connection, authorisation_id: bytes) -> Authorisation:
        found = store.authorisations_by_id(unit, [authorisation_id])
        assert authorisation_id in found, "an authorisation that was granted is gone"
        return found[authorisation_id]

    def grant(self, unit: Connection, authorisation_id: bytes) -> Grant | None:
        """Return a grant made before."""
        found = store.authorisations_by_id(unit, [authorisation_id]).get(authorisation_id)
        return None if found is None else _grant(found)

    def offered(self, unit: Connection, authorisation_id: bytes | None) -> Offered:
        """Return what a session was offered; Wi-Fi where no authorisation says more."""
        if authorisation_id is None:
            return WIFI
        found = store.authorisations_by_id(unit, [authorisation_id]).get(authorisation_id)
        return WIFI if found is None else found.offered

    def rate(
        self, unit: Connection, *, cycle_id: Id, usages: Sequence[Usage], at_us: int
    ) -> tuple[Sequence[Charge], Sequence[Suspense]]:
        """Rate and book both charges of each usage, and of suspended ones that now can be.

        Returns the charges of these usages and of the cycle, ascending by usage id and kind,
        and what of them waits. Rating the same again books nothing and returns the same.
        """
        wanted = {usage.usage_id: usage for usage in usages}
        before = charges.usages_of_cycle(unit, cycle_id)
        for usage_id in charges.retriable_usages(unit, limit=RETRIED_MAX):
            usage = self._usages.usage(unit, usage_id)
            assert usage is not None, "a suspended usage is gone"
            wanted.setdefault(usage_id, usage)
        order = sorted(wanted.values(), key=lambda usage: (usage.start_us, usage.usage_id))
        run = Run(unit, directory=self._directory, cycle_id=cycle_id, at_us=at_us)
        run.note(order)
        for start in range(0, len(order), RATED_MAX):
            run.rate(order[start : start + RATED_MAX])
        ids = {*wanted, *before}
        return charges.charges_of(unit, ids), charges.waiting(unit, ids)

    def adjust(self, unit: Connection, *, cycle_id: Id, at_us: int) -> Sequence[Due]:
        """Make and book what deals still move of the periods that are over (`period_ends`)."""
        return period_ends.adjust_periods(unit, cycle_id=cycle_id, at_us=at_us)

    def adjusted(self, unit: Connection) -> list[Due]:
        """Return every adjustment that was made, by agreement, deal, period and number."""
        return period_ends.adjusted(unit)

    def due(self, unit: Connection, adjustment_id: Id) -> Due | None:
        """Return an adjustment, made again from what it was made from."""
        return period_ends.due(unit, adjustment_id)

    def rated(self, unit: Connection, usage_id: Id) -> RatedUsage | None:
        """Return a usage with its charges, or None while its wholesale charge waits."""
        made = {charge.kind: charge for charge in charges.charges_of(unit, [usage_id])}
        host, usage = charges.host_of(unit, usage_id), self._usages.usage(unit, usage_id)
        if host is None or usage is None:
            return None
        return RatedUsage(
            usage=usage,
            host=host,
            wholesale=made[Kind.WHOLESALE],
            retail=made.get(Kind.RETAIL),
        )

    def charges(self, unit: Connection, cycle_id: Id) -> list[Charge]:
        """Return the charges booked in a cycle, ascending by usage id and kind."""
        return charges.charges_of(unit, charges.usages_of_cycle(unit, cycle_id))

    def suspended(self, unit: Connection) -> list[Suspense]:
        """Return everything that waits to be rated, ascending by usage id and kind."""
        return charges.waiting(unit)

    def _unsigned(
        self, unit: Connection, agreement: AnyAgreement, signatures: Sequence[Signature]
    ) -> Refusal | None:
        """Say what is missing for an agreement to bind both operators."""
        missing = signers_of(agreement)
        refusals = [
            _unregistered(self._directory.operator(unit, party), address)
            for address, party in missing.items()
        ]
        known = [item for item in refusals if item is not None]
        if known:
            return min(known, key=lambda item: item.reason)
        strangers = [item.kid for item in signatures if item.kid not in missing]
        if strangers:
            return Refusal(DocumentReason.SIGNATURE_OF_STRANGER, strangers[0])
        for signature in signatures:
            if not verify(agreement.hash, signature):
                return Refusal(DocumentReason.SIGNATURE_INVALID, missing[signature.kid])
        unsigned = missing.keys() - {signature.kid for signature in signatures}
        if unsigned:
            return Refusal(DocumentReason.SIGNATURE_MISSING, missing[min(unsigned)])
        return None

    def _offer(
        self, unit: Connection, request: AuthorisationRequest, *, prepaid: bool
    ) -> Offer | Refusal:
        home, at_us = request.subscriber.home, request.at_us
        terms = _terms_at(unit, request)
        if isinstance(terms, Refusal):
            return terms
        plan = _plan_at(unit, home, request.subscriber.plan_id, at_us)
        if isinstance(plan, Refusal):
            return plan
        if terms is None:
            terms = FreeTerms(
                home=home, visited=request.visited, asset=plan.asset, offered=request.offered
            )
        subscriber = request.subscriber.party_id
        balance = ledger.balance(unit, plan.asset, chart.prepaid(subscriber))
        return Offer(
            terms=terms,
            plan=plan,
            discount_ppm=0,
            grace_s=self._settings.grace_s,
            balance_minor=balance.free_minor if prepaid else None,
            collateral_minor=self._collateral_minor(unit, home, terms.asset, at_us),
            longest_s=_left_s(min(terms.window.end_us, plan.price.window.end_us), at_us),
        )

    def _discount(
        self, unit: Connection, request: AuthorisationRequest, offer: Offer
    ) -> Discount | None:
        """Return the discount a session has, None unless lock and cap cover all it may reach."""
        subscriber, at_us = request.subscriber, request.at_us
        discount = self._discounts.discount(
            unit, subscriber.party_id, seller=subscriber.home, at_us=at_us
        )
        if discount is None or discount.asset != offer.plan.asset:
            return None
        if discount.unlock_at_s - divide_ceiling(at_us, SECOND_US) < INTERIM_FLOOR_S:
            return None
        quoted = quote(_reduced(offer, discount, at_us))
        left_minor = discounts.left_minor(unit, subscriber.home, discount, at_us)
        covered = isinstance(quoted, Quote) and quoted.spend_minor <= left_minor
        return discount if covered else None

    def _collateral_minor(
        self, unit: Connection, home: PartyId, asset: AssetId, at_us: int
    ) -> int | None:
        """Return what of a home's collateral no debt, notice or possible debt has claimed."""
        if not self._settings.collateral_gate:
            return None
        clearing = ledger.balance(unit, asset, chart.clearing(home))
        unsettled_minor = max(0, -clearing.posted_minor - clearing.credits_pending)
        open_minor = store.exposure_minor(unit, home, asset, at_us)
        collateral = ledger.balance(unit, asset, chart.collateral(home))
        noticed_minor = ledger.balance(unit, asset, chart.noticed(home)).posted_minor
        return collateral.free_minor - noticed_minor - unsettled_minor - open_minor

    def _authorisation(
        self, request: AuthorisationRequest, offer: Offer, quoted: Quote
    ) -> Authorisation:
        subscriber, quote_in_band = request.subscriber, request.offered.quote
        label = f"authorisation/{subscriber.party_id}"
        expires_us = request.at_us + quoted.session_timeout_s * SECOND_US
        lag_us = (self._settings.grace_s + self._settings.settlement_lag_s) * SECOND_US
        return Authorisation(
            authorisation_id=self._entropy.octets(label, AUTHORISATION_OCTETS),
            subscriber=subscriber.party_id,
            home=subscriber.home,
            visited=request.visited,
            node_id=request.node.node_id,
            wholesale_tariff_hash=offer.terms.tariff_hash,
            retail_tariff_hash=offer.plan.price.hash,
            plan_hash=offer.plan.hash,
            discount_ppm=offer.discount_ppm,
            asset=offer.plan.asset,
            hold_minor=quoted.hold_minor,
            session_timeout_s=quoted.session_timeout_s,
            interim_interval_s=quoted.interim_interval_s,
            granted_us=request.at_us,
            expires_us=expires_us,
            wholesale_asset=offer.terms.asset,
            exposure_minor=quoted.exposure_minor,
            hold_number=1 if quoted.hold_minor else 0,
            held_minor=quoted.hold_minor,
            hold_expires_us=expires_us + lag_us,
            service=request.offered.service,
            qos=request.offered.qos,
            rcoi=request.offered.rcoi,
            quoted_currency=None if quote_in_band is None else quote_in_band.currency,
            quoted_nano_per_kib=None if quote_in_band is None else quote_in_band.nano_per_kib,
        )

    def _open_hold(self, unit: Connection, item: Authorisation, at_us: int) -> None:
        if item.hold_number == 0:
            return
        opening = hold_transfer(item)
        ledger.ensure(unit, item.asset, [opening.debit, opening.credit])
        outcome = ledger.apply(unit, [opening], at_us)
        assert outcome == [None], f"the quote is beyond the balance: {outcome}"


def _plan_at(unit: Connection, home: PartyId, plan_id: str, at_us: int) -> RetailPlan | Refusal:
    versions = store.plans_named(unit, home, plan_id)
    plan = next((item for item in versions if item.price.window.holds(at_us)), None)
    if plan is None:
        reason = AccessReason.PLAN_NOT_IN_FORCE if versions else AccessReason.NO_PLAN
        return Refusal(reason, plan_id)
    return plan


def _unregistered(operator: Operator | None, address: Address) -> Refusal | None:
    if operator is None:
        return Refusal(DocumentReason.UNKNOWN_OPERATOR, f"with the key {address}")
    if operator.address != address:
        return Refusal(
            DocumentReason.ADDRESS_NOT_REGISTERED, f"{address} is not {operator.party_id}'s"
        )
    return None


def _terms_at(unit: Connection, request: AuthorisationRequest) -> Terms | Refusal | None:
    """Return what prices a session now; None where it is settlement-free."""
    home, visited, at_us = request.subscriber.home, request.visited, request.at_us
    if request.offered.rcoi is RcoiClass.SETTLEMENT_FREE:
        return None
    now = Window(at_us, at_us + 1)
    agreements = store.agreements_of(unit, home, visited, now)
    dated = terms_of(agreements, home=home, visited=visited, offered=request.offered)
    found = in_force(dated, at_us)
    if found is None:
        known = store.has_agreement(unit, home, visited)
        reason = AccessReason.NO_TARIFF_IN_FORCE if known else AccessReason.NO_AGREEMENT
        return Refusal(reason, f"{home} at {visited}")
    return found


def _overlapping_agreement(unit: Connection, agreement: AnyAgreement) -> Refusal | None:
    others = {
        other.hash: other
        for pair in sorted(pairs_of(agreement))
        for other in store.agreements_of(unit, *pair)
    }
    priced = [(row, row) for item in (*others.values(), agreement) for row in rows_of(item)]
    clash = twice_priced(priced)
    if clash is None:
        return None
    first, second = (_shown(row) for row in clash)
    return Refusal(DocumentReason.OVERLAPS, f"{first} and {second} are in force at once")


def _shown(row: Row) -> str:
    span = f"[{row.valid_from_us}, {row.valid_until_us})"
    return f"{row.price_nano} nano per {row.next_step} {row.unit} in {span}"


def _reduced(offer: Offer, discount: Discount, at_us: int) -> Offer:
    """Return an offer at a discount, which lasts to the end of its lock."""
    longest_s = discount.unlock_at_s - divide_ceiling(at_us, SECOND_US)
    return replace(offer, discount_ppm=discount.ppm, longest_s=min(offer.longest_s, longest_s))


def _left_s(end_us: int, at_us: int) -> int:
    """Return the whole seconds from the next one on that begin and end before an instant."""
    return end_us // SECOND_US - divide_ceiling(at_us, SECOND_US)


def _grant(item: Authorisation) -> Grant:
    return Grant(
        authorisation_id=item.authorisation_id,
        home=item.home,
        visited=item.visited,
        node_id=item.node_id,
        subscriber=item.subscriber,
        wholesale_tariff_hash=item.wholesale_tariff_hash,
        retail_tariff_hash=item.retail_tariff_hash,
        hold=Money(item.asset, item.hold_minor),
        session_timeout_s=item.session_timeout_s,
        interim_interval_s=item.interim_interval_s,
        granted_us=item.granted_us,
        expires_us=item.expires_us,
    )
