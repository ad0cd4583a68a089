"""The rewards room at a real distributor: which root pays, and when the next one does."""

from __future__ import annotations

import pytest
from contract_evm import key
from contract_rewards import DELAY_S, Pool
from sqlalchemy import Connection, create_engine

from opencarrier.kernel.ids import derive
from opencarrier.kernel.money import AssetId
from opencarrier.rewards import store
from opencarrier.rewards.claims import ROOTS_MAX, Claims, Due
from opencarrier.rewards.model import RewardReason
from opencarrier.rewards.service import RewardService
from opencarrier.spine.money import Entitlement

HOST, OTHER = (key(name).address for name in ("host 0", "host 1"))


class Room:
    """A book of rewards whose cycles are published at a pool, or not."""

    def __init__(self, pool: Pool, unit: Connection) -> None:
        self.pool, self.unit = pool, unit
        self.book = RewardService(AssetId("test/USD"), pool.token.address)
        self.claims = Claims(self.book, pool.rewards)
        self.cycles = 0

    def entitle(self, **amounts: int) -> bytes:
        self.cycles += 1
        payouts = {"host": HOST, "other": OTHER}
        earned = [
            Entitlement(host=name, payout=payouts[name], amount_minor=amount)
            for name, amount in amounts.items()
        ]
        cycle_id = derive("cycle", self.cycles)
        return self.book.entitle(self.unit, cycle_id=cycle_id, entitlements=earned)

    def settle(self, **amounts: int) -> bytes:
        root = self.entitle(**amounts)
        self.pool.publish(root, sum(amounts.values()))
        return root

    def due(self, account: str = HOST):
        now_s = self.pool.evm.now_s
        return self.claims.due(self.unit, account, chain=self.pool.evm, now_s=now_s)

    def claim(self, account: str = HOST) -> Due:
        due = self.due(account)
        assert isinstance(due, Due), due
        self.pool.send(self.pool.stranger, self.claims.call(due))
        return due


@pytest.fixture
def room(pool: Pool):
    with create_engine("sqlite://").begin() as unit:
        store.metadata.create_all(unit)
        yield Room(pool, unit)


def test_a_claim_waits_for_its_root(room: Room):
    """Refused with the second it pays from; paid in that second and not again."""
    root = room.settle(host=60, other=40)
    assert room.due().reason is RewardReason.NOT_READY
    assert room.due().detail.endswith("2027-01-15T09:00:00+00:00")
    room.pool.evm.pass_time(DELAY_S - 1)
    assert room.due().reason is RewardReason.NOT_READY
    room.pool.evm.pass_time(1)
    due = room.claim()
    assert (due.root, due.amount_minor) == (root, 60)
    assert room.due().reason is RewardReason.NOTHING_DUE
    assert room.pool.tokens(HOST) == 60
    assert room.due(room.pool.stranger.address).reason is RewardReason.UNKNOWN_ACCOUNT


def test_an_older_root_pays_while_a_newer_one_waits(room: Room):
    """The newest that pays now is taken; the rest is due when its root is ready."""
    old = room.settle(host=60)
    room.pool.evm.pass_time(DELAY_S)
    new = room.settle(host=5)
    room.entitle(host=7)  # not settled yet
    assert room.claim().root == old
    assert room.due().reason is RewardReason.NOT_READY
    room.pool.evm.pass_time(DELAY_S)
    due = room.claim()
    assert (due.root, due.amount_minor, due.claim.lifetime_amount) == (new, 5, 65)
    assert room.due().reason is RewardReason.NOTHING_DUE


def test_three_skipped_cycles_are_one_claim(room: Room):
    for amount in (1, 2, 3):
        room.settle(host=amount)
    room.pool.evm.pass_time(DELAY_S)
    assert room.claim().amount_minor == 6


def test_the_next_root_covers_a_vetoed_one(room: Room):
    bad = room.settle(host=60)
    room.pool.send(room.pool.guardian, room.pool.rewards.veto(room.pool.token.address, bad))
    assert room.due().reason is RewardReason.NOTHING_DUE
    room.settle(host=5)
    assert room.due().reason is RewardReason.NOT_READY
    room.pool.evm.pass_time(DELAY_S)
    assert room.claim().amount_minor == 65


def test_the_look_back_has_an_end(room: Room):
    """A root behind a hundred that are not published is not looked for."""
    room.settle(host=1)
    for _ in range(ROOTS_MAX - 1):
        room.entitle(host=1)
    room.pool.evm.pass_time(DELAY_S)
    assert isinstance(room.due(), Due)
    room.entitle(host=1)
    assert room.due().reason is RewardReason.NOTHING_DUE


def test_the_book_is_what_the_contract_holds(room: Room):
    """Lifetimes sum to what was funded; what was paid and what is left make it up."""
    token, rewards, evm = room.pool.token.address, room.pool.rewards, room.pool.evm
    for amounts in ({"host": 60, "other": 40}, {"other": 1}, {"host": 2, "other": 3}):
        room.settle(**amounts)
        evm.pass_time(DELAY_S)
        room.claim(OTHER)
        lifetimes = [room.book.lifetime(room.unit, account) for account in (HOST, OTHER)]
        assert rewards.funded(token).ask(evm) == sum(lifetimes)
        assert rewards.total_claimed(token).ask(evm) == lifetimes[1]
        assert rewards.claimed(OTHER, token).ask(evm) == lifetimes[1]
        assert room.pool.tokens(rewards.address) == lifetimes[0]
