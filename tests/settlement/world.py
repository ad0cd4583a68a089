"""Installations over one venue: real clearing, rewards, ledger and transaction manager."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection
from tests.clearing.facts import ASSET, People, Rates, clearing, key
from tests.memory import Memory

from opencarrier.chain import store as chain_store
from opencarrier.chain.rules import Policy
from opencarrier.chain.transactions import TransactionManager
from opencarrier.clearing import store as clearing_store
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.ledger import service as ledger
from opencarrier.ledger import store as ledger_store
from opencarrier.ledger.model import Transfer, derive
from opencarrier.rewards import store as rewards_store
from opencarrier.rewards.service import RewardService
from opencarrier.settlement import store as settlement_store
from opencarrier.settlement.model import CycleClosed, Driven, Venue
from opencarrier.settlement.orders import Ports
from opencarrier.settlement.reconcile import Reconciliation
from opencarrier.settlement.service import SettlementService
from opencarrier.spine.money import Charge, RatedUsage, Suspense
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Usage

from .fake_chain import (
    CHAIN_ID,
    HOUSE,
    POOL,
    RULEBOOK,
    TOKEN,
    FakeChain,
    FakeSigner,
    deposit,
    join,
)

VENUE = Venue(
    domain="test",
    asset=ASSET,
    chain_id=CHAIN_ID,
    token=TOKEN,
    clearing_house=HOUSE,
    distributor=POOL,
    rulebook_hash=RULEBOOK,
)
SECOND_US = 1_000_000
POLICY = Policy(resend_after_s=2, bump_after_s=20, bumps_max=2)


class Meter:
    """A usage source: everything noted is cut once, the same cut again is the same."""

    def __init__(self) -> None:
        self.fresh: list[Usage] = []
        self.cuts: dict[Id, list[Usage]] = {}

    def cut(self, unit: Connection, *, cycle_id: Id, cut_us: int) -> Sequence[Usage]:
        if cycle_id not in self.cuts:
            self.cuts[cycle_id], self.fresh = self.fresh, []
        return sorted(self.cuts[cycle_id], key=lambda usage: usage.usage_id)

    def usage(self, unit: Connection, usage_id: Id) -> Usage | None:
        return None


class Booking(Rates):
    """A rater that books wholesale accruals as rating does."""

    asset: AssetId = ASSET

    def rate(
        self, unit: Connection, *, cycle_id: Id, usages: Sequence[Usage], at_us: int
    ) -> tuple[Sequence[Charge], Sequence[Suspense]]:
        charges, suspended = super().rate(unit, cycle_id=cycle_id, usages=usages, at_us=at_us)
        for charge in charges:
            self._book(unit, charge, at_us)
        return charges, suspended

    def _book(self, unit: Connection, charge: Charge, at_us: int) -> None:
        payer = f"clearing/{charge.payer}"
        transfers = [
            Transfer(
                transfer_id=derive("transfer", charge.charge_id, int(leg.role)),
                asset=self.asset,
                debit=payer,
                credit=leg.account,
                amount_minor=leg.amount_minor,
                code="wholesale",
            )
            for leg in charge.allocations
            if leg.account != payer and leg.amount_minor
        ]
        ledger.ensure(unit, self.asset, {n for t in transfers for n in (t.debit, t.credit)})
        assert ledger.apply(unit, transfers, at_us) == [None] * len(transfers)


ROOMS = tuple(
    room.metadata
    for room in (chain_store, clearing_store, ledger_store, rewards_store, settlement_store)
)


class Installation:
    """One data folder with its daemon; `restart` keeps the data and nothing else."""

    def __init__(
        self,
        chain: Any,
        signer: Any,
        *,
        venue: Venue = VENUE,
        people: People | None = None,
        seed: int = 1,
        window_us: int = 1_000,
        cap_minor: int = 10**9,
    ) -> None:
        self.chain, self.signer, self.venue = chain, signer, venue
        self.people = people or People(4)
        self.engine = Memory(*ROOMS)
        self.meter, self.rates = Meter(), Booking()
        self.rates.asset = venue.asset
        self.rewards = RewardService(venue.asset, venue.token)
        self.now_us = 0
        self.options = {"seed": seed, "window_us": window_us, "cap_minor": cap_minor}
        self.restart()

    def restart(self) -> None:
        self.clearing = clearing(self.rates, self.people, **self.options)  # type: ignore[arg-type]
        self.clearing.asset = self.venue.asset
        self.manager = TransactionManager(self.chain, self.signer, POLICY)
        ports = Ports(
            usage=self.meter,
            rater=self.rates,
            clearing=self.clearing,
            rewards=self.rewards,
            members=self.people,
            notary=self.people,
        )
        self.service = SettlementService(self.venue, ports, self.manager, self.chain)

    def meter_usage(self, items: Iterable[RatedUsage]) -> None:
        items = list(items)
        self.rates.add(items)
        self.meter.fresh += [item.usage for item in items]

    def tick(self, seconds: int = 3) -> int:
        self.now_us += seconds * SECOND_US
        return self.now_us

    def close(self, items: Iterable[RatedUsage] = ()) -> CycleClosed:
        self.meter_usage(items)
        closed = self.service.close(self.engine.begin, at_us=self.tick())
        assert isinstance(closed, CycleClosed), closed
        return closed

    def refused(self) -> str:
        closed = self.service.close(self.engine.begin, at_us=self.tick())
        assert not isinstance(closed, CycleClosed)
        return closed.code

    def drive(self) -> Driven:
        return self.service.drive(self.engine.begin, now_us=self.tick())

    def follow(self) -> str:
        return self.service.follow(self.engine.begin, now_us=self.tick()).note

    def settle(self, passes: int = 20) -> Driven:
        """Drive while the chain mines, until nothing is in flight."""
        for _ in range(passes):
            driven = self.drive()
            if driven.is_settled or driven.halt is not None:
                self.follow()
                return driven
            self.chain.mine()
        raise AssertionError(f"not settled: {driven}")

    def balance(self, name: str) -> int:
        with self.engine.begin() as unit:
            return ledger.balance(unit, self.venue.asset, name).posted_minor

    def held(self, name: str) -> int:
        with self.engine.begin() as unit:
            return ledger.balance(unit, self.venue.asset, name).debits_pending

    def check(self) -> None:
        """Invariants that hold at any instant."""
        with self.engine.begin() as unit:
            assert set(ledger.sum_minor(unit).values()) <= {0}

    def reconcile(self) -> Reconciliation:
        with self.engine.begin() as unit:
            return self.service.reconcile(unit)

    def assert_agrees(self) -> None:
        found = self.reconcile()
        assert found.agrees, found.findings
        self.check()


def fund(chain: FakeChain, people: People, amount: int = 100_000) -> None:
    """Register and fund every member at the venue."""
    for party in people.parties:
        chain.do(join(key(party).address))
        if party.startswith("op_"):
            chain.do(deposit(key(party).address, amount))
    chain.mine(4)


def single() -> tuple[FakeChain, Installation]:
    chain = FakeChain()
    place = Installation(chain, FakeSigner(chain))
    fund(chain, place.people)
    assert place.follow() == ""
    return chain, place


def collateral(party: PartyId) -> str:
    return f"collateral/{party}"
