"""What other rooms rely on: retries, chains, holds, limits, statements."""

import pytest
from sqlalchemy import Connection

from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.signatures import Address
from opencarrier.ledger import chart, service
from opencarrier.ledger.model import (
    AT_US_MAX,
    BATCH_MAX,
    CODE_MAX,
    NAME_MAX,
    AccountFlags,
    Balance,
    HoldState,
    Opening,
    account_id,
    expire_hold,
    post_hold,
    void_hold,
)
from opencarrier.spine.parties import PartyId

from .books import (
    BALANCING,
    EUR,
    LINKED,
    NONE,
    OPENINGS,
    PENDING,
    XOF,
    codes,
    engine,
    transfer,
    transfer_id,
)

SUB = "prepaid/sub_1"
FREE = AccountFlags.NONE


def held(label: str, amount: int, **fields: object) -> object:
    return transfer(label, SUB, "sales", amount, flags=PENDING, **fields)


def topped_up(unit: Connection, amount: int = 100) -> None:
    assert service.apply(unit, [transfer("top-up", "cash", SUB, amount)], 1) == [None]


def test_opening_again_changes_nothing(unit: Connection) -> None:
    head = service.head(unit)
    assert service.open_accounts(unit, OPENINGS) == [None] * len(OPENINGS)
    assert service.open_account(unit, EUR, "cash", FREE) is None
    assert service.head(unit) == head
    refusal = service.open_account(unit, EUR, SUB, FREE)
    assert refusal is not None
    assert refusal.code == "exists_with_different_flags"


def test_one_opening_may_name_an_account_twice(unit: Connection) -> None:
    limited = AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS
    openings = [
        Opening(asset=EUR, name="new"),
        Opening(asset=EUR, name="new"),
        Opening(asset=EUR, name="new", flags=limited),
    ]
    assert codes(service.open_accounts(unit, openings)) == [
        None,
        None,
        "exists_with_different_flags",
    ]


def test_an_account_id_follows_from_asset_and_name(unit: Connection) -> None:
    account = service.account(unit, EUR, "cash")
    assert account is not None
    assert account.account_id == derive("account", EUR, "cash") == account_id(EUR, "cash")
    assert service.account(unit, EUR, "nobody") is None


@pytest.mark.parametrize(
    "name", ["", "A", "a/", "/a", "a//b", "a__b", "a b", "a-", "_a", "a\n", "é", "x" * 129]
)
def test_account_names_have_one_spelling(name: str) -> None:
    with pytest.raises(AssertionError):
        Opening(asset=EUR, name=name)
    assert Opening(asset=EUR, name="x" * NAME_MAX)


@pytest.mark.parametrize("code", ["", "x" * (CODE_MAX + 1), "a\nb", "\x00"])
def test_a_code_is_printable_and_short(code: str) -> None:
    with pytest.raises(AssertionError):
        transfer(1, "cash", "sales", 1, code=code)


def test_ids_have_32_octets() -> None:
    for field in ("hold_id", "reference"):
        with pytest.raises(AssertionError):
            transfer(1, "cash", "sales", 1, **{field: Id(bytes(31))})


def test_the_chart_opens_accounts_with_their_limits(unit: Connection) -> None:
    party = PartyId("op_" + "0" * 32)
    names = [
        *(chart.collateral(party), chart.clearing(party), chart.accrued(party), chart.CUSTODY),
        *(chart.prepaid(party), chart.revenue(party), chart.funding(party)),
        chart.entitled(Address("0x" + "ab" * 20), party),
        *(chart.retail_tax(party), chart.overrun(party), chart.discounts(party)),
    ]
    service.ensure(unit, EUR, names)
    service.ensure(unit, EUR, names)
    limited = {
        account.name.partition("/")[0]
        for account in service.accounts(unit, EUR)
        if account.flags and account.name in names
    }
    assert limited == {"collateral", "accrued", "entitled", "prepaid", "discounts"}
    with pytest.raises(AssertionError):
        service.ensure(unit, EUR, ["pocket/x"])


