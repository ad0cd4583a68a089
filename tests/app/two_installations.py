"""Two installations that know each other by cards, an agreement both signed, and a line between.

Nothing is shared: each has a database and meters of its own, and calls a session by its own id.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from opencarrier.app.bootstrap import Installation, open_installation
from opencarrier.app.config import Settings
from opencarrier.app.exchanger import Exchanger
from opencarrier.app.exchanging import PeerUnavailableError, exchanges
from opencarrier.app.folder import Folder
from opencarrier.app.partnering import add_partner, card, read_card, take_card
from opencarrier.app.terms import Terms, draft_agreement
from opencarrier.clearing.exchange.partners import Partner
from opencarrier.clearing.exchange.party import Party
from opencarrier.clearing.model import Policy
from opencarrier.clearing.netting import NettingMode
from opencarrier.clearing.service import ClearingService, Ports
from opencarrier.identity.model import PartyKind
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import derive
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.rating.agreements.rows import AnyAgreement
from opencarrier.spine.parties import Operator
from opencarrier.spine.usage import Counters, Observation, Status

START_US = 1_767_603_600_000_000
SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
ASSET = AssetId("eip155:1/erc20:0x00000000000000000000000000000000000000ee")
NODE = "cafe-1"
TERMS = Terms(unit="octets_total", step=1024, price_nano=1_000_000, minimum_minor=0, tax_ppm=0)
"""1,000 minor units for 1,024 octets."""


def taken(outcome):
    assert not isinstance(outcome, Refusal), outcome
    return outcome


Draft = Callable[["Side", "Side"], AnyAgreement]

NOBODY = Operator(party_id="op_", name="", address="0x", jurisdiction="ZZ", realms=(), plmns=())


@dataclass
class Side:
    """One installation: its own operator, and the other's as it knows it."""

    base: Installation
    clock: FixedClock
    own: Operator = NOBODY
    peer: Operator = NOBODY
    cycles: int = 0

    @property
    def clearing(self) -> ClearingService:
        base = self.base
        ports = Ports(
            rater=base.rating,
            directory=base.identity.directory,
            members=base.identity.directory,
            notary=base.identity.notary,
            entropy=base.entropy,
        )
        return ClearingService(
            ports,
            asset=ASSET,
            mode=NettingMode.BILATERAL,
            policy=Policy(
                one_sided_window_us=base.settings.one_sided_window_s * SECOND_US,
                one_sided_cap_minor=10**12,
            ),
        )

    def meter(
        self,
        name: str,
        octets: int,
        *,
        at_s: int = 60,
        home: Operator,
        visited: Operator,
        status: Status = Status.STOP,
    ) -> None:
        """Record what this side's meter says of a session; the home's names its authorisation."""
        is_home = home.party_id == self.own.party_id
        seen = Observation(
            status=status,
            home=home.party_id,
            visited=visited.party_id,
            nas_key=NODE,
            node_id=NODE,
            authorisation_id=derive("test/authorisation", name)[:16] if is_home else None,
            acct_session_id=name,
            counters=Counters(session_time_s=at_s, octets_in=0, octets_out=octets),
            subject="pseudonym",
            event_us=START_US + at_s * SECOND_US,
            terminate_cause=1,
            reporter=visited.party_id,
            source="test",
            packet_digest=bytes(32),
        )
        with self.base.store.write() as unit:
            self.base.usage.record(unit, [seen])

    def cycle(self, hour: int) -> None:
        """Cut, rate and make positions at an hour; nothing is settled."""
        at_us = START_US + hour * HOUR_US
        self.clock.set(at_us)
        cycle = derive("test/cycle", self.own.party_id, self.cycles)
        self.cycles += 1
        with self.base.store.write() as unit:
            usages = self.base.usage.cut(unit, cycle_id=cycle, cut_us=at_us)
            charges, waits = self.base.rating.rate(unit, cycle_id=cycle, usages=usages, at_us=at_us)
            assert not waits, waits
            self.clearing.take(unit, cycle_id=cycle, charges=charges, cut_us=at_us)

    def newest(self) -> Party:
        """Return where our side of the newest exchange stands."""
        with self.base.store.read() as unit:
            service = exchanges(self.base)
            found = service.newest(unit, self.partner.terms(0))
            assert found is not None, "an exchange was opened"
            return taken(service.find(unit, found.terms.exchange_id))

    @property
    def partner(self) -> Partner:
        return Partner(
            domain="opencarrier/live",
            asset=ASSET,
            own=self.own.address,
            peer=self.peer.address,
            tolerance_ppm=30_000,
            url="",
        )


@dataclass
class Line:
    """What carries messages between sides; `lost_ppm` of questions and of answers do not arrive.

    Some come twice, and some of those that were lost come later after all.
    """

    sides: dict[str, Side]
    random: Random
    lost_ppm: int = 0
    asked: int = 0
    late: list[tuple[str, bytes]] = field(default_factory=list)

    def send(self, url: str, octets: bytes) -> bytes:
        self.asked += 1
        if self._happens():
            self.late.append((url, octets))
            raise PeerUnavailableError("lost")
        answer = self._deliver(url, octets)
        if self._happens():
            self._deliver(url, octets)
        if self.late and self._happens():
            self._late()
        if self._happens():
            raise PeerUnavailableError("the answer is lost")
        return answer

    def _late(self) -> None:
        try:
            self._deliver(*self.late.pop(self.random.randrange(len(self.late))))
        except (PeerUnavailableError, PeerError):
            return

    def _deliver(self, url: str, octets: bytes) -> bytes:
        base = self.sides[url].base
        with base.store.write() as unit:
            answer = exchanges(base).answer(unit, octets)
        if isinstance(answer, Refusal):
            raise PeerUnavailableError(str(answer))
        return answer

    def _happens(self) -> bool:
        return self.random.randrange(1_000_000) < self.lost_ppm


