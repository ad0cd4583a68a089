"""A small installation for tests: two operators, a host, a subscriber, real rooms, real chain."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain, onchain, open_installation
from opencarrier.app.config import Settings
from opencarrier.app.errands import Errands, top_up
from opencarrier.app.folder import Folder
from opencarrier.app.terms import Limits, Terms, draft_agreement, draft_plan
from opencarrier.identity.model import PartyKind, SimKeys
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.refusals import Refusal
from opencarrier.settlement.model import CycleClosed
from opencarrier.spine.access import AuthorisationRequest, Grant
from opencarrier.spine.parties import Node, Operator, Subscriber
from opencarrier.spine.spans import UNRECORDED, Spans
from opencarrier.spine.usage import Counters, Observation, Status

START_US = 1_767_603_600_000_000
SECOND_US = 1_000_000
IMSI = "208930000000001"
K = bytes(range(16))
OPC = bytes(range(16, 32))
DEPOSIT_MINOR = 100_000_000
LATER = (
    *("cycle_s", "payment_wait_s", "retention_days", "steering_margin_ppm"),
    *("webhook_networks", "radius_port", "acct_port", "http_port"),
)
"""Settings that no contract is put up with: scenes that differ in these begin as one."""


@dataclass
class Scene:
    """The installation and the parties a test plays with."""

    place: Onchain
    clock: FixedClock
    home: Operator
    visited: Operator
    node: Node
    subscriber: Subscriber
    closed: CycleClosed | None = None

    @property
    def errands(self) -> Errands:
        return Errands(self.place)

    def authorise(self) -> Grant:
        with self.place.base.store.write() as unit:
            grant = self.place.base.rating.authorise(
                unit,
                AuthorisationRequest(
                    subscriber=self.subscriber,
                    visited=self.visited.party_id,
                    node=self.node,
                    at_us=self.clock.now_us(),
                ),
            )
        assert isinstance(grant, Grant), grant
        return grant

    def use(
        self,
        name: str,
        *,
        octets: int,
        grant: Grant | None,
        seconds: int = 600,
        status: Status = Status.STOP,
        ended_s: int | None = None,
    ) -> None:
        """Record one session's last report; it began now, or ended so many seconds from now."""
        observation = Observation(
            status=status,
            home=self.home.party_id,
            visited=self.visited.party_id,
            nas_key=self.node.nas_identifier,
            node_id=self.node.node_id,
            authorisation_id=None if grant is None else grant.authorisation_id,
            acct_session_id=name,
            counters=Counters(session_time_s=seconds, octets_in=octets // 10, octets_out=octets),
            subject="pseudonym",
            event_us=self.clock.now_us() + (seconds if ended_s is None else ended_s) * SECOND_US,
            terminate_cause=1,
            reporter=self.visited.party_id,
            source="test",
            packet_digest=bytes(32),
        )
        with self.place.base.store.write() as unit:
            self.place.base.usage.record(unit, [observation])

    def settle(self) -> int:
        """Move an hour on, close the cycle, drive it to its end; return its sequence."""
        self.clock.set(self.clock.now_us() + 3_600 * SECOND_US)
        closed = self.errands.close(self.clock.now_us())
        assert not isinstance(closed, Refusal), closed
        self.closed = closed
        for _ in range(20):
            if self.errands.drive().is_settled:
                break
        self.errands.follow()
        return closed.cycle.sequence


def taken(outcome):
    assert not isinstance(outcome, Refusal), outcome
    return outcome


@contextmanager
def scene(
    root: Path, *, seed: int = 1, spans: Spans = UNRECORDED, **settings: object
) -> Iterator[Scene]:
    """Set a small installation up in a folder: a copy of the one set up before in the same way.

    What is made afterwards follows from the seed as if it had been set up here.
    """
    chosen = Settings(**{"cycle_s": 0, "one_sided_window_s": 3_600, **settings})
    if chosen.database or Folder(root).begun:
        with _opened(root, chosen, SeededEntropy(seed), spans) as place:
            yield furnish(place, place.base.clock)
        return
    model = _model(_begun(chosen), seed)
    shutil.copytree(model.folder.name, root, dirs_exist_ok=True)
    with _opened(root, chosen, deepcopy(model.entropy), spans) as place:
        yield replace(model.scene, place=place, clock=place.base.clock)


@dataclass(frozen=True)
class _Model:
    """A scene that was set up and closed, and the randomness it would go on with."""

    folder: TemporaryDirectory[str]
    scene: Scene
    entropy: SeededEntropy


@cache
def _model(chosen: Settings, seed: int) -> _Model:
    folder, entropy = TemporaryDirectory(prefix="scene"), SeededEntropy(seed)
    with _opened(Path(folder.name), chosen, entropy) as place:
        made = furnish(place, place.base.clock)
    return _Model(folder, made, entropy)


def _begun(chosen: Settings) -> Settings:
    usual = {one.name: one.default for one in fields(Settings) if one.name in LATER}
    return replace(chosen, **usual)


@contextmanager
def _opened(
    root: Path, settings: Settings, entropy: SeededEntropy, spans: Spans = UNRECORDED
) -> Iterator[Onchain]:
    clock = FixedClock(START_US)
    base = open_installation(Folder(root), settings, clock=clock, entropy=entropy, spans=spans)
    try:
        with onchain(base) as place:
            yield place
    finally:
        base.close()


def furnish(place: Onchain, clock: FixedClock) -> Scene:
    base, identity = place.base, place.base.identity
    with base.store.write() as unit:
        home = taken(
            identity.register.add_operator(unit, name="Home", jurisdiction="FR", plmns=["20893"])
        )
        visited = taken(
            identity.register.add_operator(unit, name="Visited", jurisdiction="SN", plmns=["60897"])
        )
        for country in ("FR", "SN"):
            taken(identity.register.add_party(unit, kind=PartyKind.TAX, name=f"tax {country}"))
        host = taken(identity.register.add_host(unit, name="Host"))
        node = taken(
            identity.register.add_node(
                unit, node_id="node-1", operator=visited.party_id, host=host.party_id
            )
        )
        _agree(place, unit)
        subscriber = _subscribe(place, unit, home)
    made = Scene(place, clock, home, visited, node, subscriber)
    for operator in (home, visited):
        taken(made.errands.deposit(operator, DEPOSIT_MINOR, reference="scene"))
    return made


def _agree(place: Onchain, unit: Connection) -> None:
    base, asset = place.base, place.manifest.asset
    terms = Terms(
        unit="octets_total", step=1024, price_nano=1_900, minimum_minor=0, tax_ppm=180_000
    )
    for debtor, creditor in (("Home", "Visited"), ("Home", "Home"), ("Visited", "Home")):
        agreement = taken(
            draft_agreement(
                base,
                unit,
                asset,
                home=debtor,
                visited=creditor,
                terms=terms,
                host_ppm=600_000,
                protocol_ppm=10_000,
            )
        )
        signatures = base.rating.sign_agreement(unit, agreement, base.identity.notary)
        taken(base.rating.add_agreement(unit, agreement, signatures, at_us=START_US))


def _subscribe(place: Onchain, unit: Connection, home: Operator) -> Subscriber:
    base, asset = place.base, place.manifest.asset
    subscriptions = base.identity.subscriptions
    plan = draft_plan(
        base,
        unit,
        asset,
        operator="Home",
        plan_id="prepaid",
        terms=Terms(
            unit="octets_total", step=1024, price_nano=5_200, minimum_minor=0, tax_ppm=200_000
        ),
        limits=Limits(rate_cap_octets_per_s=250_000, session_s_max=3_600, interim_s=300),
    )
    taken(base.rating.add_plan(unit, taken(plan), at_us=START_US))
    made = taken(subscriptions.add(unit, name="Ada", home=home.party_id, plan_id="prepaid"))
    party = made.party_id
    keys = SimKeys(K, OPC)
    taken(subscriptions.add_credential(unit, subscriber=party, imsi=IMSI, keys=keys))
    taken(
        top_up(
            unit,
            asset,
            subscriber=party,
            home=home.party_id,
            amount_minor=50_000_000,
            reference="scene",
            at_us=START_US,
            announcer=base.webhooks,
        )
    )
    return made
