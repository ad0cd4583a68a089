"""One rating of a cycle: find the terms of each usage, price it, book it, keep its charge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer
from opencarrier.rating import (
    accepted,
    caps,
    charges,
    discounts,
    line_days,
    line_uses,
    spent,
    store,
)
from opencarrier.rating.agreements.rows import AnyAgreement
from opencarrier.rating.holds import (
    OVERRUN,
    Authorisation,
    overrun_transfers,
    retail_transfers,
    wholesale_transfers,
)
from opencarrier.rating.model import Agreement, RetailPlan
from opencarrier.rating.reasons import SuspenseReason
from opencarrier.rating.rules import v1
from opencarrier.rating.rules.v2.charges import FreeTerms
from opencarrier.rating.rules.versions import WholesaleInputs
from opencarrier.rating.wholesale import Terms, charge, in_force, inputs_of, terms_of
from opencarrier.spine.access import WIFI, Accepted, Offered
from opencarrier.spine.money import Charge, Kind, Suspense
from opencarrier.spine.notices import Announcer
from opencarrier.spine.parties import PartyId
from opencarrier.spine.ports import Directory
from opencarrier.spine.records import RcoiClass
from opencarrier.spine.usage import Usage


@dataclass(frozen=True, slots=True)
class _Why:
    """Why a charge waits."""

    reason: SuspenseReason
    detail: str


@dataclass(frozen=True, slots=True)
class _Rated:
    """A charge, the session and the host it belongs to, and the transfers that book it."""

    charge: Charge
    usage: Usage
    host: PartyId | None
    transfers: list[Transfer]
    wholesale: WholesaleInputs | None = None


class Run:
    """A rating of one cycle's usages within one unit; call `note` once, then `rate` in steps."""

    def __init__(
        self,
        unit: Connection,
        *,
        directory: Directory,
        cycle_id: Id,
        at_us: int,
        announcer: Announcer | None = None,
    ) -> None:
        self._unit = unit
        self._announcer = announcer
        self._directory = directory
        self._cycle_id = cycle_id
        self._at_us = at_us
        self._terms_of: dict[tuple[PartyId, PartyId, Offered], list[Terms]] = {}
        self._plans: dict[bytes, RetailPlan] = {}
        self._hosts: dict[str, PartyId | None] = {}
        self._authorisations: dict[bytes, Authorisation] = {}
        self._accepted: dict[bytes, Accepted] = {}
        self._spendings: dict[bytes, discounts.Spending] = {}
        self._open: defaultdict[bytes, set[Id]] = defaultdict(set)
        self._starts: dict[Id, int] = {}

    def note(self, usages: Sequence[Usage]) -> None:
        """Take note of all sessions before any is rated, so that the order decides nothing.

        An authorisation's hold is released when all its sessions have ended. A session that a
        home elsewhere let in has the tariff of when it did; one that nobody authorised has its
        tariff by when its first usage began.
        """
        unit = self._unit
        ids = {item.authorisation_id for item in usages if item.authorisation_id is not None}
        self._authorisations = store.authorisations_by_id(unit, ids)
        self._accepted = accepted.find(unit, ids - self._authorisations.keys())
        self._spendings = discounts.by_authorisation(unit, self._authorisations)
        known = [item for item in usages if item.authorisation_id in self._authorisations]
        store.note_sessions(unit, [(_id(item), item.session_id, False) for item in known])
        self._open.update(store.open_sessions(unit, self._authorisations))
        starts: dict[Id, int] = {}
        for usage in usages:
            if self._granted(usage) is None:
                starts.setdefault(usage.session_id, usage.start_us)
        self._starts = store.pin_sessions(unit, starts)

    def rate(self, usages: Sequence[Usage]) -> None:
        """Rate and book some usages; what is rated already stays as it is."""
        done = charges.charged(self._unit, [usage.usage_id for usage in usages])
        rated: list[_Rated] = []
        waiting: list[charges.Waiting] = []
        for usage in usages:
            for kind in self._kinds(usage):
                if (usage.usage_id, kind) in done:
                    continue
                outcome = self._one(usage, kind)
                if isinstance(outcome, _Why):
                    waiting.append(self._waiting(usage, kind, outcome))
                else:
                    rated.append(outcome)
        booked = self._book(rated)
        self._keep(booked, waiting, usages)

    def _kinds(self, usage: Usage) -> Iterable[Kind]:
        subscribed = usage.authorisation_id in self._authorisations
        return (Kind.WHOLESALE, Kind.RETAIL) if subscribed else (Kind.WHOLESALE,)

    def _one(self, usage: Usage, kind: Kind) -> _Rated | _Why:
        authorisation = self._authorisations.get(usage.authorisation_id or b"")
        if authorisation is not None and not _matches(usage, authorisation):
            reason = SuspenseReason.AUTHORISATION_MISMATCH
            return _Why(reason, f"granted by {authorisation.home} at {authorisation.visited}")
        if kind is Kind.RETAIL:
            assert authorisation is not None
            return self._retail(usage, authorisation)
        return self._wholesale(usage, authorisation)

    def _wholesale(self, usage: Usage, authorisation: Authorisation | None) -> _Rated | _Why:
        found = self._terms(usage)
        if isinstance(found, _Why):
            return found
        terms, at_us = found
        host = self._host(usage)
        if host is None and isinstance(terms, FreeTerms):
            host = usage.visited
        if host is None:
            return _Why(SuspenseReason.NO_NODE, str(usage.node_id))
        if not terms.fits(usage.counters_to):
            return _Why(SuspenseReason.BEYOND_RANGE, f"at {terms.tariff_hash.hex()}")
        inputs = inputs_of(terms, usage, at_us=at_us, host=host)
        made = charge(usage, inputs)
        if authorisation is not None:
            left_minor = max(0, authorisation.exposure_minor - made.amount_minor)
            self._replace(replace(authorisation, exposure_minor=left_minor))
        return _Rated(made, usage, host, wholesale_transfers(made), inputs)

    def _retail(self, usage: Usage, authorisation: Authorisation) -> _Rated | _Why:
        plan = self._plan(authorisation.plan_hash)
        inputs = v1.RetailInputs(
            plan=plan,
            plan_at_us=authorisation.granted_us,
            subscriber=authorisation.subscriber,
            discount_ppm=authorisation.discount_ppm if self._discounted(usage) else 0,
            counters_from=usage.counters_from,
            counters_to=usage.counters_to,
        )
        if not v1.ratable(inputs):
            return _Why(SuspenseReason.BEYOND_RANGE, f"at {plan.price}")
        charge = v1.charge(usage, v1.rate(inputs), v1.encode_inputs(inputs))
        ended = self._end(usage)
        charge = self._spend(charge, usage, done=ended)
        transfers, after = retail_transfers(charge, authorisation, done=ended, at_us=self._at_us)
        self._replace(replace(after, exposure_minor=0) if ended else after)
        return _Rated(charge, usage, None, transfers)

    def _spend(self, charge: Charge, usage: Usage, *, done: bool) -> Charge:
        """Count what is spent at a discount, and name the stake behind it in the charge."""
        spending = self._spendings.get(_id(usage))
        if spending is None:
            return charge
        if not spending.holds(usage.start_us):
            self._spendings[_id(usage)] = spending.released() if done else spending
            return charge
        self._spendings[_id(usage)] = spending.after(charge, done=done)
        return replace(charge, stake=spending.reading)

    def _discounted(self, usage: Usage) -> bool:
        """Say whether the lock behind an authorisation's discount still held when use began."""
        spending = self._spendings.get(_id(usage))
        return spending is None or spending.holds(usage.start_us)

    def _terms(self, usage: Usage) -> tuple[Terms, int] | _Why:
        """Find what prices a usage, and the instant that is looked up at.

        That is when the session was granted or began, as long as the terms of then last; what
        was used after it has the terms of when that use began.
        """
        if usage.home is None:
            return _Why(SuspenseReason.NO_HOME, f"at {usage.visited}")
        later_us = self._used_at_us(usage)
        dated = self._dated(usage.home, usage, later_us)
        for at_us in (self._tariff_at_us(usage), later_us):
            found = in_force(dated, at_us)
            if found is not None and found.window.holds(later_us):
                return found, at_us
        known = dated or store.has_agreement(self._unit, usage.home, usage.visited)
        reason = SuspenseReason.NO_TARIFF_IN_FORCE if known else SuspenseReason.NO_AGREEMENT
        return _Why(reason, f"{usage.home} at {usage.visited}")

    def _granted(self, usage: Usage) -> Authorisation | Accepted | None:
        """Return what let a usage's session in: a home here, or elsewhere."""
        key = _id(usage)
        return self._authorisations.get(key) or self._accepted.get(key)

    def _dated(self, home: PartyId, usage: Usage, at_us: int) -> Sequence[Terms]:
        """Return all that ever prices such use, ascending by when it begins."""
        granted, visited = self._granted(usage), usage.visited
        offered = WIFI if granted is None else granted.offered.at(at_us, granted.expires_us)
        if granted is not None and offered.rcoi is RcoiClass.SETTLEMENT_FREE:
            asset = self._asset(granted)
            free = FreeTerms(home=home, visited=visited, asset=asset, offered=offered)
            return [free] if asset else []
        key = (home, visited, offered)
        if key not in self._terms_of:
            agreements = store.agreements_of(self._unit, home, visited)
            self._terms_of[key] = terms_of(agreements, home=home, visited=visited, offered=offered)
        return self._terms_of[key]

    def _asset(self, granted: Authorisation | Accepted) -> AssetId:
        """Return what is paid in where nothing is paid: for a home elsewhere, as agreed with it."""
        if isinstance(granted, Authorisation):
            return granted.wholesale_asset
        agreements = store.agreements_of(self._unit, granted.home, granted.visited)
        return next((_asset_of(item) for item in agreements), AssetId(""))

    def _plan(self, plan_hash: bytes) -> RetailPlan:
        if plan_hash not in self._plans:
            found = store.plan(self._unit, plan_hash)
            assert found is not None, "an authorisation's plan is gone"
            self._plans[plan_hash] = found
        return self._plans[plan_hash]

    def _tariff_at_us(self, usage: Usage) -> int:
        granted = self._granted(usage)
        return self._starts[usage.session_id] if granted is None else granted.granted_us

    def _used_at_us(self, usage: Usage) -> int:
        """Return when a usage began, and not before its session was granted."""
        return max(self._tariff_at_us(usage), usage.start_us)

    def _host(self, usage: Usage) -> PartyId | None:
        if usage.node_id is None:
            return None
        if usage.node_id not in self._hosts:
            node = self._directory.node_by_id(self._unit, usage.node_id)
            self._hosts[usage.node_id] = None if node is None else node.host
        return self._hosts[usage.node_id]

    def _end(self, usage: Usage) -> bool:
        """Note a session's end; say whether all of its authorisation's sessions have ended."""
        still_open = self._open[_id(usage)]
        if usage.closed_by:
            still_open.discard(usage.session_id)
        return not still_open

    def _replace(self, authorisation: Authorisation) -> None:
        self._authorisations[authorisation.authorisation_id] = authorisation

    def _waiting(self, usage: Usage, kind: Kind, why: _Why) -> charges.Waiting:
        return charges.Waiting(
            suspense=Suspense(
                usage_id=usage.usage_id,
                kind=kind,
                reason=Refusal(why.reason).code,
                detail=why.detail,
            ),
            home=usage.home,
            visited=usage.visited,
            tariff_at_us=self._used_at_us(usage),
        )

    def _book(self, rated: Sequence[_Rated]) -> list[_Rated]:
        """Book every chain; a retail chain whose hold is gone falls to the home's overrun.

        Returns what was rated with what was booked for it.
        """
        self._ensure(transfer for item in rated for transfer in item.transfers)
        refused = self._apply(rated)
        again = [replace(item, transfers=overrun_transfers(item.charge)) for item in refused]
        for item in again:
            assert item.charge.kind is Kind.RETAIL, "a wholesale accrual cannot be refused"
            authorisation = self._authorisations[_id(item.usage)]
            self._replace(replace(authorisation, held_minor=0))
        self._ensure(transfer for item in again for transfer in item.transfers)
        assert not self._apply(again), "an overrun cannot be refused"
        instead = {item.charge.charge_id: item for item in again}
        return [instead.get(item.charge.charge_id, item) for item in rated]

    def _ensure(self, transfers: Iterable[Transfer]) -> None:
        names: defaultdict[AssetId, set[str]] = defaultdict(set)
        for transfer in transfers:
            names[transfer.asset].update((transfer.debit, transfer.credit))
        for asset, wanted in sorted(names.items()):
            ledger.ensure(self._unit, asset, wanted)

    def _apply(self, rated: Sequence[_Rated]) -> list[_Rated]:
        """Book the chains in order; return those the ledger refused."""
        owners = [item for item in rated for _ in item.transfers]
        outcomes: list[Refusal | None] = []
        for batch in ledger.in_batches(t for item in rated for t in item.transfers):
            outcomes += ledger.apply(self._unit, batch, self._at_us)
        refused = {
            id(item): item
            for item, outcome in zip(owners, outcomes, strict=True)
            if outcome is not None
        }
        return list(refused.values())

    def _keep(
        self, rated: Sequence[_Rated], waiting: Sequence[charges.Waiting], usages: Sequence[Usage]
    ) -> None:
        unit = self._unit
        rows = [(item.charge, item.usage.session_id, item.host) for item in rated]
        charges.insert_charges(unit, rows, self._cycle_id)
        priced = [(item.usage, item.wholesale) for item in rated if item.wholesale is not None]
        line_uses.insert(unit, priced, self._cycle_id)
        line_days.add(unit, priced)
        lines = [self._spent(item) for item in rated if item.charge.kind is Kind.RETAIL]
        added = spent.add(unit, lines)
        caps.told(unit, added, at_us=self._at_us, announcer=self._announcer)
        charges.write_suspense(unit, waiting, self._at_us)
        keys = [(item.charge.usage_id, item.charge.kind) for item in rated]
        charges.resolve_suspense(unit, keys, self._at_us)
        touched = {_id(item.usage) for item in rated if item.usage.authorisation_id is not None}
        known = [self._authorisations[key] for key in touched if key in self._authorisations]
        store.write_authorisations(unit, known)
        spendings = {key: self._spendings[key] for key in touched if key in self._spendings}
        discounts.write(unit, spendings)
        ended = [item for item in usages if item.closed_by and _id(item) in self._authorisations]
        store.note_sessions(unit, [(_id(item), item.session_id, True) for item in ended])

    def _spent(self, item: _Rated) -> spent.Spent:
        borne = (move.amount_minor for move in item.transfers if move.code == OVERRUN)
        service = self._authorisations[_id(item.usage)].service
        return spent.line_of(item.charge, item.usage, service, overrun_minor=sum(borne))


def _asset_of(agreement: AnyAgreement) -> AssetId:
    return agreement.head.asset if isinstance(agreement, Agreement) else agreement.asset


def _id(usage: Usage) -> bytes:
    return usage.authorisation_id or b""


def _matches(usage: Usage, authorisation: Authorisation) -> bool:
    return usage.home == authorisation.home and usage.visited == authorisation.visited
