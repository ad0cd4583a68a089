"""A server's TLS side and devices to try it with: one federation, EC and RSA, made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from tests.access.fakes import HOME, NODE, NOW_US, SUBSCRIBER, VISITED

from opencarrier.access.wire import eap
from opencarrier.access.wire.tls_material import TlsLimits, TlsMaterial
from opencarrier.access.wire.tls_method import EapTls, TlsMachine
from opencarrier.access.wire.tls_server import TlsServer
from opencarrier.access.wire.ttls_method import EapTtls
from opencarrier.identity.pki import issue
from opencarrier.identity.pki.model import DAY_S, Algorithm, Holder, Revoked, Role, Wanted
from opencarrier.kernel.clock import SECOND_US, FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import derive
from opencarrier.kernel.money import AssetId, Money
from opencarrier.kernel.passwords import nt_hash
from opencarrier.sim.tls_peer import Login, TlsDevice, TlsPeer, Trust
from opencarrier.spine.access import Grant

TLS_REALM = "home.example"
OUTER = f"anonymous@{TLS_REALM}"
PASSWORD = "correct horse"
USER = "alice"
ENTROPY = SeededEntropy(11)


@dataclass(frozen=True)
class Pki:
    """One branch of a federation with a server and subscribers under it."""

    branch: Any
    server: Holder
    client: Holder
    now_us: int

    @property
    def anchors(self) -> bytes:
        return self.branch.root.certificate_pem

    def subscriber(self, name: str, **changes: Any) -> Holder:
        kind = {"algorithm": Algorithm.EC, "now_us": self.now_us}
        return _end(self.branch.issuing, Role.SUBSCRIBER, name, **{**kind, **changes})

    def revocations(self, *revoked: Holder, valid_s: int = DAY_S) -> bytes:
        """Lists of the root, the policy and the issuing authority."""
        now_us = self.now_us
        gone = [Revoked(one.certificate.serial_number, now_us) for one in revoked]
        lists = [
            issue.revocation_list(
                holder,
                gone if holder is self.branch.issuing else [],
                number=1,
                now_us=now_us,
                valid_s=valid_s,
            )
            for holder in (self.branch.root, self.branch.policy, self.branch.issuing)
        ]
        return b"".join(one.public_bytes(Encoding.PEM) for one in lists)


@cache
def pki(algorithm: Algorithm = Algorithm.EC, now_us: int = NOW_US) -> Pki:
    began_us = now_us - DAY_S * SECOND_US
    branch = issue.branch(1, entropy=ENTROPY, now_us=began_us, algorithm=algorithm)
    at: dict[str, Any] = {"algorithm": algorithm, "now_us": now_us}
    server = _end(branch.issuing, Role.SERVER, "aaa.home.example", **at)
    client = _end(branch.issuing, Role.SUBSCRIBER, "somebody", **at)
    return Pki(branch, server, client, now_us)


def _end(
    issuer: Holder, role: Role, name: str, *, algorithm: Algorithm, now_us: int, **changes: Any
) -> Holder:
    server = role is Role.SERVER
    names: dict[str, Any] = {"dns_names": (name,)} if server else {"nai": f"{name}@{TLS_REALM}"}
    wanted = replace(Wanted(role=role, common_name=name, **names), **changes)
    made = issue.issue(issuer, wanted, algorithm=algorithm, entropy=ENTROPY, now_us=now_us)
    assert isinstance(made, Holder), made
    return made


def material(world: Pki, **changes: Any) -> TlsMaterial:
    made = TlsMaterial(
        chain=world.server.chain_pem, key=world.server.key_pem, anchors=world.anchors
    )
    return replace(made, **changes)


@dataclass
class Source:
    """Certificates that a test can swap."""

    material: TlsMaterial

    def current(self) -> TlsMaterial:
        return self.material


@dataclass
class Home:
    """Answers needs in memory: who is let in, by certificate or password."""

    passwords: dict[str, str] = field(default_factory=lambda: {USER: PASSWORD})
    barred: set[str] = field(default_factory=set)
    asked: list[eap.Effect] = field(default_factory=list)
    granted: list[str] = field(default_factory=list)

    def __call__(self, need: eap.Effect) -> eap.Answer:
        self.asked.append(need)
        if isinstance(need, eap.NeedPassword):
            known = self.passwords.get(need.username)
            return eap.Secret(nt_hash(known) if known is not None else bytes(16))
        assert isinstance(need, eap.Authorise)
        assert len(need.emsk) == 64
        if need.realm != TLS_REALM or need.credential.value in self.barred:
            return eap.Refused("subscriber_unknown", permanent=True)
        self.granted.append(need.credential.value)
        return grant(len(self.granted))


def grant(number: int) -> Grant:
    return Grant(
        authorisation_id=derive("test/authorisation", number)[:16],
        home=HOME,
        visited=VISITED,
        node_id=NODE.node_id,
        subscriber=SUBSCRIBER,
        wholesale_tariff_hash=b"w" * 32,
        retail_tariff_hash=b"t" * 32,
        hold=Money(AssetId("test/EUR"), 1_000_000),
        session_timeout_s=3600,
        interim_interval_s=60,
        granted_us=NOW_US,
        expires_us=NOW_US + 3_600_000_000,
    )


@dataclass
class Scene:
    """A server, its home and its certificates, and attempts against it."""

    world: Pki = field(default_factory=pki)
    limits: TlsLimits = field(default_factory=TlsLimits)
    home: Home = field(default_factory=Home)
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW_US))
    source: Source = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.source = self.source or Source(material(self.world))
        self.server = TlsServer(self.source, self.clock, self.limits)

    def device(self, version: str = "1.3", holder: Holder | None = None) -> TlsDevice:
        """A device with a client certificate."""
        held = holder or self.world.client
        return TlsDevice(
            Trust(
                anchors=self.world.anchors,
                chain=held.chain_pem,
                key=held.key_pem,
                version=version,
                at_us=self.clock.now_us(),
            )
        )

    def plain_device(self, version: str = "1.3") -> TlsDevice:
        """A device without one."""
        at_us = self.clock.now_us()
        return TlsDevice(Trust(anchors=self.world.anchors, version=version, at_us=at_us))

    def later(self, seconds: int) -> None:
        """Let time pass."""
        self.clock.set(self.clock.now_us() + seconds * SECOND_US)

    def machine(
        self, method: int, client: str = "client_1", octets_max: int = eap.EAP_OCTETS_MAX
    ) -> TlsMachine:
        kind = EapTls if method == eap.EapType.TLS else EapTtls
        return kind(self.server, eap.Link(client, octets_max))

    def attempt(
        self, device: TlsDevice, login: Login | None = None, *, outer: str = OUTER
    ) -> Attempt:
        """Carry one attempt through to its end."""
        peer = TlsPeer(device=device, outer=outer, entropy=ENTROPY, login=login)
        return carry(peer, self.machine(peer.type), self.home)


@dataclass
class Attempt:
    """How an attempt ended, on both sides."""

    peer: TlsPeer
    effect: eap.Effect
    requests: int
    flights: list[bytes]

    @property
    def keys_match(self) -> bool:
        assert isinstance(self.effect, eap.Succeed), self.effect
        assert self.peer.keys is not None
        return self.effect.msk == self.peer.keys.msk

    @property
    def reason(self) -> str:
        assert isinstance(self.effect, eap.Fail), self.effect
        return self.effect.reason


Home_ = Callable[[eap.Effect], eap.Answer]


def carry(peer: TlsPeer, machine: TlsMachine, home: Home_) -> Attempt:
    """Let peer and machine talk until the machine has decided."""
    identity = eap.parse_eap(peer.identity()).data
    identifier, requests, flights = 1, 0, []
    machine, effect = machine.start(identity, identifier)
    while not isinstance(effect, eap.Succeed | eap.Fail):
        if not isinstance(effect, eap.Ask):
            machine, effect = machine.answer(home(effect), identifier)
            continue
        requests += 1
        assert requests <= machine.rounds_max
        response = peer.respond(effect.octets)
        assert response is not None
        flights.append(response)
        identifier = (identifier + 1) % 256
        machine, effect = machine.receive(eap.parse_eap(response), identifier)
    code = eap.EapCode.SUCCESS if isinstance(effect, eap.Succeed) else eap.EapCode.FAILURE
    peer.respond(eap.encode_eap(code, identifier))
    return Attempt(peer, effect, requests, flights)
