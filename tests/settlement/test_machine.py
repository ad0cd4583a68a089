"""Settlement as a state machine: one or two daemons, one chain, crashes and faults anywhere.

Whatever happens: every book sums to zero, what is posted is on the chain under the same id, a cycle
is settled once, and when the noise ends a daemon either agrees with the chain to the last unit or
has halted because a twin settled its cycle with other content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.clearing.facts import key, operator, rated

from opencarrier.chain import logs as chain_logs
from opencarrier.chain import transactions as chain_transactions
from opencarrier.settlement import service as settlement_service
from opencarrier.settlement.model import Alarm, AttemptState, CycleState
from opencarrier.spine.parties import PartyId

from .fake_chain import DEPTH, FakeChain, FakeSigner, change, deposit, withdraw
from .world import Installation, fund

PASSES_MAX = 200
SHORT = {Alarm.SETTLED_OTHERWISE, Alarm.ATTEMPTS_EXHAUSTED}


class CrashError(BaseException):
    """Stands for SIGKILL."""


class Crasher:
    """Counts the crash points that are passed and dies at the one that is due."""

    def __init__(self) -> None:
        self.left = -1
        self.passed: list[str] = []

    def __call__(self, name: str) -> None:
        self.passed.append(name)
        if self.left == 0:
            self.left = -1
            raise CrashError(name)
        self.left = max(self.left - 1, -1)


@contextmanager
def crashing(crasher: Crasher) -> Iterator[None]:
    modules: tuple[Any, ...] = (settlement_service, chain_transactions, chain_logs)
    before = [module.crashpoint for module in modules]
    for module in modules:
        module.crashpoint = crasher
    try:
        yield
    finally:
        for module, function in zip(modules, before, strict=True):
            module.crashpoint = function


class Settling(RuleBasedStateMachine):
    """`places` share the chain and the settler's key; each has its own database."""

    places: list[Installation]

    @initialize(twins=st.booleans())
    def begin(self, twins: bool) -> None:
        self.chain = FakeChain()
        self.places = [
            Installation(self.chain, FakeSigner(self.chain)) for _ in range(2 if twins else 1)
        ]
        fund(self.chain, self.places[0].people, amount=20_000)
        for place in self.places:
            place.follow()
        self.number = 0
        self.crasher = Crasher()

    def place(self, index: int) -> Installation:
        return self.places[index % len(self.places)]

    @rule(
        home=st.integers(0, 3),
        visited=st.integers(0, 3),
        amount=st.integers(1, 9_000),
        weak=st.booleans(),
    )
    def use(self, home: int, visited: int, amount: int, weak: bool) -> None:
        """Both installations meter the same use; when they cut it is theirs."""
        self.number += 1
        item = rated(self.number, home=home, visited=visited, amount=amount, weak=weak)
        for place in self.places:
            place.meter_usage([item])

    @rule(index=st.integers(0, 1), crash_at=st.integers(-1, 3))
    def close(self, index: int, crash_at: int) -> None:
        place = self.place(index)
        self.run(
            place, crash_at, lambda: place.service.close(place.engine.begin, at_us=place.tick())
        )

    @rule(index=st.integers(0, 1), crash_at=st.integers(-1, 8))
    def drive(self, index: int, crash_at: int) -> None:
        place = self.place(index)
        self.run(place, crash_at, place.drive)

    @rule(index=st.integers(0, 1), crash_at=st.integers(-1, 3))
    def follow(self, index: int, crash_at: int) -> None:
        place = self.place(index)
        self.run(place, crash_at, place.follow)

    def run(self, place: Installation, crash_at: int, action: Callable[[], object]) -> None:
        self.crasher.left = crash_at
        cuts, fresh = dict(place.meter.cuts), list(place.meter.fresh)
        try:
            with crashing(self.crasher):
                action()
        except CrashError as crash:
            if str(crash) == "settlement.close.before_commit":
                place.meter.cuts, place.meter.fresh = cuts, fresh
            place.restart()
        finally:
            self.crasher.left = -1

    @rule(blocks=st.integers(1, 4))
    def mine(self, blocks: int) -> None:
        self.chain.mine(blocks)

    @rule(depth=st.integers(1, DEPTH - 1), keep=st.booleans())
    def reorg(self, depth: int, keep: bool) -> None:
        if len(self.chain.blocks) > depth + 5:
            self.chain.reorg(depth, keep=keep)

    @rule(fault=st.sampled_from(["refused", "lost", "timeout_after_mining"]))
    def next_send_fails(self, fault: str) -> None:
        self.chain.fault = fault

    @rule(fails=st.booleans())
    def endpoint(self, fails: bool) -> None:
        self.chain.calls_fail = fails

    @rule(member=st.integers(0, 3), amount=st.integers(1, 30_000), takes=st.booleans())
    def member_moves(self, member: int, amount: int, takes: bool) -> None:
        address = key(operator(member)).address
        self.chain.do((withdraw if takes else deposit)(address, amount))

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.chain.do(change(is_paused=paused))

    @precondition(lambda self: hasattr(self, "places"))
    @invariant()
    def books_sum_to_zero_and_posted_is_settled(self) -> None:
        for place in self.places:
            place.check()
            with place.engine.begin() as unit:
                for cycle, attempt in place.service.cycles(unit):
                    if cycle.state is not CycleState.FINAL:
                        continue
                    assert attempt is not None
                    assert attempt.state is AttemptState.FINAL
                    order = attempt.order
                    assert self.chain.state.settled[cycle.cycle_id] == order.settlement_id
        assert self.chain.state.last_sequence == len(self.chain.state.settled)

    def teardown(self) -> None:
        if not hasattr(self, "places"):
            return
        self.chain.fault, self.chain.calls_fail = "", False
        self.chain.do(change(is_paused=False))
        self.chain.mine(DEPTH + 1)
        for place in self.places:
            self.quiet(place)
        for place in self.places:
            self.last_word(place)

    def quiet(self, place: Installation) -> None:
        for _ in range(PASSES_MAX):
            driven = place.drive()
            if driven.halt is not None or driven.is_settled:
                return
            self.chain.mine()
        raise AssertionError(f"never settled: {driven}")

    def last_word(self, place: Installation) -> None:
        driven = place.drive()
        place.check()
        if driven.halt is not None:
            assert driven.halt.alarm in SHORT
            alone = len(self.places) == 1
            assert not (alone and driven.halt.alarm is Alarm.SETTLED_OTHERWISE)
            assert all(place.held(f"collateral/{operator(n)}") == 0 for n in range(4))
            return
        if self.knows_all(place):
            assert place.follow() == ""
            place.assert_agrees()
        else:
            assert len(self.places) == 2, "what the chain settled is a twin's"

    def knows_all(self, place: Installation) -> bool:
        """Say whether every settlement of the chain is one of this installation's cycles."""
        with place.engine.begin() as unit:
            final = {c.cycle_id for c, _ in place.service.cycles(unit) if c.state.value == "final"}
        return set(self.chain.state.settled) <= final


