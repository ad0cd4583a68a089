"""Sponsored actions on the embedded node: simulated, capped, kept, sent once, told how they end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from tests.chain.sending import send
from tests.memory import Memory

from opencarrier.chain import relay_rules, relay_store, store
from opencarrier.chain.client import ChainClient, connect
from opencarrier.chain.contracts import StableToken, StakeDiscount
from opencarrier.chain.contracts.stake_discount import Tier
from opencarrier.chain.errors import ChainUnavailableError
from opencarrier.chain.keys import LocalSigner
from opencarrier.chain.model import Call, Receipt
from opencarrier.chain.node import EmbeddedNode, NodeSettings
from opencarrier.chain.relay_rules import ATTEMPTS_MAX, Relay, RelayPolicy, RelayState
from opencarrier.chain.relayer import Relayer
from opencarrier.chain.rules import Policy, TransactionState
from opencarrier.chain.sponsored import (
    DATA_OCTETS_MAX,
    STEPS_MAX,
    Action,
    RelayRefusal,
    Sponsored,
    Sponsorship,
    Step,
)
from opencarrier.chain.transactions import TransactionManager
from opencarrier.chain.typed_data import Authorization, permit_digest, transfer_digest
from opencarrier.chain.typed_data.stake_discount import stake_digest
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, KeySigner

CHAIN_ID = 31337
START_S = 1_800_000_000
SECOND_US = 1_000_000
NOW_US = START_S * SECOND_US
LATER_S = START_S + 86_400
HUB = LocalSigner(b"\x07" * 32)
OWNER = LocalSigner(b"\x08" * 32)
PHONE, OTHER = KeySigner(b"\x0a" * 32), KeySigner(b"\x0b" * 32)
SHOP = Address("0x" + "55" * 20)
MONEY = 1_000_000


class World:
    """A node with token and stake contract, a hub that relays, phones that hold no coin."""

    def __init__(self, path: Path, relay: RelayPolicy | None = None) -> None:
        settings = NodeSettings(
            chain_id=CHAIN_ID,
            genesis={HUB.address: 10**21, OWNER.address: 10**21},
            dev=True,
        )
        self.node = EmbeddedNode.open(path, settings, FixedClock(NOW_US))
        self.client: ChainClient = connect("embedded:", node=self.node)
        self.engine = Memory(store.metadata)
        self.token = StableToken(
            self._deploy(
                StableToken.deployment(
                    name="Dollar", symbol="USDt", version="1", owner=OWNER.address
                )
            )
        )
        tiers = [Tier(min_amount=10, min_lock_s=3_600, discount_ppm=50_000)]
        self.stake = StakeDiscount(
            self._deploy(
                StakeDiscount.deployment(token=self.token.address, tiers=tiers, cap_ppm=10**6)
            )
        )
        self._send(self.token.set_minter(OWNER.address, allowed=True))
        for phone in (PHONE, OTHER):
            self._send(self.token.mint(phone.address, MONEY))
        self.domain = self.token.signing_domain().ask(self.client)
        self.policy = Policy()
        self.relay = relay or RelayPolicy()
        self.restart()

    def restart(self) -> None:
        self.manager = TransactionManager(self.client, HUB, self.policy)
        token, stake = self.token, self.stake
        self.relayer = Relayer(
            self.manager,
            Sponsorship(
                [
                    Sponsored(
                        contract=token, function="transferWithAuthorization", payer=("sender",)
                    ),
                    Sponsored(contract=token, function="permit", payer=("owner",), may_fail=True),
                    Sponsored(contract=stake, function="stake_by_signature", payer=("account",)),
                ]
            ),
            self.relay,
        )

    def submit(self, *calls: Call, key: str = "key", now_us: int = NOW_US) -> Relay | Refusal:
        return self.relayer.submit(self.engine.begin, calls, key=key, now_us=now_us)

    def taken(self, *calls: Call, key: str = "key", now_us: int = NOW_US) -> Relay:
        relay = self.submit(*calls, key=key, now_us=now_us)
        assert isinstance(relay, Relay), relay
        return relay

    def drive(self, now_us: int = NOW_US, passes: int = 1) -> None:
        for _ in range(passes):
            self.relayer.drive(self.engine.begin, now_us=now_us)
            self.manager.drive(self.engine.begin, now_us=now_us)

    def found(self, relay: Relay) -> Relay:
        with self.engine.begin() as unit:
            found = self.relayer.find(unit, relay.relay_id)
        assert found is not None
        return found

    def held(self, account: Address) -> int:
        return self.token.balance_of(account).ask(self.client)

    def pay(
        self, amount: int, *, nonce: int = 1, payer: KeySigner = PHONE, to: Address = SHOP
    ) -> Call:
        """A payment that the phone signs and somebody else carries."""
        given = Authorization(
            sender=payer.address,
            receiver=to,
            amount_minor=amount,
            valid_after_s=0,
            valid_before_s=LATER_S,
            nonce=nonce.to_bytes(32, "big"),
        )
        signature = payer.sign(transfer_digest(self.domain, given)).octets
        return self.token.transfer_with_authorization(given, signature)

    def permit(self, amount: int, payer: KeySigner = PHONE) -> Call:
        digest = permit_digest(
            self.domain,
            owner=payer.address,
            spender=self.stake.address,
            amount_minor=amount,
            nonce=self.token.nonce(payer.address).ask(self.client),
            deadline_s=LATER_S,
        )
        return self.token.permit(
            owner=payer.address,
            spender=self.stake.address,
            amount=amount,
            deadline=LATER_S,
            signature=payer.sign(digest).octets,
        )

    def staking(self, amount: int, payer: KeySigner = PHONE) -> Call:
        digest = stake_digest(
            self.stake.signing_domain(CHAIN_ID),
            account=payer.address,
            amount_minor=amount,
            lock_s=3_600,
            nonce=self.stake.nonce(payer.address).ask(self.client),
            deadline_s=LATER_S,
        )
        return self.stake.stake_by_signature(
            account=payer.address,
            amount=amount,
            lock_s=3_600,
            deadline=LATER_S,
            signature=payer.sign(digest).octets,
        )

    def by_somebody_else(self, call: Call) -> None:
        self._send(call)

    def _deploy(self, call: Call) -> Address:
        address = self._send(call).contract_address
        assert address is not None
        return address

    def _send(self, call: Call) -> Receipt:
        receipt = send(self.client, OWNER, call)
        assert receipt.succeeded
        return receipt


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "chain.sqlite")
    yield made
    made.node.close()


def reason(outcome: Relay | Refusal) -> object:
    assert isinstance(outcome, Refusal), outcome
    return outcome.reason


def test_a_phone_without_coin_pays_by_signature(world: World) -> None:
    """ERC-3009: what is signed moves once; the phone has no coin before or after."""
    relay = world.taken(world.pay(300))
    assert relay.action.payer == PHONE.address
    world.drive(passes=3)
    assert world.found(relay).state is RelayState.DONE
    assert (world.held(SHOP), world.held(PHONE.address)) == (300, MONEY - 300)
    assert world.client.balance(PHONE.address) == 0
    assert world.found(relay).cost_wei > 0


def test_a_permit_and_what_needs_it_are_one_action(world: World) -> None:
    """ERC-2612, then a stake by signature: two transactions in their order, no coin needed."""
    relay = world.taken(world.permit(500), world.staking(500))
    world.drive(passes=8)
    assert world.found(relay).state is RelayState.DONE
    assert world.stake.stake_of(PHONE.address).ask(world.client).amount == 500


def test_a_permit_that_somebody_was_faster_with_is_no_failure(world: World) -> None:
    """Seen in a pool and submitted by a stranger, the permit did its work; the stake goes on."""
    permit, staking = world.permit(500), world.staking(500)
    world.by_somebody_else(permit)
    relay = world.taken(permit, staking)
    world.drive(passes=8)
    assert world.found(relay).state is RelayState.DONE
    assert world.stake.stake_of(PHONE.address).ask(world.client).amount == 500


def test_the_same_calls_are_relayed_once(world: World) -> None:
    """Twice under one key, under another, and after it is done: one effect, the same answer."""
    call = world.pay(300)
    first = world.taken(call)
    assert world.taken(call) == first
    assert world.taken(call, key="other").relay_id == first.relay_id
    world.drive(passes=3)
    height = world.client.block_number()
    assert world.taken(call, key="third").state is RelayState.DONE
    world.drive(passes=3)
    assert (world.held(SHOP), world.client.block_number()) == (300, height)


def test_a_key_stands_for_its_calls(world: World) -> None:
    world.taken(world.pay(300))
    assert reason(world.submit(world.pay(301, nonce=2))) is RelayRefusal.KEY_OF_ANOTHER


def test_only_what_is_sponsored_is_sent(world: World) -> None:
    """A function not named, another contract, a value, or no call at all."""
    given = world.pay(1)
    assert reason(world.submit(world.token.transfer(SHOP, 1))) is RelayRefusal.NOT_SPONSORED
    elsewhere = Call(to=SHOP, data=given.data)
    assert reason(world.submit(elsewhere)) is RelayRefusal.NOT_SPONSORED
    assert reason(world.submit(replace(given, value_wei=1))) is RelayRefusal.NOT_SPONSORED
    assert reason(world.submit(Call(to=None, data=given.data))) is RelayRefusal.NOT_SPONSORED
    assert reason(world.submit(Call(to=world.token.address))) is RelayRefusal.NOT_SPONSORED


def test_a_strangers_contract_does_not_answer_for_the_payer(world: World) -> None:
    """Where an argument must be the venue's own, another address is not sponsored."""
    right = Sponsored(
        contract=world.token,
        function="transferWithAuthorization",
        payer=("sender",),
        fixed=((("receiver",), SHOP),),
    )
    sponsorship = Sponsorship([right])
    assert isinstance(sponsorship.action([world.pay(1)]), Action)
    refused = sponsorship.action([world.pay(1, to=OTHER.address)])
    assert isinstance(refused, Refusal)
    assert refused.reason is RelayRefusal.NOT_SPONSORED