def test_a_retry_is_booked_and_changes_nothing(unit: Connection) -> None:
    batch = [
        transfer(1, "cash", "sales", 5, flags=LINKED),
        transfer(2, "sales", "cash", 2),
        transfer(3, "cash", "sales", 1),
    ]
    assert service.apply(unit, batch, 7) == [None] * 3
    head, balance = service.head(unit), service.balance(unit, EUR, "cash")
    assert service.apply(unit, batch, 9) == [None] * 3
    assert service.apply(unit, batch[1:] + batch[:1] + batch[1:2], 9) == [None] * 4
    assert (service.head(unit), service.balance(unit, EUR, "cash")) == (head, balance)


def test_a_duplicate_inside_a_batch_is_one_transfer(unit: Connection) -> None:
    one = transfer(1, "cash", "sales", 5)
    other = transfer(1, "cash", "sales", 6)
    outcomes = service.apply(unit, [one, one, other], 7)
    assert codes(outcomes) == [None, None, "exists_with_different_amount_minor"]
    assert service.balance(unit, EUR, "cash").debits_posted == 5


def test_a_duplicate_of_a_broken_chains_member_is_new(unit: Connection) -> None:
    member = transfer(1, "cash", "sales", 5, flags=LINKED)
    batch = [member, transfer(2, SUB, "sales", 1), member, transfer(3, "cash", "sales", 1)]
    failed = "linked_event_failed"
    assert codes(service.apply(unit, batch, 7)) == [failed, "exceeds_credits", None, None]
    assert service.balance(unit, EUR, "cash").debits_posted == 6


def test_a_chain_may_build_on_one_that_is_booked(unit: Connection) -> None:
    first = transfer(1, "cash", "sales", 5, flags=LINKED)
    assert service.apply(unit, [first, transfer(2, "cash", "sales", 1)], 7) == [None, None]
    assert service.apply(unit, [first, transfer(3, "cash", "sales", 1)], 8) == [None, None]
    assert service.balance(unit, EUR, "cash").debits_posted == 7


def test_a_refused_transfer_leaves_no_trace_and_may_come_again(unit: Connection) -> None:
    order, head = transfer(1, SUB, "sales", 5), service.head(unit)
    assert codes(service.apply(unit, [order], 1)) == ["exceeds_credits"]
    assert service.head(unit) == head
    assert service.booked(unit, [order.transfer_id]) == {}
    topped_up(unit)
    assert service.apply(unit, [order], 2) == [None]


def test_a_refusal_says_what_is_free(unit: Connection) -> None:
    topped_up(unit)
    (refusal,) = service.apply(unit, [transfer(1, SUB, "sales", 101)], 2)
    assert str(refusal) == "exceeds_credits: prepaid/sub_1 has 100 free, not 101"


def test_a_hold_reserves_and_a_post_releases_the_rest(unit: Connection) -> None:
    topped_up(unit)
    hold = held("h", 60, expires_us=50)
    assert service.apply(unit, [hold], 2) == [None]
    assert service.balance(unit, EUR, SUB).free_minor == 40
    assert service.balance(unit, EUR, "sales").credits_pending == 60
    post = post_hold(hold, transfer_id=transfer_id("p"), amount_minor=25, code="use")
    assert service.apply(unit, [post], 49) == [None]
    assert service.balance(unit, EUR, SUB) == Balance(debits_posted=25, credits_posted=100)
    assert service.balance(unit, EUR, "sales") == Balance(credits_posted=25)
    found = service.hold(unit, hold.transfer_id)
    assert found is not None
    assert (found.state, found.posted_minor) == (HoldState.POSTED, 25)
    assert found.booked.transfer == hold