Settling.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestSettling = Settling.TestCase


@pytest.mark.deep
@pytest.mark.timeout(3_600)
class TestSettlingDeep(Settling.TestCase):
    """The same, long."""

    settings = settings(
        max_examples=500,
        stateful_step_count=60,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def crash_points() -> list[str]:
    """Every point that one cycle passes on its way, in order."""
    chain = FakeChain()
    place = Installation(chain, FakeSigner(chain))
    crasher = Crasher()
    with crashing(crasher):
        story(chain, place)
    return crasher.passed


def story(chain: FakeChain, place: Installation) -> None:
    """Fund, use, close, settle: idempotent, so that it can be begun again after any crash."""
    if chain.state.members == set():
        fund(chain, place.people, amount=20_000)
    place.follow()
    if not place.rates.known:
        items = [rated(n, home=n % 3, visited=3, amount=1_000 + n) for n in range(6)]
        place.meter_usage(items)
    place.service.close(place.engine.begin, at_us=place.tick())
    for _ in range(20):
        if place.drive().is_settled:
            break
        chain.mine()
    place.follow()


def test_the_six_points_are_passed() -> None:
    assert set(crash_points()) >= {
        "settlement.close.before_commit",
        "settlement.close.after_commit",
        "settlement.drive.before_send",
        "settlement.drive.after_send",
        "settlement.drive.before_post",
        "settlement.drive.after_post",
    }


@pytest.mark.parametrize("at", range(len(crash_points())))
def test_a_crash_at_every_point_needs_no_hand(at: int) -> None:
    chain = FakeChain()
    place = Installation(chain, FakeSigner(chain))
    crasher = Crasher()
    crasher.left = at
    cuts: dict[Any, Any] = {}
    try:
        with crashing(crasher):
            story(chain, place)
    except CrashError as crash:
        if str(crash) == "settlement.close.before_commit":
            place.meter.fresh = [item.usage for item in place.rates.known.values()]
            place.meter.cuts = cuts
        place.restart()
    place.drive()
    story(chain, place)
    assert len(chain.state.settled) == 1
    with place.engine.begin() as unit:
        finals = [c for c, _ in place.service.cycles(unit) if c.state is CycleState.FINAL]
    assert len(finals) == 1
    assert place.balance(f"collateral/{PartyId('op_0')}") < 20_000
    place.assert_agrees()
