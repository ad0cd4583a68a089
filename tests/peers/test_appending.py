"""Several writers of accounting on PostgreSQL: beside each other, and never beside a cut."""

from __future__ import annotations

import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select, text
from tests.postgresql import Server, program, server
from tests.usage.worlds import at, cycle_id, seen

from opencarrier.access.orders import store as orders
from opencarrier.access.orders.book import OrderBook
from opencarrier.access.orders.model import Attach
from opencarrier.app.console.arrivals import Arrivals
from opencarrier.app.store import Store
from opencarrier.spine.usage import Observation, Status
from opencarrier.usage.model import SILENCE_US
from opencarrier.usage.service import UsageService
from opencarrier.usage.set_aside import COPIES_MAX, copies_of
from opencarrier.usage.store import metadata
from opencarrier.usage.tables import OBSERVATIONS

pytestmark = [pytest.mark.peer, pytest.mark.timeout(600)]

SESSIONS, STEPS, WRITERS = 4, 6, 2


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    if program("initdb") is None:
        pytest.skip("PostgreSQL is missing (apt: postgresql)")
    with server() as made:
        yield made


@pytest.fixture
def store(postgresql: Server) -> Iterator[Store]:
    made = Store(postgresql.database())
    with made.write() as unit:
        metadata.create_all(unit)
    yield made
    made.close()


def report(session: int, step: int, *, writer: int = 0) -> Observation:
    counters = (step, 100 * step, 1_000 * step)
    source = f"udp:{writer}"
    return seen(Status.INTERIM, step, counters, acct=f"s{session}", source=source)


def test_those_who_append_share_a_turn_and_who_writes_has_it_alone(store: Store) -> None:
    order: list[str] = []
    writing = threading.Event()

    def write() -> None:
        writing.set()
        with store.write():
            order.append("written")

    with ThreadPoolExecutor() as threads:
        with store.append(), store.append():
            done = threads.submit(write)
            assert writing.wait(10)
            with pytest.raises(TimeoutError):
                done.result(timeout=0.3)
            order.append("appended")
        done.result(timeout=10)
        with store.write():
            added = threads.submit(_append_nothing, store)
            with pytest.raises(TimeoutError):
                added.result(timeout=0.3)
        added.result(timeout=10)
    assert order == ["appended", "written"]


def test_what_is_committed_late_is_told_once(store: Store) -> None:
    """Numbered before another and committed after it, at the first look and at a later one."""
    usage, told = UsageService(), []
    arrivals = Arrivals(usage)

    def look() -> None:
        with store.read() as unit:
            told.append([int(one.acct_session_id[1:]) for one in arrivals.read(unit, at(0))])

    for first in (0, 3):
        with store.append() as slow:
            usage.add(slow, [report(first, 1)])
            with store.append() as quick:
                usage.add(quick, [report(first + 1, 1)])
            look()
        with store.append() as unit:
            usage.add(unit, [report(first + 2, 1)])
        look()
        look()
    assert told == [[1], [0, 2], [], [4], [3, 5], []]


def test_who_waits_for_the_turn_sees_what_was_committed_meanwhile(postgresql: Server) -> None:
    """Also where the server's default is one snapshot of the whole unit: a cut leaves none out."""
    name = postgresql.database()
    store, usage = Store(name), UsageService()
    with store.write() as unit:
        metadata.create_all(unit)
        own = name.rpartition("/")[2]
        default = "SET default_transaction_isolation = 'serializable'"
        unit.execute(text(f"ALTER DATABASE {own} {default}"))
    store.close()

    def newest() -> int:
        with store.write() as unit:
            return usage.newest(unit)

    with ThreadPoolExecutor() as threads:
        with store.append() as unit:
            usage.add(unit, [report(0, 1)])
            asked = threads.submit(newest)
            with pytest.raises(TimeoutError):
                asked.result(timeout=0.3)
        assert asked.result(timeout=10) == 1
    store.close()


def _append_nothing(store: Store) -> None:
    with store.append() as unit:
        unit.execute(text("SELECT 1"))