def test_a_void_releases_everything(unit: Connection) -> None:
    topped_up(unit)
    hold = held("h", 60)
    void = void_hold(hold, transfer_id=transfer_id("v"), code="abort")
    assert service.apply(unit, [hold, void], 2) == [None, None]
    assert service.balance(unit, EUR, SUB) == Balance(credits_posted=100)
    found = service.hold(unit, hold.transfer_id)
    assert found is not None
    assert (found.state, found.posted_minor) == (HoldState.VOIDED, 0)
    assert service.hold(unit, transfer_id("none")) is None


def test_one_chain_posts_a_hold_and_opens_the_next(unit: Connection) -> None:
    topped_up(unit)
    first, second = held("h1", 80), held("h2", 90)
    assert service.apply(unit, [first], 2) == [None]
    post = post_hold(first, transfer_id=transfer_id("p"), amount_minor=10, code="use", flags=LINKED)
    assert service.apply(unit, [post, second], 3) == [None, None]
    assert service.balance(unit, EUR, SUB) == Balance(
        debits_pending=90, debits_posted=10, credits_posted=100
    )


def test_a_renewal_that_cannot_be_borne_leaves_the_first_hold(unit: Connection) -> None:
    topped_up(unit)
    first, second = held("h1", 80), held("h2", 91)
    service.apply(unit, [first], 2)
    post = post_hold(first, transfer_id=transfer_id("p"), amount_minor=10, code="use", flags=LINKED)
    assert codes(service.apply(unit, [post, second], 3)) == [
        "linked_event_failed",
        "exceeds_credits",
    ]
    found = service.hold(unit, first.transfer_id)
    assert found is not None
    assert found.state is HoldState.PENDING
    assert service.balance(unit, EUR, SUB).debits_pending == 80


def test_holds_expire_once_in_bounded_batches_oldest_first(unit: Connection) -> None:
    topped_up(unit)
    holds = [held(n, 1, expires_us=100 - n) for n in range(5)]
    assert service.apply(unit, [*holds, held("never", 1)], 2) == [None] * 6
    assert service.expire(unit, 95) == []
    assert service.expire(unit, 99, limit=3) == [transfer_id(n) for n in (4, 3, 2)]
    assert service.expire(unit, 99, limit=3) == [transfer_id(1)]
    assert service.expire(unit, 99, limit=3) == []
    assert service.expire(unit, AT_US_MAX) == [transfer_id(0)]
    assert service.balance(unit, EUR, SUB) == Balance(credits_posted=100, debits_pending=1)
    late = post_hold(holds[0], transfer_id=transfer_id("p"), amount_minor=1, code="late")
    assert codes(service.apply(unit, [late], 99)) == ["hold_expired"]
    again = expire_hold(holds[0])
    assert service.apply(unit, [again], 101) == [None]
    with pytest.raises(AssertionError):
        service.expire(unit, 100, limit=BATCH_MAX + 1)


def test_a_hold_is_over_at_its_time_whether_or_not_it_was_swept(unit: Connection) -> None:
    topped_up(unit)
    hold = held("h", 10, expires_us=50)
    service.apply(unit, [hold], 2)
    post = post_hold(hold, transfer_id=transfer_id("p"), amount_minor=1, code="late")
    assert codes(service.apply(unit, [post], 50)) == ["hold_expired"]
    assert service.balance(unit, EUR, SUB).debits_pending == 10
    assert service.apply(unit, [post], 49) == [None]
    assert service.expire(unit, 50) == []


def test_a_retry_of_a_hold_is_booked_even_when_its_time_is_over(unit: Connection) -> None:
    topped_up(unit)
    hold = held("h", 10, expires_us=50)
    assert service.apply(unit, [hold], 2) == [None]
    assert service.apply(unit, [hold], 70) == [None]


def test_a_balancing_debit_moves_what_is_free(unit: Connection) -> None:
    topped_up(unit, 30)
    orders = [transfer(n, SUB, "sales", 20, flags=BALANCING) for n in range(3)]
    assert service.apply(unit, orders, 2) == [None] * 3
    moved = [service.booked(unit, [order.transfer_id])[order.transfer_id] for order in orders]
    assert [item.moved_minor for item in moved] == [20, 10, 0]
    assert [item.transfer for item in moved] == orders
    assert [item.sequence for item in moved] == [2, 3, 4]
    assert service.apply(unit, orders, 3) == [None] * 3
    assert service.balance(unit, EUR, SUB).free_minor == 0


