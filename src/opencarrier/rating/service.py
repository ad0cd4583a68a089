"""The door of rating: agreements and plans, quotes and holds, charges; `unit` is the caller's.

Answers the ports `AccessPolicy` and `Rater`. Nothing here keeps state between calls: what it
knows stands in the unit's database, so a restart needs no hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection

from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, Signature, verify
from opencarrier.ledger import service as ledger
from opencarrier.rating import accepted, charges, credit, period_ends, store
from opencarrier.rating.agreements.book import read_any, twice_priced
from opencarrier.rating.agreements.model import RoamingAgreement
from opencarrier.rating.agreements.rows import (
    AnyAgreement,
    Row,
    pairs_of,
    rows_of,
    signers_of,
)
from opencarrier.rating.desk import Desk, DeskPorts, RatingSettings, grant_of, plan_at
from opencarrier.rating.holds import Authorisation, cover_transfers
from opencarrier.rating.model import RetailPlan, overlap
from opencarrier.rating.ports import NoChoices, NoDiscounts, NoSales
from opencarrier.rating.quote import RetailPrice, retail_price
from opencarrier.rating.rater import Run
from opencarrier.rating.reasons import DocumentReason
from opencarrier.rating.rules import v1
from opencarrier.spine.access import (
    WIFI,
    AuthorisationRequest,
    Grant,
    Offered,
)
from opencarrier.spine.money import Charge, Due, Kind, RatedUsage, Suspense
from opencarrier.spine.notices import Announcer
from opencarrier.spine.parties import Operator, PartyId
from opencarrier.spine.ports import Choices, Directory, Discounts, Notary, Sales, UsageSource
from opencarrier.spine.usage import Counters, Usage

RATED_MAX = 500
"""Usages rated and booked in one step of `rate`: what is kept in memory at once."""

RETRIED_MAX = 10_000
"""Suspended usages a cycle tries again; the rest wait for the next."""


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
        choices: Choices | None = None,
        settings: RatingSettings | None = None,
        announcer: Announcer | None = None,
    ) -> None:
        self._announcer = announcer
        self._directory = directory
        self._usages = usages
        self._choices = choices or NoChoices()
        self._desk = DeskPorts(
            entropy=entropy,
            discounts=discounts or NoDiscounts(),
            sales=sales or NoSales(),
            settings=settings or RatingSettings(),
            announcer=announcer,
        )

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

    def agreements_at(
        self, unit: Connection, party: PartyId, *, after: bytes | None, limit: int
    ) -> list[AnyAgreement]:
        """Return the agreements that an operator is a side of, ascending by hash, after one."""
        return store.agreements_at(unit, party, after=after, limit=limit)

    def agreement(self, unit: Connection, agreement_hash: bytes) -> AnyAgreement | None:
        """Return an agreement by its hash."""
        return store.agreement(unit, agreement_hash)

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
        plan = plan_at(unit, home, plan_id, at_us)
        return plan if isinstance(plan, Refusal) else retail_price(plan, counters)

    def authorise(self, unit: Connection, request: AuthorisationRequest) -> Grant | Refusal:
        """Quote both contracts, open the hold and keep the authorisation; or say why not.

        Where the subscriber pays as it uses, whoever sells to it here is its home for this
        authorisation, and nothing is held in advance.
        """
        return self.authorise_all(unit, [request])[0]

    def authorise_all(
        self, unit: Connection, requests: Sequence[AuthorisationRequest]
    ) -> Sequence[Grant | Refusal]:
        """Answer requests as `authorise` would one after the other, with fewer statements."""
        if not requests:
            return []
        return Desk(unit, self._desk, requests[0].at_us).authorise(requests)

    def release(self, unit: Connection, authorisation_id: bytes, *, at_us: int) -> None:
        """Void the hold of a grant that let nobody in; the home may come to owe nothing for it."""
        credit.release(unit, self._known(unit, authorisation_id), at_us)

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
        return None if found is None else grant_of(found)

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
        run = Run(
            unit,
            directory=self._directory,
            cycle_id=cycle_id,
            at_us=at_us,
            announcer=self._announcer,
        )
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
            choice=self._choices.choice(unit, usage.session_id),
            terms=_terms_in_band(unit, usage.authorisation_id),
        )

    def charged_for(
        self, unit: Connection, charge_ids: Iterable[Id]
    ) -> Mapping[Id, charges.Charged]:
        """Return what some charges are for, by charge id; ids of anything else are left out."""
        return charges.charged_for(unit, charge_ids)

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


def _terms_in_band(unit: Connection, authorisation_id: bytes | None) -> Id | None:
    """Return the digest of what was agreed in band; None where the agreement alone prices."""
    key = authorisation_id or b""
    own = store.authorisations_by_id(unit, [key]).get(key)
    if own is not None:
        return None if own.rate is None else grant_of(own).terms
    known = accepted.find(unit, [key]).get(key)
    return None if known is None or known.offered.quote is None else known.digest


def _unregistered(operator: Operator | None, address: Address) -> Refusal | None:
    if operator is None:
        return Refusal(DocumentReason.UNKNOWN_OPERATOR, f"with the key {address}")
    if operator.address != address:
        return Refusal(
            DocumentReason.ADDRESS_NOT_REGISTERED, f"{address} is not {operator.party_id}'s"
        )
    return None


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
