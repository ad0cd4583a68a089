"""The network that lives on: who is on counts up, leaves, tops up; each hour is settled once."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.access.terms_token import GRANTED
from opencarrier.access.wire.dictionary import AcctStatus
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.sim import living
from opencarrier.sim.cast import Cast, Script, nodes_of, partners
from opencarrier.sim.living import INTERIM_MINUTES, MINUTE_US, PRESENT_MAX, Living
from opencarrier.sim.radio import Attached, Rejected, Report
from opencarrier.sim.world import CYCLE_US, START_US


@dataclass
class World:
    """What a stage and its access points heard; every `broke`-th attempt finds no money."""

    broke: int
    now_us: int = START_US
    attempts: int = 0
    reports: dict[str, list[tuple[int, Report]]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    cuts: list[int] = field(default_factory=list)
    collateral: int = 500_000_000

    def set_time(self, now_us: int) -> None:
        assert now_us > self.now_us, "time goes on"
        self.now_us = now_us

    def top_up(self, person: Any, amount_minor: int, *, reference: str) -> None:
        self.asked[f"top up {person.name} {reference}"] += 1

    def deposit(self, plan: Any, amount_minor: int, *, reference: str) -> None:
        self.asked[f"deposit {plan.name} {reference}"] += 1

    def collateral_minor(self, operator: str) -> int:
        return self.collateral

    def close_cycle(self, at_us: int) -> Any:
        self.cuts.append(at_us)
        return type(
            "Told", (), dict.fromkeys(("sequence", "records", "gross_minor", "net_minor"), 1)
        )


@dataclass
class FakeRadio:
    """An access point that lets everybody in who has money."""

    world: World

    async def attach(self, peer: Any) -> Attached | Rejected:
        self.world.attempts += 1
        if self.world.attempts % self.world.broke == 0:
            return Rejected(reason="no money")
        granted = bytes((GRANTED,)) + self.world.attempts.to_bytes(16, "big") + bytes(16)
        return Attached(
            classes=(b"\x01sealed", granted),
            cui=b"cui",
            user_name=None,
            session_timeout_s=1_500,
            interim_interval_s=300,
            keys_match=True,
            packet=None,  # type: ignore[arg-type]
        )

    async def report(self, report: Report, session: Attached) -> None:
        told = self.world.reports.setdefault(report.acct_session_id, [])
        told.append((self.world.now_us, report))


class FakeCast(Cast):
    """Everybody of the story, at access points without sockets."""

    def __init__(self, world: World) -> None:
        super().__init__(Script(seed=1), SeededEntropy(1))
        self._world = world

    def radio(self, nas_identifier: str) -> Any:
        return FakeRadio(self._world)


def made(seed: int, broke: int) -> tuple[World, Living]:
    world = World(broke)
    heard: list[str] = []
    lives = Living(
        FakeCast(world),
        world,  # type: ignore[arg-type]
        seed=seed,
        now_us=START_US,
        tell=heard.append,
        note=heard.append,
    )
    return world, lives


async def pass_minutes(lives: Living, minutes: int) -> None:
    for _ in range(minutes):
        await lives.minute()
        assert lives.present <= PRESENT_MAX


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), broke=st.integers(2, 9))
def test_three_hours_of_coming_and_going(seed: int, broke: int) -> None:
    """Counters never fall, interims come in time, a grant is kept to, each hour is cut once."""
    world, lives = made(seed, broke)
    asyncio.run(pass_minutes(lives, 180))
    assert world.cuts == [START_US + hour * CYCLE_US for hour in (1, 2, 3)]
    over = [told for told in world.reports.values() if told[-1][1].status is AcctStatus.STOP]
    assert len(over) > 20
    for told in world.reports.values():
        assert told[0][1].status is AcctStatus.START
        counts = [(r.session_time_s, r.octets_in, r.octets_out) for _, r in told[1:]]
        assert counts == sorted(counts)
        instants = [at_us for at_us, _ in told]
        pauses = [later - at_us for at_us, later in pairwise(instants)]
        assert all(0 < pause <= INTERIM_MINUTES * MINUTE_US for pause in pauses)
        assert instants[-1] - instants[0] < 1_500_000_000
    assert any(name.startswith("top up") for name in world.asked)
    assert max(world.asked.values()) == 1, "each payment has a reference of its own"


def test_who_roams_is_abroad_and_the_others_go_on() -> None:
    world, lives = made(7, broke=3)

    async def play() -> list[dict[str, Any]]:
        await pass_minutes(lives, 59)
        return [await lives.roam() for _ in range(20)]

    for told in asyncio.run(play()):
        person = lives._cast.people[told["person"]]
        abroad = [name for name in partners(person) if name != told["home"]]
        assert told["node"] in [node for name in abroad for node in nodes_of(name)]
        assert told["octets_out"] > 0
    assert world.cuts == [START_US + CYCLE_US], (
        "an hour that passes while somebody roams is settled"
    )
    assert any(told[-1][0] > START_US + CYCLE_US for told in world.reports.values())


def test_who_is_low_on_collateral_deposits_before_the_cut() -> None:
    world, lives = made(1, broke=9)
    world.collateral = living.COLLATERAL_LOW_MINOR - 1
    asyncio.run(pass_minutes(lives, 60))
    assert sum(name.startswith("deposit") for name in world.asked) == 4
    world.collateral += 1
    asyncio.run(pass_minutes(lives, 60))
    assert sum(name.startswith("deposit") for name in world.asked) == 4