def test_calls_have_one_form_and_a_size(world: World) -> None:
    """Trailing octets would make many ids of one action; too many calls or octets are refused."""
    given = world.pay(1)
    padded = replace(given, data=given.data + bytes(32))
    for calls in ((padded,), (replace(given, data=given.data[:-32]),), (), (given,) * 4):
        assert reason(world.submit(*calls)) is RelayRefusal.MALFORMED
    assert len(given.data) < DATA_OCTETS_MAX
    fat = replace(given, data=given.data + bytes(DATA_OCTETS_MAX))
    assert reason(world.submit(fat)) is RelayRefusal.MALFORMED
    assert reason(world.submit(given, key="")) is RelayRefusal.MALFORMED
    assert reason(world.submit(given, key="k" * 256)) is RelayRefusal.MALFORMED
    assert STEPS_MAX == 3


def test_one_action_has_one_payer(world: World) -> None:
    two = (world.pay(1), world.pay(1, payer=OTHER))
    assert reason(world.submit(*two)) is RelayRefusal.SEVERAL_PAYERS


@pytest.mark.parametrize("amount", [MONEY + 1])
def test_what_would_revert_costs_the_hub_nothing(world: World, amount: int) -> None:
    """Simulated first: no transaction, no row, no gas. With money there it is taken."""
    call = world.pay(amount)
    height = world.client.block_number()
    refused = world.submit(call)
    assert reason(refused) is RelayRefusal.WOULD_REVERT
    forged = world.token.transfer_with_authorization(
        Authorization(
            sender=OTHER.address,
            receiver=SHOP,
            amount_minor=1,
            valid_after_s=0,
            valid_before_s=LATER_S,
            nonce=bytes(32),
        ),
        PHONE.sign(bytes(32)).octets,
    )
    assert reason(world.submit(forged, key="forged")) is RelayRefusal.WOULD_REVERT
    world.drive(passes=2)
    assert world.client.block_number() == height
    with world.engine.begin() as unit:
        assert unit.execute(select(relay_store.relays)).all() == []
    world.by_somebody_else(world.token.mint(PHONE.address, 1))
    world.taken(call)


