"""The test bench with the real rooms behind it: identity, usage and the product's own store."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from tests.access.fakes import IMSI, KEYS, NAS, NOW_US, OPC, SECRET, FakePolicy, K

from opencarrier.access.model import AccessSettings
from opencarrier.access.service import AccessPorts, AccessService
from opencarrier.app.store import Store
from opencarrier.identity import store as identity_store
from opencarrier.identity.model import SimKeys
from opencarrier.identity.sealing import FileSealingKey
from opencarrier.identity.service import Identity
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.refusals import Refusal
from opencarrier.usage import tables as usage_tables
from opencarrier.usage.service import UsageService

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

    def service(self) -> AccessService:
        ports = AccessPorts(
            units=self.store,
            directory=self.identity.directory,
            vectors=self.identity.authentication,
            policy=self.policy,
            sink=self.usage,
            clock=self.clock,
            entropy=SeededEntropy(8),
        )
        return AccessService(ports, KEYS, AccessSettings())
