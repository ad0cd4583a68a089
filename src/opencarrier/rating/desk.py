"""The desk: quotes, holds and grants for requests that came together.

What many of them need is read once: terms, plans, balances, a home's collateral. What they open
counts at once, on the ledger's sheet and in memory, and is written together. So a batch comes to
what its requests would one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from opencarrier.kernel.clock import SECOND_US, Window
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.money import AssetId, Money, divide_ceiling
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger import chart
from opencarrier.ledger.sheet import Sheet
from opencarrier.rating import caps, discounts, open_exposure, store
from opencarrier.rating.exposure import DEFAULT_EXPOSURE, ExposureSettings, Watched
from opencarrier.rating.holds import Authorisation, hold_transfer
from opencarrier.rating.model import INTERIM_FLOOR_S, SESSION_S_MAX, RetailPlan
from opencarrier.rating.quote import Offer, Quote, quote
from opencarrier.rating.reasons import AccessReason
from opencarrier.rating.rules.v2.charges import FreeTerms
from opencarrier.rating.wholesale import Terms, accepted, in_force, terms_of
from opencarrier.spine.access import (
    AUTHORISATION_OCTETS,
    AuthorisationRequest,
    Grant,
    Offered,
    Rate,
)
from opencarrier.spine.money import Discount, Sale
from opencarrier.spine.notices import Announcer
from opencarrier.spine.parties import PartyId, Subscriber, operator_of_node
from opencarrier.spine.ports import Discounts, Sales
from opencarrier.spine.records import RcoiClass


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
    exposure: ExposureSettings = DEFAULT_EXPOSURE


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskPorts:
    """Whom the desk asks, and what it is told."""

    entropy: Entropy
    discounts: Discounts
    sales: Sales
    settings: RatingSettings
    announcer: Announcer | None = None


_SHORT = (AccessReason.INSUFFICIENT_BALANCE, AccessReason.SPEND_CAP_REACHED)


@dataclass(slots=True)
class _Written:
    """What was opened and not yet written."""

    authorisations: list[Authorisation] = field(default_factory=list)
    discounts: list[tuple[Authorisation, Discount, int, int | None]] = field(default_factory=list)
    sold: list[Grant] = field(default_factory=list)


class Desk:
    """Answers the requests of one unit of work at one instant; it lives no longer than that."""

    def __init__(self, unit: Connection, ports: DeskPorts, at_us: int) -> None:
        self._unit = unit
        self._ports = ports
        self._at_us = at_us
        self._sheet = Sheet(unit, at_us)
        self._terms: dict[tuple[PartyId, PartyId, Offered], Terms | Refusal | None] = {}
        self._plans: dict[tuple[PartyId, str], RetailPlan | Refusal] = {}
        self._unclaimed: dict[open_exposure.Key, int] = {}
        self._exposed: dict[open_exposure.Key, int] = {}
        self._payers: set[PartyId] = set()
        self._staked: set[PartyId] = set()
        self._caps: dict[PartyId, caps.SpendCap] = {}
        self._opened = _Written()

    def authorise(self, requests: Sequence[AuthorisationRequest]) -> list[Grant | Refusal]:
        """Answer requests in their order; what they open is in the unit when this returns."""
        assert all(request.at_us == self._at_us for request in requests)
        people = {request.subscriber.party_id for request in requests}
        self._payers = self._ports.sales.payers(self._unit, people)
        self._staked = self._ports.discounts.staked(self._unit, people)
        self._caps = caps.of(self._unit, people)
        self._read_accounts(requests)
        answers = [self._one(request) for request in requests]
        self._write()
        return answers

    def _read_accounts(self, requests: Sequence[AuthorisationRequest]) -> None:
        """Put on the sheet what most requests need; what another one needs is read when it does."""
        names: dict[AssetId, set[str]] = {}
        for request in requests:
            subscriber = request.subscriber
            plan = self._plan_at(subscriber.home, subscriber.plan_id)
            if isinstance(plan, RetailPlan):
                retail = (chart.prepaid(subscriber.party_id), chart.revenue(subscriber.home))
                names.setdefault(plan.asset, set()).update(retail)
            terms = self._terms_at(request)
            if terms is not None and not isinstance(terms, Refusal):
                names.setdefault(terms.asset, set()).update(_guarantee(subscriber.home))
        for asset, some in names.items():
            self._sheet.read(asset, some)

    def _one(self, request: AuthorisationRequest) -> Grant | Refusal:
        sale = None
        if request.subscriber.party_id in self._payers:
            sale = self._ports.sales.sale(self._unit, request.subscriber, request.visited)
        if sale is not None:
            seller = replace(request.subscriber, home=sale.seller, plan_id=sale.plan_id)
            request = replace(request, subscriber=seller)
        agreed = self._agreed(request)
        if isinstance(agreed, Refusal):
            return agreed
        request, rate = agreed
        offer = self._offer(request, prepaid=sale is None)
        if isinstance(offer, Refusal):
            return offer
        discount = self._discount(request, offer)
        if discount is not None:
            offer = _reduced(offer, discount, request.at_us)
        quoted = quote(offer)
        if isinstance(quoted, Refusal):
            return self._refused(request, quoted) if sale is None else quoted
        return self._open(request, offer, replace(quoted, accepted=rate), discount, sale)

    def _refused(self, request: AuthorisationRequest, refused: Refusal) -> Grant | Refusal:
        """Tell whose cap it is that stands in the way; serve it free of charge where one can."""
        if refused.reason is AccessReason.SPEND_CAP_REACHED:
            cap = self._caps[request.subscriber.party_id]
            caps.reached(self._unit, cap, at_us=self._at_us, announcer=self._ports.announcer)
        return self._free(request, refused)

    def _free(self, request: AuthorisationRequest, refused: Refusal) -> Grant | Refusal:
        """Serve whoever may spend nothing more on the home's free plan, if it has one in force."""
        free, subscriber = self._ports.settings.exposure.free_plan, request.subscriber
        if refused.reason not in _SHORT or not free or subscriber.plan_id == free:
            return refused
        plan = self._plan_at(subscriber.home, free)
        own = self._plan_at(subscriber.home, subscriber.plan_id)
        if isinstance(plan, Refusal) or isinstance(own, Refusal) or plan.asset != own.asset:
            return refused
        granted = self._one(replace(request, subscriber=replace(subscriber, plan_id=free)))
        return refused if isinstance(granted, Refusal) else granted

    def _agreed(
        self, request: AuthorisationRequest
    ) -> tuple[AuthorisationRequest, Rate | None] | Refusal:
        """Return the request at the rate that is accepted, and that rate; as it is where none is.

        What was accepted is kept with the authorisation, and prices whatever is used under it.
        """
        terms = self._terms_at(request)
        if terms is None or isinstance(terms, Refusal):
            return terms or (request, None)
        one = request.offered.quote
        rate = accepted(terms, request.rates or (() if one is None else (Rate(0, one),)))
        if isinstance(rate, Refusal):
            return rate
        if rate is not None:
            request = replace(request, offered=replace(request.offered, quote=rate.quote))
        return request, rate

    def _open(
        self,
        request: AuthorisationRequest,
        offer: Offer,
        quoted: Quote,
        discount: Discount | None,
        sale: Sale | None,
    ) -> Grant:
        item = self._authorisation(request, offer, quoted)
        grant = grant_of(item)
        if item.hold_number:
            refusal = self._sheet.book(hold_transfer(item))
            assert refusal is None, f"the quote is beyond the balance: {refusal}"
        self._opened.authorisations.append(item)
        key = (item.home, item.wholesale_asset)
        self._exposed[key] = self._exposed_minor(*key) + item.exposure_minor
        if sale is not None:
            self._opened.sold.append(grant)
        if discount is not None:
            ends_us = discount.unlock_at_s * SECOND_US if sale is None else None
            self._opened.discounts.append((item, discount, quoted.spend_minor, ends_us))
            self._write()  # another session under the same lock is left what this one leaves
        return grant

    def _write(self) -> None:
        opened, self._opened = self._opened, _Written()
        self._sheet.write()
        store.insert_authorisations(self._unit, opened.authorisations)
        if opened.authorisations:
            open_exposure.put(self._unit, self._exposed, self._at_us)
        for item, discount, reserved_minor, ends_us in opened.discounts:
            discounts.insert(
                self._unit, item, discount, reserved_minor=reserved_minor, ends_us=ends_us
            )
        for grant in opened.sold:
            self._ports.sales.sold(self._unit, grant)

    def _offer(self, request: AuthorisationRequest, *, prepaid: bool) -> Offer | Refusal:
        home = request.subscriber.home
        terms = self._terms_at(request)
        if isinstance(terms, Refusal):
            return terms
        plan = self._plan_at(home, request.subscriber.plan_id)
        if isinstance(plan, Refusal):
            return plan
        if terms is None:
            terms = FreeTerms(
                home=home, visited=request.visited, asset=plan.asset, offered=request.offered
            )
        octets_per_s, longest_s = held_rate(
            request.node.node_id, plan, self._ports.settings.exposure
        )
        ends_us = min(terms.window.end_us, plan.price.window.end_us)
        return Offer(
            terms=terms,
            plan=plan,
            discount_ppm=0,
            grace_s=self._ports.settings.grace_s,
            balance_minor=self._free_minor(plan, request.subscriber) if prepaid else None,
            collateral_minor=self._collateral_minor(home, terms.asset),
            room_minor=self._room_minor(plan, request.subscriber) if prepaid else None,
            longest_s=min(longest_s, _left_s(ends_us, self._at_us)),
            line_octets_per_s=octets_per_s,
        )

    def _free_minor(self, plan: RetailPlan, subscriber: Subscriber) -> int:
        return self._sheet.balance(plan.asset, chart.prepaid(subscriber.party_id)).free_minor

    def _room_minor(self, plan: RetailPlan, subscriber: Subscriber) -> int | None:
        """Return what a subscriber's cap still allows beside what is held of its money."""
        cap = self._caps.get(subscriber.party_id)
        if cap is None or cap.asset != plan.asset:
            return None
        balance = self._sheet.balance(plan.asset, chart.prepaid(subscriber.party_id))
        return caps.room_minor(
            self._unit, cap, held_minor=balance.debits_pending, at_us=self._at_us
        )

    def _terms_at(self, request: AuthorisationRequest) -> Terms | Refusal | None:
        key = (request.subscriber.home, request.visited, request.offered)
        if key not in self._terms:
            self._terms[key] = _terms_at(self._unit, request)
        return self._terms[key]

    def _plan_at(self, home: PartyId, plan_id: str) -> RetailPlan | Refusal:
        key = (home, plan_id)
        if key not in self._plans:
            self._plans[key] = plan_at(self._unit, home, plan_id, self._at_us)
        return self._plans[key]

    def _discount(self, request: AuthorisationRequest, offer: Offer) -> Discount | None:
        """Return the discount a session has, None unless lock and cap cover all it may reach."""
        subscriber, at_us = request.subscriber, request.at_us
        if subscriber.party_id not in self._staked:
            return None
        discount = self._ports.discounts.discount(
            self._unit, subscriber.party_id, seller=subscriber.home, at_us=at_us
        )
        if discount is None or discount.asset != offer.plan.asset:
            return None
        if discount.unlock_at_s - divide_ceiling(at_us, SECOND_US) < INTERIM_FLOOR_S:
            return None
        quoted = quote(_reduced(offer, discount, at_us))
        left_minor = discounts.left_minor(self._unit, subscriber.home, discount, at_us)
        covered = isinstance(quoted, Quote) and quoted.spend_minor <= left_minor
        return discount if covered else None

    def _collateral_minor(self, home: PartyId, asset: AssetId) -> int | None:
        """Return what of a home's collateral no debt, notice or possible debt has claimed."""
        if not self._ports.settings.collateral_gate:
            return None
        key = (home, asset)
        if key not in self._unclaimed:
            self._unclaimed[key] = self._unclaimed_minor(home, asset)
        return self._unclaimed[key] - self._exposed_minor(home, asset)

    def _exposed_minor(self, home: PartyId, asset: AssetId) -> int:
        """Return what is open and may yet become a debt, with what was opened here."""
        key = (home, asset)
        if key not in self._exposed:
            self._exposed[key] = open_exposure.open_minor(self._unit, home, asset, self._at_us)
        return self._exposed[key]

    def _unclaimed_minor(self, home: PartyId, asset: AssetId) -> int:
        names = _guarantee(home)
        self._sheet.read(asset, names)
        clearing, collateral, noticed = (self._sheet.balance(asset, name) for name in names)
        unsettled_minor = max(0, -clearing.posted_minor - clearing.credits_pending)
        return collateral.free_minor - noticed.posted_minor - unsettled_minor

    def _authorisation(
        self, request: AuthorisationRequest, offer: Offer, quoted: Quote
    ) -> Authorisation:
        subscriber, quote_in_band = request.subscriber, request.offered.quote
        settings = self._ports.settings
        label = f"authorisation/{subscriber.party_id}"
        expires_us = request.at_us + quoted.session_timeout_s * SECOND_US
        lag_us = (settings.grace_s + settings.settlement_lag_s) * SECOND_US
        return Authorisation(
            authorisation_id=self._ports.entropy.octets(label, AUTHORISATION_OCTETS),
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
            accepted_index=None if quoted.accepted is None else quoted.accepted.index,
            rate_cap_octets_per_s=offer.plan.rate_cap_octets_per_s,
            watched_octets=_watched_octets(offer, quoted, settings.grace_s),
        )


