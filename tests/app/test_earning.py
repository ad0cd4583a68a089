"""Sums of what hosts earned go on, whatever one transfer is like."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError
from tests.memory import Memory

from opencarrier.app.earning import Earning
from opencarrier.kernel.ids import derive
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger import store as ledger_store
from opencarrier.ledger.model import Transfer
from opencarrier.rewards import earnings, store

ASSET = "test/USD"
HOST = "host_a"
COUNT, ODD = 40, 23


def transfer(number: int) -> Transfer:
    return Transfer(
        transfer_id=derive("transfer", number),
        asset=ASSET,
        debit=chart.clearing("op_payer"),
        credit=chart.accrued(HOST),
        amount_minor=1 << number,
        code="wholesale-host",
        reference=derive("charge", number),
    )


@pytest.fixture
def memory():
    made = Memory(ledger_store.metadata, store.metadata)
    with made.begin() as unit:
        ledger.ensure(unit, ASSET, [chart.clearing("op_payer"), chart.accrued(HOST)])
        for number in range(COUNT):
            assert ledger.apply(unit, [transfer(number)], number) == [None]
    yield made
    made.dispose()


def following(memory, charged_for=lambda unit, references: {}) -> Earning:
    """A follower of a ledger whose charges are told by a function."""
    rating = SimpleNamespace(charged_for=charged_for)
    usage = SimpleNamespace(some=lambda unit, ids: {})
    begin = SimpleNamespace(read=memory.begin, write=memory.begin)
    return Earning(SimpleNamespace(store=begin, rating=rating, usage=usage))


def ever_minor(memory) -> int:
    with memory.begin() as unit:
        return earnings.ever_minor(unit, HOST, ASSET)


def test_a_transfer_that_cannot_be_summed_keeps_none_of_the_others(memory, caplog):
    """Its charge is of a use that is gone: all others are summed once, and its number is told."""
    charge = derive("charge", ODD)

    def charged_for(unit, references):
        return {charge: SimpleNamespace(usage_id=charge)} if charge in references else {}

    earning = following(memory, charged_for)
    for _ in range(3):
        earning.follow()
    assert ever_minor(memory) == (1 << COUNT) - 1 - (1 << ODD)
    (told,) = caplog.records
    assert told.getMessage().startswith(f"transfer {ODD + 1} is in no sum")


def test_no_transfer_is_without_an_instant_and_one_that_were_is_stepped_over(memory):
    journal, transfers = ledger_store.journal, ledger_store.transfers
    with memory.begin() as unit:
        unknown = select(transfers.c.entry).join(journal, journal.c.entry == transfers.c.entry)
        assert unit.execute(unknown.where(journal.c.at_us.is_(None))).all() == []
        assert unit.execute(select(journal).where(journal.c.at_us.is_(None))).all() != []
        odd = select(transfers.c.entry).where(transfers.c.sequence == ODD + 1).scalar_subquery()
        unit.execute(update(journal).where(journal.c.entry == odd).values(at_us=None))
    earning = following(memory)
    for _ in range(3):
        earning.follow()
    assert ever_minor(memory) == (1 << COUNT) - 1 - (1 << ODD)


def test_while_the_database_fails_nothing_is_stepped_over(memory):
    def failing(unit, references):
        raise OperationalError("SELECT", None, Exception("disk I/O error"))

    with pytest.raises(OperationalError):
        following(memory, failing).follow()
    following(memory).follow()
    assert ever_minor(memory) == (1 << COUNT) - 1