def test_balances_stop_at_64_bits(unit: Connection) -> None:
    full = transfer(1, "cash", "sales", INT64_MAX)
    hold = transfer(2, "sales", "cash", INT64_MAX, flags=PENDING)
    more = [
        transfer(3, "cash", "sales", 1),
        transfer(4, "sales", "cash", 1),
        transfer(5, "sales", "cash", 1, flags=PENDING),
    ]
    assert codes(service.apply(unit, [full, hold, *more], 1)) == [
        None,
        None,
        *["overflows_debits"] * 3,
    ]
    post = post_hold(hold, transfer_id=transfer_id(6), amount_minor=INT64_MAX, code="all")
    assert service.apply(unit, [post], 2) == [None]
    assert service.sum_minor(unit) == {EUR: 0, XOF: 0}
    assert service.check(unit).findings == ()


def test_sums_are_exact_beyond_64_bits(unit: Connection) -> None:
    names = [f"n{number}" for number in range(6)]
    service.open_accounts(unit, [Opening(asset=EUR, name=name) for name in names])
    orders = [transfer(name, name, "cash", 0) for name in names]
    assert service.apply(unit, orders, 1) == [None] * 6
    unit.exec_driver_sql(
        f"UPDATE ledger_accounts SET debits_posted = {INT64_MAX} WHERE name LIKE 'n_'"
    )
    assert service.sum_minor(unit)[EUR] == 6 * INT64_MAX
    unit.exec_driver_sql("UPDATE ledger_accounts SET debits_posted = 0, credits_posted = 3")
    assert service.sum_minor(unit)[EUR] == -3 * 10


def test_what_accounts_of_a_prefix_hold_is_exact_beyond_64_bits(unit: Connection) -> None:
    names = [f"refunds/{number}" for number in range(4)]
    service.open_accounts(unit, [Opening(asset=EUR, name=name) for name in (*names, "refund")])
    service.open_accounts(unit, [Opening(asset=XOF, name=names[0])])
    assert service.held_by(unit, EUR, prefix="refunds/") == (0, 0)
    full = f"UPDATE ledger_accounts SET credits_posted = {INT64_MAX}"
    unit.exec_driver_sql(f"{full} WHERE name >= 'refund' AND name < 'refv'")
    assert service.held_by(unit, EUR, prefix="refunds/") == (4, 4 * INT64_MAX)
    empty = f"UPDATE ledger_accounts SET debits_posted = {INT64_MAX - 1} WHERE name = '{names[1]}'"
    unit.exec_driver_sql(empty)
    assert service.held_by(unit, EUR, prefix="refunds/") == (4, 3 * INT64_MAX + 1)
    owed = f"UPDATE ledger_accounts SET debits_posted = {INT64_MAX}, credits_posted = 5"
    unit.exec_driver_sql(f"{owed} WHERE name = '{names[1]}'")
    assert service.held_by(unit, EUR, prefix="refunds/") == (3, 3 * INT64_MAX)


def test_books_do_not_mix(unit: Connection) -> None:
    assert service.apply(unit, [transfer(1, "cash", "sales", 5, asset=XOF)], 1) == [None]
    assert service.balance(unit, EUR, "sales") == Balance()
    assert service.balance(unit, XOF, "sales").posted_minor == 5


def test_accounts_are_listed_by_prefix(unit: Connection) -> None:
    service.ensure(unit, EUR, ["prepaid/sub_2", "prepaid/sub_10", "revenue/op_1"])
    names = [account.name for account in service.accounts(unit, EUR, prefix="prepaid/")]
    assert names == ["prepaid/sub_1", "prepaid/sub_10", "prepaid/sub_2"]
    assert len(service.accounts(unit, XOF)) == 4


