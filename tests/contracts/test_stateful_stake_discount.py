"""Any sequence of anybody's commitments and withdrawals against a Python model.

Whatever is tried either does what the model says or reverts for the model's reason; after every
step: solvency (S1), exact (S2), nothing but the account's own acts moves its stake (S5), no
commitment lowers a discount (S8); and at the end the past reads as it was (S6, S9, S12), the
events alone rebuild it (S10), and everybody gets out (S4).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

import pytest
from contract_evm import MAX, refused
from contract_stake import CAP_PPM, DAY_S, PURSE, TIERS, TOKEN, StakeWorld
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from opencarrier.chain import events
from opencarrier.chain.contracts import LOCK_MAX_S
from opencarrier.staking.rules import discount_ppm

ACCOUNTS = st.integers(0, 2)
AMOUNTS = st.one_of(
    st.just(0), st.integers(1, 5), st.sampled_from([100 * TOKEN, 1_000 * TOKEN, 2 * PURSE, MAX])
)
LOCKS = st.sampled_from(
    [0, 1, DAY_S, 30 * DAY_S, 30 * DAY_S, 365 * DAY_S, LOCK_MAX_S, LOCK_MAX_S + 1]
)
WAYS = st.sampled_from(["stake", "signature", "authorization", "permit"])


@dataclass(frozen=True)
class Held:
    """What an account has from an instant on."""

    at: int
    amount: int
    lock_s: int

    @property
    def unlock_at(self) -> int:
        return self.at + self.lock_s if self.amount else 0


NOTHING = Held(0, 0, 0)


class Staking(RuleBasedStateMachine):
    @initialize()
    def deploy(self) -> None:
        self.world = StakeWorld()
        self.started = self.world.evm.now_s
        self.past: list[list[Held]] = [[NOTHING] for _ in range(3)]
        self.nonces = [0, 0, 0]
        self.used: set[tuple] = set()
        self.told: list[events.Event] = []

    def held(self, account: int) -> Held:
        return self.past[account][-1]

    def record(self, account: int, amount: int, lock_s: int) -> None:
        self.past[account].append(Held(self.world.evm.now_s, amount, lock_s))

    def try_(self, reason: str | None, sender, call) -> bool:
        if reason == "":
            self.told += self.world.told(self.world.send(sender, call))
            return True
        with refused(reason):
            self.world.send(sender, call)
        return False

    def refusal(self, account: int, added: int, lock_s: int) -> str | None:
        """Why a commitment is not taken, in the contract's order."""
        held, total = self.held(account), sum(self.held(i).amount for i in range(3))
        if held.amount + added > MAX:
            return None
        if not held.amount + added:
            return "stake: none"
        if not 0 < lock_s <= LOCK_MAX_S:
            return "lock: out of range"
        if lock_s < held.lock_s:
            return "lock: shorter"
        if total + added > MAX:
            return None
        if total + added >= 1 << 160:
            return "amount: too large"
        purse = PURSE - held.amount
        return "token: short balance" if added > purse else ""

    @rule(account=ACCOUNTS, amount=AMOUNTS, lock_s=LOCKS, way=WAYS)
    def stake(self, account: int, amount: int, lock_s: int, way: str) -> None:
        world, who = self.world, self.world.accounts[account]
        reason, sender = self.refusal(account, amount, lock_s), who
        if way == "signature":
            call = world.signed(who, amount, lock_s, nonce=self.nonces[account])
            sender = world.stranger
        elif way == "authorization":
            call, sender = world.authorized(who, amount, lock_s), world.stranger
            if reason in ("", "token: short balance") and (account, lock_s) in self.used:
                reason = "authorization: used"
        else:
            call = world.stakes.stake(amount, lock_s)
            if way == "permit":
                call = world.permitted(who, amount, lock_s, nonce=MAX)
        if amount == 0 and way != "signature":
            reason = "amount: zero"
        if self.try_(reason, sender, call):
            self.nonces[account] += way == "signature"
            if way == "authorization":
                self.used.add((account, lock_s))
            self.record(account, self.held(account).amount + amount, lock_s)

    @rule(account=ACCOUNTS, amount=AMOUNTS)
    def increase(self, account: int, amount: int) -> None:
        held = self.held(account)
        reason = self.refusal(account, amount, held.lock_s) if held.amount else "stake: none"
        call = self.world.stakes.increase(amount)
        reason = reason if amount else "amount: zero"
        if self.try_(reason, self.world.accounts[account], call):
            self.record(account, held.amount + amount, held.lock_s)

    @rule(account=ACCOUNTS, lock_s=LOCKS)
    def extend(self, account: int, lock_s: int) -> None:
        reason = self.refusal(account, 0, lock_s)
        call = self.world.stakes.extend(lock_s)
        if self.try_(reason, self.world.accounts[account], call):
            self.record(account, self.held(account).amount, lock_s)

    @rule(account=ACCOUNTS)
    def withdraw(self, account: int) -> None:
        held, reason = self.held(account), ""
        if not held.amount:
            reason = "stake: none"
        elif self.world.evm.now_s < held.unlock_at:
            reason = "stake: locked"
        call = self.world.stakes.withdraw(self.world.accounts[account].address)
        if self.try_(reason, self.world.stranger, call):
            self.record(account, 0, 0)

    @rule(seconds=st.sampled_from([1, 1, DAY_S, 30 * DAY_S, 365 * DAY_S]))
    def pass_time(self, seconds: int) -> None:
        self.world.evm.pass_time(seconds)

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "world"):
            return
        world, stakes = self.world, self.world.stakes
        total = 0
        for account, signer in enumerate(world.accounts):
            held = self.held(account)
            found = world.ask(stakes.stake_of(signer.address))
            assert (found.amount, found.lock_s, found.unlock_at) == (
                held.amount,
                held.lock_s,
                held.unlock_at,
            )
            seconds = {row.at for row in self.past[account][1:]}
            assert world.ask(stakes.checkpoint_count(signer.address)) == len(seconds)
            locked = held.amount if world.evm.now_s < held.unlock_at else 0
            assert world.ask(stakes.votes(signer.address)) == locked
            assert world.tokens(signer.address) == PURSE - held.amount
            total += held.amount
        assert world.ask(stakes.total_staked()) == total == world.tokens(stakes.address)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.evm.pass_time(1)
            self._the_past_reads_as_it_was(self.past)
            self._the_past_reads_as_it_was(self._rebuilt())
            self._everybody_leaves()

    def _at(self, past: list[Held], at: int) -> Held:
        return past[bisect_right([held.at for held in past], at) - 1]

    def _the_past_reads_as_it_was(self, past: list[list[Held]]) -> None:
        """At every commitment, just before it, and around every end."""
        world, stakes = self.world, self.world.stakes
        edges = {edge for rows in past for held in rows for edge in (held.at, held.unlock_at)}
        points = {edge + step for edge in edges for step in (-1, 0) if edge + step >= 0}
        for at in sorted(point for point in points if point < world.evm.now_s):
            total = votes = 0
            for rows, signer in zip(past, world.accounts, strict=True):
                held, address = self._at(rows, at), signer.address
                locked = held.amount if at < held.unlock_at else 0
                ppm = discount_ppm(TIERS, locked, held.lock_s)
                assert world.ask(stakes.stake_at(address, at)).amount == held.amount
                assert world.ask(stakes.past_votes(address, at)) == locked
                assert world.ask(stakes.discount_ppm_at(address, at)) == ppm
                cap = world.ask(stakes.spend_cap_at(address, at))
                assert cap == locked * CAP_PPM // 1_000_000
                total, votes = total + held.amount, votes + locked
            assert world.ask(stakes.total_at(at)) == total >= votes
            assert world.ask(stakes.past_total_supply(at)) == total
        self._no_commitment_lowers_a_discount(past)

    def _no_commitment_lowers_a_discount(self, past: list[list[Held]]) -> None:
        for rows in past:
            for before, after in pairwise(rows):
                if after.amount and after.at < before.unlock_at:
                    assert after.unlock_at >= before.unlock_at
                    was = discount_ppm(TIERS, before.amount, before.lock_s)
                    assert discount_ppm(TIERS, after.amount, after.lock_s) >= was

    def _rebuilt(self) -> list[list[Held]]:
        past = {signer.address: [NOTHING] for signer in self.world.accounts}
        total = 0
        for event in self.told:
            match event:
                case events.StakeCommitted():
                    at = event.unlock_at - event.lock_s
                    total += event.added
                    before = past[event.account][-1]
                    assert event.amount == before.amount + event.added
                    past[event.account].append(Held(at, event.amount, event.lock_s))
                    assert event.total == total
                case events.StakeWithdrawn():
                    total -= event.amount
                    assert event.amount == past[event.account][-1].amount
                    past[event.account].append(Held(event.withdrawn_at, 0, 0))
                    assert event.total == total
        return list(past.values())

    def _everybody_leaves(self) -> None:
        world = self.world
        world.evm.pass_time(LOCK_MAX_S)
        for account in range(3):
            if self.held(account).amount:
                self.withdraw(account)
            assert world.tokens(world.accounts[account].address) == PURSE
        assert world.tokens(world.stakes.address) == 0


def _case(*, max_examples: int, stateful_step_count: int):
    case = type("Case", (Staking.TestCase,), {})
    case.settings = settings(
        max_examples=max_examples,
        stateful_step_count=stateful_step_count,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    return case


TestStaking = _case(max_examples=10, stateful_step_count=20)
TestStakingDeep = pytest.mark.deep(
    pytest.mark.timeout(1200)(_case(max_examples=150, stateful_step_count=50))
)