def plan_at(unit: Connection, home: PartyId, plan_id: str, at_us: int) -> RetailPlan | Refusal:
    """Return the version of a plan that is in force at an instant."""
    versions = store.plans_named(unit, home, plan_id)
    plan = next((item for item in versions if item.price.window.holds(at_us)), None)
    if plan is None:
        reason = AccessReason.PLAN_NOT_IN_FORCE if versions else AccessReason.NO_PLAN
        return Refusal(reason, plan_id)
    return plan


def held_rate(node_id: str, plan: RetailPlan, exposure: ExposureSettings) -> tuple[int, int]:
    """Return the octets a second that are held for, and how long a session may be at most.

    A node of an operator that registered none of its nodes here may not keep to the plan's cap.
    """
    if operator_of_node(node_id) is None:
        return plan.rate_cap_octets_per_s, SESSION_S_MAX
    line = max(plan.rate_cap_octets_per_s, exposure.foreign_line_octets_per_s)
    return line, exposure.foreign_session_s


def grant_of(item: Authorisation) -> Grant:
    """Return what the access side is told of an authorisation."""
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
        offered=item.offered,
        rate=item.rate,
        rate_cap_octets_per_s=item.rate_cap_octets_per_s,
    )


def _guarantee(home: PartyId) -> tuple[str, str, str]:
    """Return the accounts that say what a home owes and what it has put up for it."""
    return chart.clearing(home), chart.collateral(home), chart.noticed(home)


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


def _watched_octets(offer: Offer, quoted: Quote, grace_s: int) -> int | None:
    """Return how much may be reported before it is looked at; None where nothing is held for it."""
    if not quoted.hold_minor or not offer.plan.price.unit.startswith("octets"):
        return None
    watched = Watched(
        octets_per_s=offer.octets_per_s,
        session_timeout_s=quoted.session_timeout_s,
        interim_interval_s=quoted.interim_interval_s,
        grace_s=grace_s,
    )
    return watched.unsuspicious_octets


def _reduced(offer: Offer, discount: Discount, at_us: int) -> Offer:
    """Return an offer at a discount, which lasts to the end of its lock."""
    longest_s = discount.unlock_at_s - divide_ceiling(at_us, SECOND_US)
    return replace(offer, discount_ppm=discount.ppm, longest_s=min(offer.longest_s, longest_s))


def _left_s(end_us: int, at_us: int) -> int:
    """Return the whole seconds from the next one on that begin and end before an instant."""
    return end_us // SECOND_US - divide_ceiling(at_us, SECOND_US)
