"""The fast path and the readable rules answer alike, whatever comes in whatever order.

After every step: each book sums to zero, limits hold, a hold resolves at most once, the journal
verifies and a replay agrees.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from opencarrier.kernel.money import INT64_MAX
from opencarrier.ledger import rules, service
from opencarrier.ledger.batch import AccountRow, Batch, HoldRow
from opencarrier.ledger.model import (
    AccountFlags,
    HoldState,
    Transfer,
    TransferFlags,
    account_id,
    expire_hold,
)

from .books import (
    EUR,
    OPENINGS,
    XOF,
    codes,
    engine,
    opened,
    opened_state,
    transfer,
    transfer_id,
)

SUB = "prepaid/sub_1"
NAMES = ["cash", "sales", SUB, "mirror"]
PAIRS = [(SUB, "sales"), (SUB, "cash"), ("cash", "mirror"), ("sales", "cash"), (SUB, "mirror")]
"""The accounts of hold 0, 1, ...: whoever resolves one mostly names them rightly."""

FUNDS = [transfer("top-up", "cash", SUB, 100), transfer("stock", "mirror", "cash", 100)]
TIMES = st.integers(1, 12)
AMOUNTS = st.integers(0, 60)
EXTREMES = st.sampled_from([-1, INT64_MAX - 40, INT64_MAX, INT64_MAX + 1])
ASSETS = st.sampled_from([EUR] * 9 + [XOF])
KINDS = ["move", "hold", "hold", "post", "post", "void", "expire", "wild"]


@st.composite
def transfers(draw: st.DrawFn) -> Transfer:
    """Mostly sensible transfers over few ids and accounts, so that they meet."""
    kind = draw(st.sampled_from(KINDS))
    linked = TransferFlags(draw(st.sampled_from([0, 0, 1])))
    number = draw(st.integers(0, len(PAIRS) - 1))
    asset = draw(ASSETS)
    if kind == "move":
        debit, credit = draw(st.permutations(NAMES))[:2]
        flags = linked | draw(st.sampled_from([0, 0, TransferFlags.BALANCING_DEBIT]))
        amount = draw(st.one_of(AMOUNTS, AMOUNTS, EXTREMES))
        return transfer(f"m{number}", debit, credit, amount, asset=asset, flags=flags)
    if kind == "hold":
        flags = draw(st.sampled_from([0, TransferFlags.BALANCING_DEBIT])) | TransferFlags.PENDING
        expires_us = draw(st.none() | TIMES)
        amount = draw(st.integers(0, 25))
        fields = {"asset": asset, "flags": flags | linked, "expires_us": expires_us}
        return transfer(f"h{number}", *PAIRS[number], amount, **fields)
    if kind != "wild":
        flags = TransferFlags[f"{kind.upper()}_PENDING"] | linked
        amount = draw(st.integers(0, 25)) if kind == "post" else 0
        label = f"r{draw(st.integers(0, 9))}"
        return transfer(label, *PAIRS[number], amount, asset=asset, flags=flags, hold=f"h{number}")
    fields = {
        "asset": asset,
        "flags": TransferFlags(draw(st.integers(0, 63))),
        "hold_id": draw(st.none() | st.just(transfer_id(f"h{number}"))),
        "expires_us": draw(st.none() | st.sampled_from([-1, 0, 5, INT64_MAX + 1])),
    }
    credit = draw(st.sampled_from([*NAMES, "nowhere"]))
    return transfer(f"r{number}", draw(st.sampled_from(NAMES)), credit, draw(AMOUNTS), **fields)


batches = st.lists(transfers(), min_size=1, max_size=6)


class InMemory:
    """The fast path alone, over rows that stay in memory."""

    def __init__(self) -> None:
        self.accounts = {
            key: AccountRow(key, int(opening.flags), 0, 0, 0, 0)
            for opening in OPENINGS
            for key in [account_id(opening.asset, opening.name)]
        }
        self.holds: dict[bytes, HoldRow] = {}
        self.known: dict[bytes, Transfer] = {}

    def apply(self, batch: list[Transfer], at_us: int) -> list[str | None]:
        before = {key: row.state for key, row in self.holds.items()}
        fast = Batch(at_us=at_us, accounts=self.accounts, holds=self.holds, known=self.known)
        outcomes = codes(fast.run(batch))
        assert {row.hold_id for row in fast.opened} == self.holds.keys() - before.keys()
        assert {row.hold_id for row in fast.resolved} == {
            key for key, state in before.items() if self.holds[key].state != state
        }
        return outcomes


def balances_of(state: rules.State) -> dict[bytes, tuple[int, ...]]:
    return {
        key: (b.debits_pending, b.debits_posted, b.credits_pending, b.credits_posted)
        for key, account in state.accounts.items()
        for b in [account.balance]
    }


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.lists(st.tuples(TIMES, batches), min_size=1, max_size=5))
def test_batch_and_rules_agree(steps: list[tuple[int, list[Transfer]]]) -> None:
    fast, state = InMemory(), opened_state()
    steps = [(1, FUNDS), *steps]
    for at_us, batch in steps:
        state, outcomes = rules.apply(state, batch, at_us)
        assert fast.apply(batch, at_us) == codes(outcomes)
        assert balances_of(state) == {
            key: (row.debits_pending, row.debits_posted, row.credits_pending, row.credits_posted)
            for key, row in fast.accounts.items()
        }
        assert {key: hold.state for key, hold in state.holds.items()} == {
            key: HoldState(row.state) for key, row in fast.holds.items()
        }
        assert {key: item for key, (item, _) in state.booked.items()} == fast.known


class LedgerMachine(RuleBasedStateMachine):
    """The whole service on SQLite against the rules."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = engine()
        self.connection = self.engine.connection
        opened(self.connection)
        self.state, _ = rules.apply(opened_state(), FUNDS, 1)
        assert service.apply(self.connection, FUNDS, 1) == [None] * len(FUNDS)
        self.head = service.head(self.connection)
        self.resolved: dict[bytes, HoldState] = {}

    @rule(at_us=TIMES, batch=batches)
    def apply(self, at_us: int, batch: list[Transfer]) -> None:
        self.state, expected = rules.apply(self.state, batch, at_us)
        assert codes(service.apply(self.connection, batch, at_us)) == codes(expected)

    @rule(at_us=TIMES, batch=batches)
    def apply_twice(self, at_us: int, batch: list[Transfer]) -> None:
        """Whatever was booked the first time is booked the second time, and moves nothing."""
        self.apply(at_us, batch)
        head = service.head(self.connection)
        booked = [
            item for item in batch if self.state.booked.get(item.transfer_id, (0,))[0] == item
        ]
        unlinked = [item for item in booked if not item.flags & TransferFlags.LINKED]
        assert service.apply(self.connection, unlinked, at_us) == [None] * len(unlinked)
        assert service.head(self.connection) == head

    @rule(at_us=TIMES, limit=st.integers(1, 3))
    def expire(self, at_us: int, limit: int) -> None:
        due = sorted(
            (hold.transfer.expires_us, key)
            for key, hold in self.state.holds.items()
            if hold.state is HoldState.PENDING
            and hold.transfer.expires_us is not None
            and hold.transfer.expires_us <= at_us
        )
        expected = [key for _, key in due[:limit]]
        assert service.expire(self.connection, at_us, limit=limit) == expected
        for key in expected:
            result = rules.apply_transfer(
                self.state, expire_hold(self.state.holds[key].transfer), at_us
            )
            assert isinstance(result, rules.State)
            self.state = result

    @invariant()
    def balances_agree(self) -> None:
        stored = [a for asset in (EUR, XOF) for a in service.accounts(self.connection, asset)]
        assert {account.account_id: account for account in stored} == self.state.accounts

    @invariant()
    def books_sum_to_zero_and_limits_hold(self) -> None:
        assert set(service.sum_minor(self.connection).values()) == {0}
        for account in self.state.accounts.values():
            balance = account.balance
            if AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS in account.flags:
                assert balance.free_minor >= 0
            if AccountFlags.CREDITS_MUST_NOT_EXCEED_DEBITS in account.flags:
                credits_minor = balance.credits_pending + balance.credits_posted
                assert credits_minor <= balance.debits_posted

    @invariant()
    def holds_resolve_at_most_once(self) -> None:
        for key in self.state.holds:
            hold = service.hold(self.connection, key)
            assert hold is not None
            assert hold.state is self.state.holds[key].state
            assert self.resolved.setdefault(key, hold.state) in (hold.state, HoldState.PENDING)
            self.resolved[key] = hold.state

    @invariant()
    def the_journal_only_grows(self) -> None:
        audit = service.check(self.connection, known=self.head)
        assert audit.findings == ()
        self.head = service.head(self.connection)
        assert audit.transfers == len(self.state.booked) == self.head.sequence

    def teardown(self) -> None:
        self.engine.dispose()


LedgerMachine.TestCase.settings = settings(
    max_examples=50, stateful_step_count=8, deadline=None, derandomize=True
)
TestLedgerMachine = LedgerMachine.TestCase