def test_what_reverts_after_it_was_queued_is_refused_and_can_come_again(world: World) -> None:
    """Between queue and chain the money went elsewhere; back again, the same action is taken."""
    relay = world.taken(world.pay(MONEY))
    world.by_somebody_else(world.pay(1, nonce=2))
    world.drive()
    refused = world.found(relay)
    assert refused.state is RelayState.REFUSED
    assert refused.reason.startswith("would_revert")
    world.by_somebody_else(world.token.mint(PHONE.address, 1))
    assert world.taken(world.pay(MONEY), key="again").state is RelayState.QUEUED
    world.drive(passes=3)
    assert world.found(relay).state is RelayState.DONE


def test_a_payer_has_a_cap_a_day(world: World) -> None:
    """One payer's actions cannot eat what is there for others; a day later it may go on."""
    world.taken(world.pay(1))
    world.drive(passes=3)
    with world.engine.begin() as unit:
        cost = relay_store.payer_cost_wei(unit, PHONE.address, since_us=0)
    world.relay = RelayPolicy(payer_day_max_wei=cost + cost // 2)
    world.restart()
    second = world.pay(1, nonce=2)
    assert reason(world.submit(second, key="2")) is RelayRefusal.ABOVE_PAYER_CAP
    world.taken(world.pay(1, payer=OTHER), key="other")
    world.taken(second, key="2", now_us=NOW_US + 86_401 * SECOND_US)


def test_a_day_has_a_cap_for_all_relays(world: World) -> None:
    """What is above it waits, in order, and goes when there is room; settling keeps its own."""
    first = world.taken(world.pay(1))
    world.drive()
    cost = world.found(first).cost_wei
    world.policy = Policy(purposes_day_max_wei={"relay": cost})
    world.restart()
    second = world.taken(world.pay(1, nonce=2), key="2")
    third = world.taken(world.pay(1, nonce=3), key="3", now_us=NOW_US + 1)
    world.drive()
    assert world.found(second).is_held_back
    assert world.found(second).reason.startswith("above_purpose_cap")
    assert world.found(third).reason == "", "the pass ends at the first that is held back"
    world.policy = Policy()
    world.restart()
    world.drive(passes=8)
    assert {world.found(r).state for r in (first, second, third)} == {RelayState.DONE}
    assert world.held(SHOP) == 3


def test_a_spike_is_waited_out_and_not_for_ever(world: World) -> None:
    world.policy = Policy(fee_cap_per_gas_wei=1)
    world.restart()
    relay = world.taken(world.pay(1))
    world.drive()
    assert world.found(relay).reason.startswith("fee_above_cap")
    late_us = NOW_US + (world.relay.wait_s_max + 1) * SECOND_US
    world.drive(now_us=late_us)
    assert world.found(relay).state is RelayState.REFUSED
    assert world.found(relay).reason.startswith("expired: fee_above_cap")


def test_the_queue_has_an_end(tmp_path: Path) -> None:
    world = World(tmp_path / "chain.sqlite", RelayPolicy(queue_max=2))
    for number in range(2):
        world.taken(world.pay(1, nonce=number), key=str(number))
    assert reason(world.submit(world.pay(1, nonce=9), key="9")) is RelayRefusal.QUEUE_FULL
    world.drive(passes=3)
    world.taken(world.pay(1, nonce=9), key="9")
    world.node.close()


def test_only_so_many_are_under_way(tmp_path: Path) -> None:
    """Relays leave room among the account's open transactions for everything else."""
    world = World(tmp_path / "chain.sqlite", RelayPolicy(under_way_max=2))
    for number in range(3):
        world.taken(world.pay(1, nonce=number), key=str(number))
    world.relayer.drive(world.engine.begin, now_us=NOW_US)
    with world.engine.begin() as unit:
        assert len(world.manager.pending(unit)) == 2
    world.drive(passes=8)
    assert world.held(SHOP) == 3
    world.node.close()


def test_a_step_has_a_gas_limit(world: World) -> None:
    """A call that needs more than a step may burn is refused at its simulation."""
    world.relay = RelayPolicy(step_gas_max=30_000)
    world.restart()
    assert reason(world.submit(world.pay(1))) is RelayRefusal.WOULD_REVERT


def test_a_chain_that_is_away_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    relay = world.taken(world.pay(1))

    def away(*_: Any, **__: Any) -> Any:
        raise ChainUnavailableError("away", outcome_unknown=False)

    with monkeypatch.context() as patch:
        patch.setattr(world.manager, "quote", away)
        report = world.relayer.drive(world.engine.begin, now_us=NOW_US)
        assert report.unavailable == "away"
        with pytest.raises(ChainUnavailableError):
            world.submit(world.pay(1, nonce=2), key="2")
    world.drive(passes=3)
    assert world.found(relay).state is RelayState.DONE


def test_counts_tell_where_actions_stand(world: World) -> None:
    world.taken(world.pay(1))
    with world.engine.begin() as unit:
        assert world.relayer.counts(unit) == {"queued": 1, "done": 0, "refused": 0, "failed": 0}


def relay_of(steps: int, may_fail: bool, position: int, attempt: int) -> Relay:
    step = Step(call=Call(to=SHOP, data=b"1234"), may_fail=may_fail)
    action = Action(payer=PHONE.address, steps=(step,) * steps)
    identity = relay_rules.relay_id(1, action)
    return Relay(
        relay_id=identity,
        key="k",
        action=action,
        submitted_us=0,
        position=position,
        attempt=attempt,
    )


@given(
    steps=st.integers(1, STEPS_MAX),
    may_fail=st.booleans(),
    became=st.lists(st.sampled_from(TransactionState), max_size=30),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_an_action_only_goes_forward(
    steps: int, may_fail: bool, became: list[TransactionState]
) -> None:
    """Whatever its transactions become, no intent serves twice; done is a final last step."""
    relay = relay_of(steps, may_fail, 0, 0)
    intents = [relay.intent_id]
    for state in became:
        before, relay = relay, relay_rules.after(relay, state)
        assert (relay.position, relay.attempt) >= (before.position, before.attempt)
        assert relay.attempt < ATTEMPTS_MAX
        if relay.state is not RelayState.QUEUED:
            assert state in {
                RelayState.DONE: {TransactionState.FINAL},
                RelayState.FAILED: {TransactionState.REVERTED, TransactionState.REPLACED},
            }.get(relay.state, set())
            assert relay.state is not RelayState.DONE or relay.is_last
            break
        if relay.intent_id != intents[-1]:
            assert relay.intent_id not in intents
            intents.append(relay.intent_id)
