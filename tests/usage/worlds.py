"""Observations and databases the tests of the room share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection
from tests.memory import Memory

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id, derive
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Counters, Observation, Status, Usage
from opencarrier.usage.service import UsageService
from opencarrier.usage.store import metadata

HOME, HOME_2 = PartyId("op_" + "a" * 32), PartyId("op_" + "c" * 32)
VISITED = PartyId("op_" + "b" * 32)
T0_US = 1_700_000_000 * SECOND_US
AUTH, AUTH_2 = b"A" * 16, b"B" * 16
NAS = "ap-1"
FAR_US = T0_US + 10**6 * SECOND_US


def at(second: float) -> int:
    return T0_US + int(second * SECOND_US)


def seen(
    status: Status,
    second: float,
    counters: tuple[int, int, int] | None = None,
    *,
    auth: bytes | None = AUTH,
    acct: str = "0001",
    nas: str = NAS,
    home: PartyId | None = HOME,
    subject: str = "cui",
    source: str = "test",
) -> Observation:
    return Observation(
        status=status,
        home=home,
        visited=VISITED,
        nas_key=nas,
        node_id=f"node-{nas}",
        authorisation_id=auth,
        acct_session_id=acct,
        counters=Counters(session_time_s=counters[0], octets_in=counters[1], octets_out=counters[2])
        if counters
        else None,
        subject=subject,
        event_us=at(second),
        terminate_cause=None,
        reporter=VISITED,
        source=source,
        packet_digest=bytes(32),
    )


def restart(second: float, *, nas: str = NAS, status: Status = Status.ON) -> Observation:
    return seen(status, second, auth=None, acct="", nas=nas, home=None, subject="")


class World:
    """A database with the service over it; cycles are numbered."""

    def __init__(self, silence_us: int = 3600 * SECOND_US) -> None:
        self.engine = Memory(metadata)
        self.service = UsageService(silence_us=silence_us)
        self.cycles = 0

    @contextmanager
    def unit(self) -> Iterator[Connection]:
        with self.engine.begin() as unit:
            yield unit

    def record(self, *observations: Observation) -> int:
        with self.unit() as unit:
            return self.service.record(unit, observations)

    def cut(self, second: float | None = None) -> Sequence[Usage]:
        self.cycles += 1
        return self.cut_again(self.cycles, second)

    def cut_again(self, cycle: int, second: float | None = None) -> Sequence[Usage]:
        cut_us = FAR_US if second is None else at(second)
        with self.unit() as unit:
            return self.service.cut(unit, cycle_id=cycle_id(cycle), cut_us=cut_us)

    def close(self) -> None:
        self.engine.dispose()


def cycle_id(number: int) -> Id:
    return derive("test/cycle", number)


def used(usage: Usage) -> tuple[int, int, int]:
    amounts = usage.quantities
    return amounts.get("duration_s"), amounts.get("octets_in"), amounts.get("octets_out")


def total(usages: Sequence[Usage]) -> tuple[int, int, int]:
    rows = [used(usage) for usage in usages] or [(0, 0, 0)]
    return tuple(sum(column) for column in zip(*rows, strict=True))  # type: ignore[return-value]
