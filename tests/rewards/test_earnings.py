"""Sums by day are the ledger's: however it is read, and whatever is booked."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from tests.memory import Memory

from opencarrier.kernel.ids import derive
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger import store as ledger_store
from opencarrier.ledger.model import Transfer
from opencarrier.rewards import earnings, store
from opencarrier.rewards.earnings import DAY_US, Earnings, Reason, Use

ASSET = "test/USD"
PAYOUT = "0x" + "a" * 40
HOSTS, NODES = ("host_a", "host_ab", "op_c"), ("n1", "n2")
CODES = ("wholesale-host", "wholesale-replaced", "adjustment-host", "wholesale-correction", "paid")


@st.composite
def stories(draw):
    """Bookings in the order of time: who, why, at which node, how much, on which day."""
    days = sorted(draw(st.lists(st.integers(0, 3), max_size=14)))
    return [
        (
            draw(st.sampled_from(HOSTS)),
            draw(st.sampled_from(CODES)),
            draw(st.sampled_from(NODES)),
            draw(st.booleans()),
            draw(st.integers(1, 9_000)),
            day,
        )
        for day in days
    ]


def _transfer(number: int, host: str, code: str, amount: int) -> Transfer:
    accrued, payer = chart.accrued(host), chart.clearing("op_payer")
    debit, credit = (payer, accrued)
    if code == "wholesale-replaced":
        debit, credit = accrued, payer
    elif code == "paid":
        debit, credit = accrued, chart.entitled(PAYOUT, host)
    of_use = code in ("wholesale-host", "wholesale-replaced")
    return Transfer(
        transfer_id=derive("transfer", number),
        asset=ASSET,
        debit=debit,
        credit=credit,
        amount_minor=amount,
        code="settlement/post" if code == "paid" else code,
        reference=derive("charge", number) if of_use else None,
    )


@settings(max_examples=25, deadline=None)
@given(story=stories(), steps=st.integers(1, 5))
def test_the_sums_kept_are_what_a_recount_finds(story, steps):
    """However few transfers a step reads; per host they are what accrued and was paid on."""
    uses, model, at_node, booked = {}, Counter(), Counter(), Counter()
    memory = Memory(ledger_store.metadata, store.metadata)
    book = Earnings(lambda _, ids: {key: uses[key] for key in ids if key in uses})
    with memory.begin() as unit:
        ledger.ensure(unit, ASSET, [chart.clearing("op_payer"), chart.clearing("op_other")])
        for number, (host, code, node, is_own, amount, day) in enumerate(story):
            made = _transfer(number, host, code, amount)
            ledger.ensure(unit, ASSET, [made.debit, made.credit])
            if ledger.apply(unit, [made], day * DAY_US + number) != [None]:
                continue
            if made.reference is not None:
                uses[made.reference] = Use(node, is_own, 7)
            if code == "paid":
                booked[host] -= amount
                continue
            amount = -amount if code == "wholesale-replaced" else amount
            reason = {
                "wholesale-host": Reason.OWN if is_own else Reason.GUESTS,
                "adjustment-host": Reason.DEAL,
            }.get(code, Reason.CORRECTION)
            model[host, day, reason] += amount
            if made.reference is not None:
                at_node[host, node, day, reason] += amount
        while book.follow(unit, limit=steps):
            assert book.is_behind(unit)
        assert not book.is_behind(unit)
        assert not book.follow(unit)
        rows = [one for host in HOSTS for one in days(unit, host)]
        assert {(one.host, one.day, one.reason): one.amount_minor for one in rows} == model
        found = unit.execute(select(store.node_days)).all()
        assert {(r.host, r.node_id, r.day, r.reason): r.amount_minor for r in found} == at_node
        for host in HOSTS:
            stands = ledger.balance(unit, ASSET, chart.accrued(host)).posted_minor
            assert earnings.ever_minor(unit, host, ASSET) + booked[host] == stands
            since = earnings.by_node(unit, host, NODES, ASSET, since_day=2)
            assert {node: amount for node, (amount, _) in since.items()} == _since(at_node, host)
    memory.dispose()


def _since(at_node: Counter, host: str) -> dict[str, int]:
    found: Counter = Counter()
    for (whose, node, day, _), amount in at_node.items():
        if whose == host and day >= 2:
            found[node] += amount
    return dict(found)


def days(unit, host):
    return earnings.days_of_host(unit, host, ASSET, since_day=0)


def test_two_followers_add_nothing_twice():
    """Whoever comes second finds the transfers taken."""
    memory = Memory(ledger_store.metadata, store.metadata)
    with memory.begin() as unit:
        made = _transfer(1, "host_a", "wholesale-host", 5)
        ledger.ensure(unit, ASSET, [made.debit, made.credit])
        ledger.apply(unit, [made], 0)
        Earnings(lambda _, __: {}).follow(unit)
        assert not earnings._advance(unit, 0, 1)
        (only,) = days(unit, "host_a")
        assert (only.amount_minor, only.reason, only.uses) == (5, Reason.OTHER, 0)
    memory.dispose()


def test_a_step_reads_a_bounded_number():
    memory = Memory(ledger_store.metadata, store.metadata)
    with memory.begin() as unit, pytest.raises(AssertionError):
        ledger.moves_on(unit, "accrued/", after=0, limit=ledger.STATEMENT_MAX + 1)
    memory.dispose()
