"""The network after the story: people come, use and go, and each hour a cycle settles.

A second of the clock on the wall is a minute here. Whoever has no money left is turned away, and
tops up.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Any

from opencarrier.access.terms_token import authorisation_of
from opencarrier.access.wire.dictionary import AcctStatus
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.sentences import Octets, sentence
from opencarrier.sim.cast import Cast, nodes_of, partners
from opencarrier.sim.radio import Attached, Rejected, Report
from opencarrier.sim.stage import Stage
from opencarrier.sim.story import (
    DEPOSIT_MINOR,
    USER_REQUEST,
    Tell,
    gets_on,
    leaves_after,
    money,
)
from opencarrier.sim.world import CYCLE_US, KIB, Person
from opencarrier.spine.ids import session_id

MINUTE_US = 60_000_000
MINUTE_S = 1.0
"""How long a minute takes."""

PRESENT_MAX = 24
ARRIVALS_MAX = 3
INTERIM_MINUTES = 5
STAY_MINUTES = (10, 55)
OCTETS_PER_MINUTE = (100 * KIB, 5_000 * KIB)
TOP_UP_MINOR = 20_000_000
COLLATERAL_LOW_MINOR = 100_000_000
ROAMED_MINUTES = 3


@dataclass(slots=True)
class _Stay:
    """Somebody's session at an access point, and what was used so far."""

    person: Person
    nas_identifier: str
    acct_session_id: str
    session: Attached
    since_us: int
    until_us: int
    octets_in: int = 0
    octets_out: int = 0


