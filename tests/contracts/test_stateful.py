"""Any sequence of anybody's actions against a Python model of all three contracts.

Whatever is tried either does what the model says or reverts for the model's reason; after every
step: solvency (C1), conservation (C2), once only (C3, R1), monotone (R4), bound (R2), and the
events alone rebuild it all (C13, R8). At the end everybody gets out (C11).
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from contract_evm import FAR_S, MAX, NOTICE_S, TERMS, refused
from contract_world import DEPOSIT, World
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from opencarrier.chain import events
from opencarrier.kernel.keccak import keccak
from opencarrier.rewards.merkle import Tree
from opencarrier.rewards.model import EntitlementLeaf
from opencarrier.spine.ids import net_of_word

MEMBERS = st.integers(0, 3)
HOSTS = st.integers(0, 1)
AMOUNTS = st.one_of(st.integers(1, 5), st.integers(1, 2 * DEPOSIT), st.just(DEPOSIT), st.just(MAX))
CAPS = st.one_of(st.integers(0, 5), st.integers(0, 2 * DEPOSIT), st.just((1 << 96) - 1))


class Clearing(RuleBasedStateMachine):
    @initialize()
    def deploy(self) -> None:
        self.world = World()
        self.balances = [DEPOSIT] * 4
        self.requests: list[tuple[int, int] | None] = [None] * 4
        self.caps = [0] * 4
        self.mandated: set[int] = set()
        self.mandates_from_s = 0
        self.members = [True] * 4
        self.frozen = [False] * 4
        self.paused = False
        self.settled: list = []
        self.lifetimes = [0, 0]
        self.claimed = [0, 0]
        self.tree: Tree | None = None
        self.told: list[events.Event] = []
        self.opening = list(self.balances)

    def do(self, sender, call) -> None:
        self.told += self.world.told(self.world.send(sender, call))

    def try_(self, reason: str | None, sender, call) -> bool:
        """Send; expect success where the model has no reason, else exactly that one."""
        if reason == "":
            self.do(sender, call)
            return True
        with refused(reason):
            self.world.send(sender, call)
        return False

    @rule(member=MEMBERS, payer=MEMBERS, amount=AMOUNTS)
    def deposit(self, member: int, payer: int, amount: int) -> None:
        world = self.world
        purse = world.tokens(world.members[payer].address)
        reason = ""
        if not self.members[member]:
            reason = "deposit: not member"
        elif amount == MAX and (self.balances[member] or sum(self.balances)):
            reason = None
        elif self.frozen[payer]:
            reason = "token: frozen"
        elif amount > purse:
            reason = "token: short balance"
        call = world.house.deposit(world.usd, world.members[member].address, amount)
        if self.try_(reason, world.members[payer], call):
            self.balances[member] += amount

    @rule(member=MEMBERS, cap=CAPS)
    def mandate(self, member: int, cap: int) -> None:
        self.do(
            self.world.members[member], self.world.house.set_mandate(self.world.usd, cap, FAR_S)
        )
        self.caps[member] = cap
        self.mandated.add(member)

    @rule(
        weights=st.lists(st.integers(-1000, 1000), min_size=4, max_size=4),
        pay=st.lists(st.integers(0, 100), min_size=2, max_size=2),
        scale=st.sampled_from([1, 1, 1000, 10**7]),
        signed=st.booleans(),
        ahead=st.sampled_from([1, 1, 1, 1, 0, 2]),
    )
    def settle(self, weights, pay, scale, signed, ahead) -> None:
        world = self.world
        host_money = sum(pay) * scale
        amounts = [w * scale for w in weights[:3]]
        amounts.append(-host_money - sum(amounts))
        lifetimes = [n + p * scale for n, p in zip(self.lifetimes, pay, strict=True)]
        tree = self._tree_of(lifetimes)
        root = tree.root if host_money else bytes(32)
        order = world.order(
            amounts,
            sequence=len(self.settled) + ahead,
            signed=signed,
            rewards_root=root,
            cycle_id=keccak(b"step %d" % len(self.told)),
        )
        reason = self._refusal(amounts, signed=signed, ahead=ahead)
        if self.try_(reason, world.settler, world.house.settle(world.usd, order)):
            self.balances = [b + a for b, a in zip(self.balances, amounts, strict=True)]
            self.settled.append(order)
            if not signed and min(amounts) < 0:
                self.mandates_from_s = world.evm.now_s + TERMS.mandate_interval_s
            if host_money:
                self.lifetimes, self.tree = lifetimes, tree

    def _refusal(self, amounts, *, signed, ahead) -> str:
        if self.paused:
            return "settle: paused"
        if ahead != 1:
            return "settle: sequence"
        for i, amount in enumerate(amounts):
            if amount and not self.members[i]:
                return "nets: not member"
            if self.balances[i] + amount < 0:
                return "debit: short of collateral"
            if amount < 0 and not signed and i not in self.mandated:
                return "mandate: expired"
            if amount < 0 and not signed and -amount > self.caps[i]:
                return "mandate: over cap"
        if not signed and min(amounts) < 0 and self.world.evm.now_s < self.mandates_from_s:
            return "mandate: too soon"
        return ""

    def _tree_of(self, lifetimes) -> Tree:
        return Tree(
            [
                self._leaf(host.address, amount)
                for host, amount in zip(self.world.hosts, lifetimes, strict=True)
                if amount
            ]
        )

    def _leaf(self, account: str, lifetime: int) -> EntitlementLeaf:
        token = self.world.token.address
        return EntitlementLeaf(account=account, token=token, lifetime_minor=lifetime)

    @precondition(lambda self: self.settled)
    @rule(data=st.data(), change=st.booleans())
    def settle_again(self, data, change: bool) -> None:
        order = data.draw(st.sampled_from(self.settled))
        if change:
            other = replace(order, records_root=b"\x55" * 32)
            with refused("settled: other content"):
                self.world.settle(other)
        else:
            outcome = self.world.settle(order)
            assert outcome.output == order.settlement_id
            assert outcome.logs == ()

    @rule(member=MEMBERS, amount=AMOUNTS)
    def request(self, member: int, amount: int) -> None:
        world = self.world
        reason = "withdrawal: already requested" if self.requests[member] else ""
        if self.try_(
            reason, world.members[member], world.house.request_withdrawal(world.usd, amount)
        ):
            self.requests[member] = (amount, world.evm.now_s + NOTICE_S)

    @rule(member=MEMBERS)
    def cancel(self, member: int) -> None:
        world = self.world
        reason = "" if self.requests[member] else "withdrawal: not requested"
        if self.try_(reason, world.members[member], world.house.cancel_withdrawal(world.usd)):
            self.requests[member] = None

    @rule(member=MEMBERS)
    def withdraw(self, member: int) -> None:
        world, request = self.world, self.requests[member]
        if request is None:
            reason = "withdrawal: not requested"
        elif world.evm.now_s < request[1]:
            reason = "withdrawal: notice"
        elif self.frozen[member] and min(request[0], self.balances[member]):
            reason = "token: frozen"
        else:
            reason = ""
        if self.try_(reason, world.members[member], world.house.withdraw(world.usd)):
            self.balances[member] -= min(request[0], self.balances[member])
            self.requests[member] = None

    @precondition(lambda self: self.tree)
    @rule(host=HOSTS)
    def claim(self, host: int) -> None:
        lifetime = self.lifetimes[host]
        if not lifetime:
            return
        leaf = self._leaf(self.world.hosts[host].address, lifetime)
        siblings = self.tree.siblings(leaf)
        call = self.world.rewards.claim(leaf.account, leaf.token, lifetime, siblings)
        reason = "" if lifetime > self.claimed[host] else "claim: nothing due"
        if self.try_(reason, self.world.stranger, call):
            self.claimed[host] = lifetime

    @rule(member=MEMBERS)
    def freeze_or_free(self, member: int) -> None:
        token, account = self.world.token, self.world.members[member].address
        call = token.unfreeze(account) if self.frozen[member] else token.freeze(account)
        self.do(self.world.owner, call)
        self.frozen[member] = not self.frozen[member]

    @rule(member=MEMBERS)
    def join_or_leave(self, member: int) -> None:
        self.members[member] = not self.members[member]
        account = self.world.members[member].address
        call = self.world.house.set_member(self.world.usd, account, registered=self.members[member])
        self.do(self.world.owner, call)

    @rule()
    def pause_or_resume(self) -> None:
        self.paused = not self.paused
        self.do(self.world.owner, self.world.house.set_settle_paused(paused=self.paused))

    @rule(seconds=st.sampled_from([1, TERMS.mandate_interval_s, NOTICE_S]))
    def pass_time(self, seconds: int) -> None:
        self.world.evm.pass_time(seconds)

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        assert world.balances() == self.balances
        assert world.house.total_of(world.usd).ask(world.evm) == sum(self.balances)
        assert world.tokens(world.house.address) == sum(self.balances)
        funded = world.rewards.funded(world.token.address).ask(world.evm)
        claimed = world.rewards.total_claimed(world.token.address).ask(world.evm)
        assert funded == sum(self.lifetimes)
        assert claimed == sum(self.claimed) <= funded
        assert world.tokens(world.rewards.address) == funded - claimed
        assert [world.tokens(host.address) for host in world.hosts] == self.claimed
        assert world.house.last_sequence(world.usd).ask(world.evm) == len(self.settled)
        assert world.token.total_supply().ask(world.evm) == 8 * DEPOSIT

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self._rebuild_from_events()
        self._everybody_leaves()

    def _rebuild_from_events(self) -> None:
        accounts = [member.address for member in self.world.members]
        held = dict(zip(accounts, self.opening, strict=True))
        funded, claimed, settled = 0, {}, {}
        for event in self.told:
            match event:
                case events.Deposited():
                    held[event.member] += event.amount
                    assert held[event.member] == event.balance
                case events.Withdrawn():
                    held[event.member] -= event.amount
                    assert held[event.member] == event.balance
                case events.Settled():
                    settled[event.cycle_id] = event.settlement_id
                    assert event.sequence == len(settled)
                    for net in map(net_of_word, event.nets):
                        held[net.address] += net.amount_minor
                case events.RewardsPublished():
                    funded += event.amount
                    assert funded == event.funded
                case events.Claimed():
                    claimed[event.account] = claimed.get(event.account, 0) + event.amount
                    assert claimed[event.account] == event.lifetime_amount
        assert [held[account] for account in accounts] == self.balances
        assert settled == {order.cycle_id: order.settlement_id for order in self.settled}
        assert funded == sum(self.lifetimes)

    def _everybody_leaves(self) -> None:
        world = self.world
        for i, member in enumerate(world.members):
            if self.frozen[i]:
                self.freeze_or_free(i)
            if self.requests[i]:
                world.send(member, world.house.cancel_withdrawal(world.usd))
            world.send(member, world.house.request_withdrawal(world.usd, MAX))
        world.evm.pass_time(NOTICE_S)
        for member in world.members:
            world.send(member, world.house.withdraw(world.usd))
        assert world.balances() == [0] * 4
        assert world.tokens(world.house.address) == 0
        for i in range(2):
            if self.lifetimes[i] > self.claimed[i]:
                self.claim(i)
        assert world.tokens(world.rewards.address) == 0


def _case(*, max_examples: int, stateful_step_count: int):
    case = type("Case", (Clearing.TestCase,), {})
    case.settings = settings(
        max_examples=max_examples,
        stateful_step_count=stateful_step_count,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    return case


TestClearing = _case(max_examples=10, stateful_step_count=25)
TestClearingDeep = pytest.mark.deep(
    pytest.mark.timeout(1200)(_case(max_examples=100, stateful_step_count=50))
)
