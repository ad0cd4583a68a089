"""Daemons exchange each cycle by themselves, from what their own meters recorded."""

from __future__ import annotations

import pytest
from tests.app.two_installations import HOUR_US, START_US, Two, two_installations

from opencarrier.app.exchanger import Exchanger, exchange_lines
from opencarrier.app.exchanging import state_of
from opencarrier.clearing.exchange import partners
from opencarrier.clearing.exchange.live import within_room
from opencarrier.clearing.exchange.model import Entry
from opencarrier.clearing.exchange.statement import Standing
from opencarrier.kernel.ids import derive
from opencarrier.spine.usage import Status

LOST_PPM = 300_000


@pytest.fixture
def two(tmp_path):
    with two_installations(tmp_path) as made:
        yield made


def closed(two: Two, hour: int) -> None:
    for side in two.both():
        side.cycle(hour)
    two.talk(4)


def same(two: Two):
    """Return the statement both hold with both signatures."""
    one, other = (side.newest() for side in two.both())
    assert (state_of(one), state_of(other)) == ("co_signed", "co_signed")
    assert one.statement == other.statement
    assert one.signature == other.peer_signature
    return one.statement


def test_each_cycle_ends_in_one_statement_over_a_line_that_fails(two):
    two.line.lost_ppm = LOST_PPM
    for hour in (1, 2):
        for number in range(20):
            two.meter(f"s{hour}-{number}", 102_400 * (number + 1), at_s=3_600 * (hour - 1) + 60)
        for side in two.both():
            side.cycle(hour)
        two.talk(40)
        statement = same(two)
        assert (statement.agreed.count, statement.differences) == (20, ())
        owed = statement.first_owes_minor + statement.second_owes_minor
        assert owed == 100_000 * sum(range(1, 21))
    assert two.lumen.newest().terms.sequence == 1
    assert two.line.late


def test_what_a_liar_adds_is_named_and_agreed_by_nobody(two):
    """Five times as much, one that never was, one kept back: the honest home owes its own sums."""
    for number in range(17):
        two.meter(f"s{number}", 102_400)
    two.meter("lie", 102_400, borea=512_000)
    two.meter("within", 102_400, borea=103_424)
    two.meter("never", -1, borea=102_400)
    two.meter("hidden", 102_400, borea=-1)
    closed(two, 1)
    statement = same(two)
    amounts = sorted((d.standing, d.disputed_minor) for d in statement.differences)
    assert amounts == [
        (Standing.WITHIN_TOLERANCE, 0),
        (Standing.DISPUTED, 400_000),
        (Standing.ONE_SIDED, 0),
        (Standing.UNCLAIMED, 0),
    ]
    assert statement.first_owes_minor + statement.second_owes_minor == 19 * 100_000


def test_what_one_side_saw_a_cycle_later_is_told_again_and_agreed(two):
    """A report lost before the cut: each side has the session's other half, then both have all."""
    two.lumen.meter("s", 102_400, home=two.lumen.own, visited=two.borea.own, status=Status.INTERIM)
    two.meter("t", 10_240)
    closed(two, 1)
    assert [d.standing for d in same(two).differences] == [Standing.UNCLAIMED]
    two.meter("s", 204_800, at_s=3_700)
    closed(two, 2)
    statement = same(two)
    assert statement.differences == ()
    assert statement.first_owes_minor + statement.second_owes_minor == 200_000


def test_more_at_first_and_the_rest_later_sums_to_the_whole(two):
    two.meter("s", 51_200, borea=102_400, status=Status.INTERIM)
    closed(two, 1)
    assert [d.disputed_minor for d in same(two).differences] == [50_000]
    two.meter("s", 204_800, at_s=3_700)
    closed(two, 2)
    statement = same(two)
    assert statement.differences == ()
    assert statement.first_owes_minor + statement.second_owes_minor == 150_000


def test_what_only_one_has_is_told_until_its_window_has_passed(two):
    two.meter("never", -1, borea=102_400)
    for hour, differences in ((1, 1), (2, 1), (25, 1), (26, 0)):
        closed(two, hour)
        assert len(same(two).differences) == differences, hour


def test_a_side_that_is_down_is_waited_for_and_the_earlier_cut_counts(two):
    two.meter("s", 102_400)
    two.lumen.cycle(1)
    two.talk(3)
    assert state_of(two.lumen.newest()) == "open"
    with two.lumen.base.store.read() as unit:
        (line,) = exchange_lines(two.lumen.base, unit)
    assert line["failures"] > 0
    assert "unknown_exchange" in line["note"]
    two.meter("t", 102_400, at_s=3_700)
    two.borea.cycle(2)
    two.talk(60)
    statement = same(two)
    assert (statement.cut_us, statement.agreed.count) == (START_US + HOUR_US, 1)
    two.lumen.cycle(3)
    two.borea.cycle(3)
    two.talk(60)
    assert same(two).agreed.count == 1
    with two.lumen.base.store.read() as unit:
        (line,) = exchange_lines(two.lumen.base, unit)
    assert (line["failures"], line["note"], line["sequence"]) == (0, "", 1)


def test_who_does_not_answer_is_left_alone_longer_each_time(two):
    two.meter("s", 102_400)
    two.lumen.cycle(1)
    exchanger, base = Exchanger(two.lumen.base, two.line.send), two.lumen.base
    begun_us = two.lumen.clock.now_us()
    two.line.lost_ppm = 1_000_000
    asked = []
    for second in range(1_200):
        two.lumen.clock.set(begun_us + second * 1_000_000)
        before = two.line.asked
        exchanger.tick()
        asked += [second] * (two.line.asked - before)
    assert asked == [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 811, 1_111]
    with base.store.read() as unit:
        (partner,) = partners.every(unit)
    assert partner.failures == len(asked)


def test_an_exchange_has_room_for_whole_instants():
    entries = [
        Entry(usage_id=derive("u", n), debtor="0x", end_us=end, amount_minor=1)
        for n, end in enumerate((5, 1, 3, 3, 2))
    ]
    assert within_room(entries, 9, 5) == (entries, 9)
    kept, cut_us = within_room(entries, 9, 4)
    assert (sorted(e.end_us for e in kept), cut_us) == ([1, 2, 3, 3], 4)
    kept, cut_us = within_room(entries, 9, 3)
    assert (sorted(e.end_us for e in kept), cut_us) == ([1, 2], 2)
