"""Up to the cut, how files arrive decides nothing: the same usage, positions and root."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count, pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection
from tests.app.scene import SECOND_US, START_US, Scene, scene

from opencarrier.access.model import AccessKeys
from opencarrier.access.recorded import RecordReader
from opencarrier.app.ingesting import RadiusDecoder
from opencarrier.clearing.service import ClearingService, Ports
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import derive
from opencarrier.usage import ingest as ingest_module
from opencarrier.usage.ingest import Ingest, IngestOrder

SESSIONS, REPORTS = 3, 4
CYCLE = derive("test/cycle")


def report(session: int, number: int) -> str:
    """One report as radiusd logs it; counters grow with the number, the last is a Stop."""
    at_s = START_US // SECOND_US + 60 * number + 7 * session
    status = "Stop" if number == REPORTS else "Interim-Update"
    return (
        "Mon Jan  5 10:00:00 2026\n"
        f"\tAcct-Status-Type = {status}\n"
        f'\tAcct-Session-Id = "s{session}"\n'
        '\tNAS-Identifier = "node-1"\n'
        f"\tAcct-Session-Time = {60 * number}\n"
        f"\tAcct-Input-Octets = {1_000 * number}\n"
        f"\tAcct-Output-Octets = {(session + 1) * 777_777 * number}\n"
        f"\tTimestamp = {at_s}\n\n"
    )


REPORTED = [report(s, n) for s in range(SESSIONS) for n in range(1, REPORTS + 1)]

schedules = st.tuples(
    st.permutations(range(len(REPORTED))),
    st.lists(st.integers(0, len(REPORTED) - 1), max_size=8),
    st.lists(st.integers(0, len(REPORTED) + 8), max_size=4),
    st.lists(st.integers(1, 6), max_size=3),
)
"""The order of the reports, which come again, where files end, after how many chunks runs die."""


class DiedError(Exception):
    """The process is gone between two transactions."""


class RolledBackError(Exception):
    """What a schedule did is undone: the next one begins where this one did."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with scene(tmp_path_factory.mktemp("confluence"), one_sided_window_s=0) as found:
        found.clock.set(START_US + 3_600 * SECOND_US)
        yield found


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(ingest_module, "CHUNK_PACKETS", 2)


def ingest(
    made: Scene, unit: Connection, path: Path, keys: AccessKeys, *, dies_after: int | None = None
) -> None:
    """Ingest a file; the process may die after some transactions."""
    base, passes = made.place.base, count()

    @contextmanager
    def transaction() -> Iterator[Connection]:
        if dies_after is not None and next(passes) >= dies_after:
            raise DiedError
        with unit.begin_nested():
            yield unit

    door = Ingest(
        usage=base.usage,
        decoder=RadiusDecoder(RecordReader(keys)),
        transactions=transaction,
        home_of=lambda *_: None,
        clock=made.clock,
    )
    door.run([path], IngestOrder(node=made.node, home=made.home.party_id))


def outcome(made: Scene, unit: Connection) -> tuple[object, ...]:
    """Cut, rate and clear; return the usages, the positions and the root."""
    base, at_us = made.place.base, made.clock.now_us()
    clearing = ClearingService(
        Ports(
            rater=base.rating,
            directory=base.identity.directory,
            members=base.identity.directory,
            notary=base.identity.notary,
            entropy=SeededEntropy(5),
        ),
        asset=made.place.clearing.asset,
        mode=made.place.clearing.mode,
        policy=made.place.clearing.policy,
    )
    usages = base.usage.cut(unit, cycle_id=CYCLE, cut_us=at_us)
    charges, waits = base.rating.rate(unit, cycle_id=CYCLE, usages=usages, at_us=at_us)
    positions = clearing.take(unit, cycle_id=CYCLE, charges=charges, cut_us=at_us)
    cleared = clearing.clear(
        unit, cycle_id=CYCLE, at_us=at_us, collateral=lambda _: 10**12, excluded={}
    )
    return tuple(usages), tuple(waits), tuple(positions), cleared.records_root, cleared.nets


def played(made: Scene, folder: Path, schedule) -> tuple[object, ...]:
    """Play a schedule on a database that forgets it afterwards."""
    order, again, ends, deaths = schedule
    texts = [REPORTED[place] for place in (*order, *again)]
    cuts = sorted({0, len(texts), *(min(end, len(texts)) for end in ends)})
    found: list[tuple[object, ...]] = []
    keys = made.place.base.access_keys()
    with suppress(RolledBackError), made.place.base.store.write() as unit:
        for number, (start, end) in enumerate(pairwise(cuts)):
            path = folder / f"detail-{number}"
            path.write_text("".join(texts[start:end]))
            for dies_after in deaths:
                with suppress(DiedError):
                    ingest(made, unit, path, keys, dies_after=dies_after)
            ingest(made, unit, path, keys)
        found.append(outcome(made, unit))
        raise RolledBackError
    return found[0]


@pytest.fixture(scope="module")
def wanted(made, tmp_path_factory):
    """What everything in order, in one file, once, comes to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingest_module, "CHUNK_PACKETS", 2)
        plain = (range(len(REPORTED)), [], [], [])
        found = played(made, tmp_path_factory.mktemp("plain"), plain)
    usages, waits, positions, _, nets = found
    assert [u.counters_to.session_time_s for u in usages] == [60 * REPORTS] * SESSIONS
    assert len(waits) == 0
    assert len(positions) == 1
    assert len(nets) > 1
    return found


def confluent(made: Scene, wanted, tmp_path: Path, schedule) -> None:
    assert played(made, tmp_path, schedule) == wanted


_SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=12, suppress_health_check=_SHARED)
@given(schedule=schedules)
def test_how_files_arrive_decides_nothing(made, wanted, tmp_path, schedule):
    confluent(made, wanted, tmp_path, schedule)


@pytest.mark.crash
@pytest.mark.timeout(600)
@settings(max_examples=300, suppress_health_check=_SHARED)
@given(schedule=schedules)
def test_hundreds_of_schedules_come_to_one(made, wanted, tmp_path, schedule):
    confluent(made, wanted, tmp_path, schedule)


@pytest.mark.deep
@pytest.mark.timeout(1_800)
@settings(max_examples=2_000, suppress_health_check=_SHARED)
@given(schedule=schedules)
def test_two_thousand_schedules_come_to_one(made, wanted, tmp_path, schedule):
    confluent(made, wanted, tmp_path, schedule)


def test_what_is_left_out_shows(made, wanted, tmp_path):
    """The comparison can fail: without its last report a session comes to something else."""
    fewer = (range(len(REPORTED) - 1), [], [], [])
    assert played(made, tmp_path, fewer) != wanted