batches = st.lists(
    st.lists(
        st.tuples(st.integers(0, SESSIONS - 1), st.integers(1, STEPS)), min_size=1, max_size=12
    ),
    min_size=1,
    max_size=8,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(stories=st.tuples(*[batches] * WRITERS), cuts=st.integers(1, 4))
def test_every_report_is_in_its_cycle_or_the_next_and_never_in_two(
    store: Store, stories: tuple[list[list[tuple[int, int]]], ...], cuts: int
) -> None:
    """Writers go on while cycles close: what was acknowledged before a close is in it or before."""
    Story(store).play(stories, cuts)


class Story:
    """Two writers, and one who closes; `acknowledged` is what access points were told is kept."""

    def __init__(self, store: Store) -> None:
        self.store, self.usage = store, UsageService(silence_us=SILENCE_US)
        self.acknowledged: Tally[str] = Tally()
        self.counted: Tally[str] = Tally()
        self.one_at_a_time = threading.Lock()
        with store.write() as unit:
            for table in reversed(metadata.sorted_tables):
                unit.execute(table.delete())

    def play(self, stories: tuple[list[list[tuple[int, int]]], ...], cuts: int) -> None:
        with ThreadPoolExecutor() as threads:
            closing = threads.submit(self.close, cuts)
            writing = [threads.submit(self.write, n, story) for n, story in enumerate(stories)]
            for one in (closing, *writing):
                one.result(timeout=60)
        self.cut(cuts)
        told = {pair for story in stories for batch in story for pair in batch}
        assert self.counted == self.acknowledged
        assert self.acknowledged == {
            f"s{number}": 100 * max(step for session, step in told if session == number)
            for number in {session for session, _ in told}
        }
        with self.store.read() as unit:
            kept = unit.execute(OBSERVATIONS.select()).all()
        assert sorted((row.acct_session_id, row.session_time_s) for row in kept) == sorted(
            (f"s{session}", step) for session, step in told
        )

    def write(self, writer: int, story: list[list[tuple[int, int]]]) -> None:
        for batch in story:
            with self.store.append() as unit:
                self.usage.add(unit, [report(*pair, writer=writer) for pair in batch])
            with self.one_at_a_time:
                for session, step in batch:
                    name = f"s{session}"
                    self.acknowledged[name] = max(self.acknowledged[name], 100 * step)

    def close(self, cuts: int) -> None:
        for number in range(cuts):
            with self.one_at_a_time:
                before = self.acknowledged.copy()
            self.cut(number)
            assert self.counted >= before, "what was acknowledged before the close is not in it"

    def cut(self, number: int) -> None:
        with self.store.write() as unit:
            usages = self.usage.cut(unit, cycle_id=cycle_id(number), cut_us=at(600))
        with self.store.read() as unit:
            names = {u.session_id: self.usage.session(unit, u.session_id) for u in usages}
        for usage in usages:
            session = names[usage.session_id]
            assert session is not None
            self.counted[session.stream.acct_session_id] += usage.quantities.get("octets_in")


def together(store: Store, append: Callable[[Connection, int, int], object], turns: int) -> None:
    """Let writers append at the same instant, turn by turn: who of them, and at which turn."""
    begin = threading.Barrier(WRITERS)

    def write(writer: int) -> None:
        for turn in range(turns):
            begin.wait(30)
            with store.append() as unit:
                append(unit, writer, turn)

    with ThreadPoolExecutor() as threads:
        for done in [threads.submit(write, number) for number in range(WRITERS)]:
            done.result(timeout=60)


def test_writers_that_hold_each_others_copies_do_not_wait_for_each_other(store: Store) -> None:
    """New reports, the same for both, in opposite orders: whoever is second has copies alone."""
    many, turns = 256, 8

    def append(unit: Connection, writer: int, turn: int) -> None:
        same = [report(session, 1 + turn, writer=writer) for session in range(many)]
        UsageService().add(unit, same[::-1] if writer else same)

    together(store, append, turns)
    with store.read() as unit:
        kept = [row.observation_id for row in unit.execute(OBSERVATIONS.select())]
        copies = copies_of(unit, kept)
    assert len(kept) == len(copies) == many * turns
    assert {len(found) for found in copies.values()} == {1}


def test_writers_together_keep_no_copy_too_many(store: Store) -> None:
    def append(unit: Connection, writer: int, turn: int) -> None:
        source = 100 * writer + turn
        UsageService().add(unit, [report(n, 1, writer=source) for n in range(SESSIONS)])

    together(store, append, 2 * COPIES_MAX)
    with store.read() as unit:
        kept = [row.observation_id for row in unit.execute(OBSERVATIONS.select())]
        copies = copies_of(unit, kept)
    assert len(kept) == SESSIONS
    assert {len(found) for found in copies.values()} == {COPIES_MAX}


def test_writers_that_name_the_same_sessions_do_not_wait_for_each_other(store: Store) -> None:
    """Access points begin the same sessions at both, in opposite orders."""
    book, many = OrderBook(), 6_000
    keys = [sha256(bytes((n % 256, n // 256))).digest()[:16] for n in range(many)]
    with store.write() as unit:
        orders.metadata.create_all(unit)
        book.attached(unit, [attach(key) for key in keys])
        unit.execute(text("ANALYZE access_attach"))

    def append(unit: Connection, writer: int, turn: int) -> None:
        named = [begun(key, f"s{writer}-{turn}") for key in keys[:256]]
        book.called(unit, named[::-1] if writer else named)

    together(store, append, 24)
    with store.read() as unit:
        names = set(unit.scalars(select(orders.ATTACHES.c.acct_session_id)))
    assert names <= {"", *(f"s{writer}-{turn}" for writer in range(2) for turn in range(24))}


def attach(key: bytes) -> Attach:
    return Attach(
        authorisation_id=key,
        client_id="cafe",
        transport="udp",
        host="127.0.0.1",
        nas_identifier="ap-1",
        acct_session_id="",
        cui=key.hex(),
        expires_us=at(0),
    )


def begun(key: bytes, name: str) -> Observation:
    return seen(Status.START, 0, auth=key, acct=name)
