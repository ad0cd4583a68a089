"""Any history of publications, vetoes, claims and changes against a model in Python.

Named after anchors/chain.md 7: never more paid than funded (R2), the balance covers what is due
(R3), nothing shrinks (R4), nobody is paid twice (R1), the events alone rebuild everything (R8).
"""

from __future__ import annotations

import pytest
from contract_evm import key, refused
from contract_rewards import Pool
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from opencarrier.chain import events
from opencarrier.chain.contracts import RewardClaim
from opencarrier.chain.model import Call
from opencarrier.kernel.signatures import KeySigner
from opencarrier.rewards.merkle import Tree

DELAY_S = 100
ACCOUNTS = [key(f"host {i}") for i in range(3)]
ELSEWHERE = [key(f"elsewhere {i}").address for i in range(3)]
WHO = st.integers(0, 2)


class Root:
    """A publication as the model sees it."""

    def __init__(self, tree: Tree, amounts: dict[str, int], *, ready_at: int, left: int) -> None:
        self.tree, self.amounts, self.ready_at, self.left = tree, amounts, ready_at, left
        self.vetoed = False


class Rewards(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.pool = Pool(DELAY_S)
        self.token = self.pool.token.address
        self.roots: dict[bytes, Root] = {}
        self.earned = dict.fromkeys((a.address for a in ACCOUNTS), 0)
        self.claimed = dict.fromkeys(self.earned, 0)
        self.payouts = {account: account for account in self.earned}
        self.changes: dict[str, tuple[str, int]] = {}
        self.received: dict[str, int] = {}
        self.funded, self.cap, self.raised = 0, 0, (0, 0)
        self.told: list[events.Event] = []

    def do(self, reason: str, sender: KeySigner, call: Call) -> bool:
        """Send a call that the model says is done, or refused for a reason."""
        if reason:
            with refused(reason):
                self.pool.send(sender, call)
            return False
        self.told += self.pool.told(self.pool.send(sender, call))
        return True

    @rule(gains=st.lists(st.integers(0, 9), min_size=3, max_size=3), false=st.booleans())
    def publish(self, gains: list[int], false: bool) -> None:
        """An honest root gives what it brings; a false one gives a hundred to somebody."""
        amounts = {
            account: before + gain
            for (account, before), gain in zip(self.earned.items(), gains, strict=True)
        }
        if not false:
            self.earned = amounts
        shown = amounts | (
            {ACCOUNTS[0].address: amounts[ACCOUNTS[0].address] + 100} if false else {}
        )
        shown = {account: amount for account, amount in shown.items() if amount}
        if not shown:
            return
        tree, money = self.pool.tree(shown), sum(gains)
        reason = "publish: known root" if tree.root in self.roots else ""
        if not reason and self.cap and money > self.cap:
            reason = "publish: over cap"
        self.pool.send(self.pool.owner, self.pool.token.mint(self.pool.rewards.address, money))
        if self.do(reason, self.pool.house, self.pool.publishing(tree.root, money)):
            self.funded += money
            left = self.funded - sum(self.claimed.values())
            ready_at = self.pool.evm.now_s + DELAY_S
            self.roots[tree.root] = Root(tree, shown, ready_at=ready_at, left=left)
        elif not false:
            self.earned = {a: n - g for (a, n), g in zip(self.earned.items(), gains, strict=True)}

    @precondition(lambda self: self.roots)
    @rule(data=st.data())
    def veto(self, data) -> None:
        root = data.draw(st.sampled_from(sorted(self.roots)))
        known = self.roots[root]
        reason = "veto: already vetoed" if known.vetoed else ""
        if self.pool.evm.now_s >= known.ready_at:
            reason = "veto: too late"
        if self.do(reason, self.pool.guardian, self.pool.rewards.veto(self.token, root)):
            known.vetoed = True

    def refusal(self, known: Root, account: str) -> str:
        amount = known.amounts[account] - self.claimed[account]
        if known.vetoed:
            return "claim: vetoed"
        if self.pool.evm.now_s < known.ready_at:
            return "claim: not ready"
        if amount <= 0:
            return "claim: nothing due"
        if amount > known.left:
            return "claim: over root"
        if amount > self.funded - sum(self.claimed.values()):
            return "claim: over funded"
        return ""

    def paid(self, known: Root, account: str) -> None:
        amount = known.amounts[account] - self.claimed[account]
        known.left -= amount
        self.claimed[account] += amount
        payout = self.payouts[account]
        self.received[payout] = self.received.get(payout, 0) + amount

    @precondition(lambda self: self.roots)
    @rule(data=st.data())
    def claim(self, data) -> None:
        known = self.roots[data.draw(st.sampled_from(sorted(self.roots)))]
        account = data.draw(st.sampled_from(sorted(known.amounts)))
        call = self.pool.claim(known.tree, account, known.amounts[account])
        if self.do(self.refusal(known, account), self.pool.stranger, call):
            self.paid(known, account)

    @precondition(lambda self: self.roots)
    @rule(data=st.data())
    def claim_many(self, data) -> None:
        """R7: the batch pays what each claim alone would be paid, in their order."""
        rows, expected = [], 0
        for root in data.draw(st.lists(st.sampled_from(sorted(self.roots)), max_size=4)):
            known = self.roots[root]
            account = data.draw(st.sampled_from(sorted(known.amounts)))
            leaf = self.pool.leaf(account, known.amounts[account])
            rows.append(
                RewardClaim(
                    account=account,
                    token=self.token,
                    lifetime_amount=leaf.lifetime_minor,
                    proof=known.tree.siblings(leaf),
                )
            )
            if self.refusal(known, account) == "":
                self.paid(known, account)
                expected += 1
        outcome = self.pool.send(self.pool.stranger, self.pool.rewards.claim_many(rows))
        assert int.from_bytes(outcome.output, "big") == expected
        self.told += self.pool.told(outcome)

    @rule(who=WHO, where=WHO)
    def request_payout(self, who: int, where: int) -> None:
        account = ACCOUNTS[who]
        call = self.pool.rewards.request_payout(self.token, ELSEWHERE[where])
        assert self.do("", account, call)
        self.changes[account.address] = (ELSEWHERE[where], self.pool.evm.now_s + DELAY_S)

    @rule(who=WHO)
    def apply_payout(self, who: int) -> None:
        account = ACCOUNTS[who].address
        payout, ready_at = self.changes.get(account, ("", 0))
        reason = "change: not ready" if self.pool.evm.now_s < ready_at else ""
        if not payout:
            reason = "change: not requested"
        call = self.pool.rewards.apply_payout(account, self.token)
        if self.do(reason, self.pool.stranger, call):
            self.payouts[account] = payout
            del self.changes[account]

    @rule(cap=st.integers(1, 20))
    def set_cap(self, cap: int) -> None:
        assert self.do("", self.pool.owner, self.pool.rewards.set_cap(self.token, cap))
        if self.cap and cap > self.cap:
            self.raised = (cap, self.pool.evm.now_s + DELAY_S)
        else:
            self.cap, self.raised = cap, (0, 0)

    @rule()
    def apply_cap(self) -> None:
        cap, ready_at = self.raised
        reason = "change: not ready" if self.pool.evm.now_s < ready_at else ""
        if not cap:
            reason = "change: not requested"
        if self.do(reason, self.pool.stranger, self.pool.rewards.apply_cap(self.token)):
            self.cap, self.raised = cap, (0, 0)

    @rule(seconds=st.sampled_from([1, DELAY_S - 1, DELAY_S]))
    def pass_time(self, seconds: int) -> None:
        self.pool.evm.pass_time(seconds)

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "pool"):
            return
        rewards, evm = self.pool.rewards, self.pool.evm
        total = rewards.total_claimed(self.token).ask(evm)
        assert total == sum(self.claimed.values()) <= self.funded
        assert rewards.funded(self.token).ask(evm) == self.funded
        assert self.pool.tokens(rewards.address) >= self.funded - total
        for account, amount in self.claimed.items():
            assert rewards.claimed(account, self.token).ask(evm) == amount
            assert rewards.payout_of(account, self.token).ask(evm) == self.payouts[account]
        assert {a: self.pool.tokens(a) for a in self.received} == self.received
        for root, known in self.roots.items():
            assert rewards.left_of(self.token, root).ask(evm) == known.left
            assert rewards.is_vetoed(self.token, root).ask(evm) == known.vetoed

    def teardown(self) -> None:
        """R8: what the events say is what the contract holds."""
        if not hasattr(self, "pool"):
            return
        funded, cap = 0, 0
        claimed, payouts = dict.fromkeys(self.claimed, 0), {}
        for event in self.told:
            match event:
                case events.RewardsPublished():
                    funded += event.amount
                    assert funded == event.funded
                case events.Claimed():
                    claimed[event.account] += event.amount
                    assert claimed[event.account] == event.lifetime_amount
                case events.PayoutSet():
                    payouts[event.account] = event.payout
                case events.CapSet():
                    cap = event.cap
        assert (funded, claimed, cap) == (self.funded, self.claimed, self.cap)
        assert {a: payouts.get(a, a) for a in self.payouts} == self.payouts


def _case(*, max_examples: int, stateful_step_count: int):
    case = type("Case", (Rewards.TestCase,), {})
    case.settings = settings(
        max_examples=max_examples,
        stateful_step_count=stateful_step_count,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    return case


TestRewards = _case(max_examples=6, stateful_step_count=20)
TestRewardsDeep = pytest.mark.deep(
    pytest.mark.timeout(1200)(_case(max_examples=100, stateful_step_count=50))
)
