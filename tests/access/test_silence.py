"""Who reports nothing for an interval and the grace is ended: a model, and limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import Connection
from tests.access.fakes import NAS, NOW_US, FakeUnits

from opencarrier.access.model import Metrics
from opencarrier.access.orders import silence
from opencarrier.access.orders.book import OrderBook
from opencarrier.access.orders.model import Attach
from opencarrier.access.orders.silence import REASON, SilenceWatch
from opencarrier.access.orders.store import metadata
from opencarrier.kernel.clock import SECOND_US
from opencarrier.spine.usage import Observation, Sought

GRACE_S, INTERIM_S, TIMEOUT_S = 30, 60, 600


@dataclass
class Heard:
    """What was reported: when last, and whether that was the end."""

    known: dict[bytes, tuple[int, bool]] = field(default_factory=dict)

    def octets_before(self, unit: Connection, observation: Observation) -> int:
        raise AssertionError("not asked here")

    def last_heard(
        self, unit: Connection, sessions: Sequence[Sought]
    ) -> Mapping[bytes, tuple[int, bool]]:
        asked = {one.authorisation_id for one in sessions}
        return {key: value for key, value in self.known.items() if key in asked}


def attach(number: int, at_us: int) -> Attach:
    return Attach(
        authorisation_id=number.to_bytes(16, "big"),
        client_id="cafe",
        transport="udp",
        host="127.0.0.1",
        nas_identifier=NAS,
        acct_session_id=f"s{number}",
        cui="",
        expires_us=at_us + TIMEOUT_S * SECOND_US,
        interim_interval_s=INTERIM_S,
        look_us=at_us + INTERIM_S * SECOND_US,
        heard_us=at_us,
    )


class Silence(RuleBasedStateMachine):
    """Sessions begin, report, stop and fall silent; the model keeps when each was heard last."""

    def __init__(self) -> None:
        super().__init__()
        self.units, self.book, self.heard = FakeUnits(), OrderBook(), Heard()
        metadata.create_all(self.units.engine)
        self.watch = SilenceWatch(self.book, self.heard, Metrics(), GRACE_S)
        self.now_s = 0
        self.begun: dict[int, int] = {}
        self.last: dict[int, int] = {}
        self.stopped: set[int] = set()
        self.silent: set[int] = set()

    @rule()
    def begins(self) -> None:
        number = len(self.begun) + 1
        with self.units.write() as unit:
            self.book.attached(unit, [attach(number, NOW_US + self.now_s * SECOND_US)])
        self.begun[number] = self.last[number] = self.now_s

    @rule(data=st.data(), ends=st.booleans(), late_s=st.integers(0, 40))
    def reports(self, data: st.DataObject, ends: bool, late_s: int) -> None:
        running = sorted(set(self.begun) - self.stopped)
        if not running:
            return
        number = data.draw(st.sampled_from(running))
        at_s = max(self.last[number], self.now_s - late_s)
        self.last[number] = at_s
        self.stopped |= {number} if ends else set()
        key = number.to_bytes(16, "big")
        self.heard.known[key] = (NOW_US + at_s * SECOND_US, ends)

    @rule(seconds=st.integers(1, 100))
    def passes(self, seconds: int) -> None:
        """Time goes on; the watch looks each second."""
        for _ in range(seconds):
            self.now_s += 1
            at_us = NOW_US + self.now_s * SECOND_US
            with self.units.write() as unit:
                if self.watch.is_due(unit, at_us):
                    self.watch.look(unit, at_us)
            self.silent |= {
                number
                for number, begun in self.begun.items()
                if number not in self.stopped
                and self.now_s < begun + TIMEOUT_S
                and self.now_s >= self.last[number] + INTERIM_S + GRACE_S
            }

    @invariant()
    def the_silent_are_ended_and_nobody_else(self) -> None:
        with self.units.read() as unit:
            lines = self.book.lines(unit)
        assert {line.reason for line in lines} <= {REASON}
        ended = sorted(int(line.authorisation_id, 16) for line in lines)
        assert ended == sorted(self.silent), "each once"
        assert self.watch.metrics.silent == len(ended)


TestSilence = Silence.TestCase
TestSilence.settings = settings(max_examples=12, stateful_step_count=15, deadline=None)


def test_a_session_whose_access_points_clock_is_behind_is_not_silent() -> None:
    """It is an hour behind, and reports each interval; then it does so no more."""
    units, book, heard = FakeUnits(), OrderBook(), Heard()
    metadata.create_all(units.engine)
    watch = SilenceWatch(book, heard, Metrics(), GRACE_S)
    key, behind_s, last_s = (1).to_bytes(16, "big"), 3_600, 300
    with units.write() as unit:
        book.attached(unit, [attach(1, NOW_US)])
        for now_s in range(0, TIMEOUT_S, 5):
            at_us = NOW_US + now_s * SECOND_US
            if now_s <= last_s and now_s % INTERIM_S == 0:
                heard.known[key] = (at_us - behind_s * SECOND_US, False)
            if watch.is_due(unit, at_us):
                watch.look(unit, at_us)
            assert now_s > last_s + INTERIM_S or not book.lines(unit)
            if now_s >= last_s + 2 * (INTERIM_S + GRACE_S):
                assert [line.reason for line in book.lines(unit)] == [REASON]


def test_an_order_that_would_name_another_session_too_is_not_given() -> None:
    """A device that came again is named there as before; alone it is ended."""
    units, book, heard = FakeUnits(), OrderBook(), Heard()
    metadata.create_all(units.engine)
    watch = SilenceWatch(book, heard, Metrics(), GRACE_S)
    first, second = (
        replace(attach(number, NOW_US), acct_session_id=name, cui="c")
        for number, name in ((1, ""), (2, "s2"))
    )
    heard.known[second.authorisation_id] = (NOW_US + 60 * SECOND_US, False)
    with units.write() as unit:
        book.attached(unit, [first, second, replace(attach(3, NOW_US), acct_session_id="")])
        assert watch.look(unit, NOW_US + 90 * SECOND_US) == 3
        assert [int(line.authorisation_id, 16) for line in book.lines(unit)] == [3]
        watch.look(unit, NOW_US + 150 * SECOND_US)
        assert [int(line.authorisation_id, 16) for line in book.lines(unit)] == [2, 3]
    assert watch.metrics.silent == 2


def test_few_are_looked_at_in_one_unit_and_none_where_it_is_off(monkeypatch) -> None:
    monkeypatch.setattr(silence, "LOOKED_MAX", 2)
    units, book = FakeUnits(), OrderBook()
    metadata.create_all(units.engine)
    watch = SilenceWatch(book, Heard(), Metrics(), GRACE_S)
    at_us = NOW_US + (INTERIM_S + GRACE_S) * SECOND_US
    with units.write() as unit:
        book.attached(unit, [attach(number, NOW_US) for number in range(3)])
        assert not SilenceWatch(book, Heard(), Metrics(), 0).is_due(unit, at_us)
        assert not watch.is_due(unit, at_us - 1)
        assert [watch.look(unit, at_us) for _ in range(3)] == [2, 1, 0]
        assert not watch.is_due(unit, at_us)
    assert watch.metrics.silent == 3
