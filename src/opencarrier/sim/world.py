"""The demo's world: four operators, their hosts and nodes, forty people and what they will do.

Everything follows from the seed; nothing here does IO. Names are invented, the mobile network
codes come from ranges that the countries have not assigned.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

START_US = 1_767_603_600_000_000
"""Monday 2026-01-05 09:00 UTC, when the simulated day begins."""

SETUP_US = START_US - 60_000_000
"""When operators and subscribers are signed up; what is staked then is final before the day."""

CYCLE_US = 3_600_000_000
REWARDS_DELAY_US = 3_600_000_000
"""How long the last cycle's root may be vetoed before hosts are paid."""

CYCLES = 3
PEOPLE_PER_OPERATOR = 10
KIB = 1024

PEOPLE = (
    "Ada", "Amara", "Bo", "Chidi", "Dao", "Elif", "Fatou", "Goran", "Hana", "Imani", "Jun",
    "Kofi", "Lena", "Malik", "Nia", "Oskar", "Priya", "Quinn", "Rosa", "Sami", "Tove", "Uma",
    "Viktor", "Wanjiru", "Xin", "Yara", "Zola", "Aiko", "Brahim", "Celia", "Dina", "Emre",
    "Freya", "Gael", "Hugo", "Inga", "Jonas", "Keita", "Leila", "Mats",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorPlan:
    """An operator as the story knows it; prices are nano currency units per KiB."""

    name: str
    jurisdiction: str
    mcc: str
    mnc: str
    retail_nano: int
    wholesale_nano: int
    host_ppm: int
    tax_ppm: int

    @property
    def realm(self) -> str:
        """The 3GPP Wi-Fi realm of its SIMs (TS 23.003 section 14.2)."""
        return f"wlan.mnc{self.mnc.zfill(3)}.mcc{self.mcc}.3gppnetwork.org"

    @property
    def domain(self) -> str:
        """The realm of those that get on without a SIM."""
        return f"{self.name.lower().replace(' ', '-')}.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """An access point, its host and the operator it serves for."""

    nas_identifier: str
    host: str
    operator: str
    place: str
    """Latitude and longitude in degrees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A subscriber with a software SIM."""

    name: str
    imsi: str
    operator: str
    balance_minor: int
    pays: str = ""
    """Whom it pays as it uses: `home`, or `direct` the visited operator; empty: it is prepaid."""

    stake_minor: int = 0
    cloned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One stay at a node: cumulative counters at each interim, by cycle; the last ends it."""

    person: str
    nas_identifier: str
    first_cycle: int
    steps: tuple[tuple[Step, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What the access point reports at an instant of the simulated day."""

    event_us: int
    session_time_s: int
    octets_in: int
    octets_out: int


OPERATORS = (
    OperatorPlan(
        name="Lumen Mobile", jurisdiction="FR", mcc="208", mnc="93",
        retail_nano=5_200, wholesale_nano=1_900, host_ppm=600_000, tax_ppm=200_000,
    ),
    OperatorPlan(
        name="Baobab Telecom", jurisdiction="SN", mcc="608", mnc="97",
        retail_nano=3_100, wholesale_nano=1_200, host_ppm=700_000, tax_ppm=180_000,
    ),
    OperatorPlan(
        name="Fjord Networks", jurisdiction="NO", mcc="242", mnc="98",
        retail_nano=6_400, wholesale_nano=2_400, host_ppm=550_000, tax_ppm=250_000,
    ),
    OperatorPlan(
        name="Kite Wireless", jurisdiction="KE", mcc="639", mnc="96",
        retail_nano=2_800, wholesale_nano=1_000, host_ppm=650_000, tax_ppm=160_000,
    ),
)  # fmt: skip

NODES = tuple(
    NodePlan(nas_identifier=nas, host=host, operator=operator, place=place)
    for nas, host, operator, place in (
        ("cafe-lumiere-1", "Café Lumière", "Lumen Mobile", "48.86,2.34"),
        ("cafe-lumiere-2", "Café Lumière", "Lumen Mobile", "48.85,2.36"),
        ("gare-nord-hall", "Gare Nord Kiosk", "Lumen Mobile", "48.88,2.36"),
        ("marche-sandaga-1", "Sandaga Market", "Baobab Telecom", "14.67,-17.44"),
        ("marche-sandaga-2", "Sandaga Market", "Baobab Telecom", "14.68,-17.44"),
        ("ferry-goree", "Gorée Ferry", "Baobab Telecom", "14.67,-17.42"),
        ("bryggen-hostel", "Bryggen Hostel", "Fjord Networks", "60.40,5.32"),
        ("flam-railway-1", "Flåm Railway", "Fjord Networks", "60.86,7.11"),
        ("flam-railway-2", "Flåm Railway", "Fjord Networks", "60.73,7.12"),
        ("kilimani-clinic", "Kilimani Clinic", "Kite Wireless", "-1.29,36.78"),
        ("maasai-market-1", "Maasai Market", "Kite Wireless", "-1.27,36.81"),
        ("maasai-market-2", "Maasai Market", "Kite Wireless", "-1.28,36.82"),
    )
)

ROAMING = tuple(
    (home.name, visited.name)
    for i, home in enumerate(OPERATORS)
    for visited in (home, OPERATORS[(i + 1) % 4], OPERATORS[(i + 2) % 4])
)
"""Who has an agreement with whom: oneself and two neighbours, so that debts run in circles."""


PAYERS = {
    "Bo": "home", "Chidi": "direct", "Lena": "home", "Uma": "home", "Xin": "direct", "Emre": "home",
}  # fmt: skip
"""Whose phones pay as they use, from a channel instead of a balance."""

WALLET_MINOR = 20_000_000
CHANNEL_MINOR = 5_000_000
"""What such a phone has on chain, and what it puts into a channel."""

STAKERS = {"Ada": 200_000_000}
"""Who locks the settlement coin for a discount, and how much of it."""


def people() -> tuple[Person, ...]:
    """Return forty subscribers: most prepaid, some who pay as they use, one without money.

    One of the prepaid stakes, one more carries a cloned SIM.
    """
    made = []
    for number, name in enumerate(PEOPLE):
        operator = OPERATORS[number // PEOPLE_PER_OPERATOR]
        pays = PAYERS.get(name, "")
        made.append(
            Person(
                name=name,
                imsi=f"{operator.mcc}{operator.mnc}{number + 1:010d}",
                operator=operator.name,
                balance_minor=0 if pays or name == "Quinn" else 30_000_000,
                pays=pays,
                stake_minor=STAKERS.get(name, 0),
            )
        )
    return tuple(made)


def clone_of(person: Person) -> Person:
    """Return a thief with the person's IMSI and a guessed key."""
    return Person(
        name=f"a clone of {person.name}",
        imsi=person.imsi,
        operator=person.operator,
        balance_minor=0,
        cloned=True,
    )


def visits(seed: int) -> tuple[Visit, ...]:
    """Return who goes where in which cycle; every fifth stay lasts into the next cycle.

    Who staked or pays as it uses goes out in every one.
    """
    random = Random(seed)  # noqa: S311 - a story, not a secret
    planned: list[Visit] = []
    for cycle in range(CYCLES):
        for number, person in enumerate(people()):
            if person.balance_minor == 0 and not person.pays:
                continue
            if planned_past(planned, person.name, cycle):
                continue
            if random.random() < 0.35 and not (person.stake_minor or person.pays):
                continue
            partners = [visited for home, visited in ROAMING if home == person.operator]
            operator = random.choice(partners)
            node = random.choice([n for n in NODES if n.operator == operator])
            lasts = 2 if number % 5 == 0 and cycle + 1 < CYCLES else 1
            steps = tuple(_steps(random, cycle, lasts))
            planned.append(
                Visit(
                    person=person.name,
                    nas_identifier=node.nas_identifier,
                    first_cycle=cycle,
                    steps=steps,
                )
            )
    return tuple(planned)


def planned_past(planned: list[Visit], name: str, cycle: int) -> bool:
    """Say whether a person is still at a node when a cycle begins."""
    return any(v.person == name and v.first_cycle + len(v.steps) > cycle for v in planned)


def _steps(random: Random, cycle: int, lasts: int) -> list[tuple[Step, ...]]:
    arrived_us = START_US + cycle * CYCLE_US + random.randrange(60, 600) * 1_000_000
    time_s, octets_in, octets_out = 0, 0, 0
    result = []
    for part in range(lasts):
        part_end_us = START_US + (cycle + part + 1) * CYCLE_US
        reports = []
        for _ in range(random.randrange(2, 5)):
            time_s += random.randrange(300, 700)
            octets_in += random.randrange(200, 6_000) * KIB + random.randrange(KIB)
            octets_out += random.randrange(2_000, 60_000) * KIB + random.randrange(KIB)
            if part:
                time_s = max(time_s, (part_end_us - CYCLE_US - arrived_us) // 1_000_000 + 60)
            event_us = min(arrived_us + time_s * 1_000_000, part_end_us - 1_000_000)
            time_s = (event_us - arrived_us) // 1_000_000
            reports.append(
                Step(
                    event_us=event_us,
                    session_time_s=time_s,
                    octets_in=octets_in,
                    octets_out=octets_out,
                )
            )
        result.append(tuple(reports))
    return result
