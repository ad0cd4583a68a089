"""What is booked on a sheet comes to what `apply` books, whenever the sheet is written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from opencarrier.ledger import chart, service
from opencarrier.ledger.model import Balance, Transfer, TransferFlags
from opencarrier.ledger.sheet import Sheet

from .books import EUR, XOF, codes, engine, transfer

AT_US = 5
PEOPLE = tuple(chart.prepaid(f"sub_{number}") for number in range(3))
SELLERS = (chart.revenue("op_a"), chart.revenue("op_b"))
FUNDING = chart.funding("op_a")

steps = st.lists(
    st.one_of(
        st.none(),  # the sheet is written here
        st.tuples(
            st.sampled_from((FUNDING, *PEOPLE)),
            st.sampled_from((*SELLERS, *PEOPLE)),
            st.integers(-1, 60),
            st.sampled_from((TransferFlags.NONE, TransferFlags.PENDING)),
            st.sampled_from((None, AT_US, AT_US + 1)),
            st.sampled_from((EUR, EUR, XOF)),
        ),
    ),
    max_size=12,
)


def _transfers(asked: list[tuple[object, ...] | None]) -> list[Transfer | None]:
    return [
        None
        if one is None
        else transfer(number, one[0], one[1], one[2], flags=one[3], expires_us=one[4], asset=one[5])  # type: ignore[arg-type]
        for number, one in enumerate(asked)
    ]


def _stands(unit: Connection) -> dict[tuple[str, str], Balance]:
    """What stands on accounts; one that was opened for nothing stands like one that was not."""
    found = (one for asset in (EUR, XOF) for one in service.accounts(unit, asset))
    return {(o.asset, o.name): o.balance for o in found if o.balance != Balance()}


@given(asked=steps)
@settings(max_examples=60)
def test_a_sheet_comes_to_what_its_transfers_do_one_by_one(
    asked: list[tuple[object, ...] | None],
) -> None:
    transfers = _transfers(asked)
    together, apart = engine(), engine()
    with together.begin() as unit:
        sheet = Sheet(unit, AT_US)
        sheet.read(EUR, PEOPLE[:1])
        on_sheet = []
        for one in transfers:
            if one is None:
                sheet.write()
            else:
                on_sheet.append(sheet.book(one))
                told = sheet.balance(one.asset, one.debit)
        sheet.write()
        last = next((one for one in reversed(transfers) if one is not None), None)
        assert last is None or told == service.balance(unit, last.asset, last.debit)
    with apart.begin() as unit:
        singly = []
        for one in (one for one in transfers if one is not None):
            service.ensure(unit, one.asset, (one.debit, one.credit))
            singly += service.apply(unit, [one], AT_US)
        expected = _stands(unit)
    with together.begin() as unit:
        assert codes(on_sheet) == codes(singly)
        assert _stands(unit) == expected
        assert service.check(unit).findings == ()
    together.dispose()
    apart.dispose()


def test_an_id_that_the_ledger_holds_fails_when_the_sheet_is_written() -> None:
    book = engine()
    hold = transfer("h", FUNDING, SELLERS[0], 5, flags=TransferFlags.PENDING)
    with book.begin() as unit:
        sheet = Sheet(unit, AT_US)
        assert sheet.book(hold) is None
        sheet.write()
    with book.connect() as unit:
        sheet = Sheet(unit, AT_US)
        assert sheet.book(hold) is None
        with pytest.raises(IntegrityError):
            sheet.write()
    with book.begin() as unit:
        assert service.balance(unit, EUR, FUNDING).debits_pending == 5
        assert service.check(unit).findings == ()
    book.dispose()


def test_of_two_sheets_on_one_head_the_second_fails() -> None:
    book = engine()
    with book.connect() as unit:
        first, second = (Sheet(unit, AT_US) for _ in range(2))
        for number, sheet in enumerate((first, second)):
            assert sheet.book(transfer(number, FUNDING, SELLERS[0], 1)) is None
        first.write()
        with pytest.raises(IntegrityError):
            second.write()
    book.dispose()
