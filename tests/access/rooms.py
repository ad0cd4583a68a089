"""The test bench with the real rooms behind it: identity, usage and the product's own store."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from tests.access.fakes import IMSI, KEYS, NAS, NOW_US, OPC, SECRET, FakePolicy, K

from opencarrier.access.hub import store as hub_store
from opencarrier.access.hub.dialling import Dialler
from opencarrier.access.model import AccessSettings
from opencarrier.access.service import AccessPorts, AccessService
from opencarrier.app.store import Store
from opencarrier.app.system import SystemClock
from opencarrier.identity import store as identity_store
from opencarrier.identity.model import SimKeys
from opencarrier.identity.routing import read_server
from opencarrier.identity.sealing import FileSealingKey
from opencarrier.identity.service import Identity
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import Route, RouteKind
from opencarrier.usage import tables as usage_tables
from opencarrier.usage.service import UsageService

AWAY = "away.example"
T = TypeVar("T")


def made(answer: T | Refusal) -> T:
    assert not isinstance(answer, Refusal), answer
    return answer


class Rooms:
    """An installation with one home, one visited operator, a node and a SIM."""

    def __init__(self, database: Path) -> None:
        self.store = Store(database)
        self.clock = FixedClock(NOW_US)
        self.usage = UsageService()
        self.policy = FakePolicy()
        entropy = SeededEntropy(7)
        self.identity = Identity(
            FileSealingKey(entropy.octets("sealing-key", 64)), clock=self.clock, entropy=entropy
        )
        with self.store.write() as unit:
            identity_store.metadata.create_all(unit)
            usage_tables.metadata.create_all(unit)
            hub_store.metadata.create_all(unit)
        self._populate()

    def _populate(self) -> None:
        identity = self.identity
        with self.store.write() as unit:
            home = made(
                identity.register.add_operator(
                    unit, name="home", jurisdiction="DE", plmns=("00101",)
                )
            )
            visited = made(identity.register.add_operator(unit, name="visited", jurisdiction="FR"))
            host = made(identity.register.add_host(unit, name="cafe"))
            made(
                identity.register.add_node(
                    unit, node_id=NAS, operator=visited.party_id, host=host.party_id
                )
            )
            made(
                identity.clients.add(
                    unit, prefix="127.0.0.0/8", secret=SECRET, operator=visited.party_id
                )
            )
            person = made(
                identity.subscriptions.add(
                    unit, name="somebody", home=home.party_id, plan_id="basic"
                )
            )
            made(
                identity.subscriptions.add_credential(
                    unit, subscriber=person.party_id, imsi=IMSI, keys=SimKeys(k=K, opc=OPC)
                )
            )

    def service(self, home_port: int = 0) -> AccessService:
        """Serve; with a port the realm AWAY is passed on to a home there."""
        more: dict[str, Any] = {}
        if home_port:
            clock = SystemClock()
            self._route_away(home_port)
            more = {"connect": Dialler(None, clock=clock, entropy=SeededEntropy(9)).connect}
            self.clock = clock  # type: ignore[assignment]
        ports = AccessPorts(
            units=self.store,
            directory=self.identity.directory,
            vectors=self.identity.authentication,
            policy=self.policy,
            sink=self.usage,
            clock=self.clock,
            entropy=SeededEntropy(8),
            **more,
        )
        return AccessService(ports, KEYS, AccessSettings())

    def _route_away(self, home_port: int) -> None:
        route = Route(pattern=AWAY, kind=RouteKind.UPSTREAM, upstream=AWAY)
        server = made(read_server(f"udp://127.0.0.1:{home_port}", SECRET))
        with self.store.write() as unit:
            made(self.identity.routing.add(unit, route, [server]))