def test_a_batch_and_an_opening_have_limits(unit: Connection) -> None:
    one = transfer(1, "cash", "sales", 0)
    assert service.apply(unit, [one] * BATCH_MAX, 1) == [None] * BATCH_MAX
    with pytest.raises(AssertionError):
        service.apply(unit, [one] * (BATCH_MAX + 1), 1)
    openings = [Opening(asset=EUR, name="cash")] * BATCH_MAX
    assert len(service.open_accounts(unit, openings)) == BATCH_MAX
    with pytest.raises(AssertionError):
        service.open_accounts(unit, [*openings, openings[0]])


@pytest.mark.parametrize("at_us", [-1, AT_US_MAX + 1])
def test_time_ends_where_calendars_do(unit: Connection, at_us: int) -> None:
    with pytest.raises(AssertionError):
        service.apply(unit, [], at_us)


def test_an_empty_batch_is_nothing(unit: Connection) -> None:
    head = service.head(unit)
    assert service.apply(unit, [], 1) == []
    assert service.head(unit) == head


def test_long_lists_are_cut_between_chains() -> None:
    chains = [[transfer(f"{n}-{k}", "cash", "sales", 1, flags=LINKED if k < 4 else NONE)
               for k in range(5)] for n in range(2_000)]  # fmt: skip
    batches = list(service.in_batches(item for chain in chains for item in chain))
    assert [item for batch in batches for item in batch] == [i for chain in chains for i in chain]
    assert [len(batch) for batch in batches] == [8_190, 1_810]
    assert all(not batch[-1].flags & LINKED for batch in batches)
    assert list(service.in_batches([])) == []


def test_a_chain_fits_in_a_batch_or_is_a_mistake() -> None:
    link = transfer(1, "cash", "sales", 1, flags=LINKED)
    end = transfer(1, "cash", "sales", 1)
    assert [len(batch) for batch in service.in_batches([end, *[link] * (BATCH_MAX - 1), end])] == [
        1,
        BATCH_MAX,
    ]
    for wrong in ([*[link] * BATCH_MAX, end], [end, link]):
        with pytest.raises(AssertionError):
            list(service.in_batches(wrong))


def test_a_statement_pages_and_carries_the_balance(unit: Connection) -> None:
    topped_up(unit)
    hold = held("h", 60)
    post = post_hold(hold, transfer_id=transfer_id("p"), amount_minor=25, code="use")
    reference = derive("charge", 1)
    service.apply(unit, [hold, post], 2)
    service.apply(unit, [transfer("x", SUB, "sales", 5, reference=reference)], 3)
    lines = service.statement(unit, EUR, SUB)
    assert [(line.posted_minor, line.held_minor, line.balance_minor) for line in lines] == [
        (100, 0, 100),
        (0, -60, 100),
        (-25, 60, 75),
        (-5, 0, 70),
    ]
    assert [line.counterpart for line in lines] == ["cash", "sales", "sales", "sales"]
    assert [line.at_us for line in lines] == [1, 2, 2, 3]
    assert lines[-1].reference == reference
    pages = [service.statement(unit, EUR, SUB, limit=2)]
    pages.append(service.statement(unit, EUR, SUB, after=pages[0][-1].sequence, limit=2))
    assert pages[0] + pages[1] == lines
    assert service.statement(unit, EUR, SUB, after=lines[-1].sequence) == []
    with pytest.raises(AssertionError):
        service.statement(unit, EUR, SUB, limit=service.STATEMENT_MAX + 1)


def test_nothing_stands_when_the_caller_rolls_back() -> None:
    made = engine()
    with made.connect() as connection:
        with connection.begin() as transaction:
            service.open_accounts(connection, OPENINGS)
            service.apply(connection, [transfer(1, "cash", "sales", 5)], 1)
            transaction.rollback()
        with connection.begin():
            assert service.head(connection).entry == 0
            assert service.accounts(connection, EUR) == []
            assert service.check(connection).findings == ()