class Living:
    """Goes on until it is cancelled; `roam` makes one person's visit happen at once."""

    def __init__(
        self, cast: Cast, stage: Stage, *, seed: int, now_us: int, tell: Tell, note: Tell
    ) -> None:
        """`now_us` is a whole hour; `tell` hears of cycles, `note` of everything else."""
        assert now_us % CYCLE_US == 0, "a cycle begins now"
        self._cast = cast
        self._stage = stage
        self._random = Random(seed)  # noqa: S311 - a story, not a secret
        self._now_us = now_us
        self._tell = tell
        self._note = note
        self._stays: dict[str, _Stay] = {}
        self._count = 0
        self._turn = asyncio.Lock()

    @property
    def present(self) -> int:
        """How many are on."""
        return len(self._stays)

    async def run(self, minute_s: float = MINUTE_S) -> None:
        """Live on, a minute after the other."""
        loop = asyncio.get_running_loop()
        await self._cast.open(self._stage)
        try:
            while True:
                due_s = loop.time() + minute_s
                async with self._turn:
                    await self.minute()
                await asyncio.sleep(max(0.0, due_s - loop.time()))
        finally:
            self._cast.close()

    async def minute(self) -> None:
        """Let a minute pass: somebody comes, everybody uses, somebody goes; at the hour, settle."""
        self._now_us += MINUTE_US
        self._stage.set_time(self._now_us)
        for stay in tuple(self._stays.values()):
            await self._go_on(stay)
        for _ in range(self._random.randrange(ARRIVALS_MAX)):
            if self.present < PRESENT_MAX:
                await self._somebody_comes()
        if self._now_us % CYCLE_US == 0:
            await asyncio.to_thread(self._settle)

    async def roam(self) -> dict[str, Any]:
        """Have somebody visit another operator's node, use some minutes of it, and leave.

        Returns who was where, what was used, and the session's id.
        """
        async with self._turn:
            person = self._random.choice(self._away())
            abroad = [name for name in partners(person) if name != person.operator]
            node = self._random.choice(nodes_of(self._random.choice(abroad)))
            stay = await self._come(person, node) or await self._come(person, node)
            assert stay is not None, "who has topped up is let in"
            stay.until_us = self._now_us + ROAMED_MINUTES * MINUTE_US
            while person.name in self._stays:
                await self.minute()
            return _told(stay)

    def _away(self) -> list[Person]:
        """Whoever is prepaid and not on."""
        return [
            person
            for person in self._cast.people.values()
            if person.balance_minor and person.name not in self._stays
        ]

    async def _somebody_comes(self) -> None:
        person = self._random.choice(self._away())
        operator = self._random.choice(partners(person))
        await self._come(person, self._random.choice(nodes_of(operator)))

    async def _come(self, person: Person, nas_identifier: str) -> _Stay | None:
        outcome = await self._cast.radio(nas_identifier).attach(self._cast.peer(person))
        if isinstance(outcome, Rejected):
            await self._turned_away(person, outcome)
            return None
        self._count += 1
        minutes = self._random.randrange(*STAY_MINUTES)
        most_s = outcome.session_timeout_s
        if most_s is not None:
            minutes = min(minutes, max(most_s // 60 - 1, 1))
        stay = _Stay(
            person=person,
            nas_identifier=nas_identifier,
            acct_session_id=f"{nas_identifier}-live-{self._count:04x}",
            session=outcome,
            since_us=self._now_us,
            until_us=self._now_us + minutes * MINUTE_US,
        )
        self._stays[person.name] = stay
        await self._report(stay, AcctStatus.START)
        self._note(gets_on(person, nas_identifier))
        return stay

    async def _turned_away(self, person: Person, outcome: Rejected) -> None:
        reference = f"live/{person.imsi}/{self._now_us}"
        await asyncio.to_thread(
            lambda: self._stage.top_up(person, TOP_UP_MINOR, reference=reference)
        )
        self._note(
            sentence(
                "%(name)s is turned away; tops up %(amount)s",
                name=person.name,
                amount=money(TOP_UP_MINOR),
            )
        )

    async def _go_on(self, stay: _Stay) -> None:
        self._use(stay)
        if self._now_us >= stay.until_us:
            await self._leave(stay)
        elif (self._now_us - stay.since_us) // MINUTE_US % INTERIM_MINUTES == 0:
            await self._report(stay, AcctStatus.INTERIM_UPDATE)

    def _use(self, stay: _Stay) -> None:
        used = self._random.randrange(*OCTETS_PER_MINUTE)
        stay.octets_out += used
        stay.octets_in += used // 9

    async def _leave(self, stay: _Stay) -> None:
        await self._report(stay, AcctStatus.STOP)
        del self._stays[stay.person.name]
        used = Octets(stay.octets_out)
        self._note(leaves_after(stay.person.name, used, stay.nas_identifier))

    async def _report(self, stay: _Stay, status: AcctStatus) -> None:
        counts = status is not AcctStatus.START
        report = Report(
            status=status,
            acct_session_id=stay.acct_session_id,
            event_s=self._now_us // 1_000_000,
            session_time_s=(self._now_us - stay.since_us) // 1_000_000 if counts else None,
            octets_in=stay.octets_in if counts else None,
            octets_out=stay.octets_out if counts else None,
            terminate_cause=USER_REQUEST if status is AcctStatus.STOP else None,
        )
        await self._cast.radio(stay.nas_identifier).report(report, stay.session)

    def _settle(self) -> None:
        for plan in self._cast.operators.values():
            if self._stage.collateral_minor(plan.name) < COLLATERAL_LOW_MINOR:
                reference = f"live/{self._now_us}"
                self._stage.deposit(plan, DEPOSIT_MINOR, reference=reference)
                self._note(
                    sentence(
                        "%(operator)s deposits %(amount)s",
                        operator=plan.name,
                        amount=money(DEPOSIT_MINOR),
                    )
                )
        told = self._stage.close_cycle(self._now_us)
        self._tell(
            sentence(
                "Cycle %(number)s: %(records)s records, %(owed)s owed, %(moved)s moved",
                number=told.sequence,
                records=told.records,
                owed=money(told.gross_minor),
                moved=money(told.net_minor),
            )
        )


def _told(stay: _Stay) -> dict[str, Any]:
    named = map(authorisation_of, stay.session.classes)
    authorisation_id = next(one for one in named if one is not None)
    identifier = session_id(authorisation_id, stay.nas_identifier, stay.acct_session_id)
    return {
        "person": stay.person.name,
        "home": stay.person.operator,
        "node": stay.nas_identifier,
        "octets_in": stay.octets_in,
        "octets_out": stay.octets_out,
        "session_id": to_hex(identifier),
    }
