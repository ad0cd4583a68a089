"""The transaction manager against a chain that drops, delays, reorganises and is shared."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from tests.chain.fake_network import (
    DEPTH,
    POLICY,
    SECOND_US,
    SENDER,
    TARGET,
    Daemon,
    FakeChain,
    crashing,
    intent,
    mine,
)

from opencarrier.chain.errors import ChainMismatchError, RevertedError
from opencarrier.chain.model import Call
from opencarrier.chain.rules import (
    Policy,
    SendOutcome,
    Transaction,
    TransactionRefusal,
    TransactionState,
    outcome_of,
)
from opencarrier.kernel.refusals import Refusal


@pytest.fixture
def chain() -> FakeChain:
    return FakeChain()


@pytest.fixture
def daemon(chain: FakeChain) -> Daemon:
    return Daemon(chain)


def test_it_goes_from_prepared_to_final(chain: FakeChain, daemon: Daemon) -> None:
    record = daemon.prepare(intent(1))
    assert isinstance(record, Transaction)
    assert (record.state, record.nonce) == (TransactionState.PREPARED, 0)
    assert record.gas_limit == 50_000
    assert daemon.drive().sent == 1
    assert daemon.find(intent(1)).state is TransactionState.SENT
    for number in range(1, DEPTH + 1):
        chain.mine()
        daemon.drive()
        expected = TransactionState.FINAL if number == DEPTH else TransactionState.MINED
        assert daemon.find(intent(1)).state is expected
    assert daemon.drive().transactions == ()


def test_a_reverted_transaction_is_reverted_only_when_final(
    chain: FakeChain, daemon: Daemon
) -> None:
    record = daemon.prepare(intent(1))
    assert isinstance(record, Transaction)
    chain.failing.add(record.tx_hash)
    daemon.drive()
    chain.mine()
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.MINED
    mine(chain, DEPTH)
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.REVERTED


def test_what_would_revert_is_never_prepared(daemon: Daemon) -> None:
    with pytest.raises(RevertedError):
        daemon.prepare(intent(1), Call(to=TARGET, data=b"revert"))


def test_the_same_intent_is_the_same_transaction(daemon: Daemon) -> None:
    first = daemon.prepare(intent(1))
    assert daemon.prepare(intent(1)) == first
    other = daemon.prepare(intent(1), Call(to=TARGET, data=b"else"))
    assert isinstance(other, Refusal)
    assert other.reason is TransactionRefusal.EXISTS_WITH_DIFFERENT_CALL


def test_the_same_wish_is_the_same_transaction_whatever_its_call(daemon: Daemon) -> None:
    wish, later = intent(8), Call(to=TARGET, data=b"signed later")
    first = daemon.prepare(intent(1), asked=wish)
    assert daemon.prepare(intent(1), later, asked=wish) == first
    assert daemon.find(intent(1)).asked == wish
    for other in (intent(9), b""):
        refusal = daemon.prepare(intent(1), asked=other)
        assert isinstance(refusal, Refusal)
        assert refusal.reason is TransactionRefusal.EXISTS_WITH_DIFFERENT_WISH
    with daemon.engine.begin() as unit:
        assert not list(daemon.manager.named_alone(unit, TARGET, intent(1)[:4], [""]))
    daemon.prepare(intent(2))
    with daemon.engine.begin() as unit:
        found = list(daemon.manager.named_alone(unit, TARGET, intent(2)[:4], [""]))
        assert found == [(intent(2), intent(2)[:4])]
        assert not list(daemon.manager.named_alone(unit, TARGET, intent(2)[:4], ["errand"]))


def test_an_abandoned_unit_of_work_takes_its_nonce_back(daemon: Daemon) -> None:
    quote = daemon.manager.quote(Call(to=TARGET, data=b"x"))
    with daemon.engine.connect() as connection:
        daemon.manager.prepare(connection, intent(1), quote, now_us=0)
        connection.rollback()
    record = daemon.prepare(intent(2))
    assert isinstance(record, Transaction)
    assert record.nonce == 0


def test_nonces_are_taken_in_order_and_the_queue_is_bounded(daemon: Daemon) -> None:
    records = [daemon.prepare(intent(n)) for n in range(POLICY.open_max)]
    assert [r.nonce for r in records if isinstance(r, Transaction)] == list(range(8))
    refused = daemon.prepare(intent(99))
    assert isinstance(refused, Refusal)
    assert refused.reason is TransactionRefusal.TOO_MANY_OPEN


def test_a_network_above_the_fee_cap_is_refused(chain: FakeChain, daemon: Daemon) -> None:
    chain.base_fee_wei = POLICY.fee_cap_per_gas_wei
    refused = daemon.prepare(intent(1))
    assert isinstance(refused, Refusal)
    assert refused.reason is TransactionRefusal.FEE_ABOVE_CAP


def test_a_time_out_after_mining_is_no_second_transaction(chain: FakeChain, daemon: Daemon) -> None:
    daemon.prepare(intent(1))
    chain.fault = "timeout_after_mined"
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.SENT
    daemon.drive(now_us=100 * SECOND_US)
    assert daemon.find(intent(1)).state is TransactionState.MINED
    assert len(chain.handed_over) == 1


def test_a_retry_sends_the_same_octets(chain: FakeChain, daemon: Daemon) -> None:
    daemon.prepare(intent(1))
    chain.fault = "dropped"
    daemon.drive()
    daemon.drive(now_us=9 * SECOND_US)
    assert len(chain.handed_over) == 1
    daemon.drive(now_us=10 * SECOND_US)
    assert len(chain.handed_over) == 2
    assert len(set(chain.handed_over)) == 1


def test_a_bump_keeps_the_nonce_and_any_variant_may_win(chain: FakeChain, daemon: Daemon) -> None:
    first = daemon.prepare(intent(1))
    assert isinstance(first, Transaction)
    daemon.drive()
    daemon.drive(now_us=30 * SECOND_US)
    bumped = daemon.find(intent(1))
    assert len(bumped.variants) == 2
    assert chain.mempool == {bumped.newest.tx_hash}
    assert bumped.newest.max_fee_per_gas_wei * 8 >= first.newest.max_fee_per_gas_wei * 9
    chain.mempool = {first.tx_hash}
    mine(chain, DEPTH)
    daemon.drive(now_us=31 * SECOND_US)
    final = daemon.find(intent(1))
    assert final.state is TransactionState.FINAL
    assert final.tx_hash == first.tx_hash


def test_bumps_end_at_their_bound_and_at_the_cap(chain: FakeChain, daemon: Daemon) -> None:
    daemon.prepare(intent(1))
    for minute in range(20):
        daemon.drive(now_us=minute * 60 * SECOND_US)
    assert len(daemon.find(intent(1)).variants) == 1 + POLICY.bumps_max
    capped = Daemon(chain, Policy(resend_after_s=10, bump_after_s=30, fee_cap_per_gas_wei=220))
    capped.prepare(intent(2))
    for minute in range(3):
        capped.drive(now_us=minute * 60 * SECOND_US)
    assert len(capped.find(intent(2)).variants) == 1
    assert capped.find(intent(2)).newest.sent_count == 3


@pytest.mark.parametrize("depth", range(1, 9))
@pytest.mark.parametrize("keep", [True, False])
def test_a_reorg_above_finality_is_survived(
    chain: FakeChain, daemon: Daemon, depth: int, keep: bool
) -> None:
    """The newest `depth` blocks go, ours the oldest of them; the same octets come back."""
    chain.depth = depth + 1
    mine(chain, 2)
    record = daemon.prepare(intent(1))
    assert isinstance(record, Transaction)
    daemon.drive()
    mine(chain, depth)
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.MINED
    chain.reorg(depth, keep=keep)
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.SENT
    mine(chain, chain.depth)
    daemon.drive()
    final = daemon.find(intent(1))
    assert final.state is TransactionState.FINAL
    assert final.nonce == record.nonce
    assert set(chain.handed_over) == {record.newest.raw}


def test_a_foreign_transaction_replaces_only_when_final(chain: FakeChain, daemon: Daemon) -> None:
    daemon.prepare(intent(1))
    chain.mine_foreign()
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.PREPARED
    mine(chain, DEPTH - 2)
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.PREPARED
    mine(chain, 1)
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.REPLACED
    again = daemon.prepare(intent(2))
    assert isinstance(again, Transaction)
    assert again.nonce == 1


def test_a_foreign_transaction_that_a_reorg_removes_gives_the_nonce_back(
    chain: FakeChain, daemon: Daemon
) -> None:
    daemon.prepare(intent(1))
    chain.mine_foreign()
    daemon.drive()
    chain.reorg(1, keep=False)
    daemon.drive()
    mine(chain, DEPTH)
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.FINAL


def test_a_foreign_transaction_mined_again_elsewhere_starts_anew(
    chain: FakeChain, daemon: Daemon
) -> None:
    daemon.prepare(intent(1))
    chain.mine_foreign()
    daemon.drive()
    chain.reorg(1, keep=False)
    mine(chain, DEPTH)
    chain.mine_foreign()
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.PREPARED
    chain.reorg(1, keep=False)
    daemon.drive()
    mine(chain, DEPTH)
    daemon.drive()
    assert daemon.find(intent(1)).state is TransactionState.FINAL


def test_nonces_used_elsewhere_are_passed_over(chain: FakeChain, daemon: Daemon) -> None:
    daemon.prepare(intent(1))
    daemon.drive()
    mine(chain, 1)
    chain.mine_foreign()
    record = daemon.prepare(intent(2))
    assert isinstance(record, Transaction)
    assert record.nonce == 2


def test_a_gap_that_a_foreign_transaction_left_is_filled(chain: FakeChain, daemon: Daemon) -> None:
    chain.mine_foreign()
    daemon.prepare(intent(1))
    chain.reorg(1, keep=False)
    daemon.drive()
    mine(chain, 1)
    assert chain.nonce(SENDER) == 0
    assert daemon.drive(now_us=29 * SECOND_US).alarms == ()
    assert len(daemon.drive(now_us=30 * SECOND_US).transactions) == 2
    mine(chain, DEPTH)
    daemon.drive(now_us=31 * SECOND_US)
    assert daemon.find(intent(1)).state is TransactionState.FINAL
    assert daemon.find(intent(1)).nonce == 1


def test_a_chain_that_lost_what_was_final_stops_sending(chain: FakeChain, daemon: Daemon) -> None:
    daemon.prepare(intent(1))
    daemon.drive()
    mine(chain, DEPTH)
    daemon.drive()
    daemon.prepare(intent(2))
    chain.reorg(DEPTH, keep=False)
    report = daemon.drive()
    assert report.sent == 0
    assert report.alarms[0].startswith("chain_behind")


def test_another_genesis_is_another_chain(chain: FakeChain, daemon: Daemon) -> None:
    daemon.prepare(intent(1))
    chain.hashes[0] = b"\1" * 32
    with pytest.raises(ChainMismatchError):
        daemon.prepare(intent(2))


def test_a_refused_connection_leaves_it_prepared(chain: FakeChain, daemon: Daemon) -> None:
    daemon.prepare(intent(1))
    daemon.prepare(intent(2))
    chain.fault = "refused_connection"
    report = daemon.drive()
    assert report.sent == 1
    assert chain.handed_over == []
    assert daemon.find(intent(1)).state is TransactionState.PREPARED
    assert daemon.find(intent(2)).newest.sent_count == 0


def test_drive_until_terminal_stops_at_its_bound(chain: FakeChain, daemon: Daemon) -> None:
    daemon.prepare(intent(1))

    def run(passes_max: int) -> TransactionState:
        return daemon.manager.drive_until_terminal(
            daemon.engine.begin,
            intent(1),
            now_us=lambda: 0,
            pause=chain.mine,
            passes_max=passes_max,
        ).state

    assert run(2) is TransactionState.MINED
    assert run(10) is TransactionState.FINAL


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("already known", SendOutcome.KNOWN),
        ("transaction already imported", SendOutcome.KNOWN),
        ("nonce too low: next nonce 4", SendOutcome.NONCE_USED),
        ("replacement transaction underpriced", SendOutcome.UNDERPRICED),
        ("insufficient funds for gas * price + value", SendOutcome.REJECTED),
        ("", SendOutcome.REJECTED),
    ],
)
def test_refusals_are_read_by_their_words(words: str, outcome: SendOutcome) -> None:
    assert outcome_of(words) is outcome


FAULTS = ["", "dropped", "timeout_before", "timeout_after", "timeout_after_mined"]


class TwoDaemons(RuleBasedStateMachine):
    """Two daemons share a key and a faulty chain; faults end, and everything comes to rest."""

    intents = Bundle("intents")

    @initialize()
    def begin(self) -> None:
        self.chain = FakeChain()
        self.daemons = [Daemon(self.chain), Daemon(self.chain)]
        self.now_us = 0
        self.prepared: dict[tuple[int, bytes], int] = {}
        self.terminal: dict[tuple[int, bytes], Transaction] = {}
        self.chain.mine()

    @rule(which=st.integers(0, 1), number=st.integers(0, 20))
    def prepare(self, which: int, number: int) -> None:
        record = self.daemons[which].prepare(intent(number), now_us=self.now_us)
        if isinstance(record, Refusal):
            assert record.reason is TransactionRefusal.TOO_MANY_OPEN
            return
        known = self.prepared.setdefault((which, intent(number)), record.nonce)
        assert known == record.nonce

    @rule(which=st.integers(0, 1), fault=st.sampled_from([*FAULTS, "refused_connection"]))
    def drive(self, which: int, fault: str) -> None:
        self.chain.fault = fault
        self.daemons[which].drive(now_us=self.now_us)
        self.chain.fault = ""

    @rule(which=st.integers(0, 1), fault=st.sampled_from(FAULTS), at_call=st.integers(1, 6))
    def die(self, which: int, fault: str, at_call: int) -> None:
        self.chain.fault = fault
        with crashing(at_call):
            self.daemons[which].drive(now_us=self.now_us)
        self.chain.fault = ""
        self.daemons[which].restart()

    @rule(blocks=st.integers(1, 3))
    def mine(self, blocks: int) -> None:
        mine(self.chain, blocks)

    @rule(depth=st.integers(1, DEPTH - 1), keep=st.booleans())
    def reorg(self, depth: int, keep: bool) -> None:
        self.chain.reorg(depth, keep=keep)

    @rule()
    def foreign(self) -> None:
        self.chain.mine_foreign()

    @rule(seed=st.integers(0, 9))
    def forget(self, seed: int) -> None:
        dropped = random.Random(seed).choices([True, False], k=len(self.chain.mempool))
        ordered = sorted(self.chain.mempool)
        self.chain.mempool = {t for t, drop in zip(ordered, dropped, strict=True) if not drop}

    @rule(seconds=st.integers(1, 100))
    def wait(self, seconds: int) -> None:
        self.now_us += seconds * SECOND_US

    @rule(base_fee_wei=st.integers(50, 400))
    def price(self, base_fee_wei: int) -> None:
        self.chain.base_fee_wei = base_fee_wei

    @invariant()
    def an_intent_has_one_nonce_and_a_nonce_one_intent(self) -> None:
        for which, daemon in enumerate(self.daemons):
            nonces = [n for (w, _), n in self.prepared.items() if w == which]
            assert len(nonces) == len(set(nonces))
            for (owner, wish), nonce in self.prepared.items():
                if owner == which:
                    record = daemon.find(wish)
                    offered = {self.chain.decoded[v.tx_hash].nonce for v in record.variants}
                    assert offered == {record.nonce} == {nonce}

    @invariant()
    def terminal_is_true_and_stays(self) -> None:
        for which, wish in self.prepared:
            record = self.daemons[which].find(wish)
            if not record.is_terminal:
                assert (which, wish) not in self.terminal
                continue
            assert self.terminal.setdefault((which, wish), record) == record
            winner = self.chain.canonical(record.nonce)
            ours = {v.tx_hash for v in record.variants}
            if record.state is TransactionState.REPLACED:
                assert winner is not None
                assert winner not in ours
            else:
                assert winner == record.tx_hash

    def teardown(self) -> None:
        if not hasattr(self, "chain"):
            return
        self.chain.base_fee_wei = 1
        for _ in range(80):
            rested = self.rests()
            self.now_us += POLICY.resend_after_s * SECOND_US
            for daemon in self.daemons:
                assert daemon.drive(now_us=self.now_us).alarms == ()
            self.chain.mine()
            if rested:  # and one pass more has no alarm either
                break
        for which, wish in self.prepared:
            assert self.daemons[which].find(wish).is_terminal
        self.terminal_is_true_and_stays()

    def rests(self) -> bool:
        """Say whether nothing is open any more."""
        for daemon in self.daemons:
            with daemon.engine.begin() as unit:
                if daemon.manager.pending(unit):
                    return False
        return True


TwoDaemons.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestTwoDaemons = TwoDaemons.TestCase
