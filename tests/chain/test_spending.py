"""Spend caps: by transaction, day and purpose; what a spike and a dead transaction cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool
from tests.chain.fake_network import (
    SECOND_US,
    TARGET,
    Daemon,
    FakeChain,
    intent,
    mine,
)

from opencarrier.chain import spending, store
from opencarrier.chain.client import ChainClient
from opencarrier.chain.model import Call
from opencarrier.chain.node import EmbeddedNode
from opencarrier.chain.rules import (
    PURPOSE_LENGTH_MAX,
    Policy,
    Transaction,
    TransactionRefusal,
    TransactionState,
)
from opencarrier.chain.spending import DAY_US, Spent
from opencarrier.chain.transactions import TransactionManager
from opencarrier.kernel.refusals import Refusal

if TYPE_CHECKING:
    from tests.chain.conftest import Account

GAS = 50_000
"""The fake chain's estimate with the manager's margin."""

FEE_WEI = 2 * 100 + 10
COST_WEI = GAS * FEE_WEI
ACTUAL_WEI = 21_000


@pytest.fixture
def chain() -> FakeChain:
    return FakeChain()


def reason(outcome: Transaction | Refusal) -> object:
    assert isinstance(outcome, Refusal), outcome
    return outcome.reason


def test_a_transaction_has_a_cap(chain: FakeChain) -> None:
    """Gas and value count together; at the cap it goes, one wei above it does not."""
    daemon = Daemon(chain, Policy(transaction_max_wei=COST_WEI + 5))
    refused = daemon.prepare(intent(1), Call(to=TARGET, value_wei=6))
    assert reason(refused) is TransactionRefusal.ABOVE_TRANSACTION_CAP
    assert isinstance(daemon.prepare(intent(1), Call(to=TARGET, value_wei=5)), Transaction)


def test_a_day_has_a_cap_and_ends(chain: FakeChain) -> None:
    """What was refused is prepared a day later under the same intent, without a gap in nonces."""
    daemon = Daemon(chain, Policy(day_max_wei=2 * COST_WEI))
    first = daemon.prepare(intent(1), now_us=0)
    daemon.prepare(intent(2), now_us=1)
    assert reason(daemon.prepare(intent(3), now_us=2)) is TransactionRefusal.ABOVE_DAY_CAP
    assert daemon.prepare(intent(1), now_us=2) == first
    daemon.drive()
    mine(chain, 4)
    daemon.drive()
    third = daemon.prepare(intent(3), now_us=3)
    assert isinstance(third, Transaction), "final ones count with what they cost"
    assert third.nonce == 2


def test_what_is_open_counts_whatever_its_age(chain: FakeChain) -> None:
    daemon = Daemon(chain, Policy(day_max_wei=COST_WEI))
    daemon.prepare(intent(1), now_us=0)
    late = daemon.prepare(intent(2), now_us=3 * DAY_US)
    assert reason(late) is TransactionRefusal.ABOVE_DAY_CAP
    daemon.drive()
    mine(chain, 4)
    daemon.drive()
    assert isinstance(daemon.prepare(intent(2), now_us=3 * DAY_US), Transaction)


def test_a_purpose_has_its_own_cap(chain: FakeChain) -> None:
    """Relaying for others never eats what settling needs."""
    daemon = Daemon(chain, Policy(purposes_day_max_wei={"relay": COST_WEI}))
    assert isinstance(daemon.prepare(intent(1), purpose="relay"), Transaction)
    refused = daemon.prepare(intent(2), purpose="relay")
    assert reason(refused) is TransactionRefusal.ABOVE_PURPOSE_CAP
    assert isinstance(daemon.prepare(intent(3), purpose="settlement"), Transaction)
    assert daemon.find(intent(1)).purpose == "relay"


def test_of_several_caps_the_first_is_named(chain: FakeChain) -> None:
    policy = Policy(transaction_max_wei=1, day_max_wei=1, purposes_day_max_wei={"relay": 1})
    daemon = Daemon(chain, policy)
    refused = daemon.prepare(intent(1), purpose="relay")
    assert reason(refused) is TransactionRefusal.ABOVE_TRANSACTION_CAP


def test_a_spike_is_waited_out_and_the_intent_kept(chain: FakeChain) -> None:
    """Above the cap nothing is prepared; below it the same intent gets the next nonce."""
    daemon = Daemon(chain, Policy(fee_cap_per_gas_wei=1_000))
    chain.base_fee_wei = 5_000
    assert reason(daemon.prepare(intent(1))) is TransactionRefusal.FEE_ABOVE_CAP
    chain.base_fee_wei = 100
    record = daemon.prepare(intent(1))
    assert isinstance(record, Transaction)
    assert record.nonce == 0
    daemon.drive()
    mine(chain, 4)
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.FINAL


def test_a_spike_over_an_open_transaction_costs_no_more_than_the_cap(chain: FakeChain) -> None:
    """It is not bumped above what the owner allows; it stays, and goes once the spike is over."""
    cap_wei = GAS * FEE_WEI * 2
    daemon = Daemon(chain, Policy(resend_after_s=10, bump_after_s=30, transaction_max_wei=cap_wei))
    daemon.prepare(intent(1))
    chain.base_fee_wei = 100_000
    for minute in range(10):
        daemon.drive(now_us=minute * 60 * SECOND_US)
        chain.mine()
    record = daemon.find(intent(1))
    assert record.state is TransactionState.SENT
    assert GAS * record.newest.max_fee_per_gas_wei <= cap_wei
    chain.base_fee_wei = 100
    mine(chain, 4)
    daemon.drive(now_us=11 * 60 * SECOND_US)
    assert daemon.find(intent(1)).state is TransactionState.FINAL


def test_a_bump_goes_up_to_the_cap_where_that_is_enough(chain: FakeChain) -> None:
    """A base fee that could not double below the cap is paid all the same; above it no more is
    signed than can be mined.
    """
    daemon = Daemon(chain, Policy(resend_after_s=10, bump_after_s=30, fee_cap_per_gas_wei=400))
    daemon.prepare(intent(1))
    daemon.drive()
    chain.base_fee_wei = 390
    daemon.drive(now_us=30 * SECOND_US)
    assert len(daemon.find(intent(1)).variants) == 1
    chain.base_fee_wei = 300
    daemon.drive(now_us=60 * SECOND_US)
    assert daemon.find(intent(1)).newest.max_fee_per_gas_wei == 400
    chain.mine()
    daemon.drive(now_us=61 * SECOND_US)
    assert daemon.find(intent(1)).state is TransactionState.MINED


def test_a_bump_counts_against_the_day(chain: FakeChain) -> None:
    """A dearer variant takes the place of the former one, not a place beside it."""
    day_wei = COST_WEI * 3 // 2
    policy = Policy(resend_after_s=10, bump_after_s=30, bumps_max=16, day_max_wei=day_wei)
    daemon = Daemon(chain, policy)
    daemon.prepare(intent(1))
    for minute in range(40):
        daemon.drive(now_us=minute * 60 * SECOND_US)
    record = daemon.find(intent(1))
    assert 1 < len(record.variants) < 1 + policy.bumps_max
    assert GAS * record.newest.max_fee_per_gas_wei <= day_wei


def test_what_somebody_else_replaced_cost_nothing(chain: FakeChain) -> None:
    daemon = Daemon(chain, Policy(day_max_wei=COST_WEI))
    daemon.prepare(intent(1))
    chain.mine_foreign()
    daemon.drive()
    mine(chain, 4)
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.REPLACED
    assert isinstance(daemon.prepare(intent(2)), Transaction)


def test_a_reverted_transaction_cost_its_gas_but_not_its_value(chain: FakeChain) -> None:
    daemon = Daemon(chain)
    record = daemon.prepare(intent(1), Call(to=TARGET, value_wei=77))
    assert isinstance(record, Transaction)
    chain.failing.add(record.tx_hash)
    daemon.drive()
    mine(chain, 4)
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.REVERTED
    with daemon.engine.begin() as connection:
        told = spending.spent(connection, 7, record.sender, purpose="", now_us=0)
    assert told == Spent(day_wei=ACTUAL_WEI, purpose_wei=ACTUAL_WEI)


def test_a_purpose_is_a_short_name(chain: FakeChain) -> None:
    with pytest.raises(AssertionError, match="short name"):
        Daemon(chain).prepare(intent(1), purpose="x" * (PURPOSE_LENGTH_MAX + 1))


@given(
    wishes=st.lists(
        st.tuples(st.integers(0, DAY_US), st.sampled_from(["relay", "settlement", ""])),
        max_size=12,
    ),
    drives=st.sets(st.integers(0, 11)),
    day_units=st.integers(0, 6),
    relay_units=st.integers(0, 4),
)
@settings(max_examples=25, deadline=None)
def test_no_day_costs_more_than_its_cap(
    wishes: list[tuple[int, str]], drives: set[int], day_units: int, relay_units: int
) -> None:
    """In any order of wishes and blocks, the most each day may have cost is within its caps."""
    chain = FakeChain()
    caps = {"relay": relay_units * COST_WEI}
    policy = Policy(day_max_wei=day_units * COST_WEI, purposes_day_max_wei=caps, open_max=256)
    daemon = Daemon(chain, policy)
    now_us = 0
    for number, (wait_us, purpose) in enumerate(wishes):
        now_us += wait_us
        made = daemon.prepare(intent(number), now_us=now_us, purpose=purpose)
        if number in drives:
            daemon.drive(now_us=now_us)
            mine(chain, 4)
            daemon.drive(now_us=now_us)
        for name, most in (("relay", caps["relay"]), ("", policy.day_max_wei)):
            with daemon.engine.begin() as connection:
                sender = daemon.manager.sender
                told = spending.spent(connection, 7, sender, purpose=name, now_us=now_us)
            assert told.day_wei <= policy.day_max_wei
            assert name != "relay" or told.purpose_wei <= most
        if isinstance(made, Refusal):
            assert made.reason in {
                TransactionRefusal.ABOVE_DAY_CAP,
                TransactionRefusal.ABOVE_PURPOSE_CAP,
            }


def test_a_spike_on_the_embedded_chain_passes_with_its_blocks(
    node: EmbeddedNode, client: ChainClient, account: Account
) -> None:
    """The first blocks cost a gwei a gas; where nobody comes the fee sinks below the cap."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    store.metadata.create_all(engine)
    manager = TransactionManager(client, account.signer, Policy(fee_cap_per_gas_wei=1_600_000_000))
    outcomes = []
    for _ in range(6):
        quote = manager.quote(Call(to=account.address))
        with engine.begin() as connection:
            outcomes.append(manager.prepare(connection, intent(1), quote, now_us=0))
        node.request("evm_mine", [])
    assert reason(outcomes[0]) is TransactionRefusal.FEE_ABOVE_CAP
    manager.drive(engine.begin, now_us=0)
    manager.drive(engine.begin, now_us=0)
    with engine.begin() as connection:
        found = manager.find(connection, intent(1))
    assert found is not None
    assert (found.state, found.nonce) == (TransactionState.FINAL, 0)
