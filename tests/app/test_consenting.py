"""Settlements that two people approve: held until both did, whoever closes, however long."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from tests.app.scene import SECOND_US, scene, taken

from opencarrier.app.closing import close_and_settle
from opencarrier.app.consenting import SETTLEMENT
from opencarrier.app.daemon import Scheduler
from opencarrier.identity.accounts.model import NOBODY
from opencarrier.settlement import service
from opencarrier.settlement.model import CycleState
from opencarrier.settlement.store import rows


@pytest.fixture
def made(tmp_path):
    with scene(tmp_path, one_sided_window_s=0) as found:
        found.place.consent._people = 2
        found.use("one", octets=5_000_000, grant=found.authorise())
        found.clock.set(found.clock.now_us() + 3_600 * SECOND_US)
        yield found


@pytest.fixture
def people(made):
    with made.place.base.store.write() as unit:
        book = made.place.base.accounts.book
        return [taken(book.add(unit, name)).account for name in ("Ada", "Bob")]


def waiting(made):
    with made.place.base.store.read() as unit:
        return made.place.base.accounts.approvals.waiting(unit)


def say_yes(made, who):
    (asked,) = waiting(made)
    with made.place.base.store.write() as unit:
        return taken(made.place.base.accounts.approvals.say_yes(unit, asked.approval, who))


def driven(made):
    for _ in range(20):
        found = made.errands.drive()
        if found.is_settled or found.unapproved is not None:
            return found
    raise AssertionError("it neither settles nor waits")


def test_who_closes_is_one_and_another_is_needed(made, people):
    """Nothing is sent before; the hub's other transactions go on; then it settles as it was."""
    ada, bob = people
    told = close_and_settle(made.place, by=ada, pause=lambda _: None)
    assert told["waits_for_approval"]
    assert (told["state"], told["tx_hash"]) == ("ordered", "")
    assert told["note"] == "not_approved: 1 of 2 people said yes"
    (asked,) = waiting(made)
    assert (asked.kind, "0x" + asked.subject.hex()) == (SETTLEMENT, told["settlement_id"])
    assert int(asked.detail) == told["net_minor"]
    assert not say_yes(made, ada).granted
    assert close_and_settle(made.place, by=ada, pause=lambda _: None)["waits_for_approval"]
    made.errands.deposit(made.home, 1_000, reference="meanwhile")
    assert say_yes(made, bob).granted
    assert driven(made).cycle.state is CycleState.FINAL
    final = close_and_settle(made.place, pause=lambda _: None)
    assert not final["waits_for_approval"]
    with made.place.base.store.read() as unit:
        (_, attempt), *_ = made.place.settlement.cycles(unit, before=2)
        assert "0x" + attempt.order.settlement_id.hex() == told["settlement_id"]
        assert made.place.settlement.reconcile(unit).agrees
        assert unit.execute(select(rows)).first() is not None


def test_a_crash_after_the_close_loses_neither_the_line_nor_the_yes(made, people, monkeypatch):
    """They stand with the close, and a close that does not come to stand leaves none."""
    ada, _ = people
    lines: list[tuple[str, str]] = []

    def noted(unit, *, about, outcome):
        assert unit.in_transaction()
        lines.append((about, outcome))

    for point in ("settlement.close.before_commit", "settlement.close.after_commit"):
        monkeypatch.setattr(service, "crashpoint", lambda name, point=point: die(name, point))
        with pytest.raises(InterruptedError, match=point):
            close_and_settle(made.place, by=ada, noted=noted, pause=lambda _: None)
        assert [asked.by for asked in waiting(made)] == [(ada,)] * point.endswith("after_commit")
    assert lines[1][0].startswith("0x")
    monkeypatch.undo()
    made.place.consent._people = 2
    told = close_and_settle(made.place, by=ada, noted=noted, pause=lambda _: None)
    assert lines[1:] == [(told["cycle_id"], "done"), ("", "in_flight")]


def die(name: str, point: str) -> None:
    if name == point:
        raise InterruptedError(name)


def test_the_daemons_own_close_needs_two_others(made, people):
    """The scheduler closes for nobody and goes on; commands and the token are no person either.

    One was needed when it was asked, two are meanwhile, and none by when they say yes: both must.
    """
    made.place.consent._people = 1
    scheduler = Scheduler(made.place)
    scheduler._close(made.clock.now_us())
    scheduler.tick()
    assert [one.needed for one in waiting(made)] == [1]
    made.place.consent._people = 2
    scheduler.tick()
    told = close_and_settle(made.place, pause=lambda _: None)
    assert told["note"] == "not_approved: 0 of 2 people said yes"
    made.place.consent._people = 0
    ada, bob = people
    assert not say_yes(made, ada).granted
    assert driven(made).note == "not_approved: 1 of 2 people said yes"
    assert say_yes(made, bob).granted
    assert driven(made).is_settled


def test_yes_is_over_in_time_and_asked_anew(made, people):
    ada, bob = people
    close_and_settle(made.place, by=ada, pause=lambda _: None)
    (first,) = waiting(made)
    made.clock.set(first.expires_us)
    assert waiting(made) == []
    assert "0 of 2" in driven(made).note
    (anew,) = waiting(made)
    assert (anew.subject, anew.by) == (first.subject, ())
    assert not say_yes(made, bob).granted
    assert say_yes(made, ada).granted
    assert driven(made).is_settled
    with made.place.base.store.read() as unit:
        log = made.place.base.accounts.audit
        told = [(entry.what, entry.who) for entry in reversed(log.page(unit))]
        assert log.broken_at(unit) is None
    assert told == [("approval_asked", NOBODY), ("approved", ada), ("approval_asked", NOBODY)]


def test_what_moves_no_more_than_the_amount_needs_nobody(tmp_path):
    with scene(tmp_path, one_sided_window_s=0) as found:
        found.use("one", octets=5_000_000, grant=found.authorise())
        place = found.place
        consent = place.consent
        consent._people, consent._above_minor = 2, 10**9
        found.settle()
        with place.base.store.read() as unit:
            (cycle, attempt), *_ = place.settlement.cycles(unit)
        assert cycle.state is CycleState.FINAL
        consent._above_minor = attempt.net_minor
        with place.base.store.write() as unit:
            words = {"settlement_id": attempt.order.settlement_id}
            at, above = attempt.net_minor, attempt.net_minor + 1
            assert consent.objection(unit, **words, net_minor=at) is None
            assert consent.objection(unit, **words, net_minor=above) is not None