@dataclass
class Two:
    """Lumen is the home, Borea is visited; both exchange with each other."""

    lumen: Side
    borea: Side
    line: Line

    def both(self) -> tuple[Side, Side]:
        return self.lumen, self.borea

    def meter(self, name: str, octets: int, *, borea: int | None = None, **more) -> None:
        """Both meter a session; Borea's meter may say another thing, or -1: nothing."""
        for side, seen in ((self.lumen, octets), (self.borea, octets if borea is None else borea)):
            if seen >= 0:
                side.meter(name, seen, home=self.lumen.own, visited=self.borea.own, **more)

    def talk(self, ticks: int = 12) -> None:
        """Let both daemons' exchanges go on for a while."""
        rounds = [Exchanger(side.base, self.line.send) for side in self.both()]
        for _ in range(ticks):
            for side, exchanger in zip(self.both(), rounds, strict=True):
                side.clock.set(side.clock.now_us() + 10 * SECOND_US)
                exchanger.tick()


@contextmanager
def two_installations(
    root: Path, *, seed: int = 1, draft: Draft | None = None, **settings: int
) -> Iterator[Two]:
    """Set both up, each in its folder: copies of those set up before in the same way.

    `draft` makes the agreement of the two, from the creditor's side; else it is `TERMS`.
    """
    key = (seed, draft, *sorted(settings.items()))
    model = _models.get(key)
    if model is None:
        model = _models[key] = _Model(TemporaryDirectory(prefix="two"))
        with _sides(Path(model.folder.name), seed, settings) as made:
            for side, (name, country) in zip(made, NAMES, strict=True):
                side.own = _found(side, name, country)
            _introduce(*made)
            _agree(*made, draft or _tariff)
            model.parties = [(side.own, side.peer) for side in made]
    shutil.copytree(model.folder.name, root, dirs_exist_ok=True)
    with _sides(root, seed + 100, settings) as made:
        for side, (own, peer) in zip(made, model.parties, strict=True):
            side.own, side.peer = own, peer
        lumen, borea = made
        line = Line({"http://lumen": lumen, "http://borea": borea}, Random(seed))
        yield Two(lumen, borea, line)


NAMES = (("Lumen", "FR"), ("Borea", "NO"))


@dataclass
class _Model:
    """Two installations that were set up and closed, and who the operators are."""

    folder: TemporaryDirectory[str]
    parties: list[tuple[Operator, Operator]] = field(default_factory=list)


_models: dict[tuple[object, ...], _Model] = {}


@contextmanager
def _sides(root: Path, seed: int, settings: dict[str, int]) -> Iterator[list[Side]]:
    made: list[Side] = []
    try:
        for number, (name, _) in enumerate(NAMES):
            clock = FixedClock(START_US)
            base = open_installation(
                Folder(root / name),
                Settings(**{"cycle_s": 0, "one_sided_window_s": 86_400, **settings}),
                clock=clock,
                entropy=SeededEntropy(seed + number),
            )
            made.append(Side(base, clock))
        yield made
    finally:
        for side in made:
            side.base.close()


def _found(side: Side, name: str, country: str) -> Operator:
    register = side.base.identity.register
    with side.base.store.write() as unit:
        own = taken(register.add_operator(unit, name=name, jurisdiction=country))
        taken(register.add_party(unit, kind=PartyKind.TAX, name=f"tax {country}"))
    return own


def _introduce(lumen: Side, borea: Side) -> None:
    """Exchange cards, name each other partners, and register the node both meter at."""
    for side, other in ((lumen, borea), (borea, lumen)):
        with other.base.store.read() as unit:
            text = json.dumps(taken(card(other.base, unit, other.own.name)))
        with side.base.store.write() as unit:
            side.peer = taken(take_card(side.base, unit, read_card(text)))
            assert taken(take_card(side.base, unit, read_card(text))) == side.peer
            taken(
                add_partner(
                    side.base,
                    unit,
                    own=side.own,
                    peer=side.peer,
                    asset=ASSET,
                    url="http://" + other.own.name.lower(),
                    tolerance_ppm=30_000,
                )
            )
            host = taken(side.base.identity.register.add_host(unit, name="Cafe"))
            taken(
                side.base.identity.register.add_node(
                    unit, node_id=NODE, operator=borea.own.party_id, host=host.party_id
                )
            )


def _tariff(lumen: Side, borea: Side) -> AnyAgreement:
    with borea.base.store.read() as unit:
        return taken(
            draft_agreement(
                borea.base,
                unit,
                ASSET,
                home="Lumen",
                visited="Borea",
                terms=TERMS,
                host_ppm=600_000,
                protocol_ppm=10_000,
            )
        )


def _agree(lumen: Side, borea: Side, draft: Draft) -> None:
    """The creditor writes the agreement, both sign it, both add it."""
    agreement = draft(lumen, borea)
    signatures = []
    for side in (lumen, borea):
        with side.base.store.read() as unit:
            signatures += side.base.rating.sign_agreement(
                unit, agreement, side.base.identity.notary
            )
    for side in (lumen, borea):
        with side.base.store.write() as unit:
            taken(side.base.rating.add_agreement(unit, agreement, signatures, at_us=START_US))
