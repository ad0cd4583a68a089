"""Any sequence of corridor claims, settlements and exits against a Python model.

After every step: solvency and conservation (C1, C2), no credit (C8), every unit of escrow and bond
is somebody's (C16); at the end time alone ends every claim and everybody leaves (C11, C17), and
the events alone rebuild the balances (C13).
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from contract_evm import MAX, NOTICE_S, TERMS, key, refused
from contract_world import DEPOSIT, World
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from opencarrier.chain import events
from opencarrier.chain.contracts import ClaimState, claim_id
from opencarrier.kernel.keccak import keccak
from opencarrier.spine.ids import net_of_word

WINDOW_S = 600
MEMBERS = st.integers(0, 2)
AMOUNTS = st.one_of(st.integers(1, 50), st.integers(1, 2 * DEPOSIT), st.just(DEPOSIT))
CAPS = st.sampled_from([0, 100, DEPOSIT, 3 * DEPOSIT])


@dataclass
class Open:
    """A corridor as the model has it."""

    cap: int = 0
    closes_at: int = 0
    escrowed: int = 0


@dataclass
class Posted:
    """A claim as the model has it."""

    debtor: int
    creditor: int
    amount: int
    deadline: int
    bond: int = 0
    state: ClaimState = ClaimState.OPEN


class Corridors(RuleBasedStateMachine):
    @initialize()
    def deploy(self) -> None:
        self.world = World()
        self.house, self.usd = self.world.house, self.world.usd
        self.arbiter = key("arbiter")
        self.world.send(self.world.owner, self.house.set_arbiter(self.arbiter.address))
        self.balances = [DEPOSIT] * 3
        self.total = 4 * DEPOSIT
        self.corridors: dict[tuple[int, int], Open] = {}
        self.claims: dict[bytes, Posted] = {}
        self.offers: dict[tuple[bytes, int], int] = {}
        self.settled = 0
        self.told: list[events.Event] = []

    def member(self, index: int):
        return self.world.members[index]

    def try_(self, reason: str, sender, call) -> bool:
        """Send; expect success where the model has no reason, else exactly that one."""
        if reason == "":
            self.told += self.world.told(self.world.send(sender, call))
            return True
        with refused(reason):
            self.world.send(sender, call)
        return False

    @property
    def now_s(self) -> int:
        return self.world.evm.now_s

    @rule(debtor=MEMBERS, creditor=MEMBERS, cap=CAPS)
    def open(self, debtor: int, creditor: int, cap: int) -> None:
        held = self.corridors.setdefault((debtor, creditor), Open())
        reason = ""
        if debtor == creditor:
            reason = "corridor: with oneself"
        elif self.now_s < held.closes_at:
            reason = "corridor: open"
        call = self.house.open_corridor(
            self.usd, self.member(creditor).address, window_s=WINDOW_S, cap=cap
        )
        if self.try_(reason, self.member(debtor), call):
            held.cap, held.closes_at = cap, MAX

    @precondition(lambda self: self.corridors)
    @rule(data=st.data())
    def close(self, data) -> None:
        debtor, creditor = data.draw(st.sampled_from(sorted(self.corridors)))
        held = self.corridors[debtor, creditor]
        reason = "" if held.closes_at == MAX else "corridor: not open"
        call = self.house.close_corridor(self.usd, self.member(creditor).address)
        if self.try_(reason, self.member(debtor), call):
            held.closes_at = self.now_s + NOTICE_S

    @precondition(lambda self: self.corridors)
    @rule(data=st.data(), amount=AMOUNTS, cycle=st.integers(0, 9))
    def post(self, data, amount: int, cycle: int) -> None:
        debtor, creditor = data.draw(st.sampled_from(sorted(self.corridors)))
        held = self.corridors[debtor, creditor]
        people = {"debtor": self.member(debtor).address, "creditor": self.member(creditor).address}
        cycle_id = keccak(b"claimed %d" % cycle)
        name = claim_id(self.usd, cycle_id, **people)
        reason = ""
        if self.now_s >= held.closes_at:
            reason = "corridor: not open"
        elif held.escrowed + amount > held.cap:
            reason = "claim: over cap"
        elif name in self.claims:
            reason = "claim: posted before"
        elif amount > self.balances[debtor]:
            reason = "balance: short"
        call = self.house.post_claim(
            self.usd,
            people["debtor"],
            cycle_id=cycle_id,
            records_root=bytes(32),
            amount=amount,
        )
        if self.try_(reason, self.member(creditor), call):
            self.balances[debtor] -= amount
            held.escrowed += amount
            self.claims[name] = Posted(debtor, creditor, amount, self.now_s + WINDOW_S)

    def _end(self, name: bytes, to_creditor: int, to_debtor: int) -> None:
        claim = self.claims[name]
        assert to_creditor + to_debtor == claim.amount + claim.bond
        self.balances[claim.creditor] += to_creditor
        self.balances[claim.debtor] += to_debtor
        self.corridors[claim.debtor, claim.creditor].escrowed -= claim.amount
        claim.state = ClaimState.ENDED

    def _claim(self, data) -> tuple[bytes, Posted]:
        name = data.draw(st.sampled_from(sorted(self.claims)))
        return name, self.claims[name]

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def accept(self, data) -> None:
        name, claim = self._claim(data)
        reason = "" if claim.state is ClaimState.OPEN else "claim: not open"
        if self.try_(reason, self.member(claim.debtor), self.house.accept_claim(name)):
            self._end(name, claim.amount, 0)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), percent=st.integers(0, 100))
    def dispute(self, data, percent: int) -> None:
        name, claim = self._claim(data)
        undisputed = claim.amount * percent // 100
        difference = claim.amount - undisputed
        bond = -(-difference * TERMS.bond_ppm // 1_000_000)
        reason = ""
        if claim.state is not ClaimState.OPEN:
            reason = "claim: not open"
        elif self.now_s >= claim.deadline:
            reason = "claim: window over"
        elif difference == 0:
            reason = "dispute: nothing disputed"
        elif self.balances[claim.debtor] < bond:
            reason = "balance: short"
        call = self.house.dispute_claim(name, undisputed)
        if self.try_(reason, self.member(claim.debtor), call):
            self.balances[claim.debtor] -= bond
            self.balances[claim.creditor] += undisputed
            self.corridors[claim.debtor, claim.creditor].escrowed -= undisputed
            claim.amount, claim.bond, claim.state = difference, bond, ClaimState.DISPUTED
            claim.deadline = self.now_s + TERMS.arbitration_s

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), percent=st.integers(0, 100))
    def decide(self, data, percent: int) -> None:
        name, claim = self._claim(data)
        to_creditor = claim.amount * percent // 100
        reason = ""
        if claim.state is not ClaimState.DISPUTED:
            reason = "claim: not disputed"
        elif self.now_s >= claim.deadline:
            reason = "claim: time over"
        if self.try_(reason, self.arbiter, self.house.decide_claim(name, to_creditor)):
            debtor_lost = 2 * to_creditor > claim.amount
            bond = claim.bond if debtor_lost else 0
            rest = claim.amount - to_creditor + claim.bond - bond
            self._end(name, to_creditor + bond, rest)
            penalty = 0 if debtor_lost else min(claim.bond, self.balances[claim.creditor])
            self.balances[claim.creditor] -= penalty
            self.balances[claim.debtor] += penalty

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), percent=st.sampled_from([0, 40, 100]), by_debtor=st.booleans())
    def agree(self, data, percent: int, by_debtor: bool) -> None:
        name, claim = self._claim(data)
        to_creditor = claim.amount * percent // 100
        sender, other = claim.debtor, claim.creditor
        if not by_debtor:
            sender, other = other, sender
        reason = "" if claim.state is ClaimState.DISPUTED else "claim: not disputed"
        call = self.house.agree_claim(name, to_creditor)
        if self.try_(reason, self.member(sender), call):
            if self.offers.get((name, other)) == to_creditor:
                self._end(name, to_creditor, claim.amount - to_creditor + claim.bond)
            else:
                self.offers[name, sender] = to_creditor

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def finish(self, data) -> None:
        self._finish(*self._claim(data))

    def _finish(self, name: bytes, claim: Posted) -> None:
        was, reason = claim.state, ""
        if was is ClaimState.ENDED:
            reason = "claim: not open"
        elif self.now_s < claim.deadline:
            reason = "claim: not due"
        if self.try_(reason, self.world.stranger, self.house.finish_claim(name)):
            is_silent = was is ClaimState.OPEN
            paid, back = (claim.amount, 0) if is_silent else (0, claim.amount + claim.bond)
            self._end(name, paid, back)

    @rule(amounts=st.lists(st.integers(-DEPOSIT, DEPOSIT), min_size=2, max_size=2))
    def settle(self, amounts) -> None:
        amounts = [*amounts, -sum(amounts)]
        short = any(b + a < 0 for b, a in zip(self.balances, amounts, strict=True))
        order = self.world.order(amounts, sequence=self.settled + 1)
        assert (self.house.short_of(self.usd, order.nets).ask(self.world.evm) != NOBODY) == short
        reason = "debit: short of collateral" if short else ""
        if self.try_(reason, self.world.settler, self.house.settle(self.usd, order)):
            self.settled += 1
            self.balances = [b + a for b, a in zip(self.balances, amounts, strict=True)]

    @rule(seconds=st.sampled_from([1, WINDOW_S, NOTICE_S, TERMS.arbitration_s]))
    def pass_time(self, seconds: int) -> None:
        self.world.evm.pass_time(seconds)

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "world"):
            return
        assert self.world.balances() == [*self.balances, DEPOSIT]
        held = sum(c.amount + c.bond for c in self.claims.values() if c.state != ClaimState.ENDED)
        assert sum(self.balances) + DEPOSIT + held == self.total
        assert self.house.total_of(self.usd).ask(self.world.evm) == self.total
        assert self.world.tokens(self.house.address) == self.total
        for name, claim in self.claims.items():
            told = self.house.claim_of(name).ask(self.world.evm)
            assert (told.state, told.amount, told.bond) == (claim.state, claim.amount, claim.bond)
        for (debtor, creditor), held in self.corridors.items():
            pair = (self.member(debtor).address, self.member(creditor).address)
            told = self.house.corridor_of(self.usd, *pair).ask(self.world.evm)
            assert told.escrowed == held.escrowed

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self._rebuild_from_events()
        self._time_ends_it_all()

    def _rebuild_from_events(self) -> None:
        held = {self.member(i).address: DEPOSIT for i in range(3)}
        for event in self.told:
            match event:
                case events.Settled():
                    for net in map(net_of_word, event.nets):
                        held[net.address] += net.amount_minor
                case events.ClaimPosted():
                    held[event.debtor] -= event.amount
                case events.ClaimDisputed():
                    held[event.debtor] -= event.bond
                    held[event.creditor] += event.undisputed
                case events.ClaimEnded():
                    held[event.debtor] += event.to_debtor + event.penalty
                    held[event.creditor] += event.to_creditor - event.penalty
        assert list(held.values()) == self.balances

    def _time_ends_it_all(self) -> None:
        """Nobody is asked: no arbiter, settler, owner; a stranger finishes and all withdraw."""
        for member in self.world.members:
            call = self.house.request_withdrawal(self.usd, MAX)
            self.world.send(member, call)
        self.world.evm.pass_time(max(WINDOW_S, NOTICE_S, TERMS.arbitration_s))
        for name, claim in self.claims.items():
            if claim.state is not ClaimState.ENDED:
                self._finish(name, claim)
        for member in self.world.members:
            self.world.send(member, self.house.withdraw(self.usd))
        assert self.world.tokens(self.house.address) == 0


NOBODY = "0x" + "00" * 20


def _case(*, max_examples: int, stateful_step_count: int):
    case = type("Case", (Corridors.TestCase,), {})
    case.settings = settings(
        max_examples=max_examples,
        stateful_step_count=stateful_step_count,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    return case


TestCorridors = _case(max_examples=6, stateful_step_count=30)
TestCorridorsDeep = pytest.mark.deep(
    pytest.mark.timeout(1200)(_case(max_examples=100, stateful_step_count=60))
)
