"""The ports of access in memory and on one small SQLite file, until the rooms are plugged in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, text

from opencarrier.access.class_token import ClassRing
from opencarrier.access.model import AccessKeys, AccessSettings
from opencarrier.access.service import AccessPorts, AccessService
from opencarrier.access.wire.aka_identity import PseudonymRing
from opencarrier.access.wire.tls_material import MaterialSource
from opencarrier.identity.milenage import AMF_PLAIN, AMF_SEPARATION_BIT, Milenage
from opencarrier.identity.sequence import prime_keys
from opencarrier.kernel.clock import FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import derive
from opencarrier.kernel.money import AssetId, Money
from opencarrier.kernel.passwords import nt_hash
from opencarrier.kernel.refusals import PeerError, Reason, Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.sim.usim import Usim
from opencarrier.spine.access import AkaVector, AuthorisationRequest, Credential, Grant
from opencarrier.spine.parties import (
    Host,
    Node,
    Operator,
    PartyId,
    RadiusClient,
    RadiusServer,
    Route,
    Subscriber,
)
from opencarrier.spine.spans import UNRECORDED, Spans
from opencarrier.spine.usage import Observation

SECRET = b"a secret of the test bench"
K = bytes.fromhex("465b5ce8b199b49faa5f0a2ee238a6bc")
OPC = bytes.fromhex("cd63cb71954a9f4e48a5994e37a02baf")
IMSI = "001010000000001"
REALM = "wlan.mnc001.mcc001.3gppnetwork.org"
HOME = PartyId("op_" + "1" * 32)
VISITED = PartyId("op_" + "2" * 32)
SUBSCRIBER = PartyId("sub_" + "3" * 32)
NAS = "cafe-1"
NODE = Node(node_id="node_cafe_1", nas_identifier=NAS, operator=VISITED, host=PartyId("host_1"))
FOREIGN_NODE = Node(
    node_id="node_other", nas_identifier="other-1", operator=HOME, host=PartyId("host_1")
)
NOW_US = 1_767_603_600_000_000
KEYS = AccessKeys(
    ring=ClassRing.of(b"r" * 32), cui_key=b"c" * 32, pseudonyms=PseudonymRing(b"p" * 32)
)


class FakeReason(Reason):
    UNKNOWN = 1
    INSUFFICIENT_CREDIT = 2
    AUTS_NOT_GENUINE = 3


@dataclass
class FakeDirectory:
    clients: list[RadiusClient] = field(
        default_factory=lambda: [
            RadiusClient(
                client_id="client_1", prefix="127.0.0.0/8", secret=SECRET, operator=VISITED
            )
        ]
    )
    nodes: dict[str, Node] = field(
        default_factory=lambda: {n.nas_identifier: n for n in (NODE, FOREIGN_NODE)}
    )
    subscribers: dict[str, Subscriber] = field(
        default_factory=lambda: {IMSI: Subscriber(party_id=SUBSCRIBER, home=HOME, plan_id="plan_1")}
    )
    routing: list[Route] = field(default_factory=list)
    neighbours: list[RadiusServer] = field(default_factory=list)
    wba_ids: dict[PartyId, str] = field(default_factory=dict)
    asked: int = 0

    def client(self, unit: Connection, source: str) -> RadiusClient | None:
        self.asked += 1
        address = ip_address(source)
        found = [c for c in self.clients if "/" in c.prefix and address in ip_network(c.prefix)]
        return max(found, key=lambda c: ip_network(c.prefix).prefixlen, default=None)

    def peer(self, unit: Connection, names: Sequence[str]) -> RadiusClient | None:
        found = {client.prefix: client for client in self.clients}
        return next((found[name] for name in names if name in found), None)

    def serves(self, unit: Connection, realm: str) -> bool:
        return realm == REALM

    def routes(self, unit: Connection) -> Sequence[Route]:
        return self.routing

    def servers(self, unit: Connection, upstream: str) -> Sequence[RadiusServer]:
        return [server for server in self.neighbours if server.upstream == upstream]

    def operator_named_by_wba(self, unit: Connection, wba_id: str) -> PartyId | None:
        return next((party for party, name in self.wba_ids.items() if name == wba_id), None)

    def wba_id(self, unit: Connection, operator: PartyId) -> str | None:
        return self.wba_ids.get(operator)

    def node(self, unit: Connection, nas_identifier: str) -> Node | None:
        return self.nodes.get(nas_identifier)

    def node_by_id(self, unit: Connection, node_id: str) -> Node | None:
        return next((n for n in self.nodes.values() if n.node_id == node_id), None)

    def operator(self, unit: Connection, party_id: PartyId) -> Operator | None:
        return _operator(party_id) if party_id in (HOME, VISITED) else None

    def operators(self, unit: Connection) -> Sequence[Operator]:
        return [_operator(HOME), _operator(VISITED)]

    def home_of(self, unit: Connection, realm: str) -> Operator | None:
        return _operator(HOME) if realm == REALM else None

    def host(self, unit: Connection, party_id: PartyId) -> Host | None:
        return None

    def subscriber(self, unit: Connection, party_id: PartyId) -> Subscriber | None:
        return next((s for s in self.subscribers.values() if s.party_id == party_id), None)

    def subscriber_by_imsi(self, unit: Connection, imsi: str) -> Subscriber | None:
        return self.subscribers.get(imsi)

    def subscribers_by(
        self, unit: Connection, credentials: Collection[Credential]
    ) -> Mapping[Credential, Subscriber]:
        known = {one: self.subscribers.get(one.value) for one in credentials}
        return {one: whose for one, whose in known.items() if whose is not None}


def _operator(party_id: PartyId) -> Operator:
    return Operator(
        party_id=party_id,
        name=party_id[-4:],
        address=Address("0x" + "0" * 40),
        jurisdiction="ZZ",
        realms=(REALM,),
        plmns=("00101",),
    )


@dataclass
class FakeVectors:
    """An authentication centre with one key for all; `sqn` survives as the home's counter."""

    k: bytes = K
    opc: bytes = OPC
    sqn: int = 32
    entropy: SeededEntropy = field(default_factory=lambda: SeededEntropy(5))
    made: int = 0
    resynchronised: int = 0

    def vector(
        self, unit: Connection, imsi: str, network_name: bytes | None
    ) -> AkaVector | Refusal:
        self.made += 1
        self.sqn += 32
        rand = self.entropy.octets("rand", 16)
        amf = AMF_PLAIN if network_name is None else AMF_SEPARATION_BIT
        made = Milenage(self.k, self.opc).vector(rand, self.sqn, amf)
        ck, ik = made.ck, made.ik
        if network_name is not None:
            ck, ik = prime_keys(ck, ik, network_name=network_name, autn=made.autn)
        return AkaVector(rand=rand, autn=made.autn, xres=made.xres, ck=ck, ik=ik)

    def resynchronise(
        self, unit: Connection, imsi: str, *, rand: bytes, auts: bytes
    ) -> Refusal | None:
        sqn_ms = Milenage(self.k, self.opc).open_auts(rand, auts)
        if sqn_ms is None:
            return Refusal(FakeReason.AUTS_NOT_GENUINE)
        self.sqn = sqn_ms
        self.resynchronised += 1
        return None


@dataclass
class FakePasswords:
    """Users and their passwords; a stranger's is compared like any other."""

    users: dict[str, str] = field(default_factory=dict)

    def passwords(
        self, unit: Connection, asked: Sequence[tuple[str, str]]
    ) -> Sequence[bytes | None]:
        known = (self.users.get(user_name) for user_name, _ in asked)
        return [nt_hash(one) if one is not None else bytes(16) for one in known]


@dataclass
class FakePolicy:
    """Grants everything, or refuses everything."""

    refusal: Refusal | None = None
    granted: list[Grant] = field(default_factory=list)
    released: list[bytes] = field(default_factory=list)

    def authorise(self, unit: Connection, request: AuthorisationRequest) -> Grant | Refusal:
        if self.refusal is not None:
            return self.refusal
        grant = Grant(
            authorisation_id=derive("test/authorisation", len(self.granted))[:16],
            home=request.subscriber.home,
            visited=request.visited,
            node_id=request.node.node_id,
            subscriber=request.subscriber.party_id,
            wholesale_tariff_hash=b"w" * 32,
            retail_tariff_hash=b"t" * 32,
            hold=Money(AssetId("test/EUR"), 1_000_000),
            session_timeout_s=3600,
            interim_interval_s=60,
            granted_us=request.at_us,
            expires_us=request.at_us + 3_600_000_000,
        )
        self.granted.append(grant)
        return grant

    def authorise_all(
        self, unit: Connection, requests: Sequence[AuthorisationRequest]
    ) -> Sequence[Grant | Refusal]:
        return [self.authorise(unit, request) for request in requests]

    def grant(self, unit: Connection, authorisation_id: bytes) -> Grant | None:
        return next((g for g in self.granted if g.authorisation_id == authorisation_id), None)

    def release(self, unit: Connection, authorisation_id: bytes, *, at_us: int) -> None:
        self.released.append(authorisation_id)


class TableSink:
    """Keeps each observation as a row, so that durability can be looked at from outside."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.poison: str | None = None

    def record(self, unit: Connection, observations: Sequence[Observation]) -> int:
        self.batches.append(len(observations))
        if any(o.acct_session_id == self.poison for o in observations):
            raise RuntimeError("a poisonous row")
        unit.execute(
            text("INSERT INTO observation VALUES (:digest, :session, :status, :at)"),
            [
                {
                    "digest": o.packet_digest,
                    "session": o.acct_session_id,
                    "status": int(o.status),
                    "at": o.event_us,
                }
                for o in observations
            ],
        )
        return len(observations)


class ListSink:
    """Keeps observations in a list."""

    def __init__(self) -> None:
        self.observations: list[Observation] = []

    def record(self, unit: Connection, observations: Sequence[Observation]) -> int:
        self.observations += observations
        return len(observations)

    add = record


class FakeUnits:
    """Units of work on a SQLite file; `opened` counts the transactions that write."""

    shares_turns = False

    def __init__(self, path: Path | None = None) -> None:
        url = f"sqlite:///{path}" if path else "sqlite://"
        self.engine = create_engine(url, **({} if path else _MEMORY()))
        self.opened = self.appended = 0

        @event.listens_for(self.engine, "connect")
        def configure(connection: Any, _: Any) -> None:
            connection.isolation_level = None
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")

        @event.listens_for(self.engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN")

        with self.engine.begin() as unit:
            unit.execute(
                text(
                    "CREATE TABLE IF NOT EXISTS observation (digest BLOB, session TEXT,"
                    " status INTEGER, at INTEGER)"
                )
            )

    @contextmanager
    def write(self) -> Iterator[Connection]:
        self.opened += 1
        with self.engine.begin() as unit:
            yield unit

    @contextmanager
    def append(self) -> Iterator[Connection]:
        self.appended += 1
        with self.engine.begin() as unit:
            yield unit

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self.engine.connect() as unit:
            yield unit


def _MEMORY() -> dict[str, Any]:  # noqa: N802
    from sqlalchemy.pool import StaticPool

    return {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}


class FakeMonotonic:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Bench:
    """Everything a test needs of a running service, its ports within reach."""

    directory: FakeDirectory = field(default_factory=FakeDirectory)
    vectors: FakeVectors = field(default_factory=FakeVectors)
    policy: FakePolicy = field(default_factory=FakePolicy)
    sink: Any = field(default_factory=ListSink)
    units: FakeUnits = field(default_factory=FakeUnits)
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW_US))
    settings: AccessSettings = field(default_factory=AccessSettings)
    monotonic: Callable[[], float] | None = None
    privacy: Any = None
    passwords: FakePasswords = field(default_factory=lambda: FakePasswords())
    tls: MaterialSource | None = None
    meters: Any = None
    payments: Any = None
    orders: Any = None
    spans: Spans = UNRECORDED

    def service(self) -> AccessService:
        extra: dict[str, Any] = {"monotonic": self.monotonic} if self.monotonic else {}
        ports = AccessPorts(
            units=self.units,
            directory=self.directory,
            vectors=self.vectors,
            policy=self.policy,
            privacy=self.privacy,
            sink=self.sink,
            clock=self.clock,
            entropy=SeededEntropy(1),
            passwords=self.passwords,
            tls=self.tls,
            meters=self.meters,
            payments=self.payments,
            orders=self.orders,
            spans=self.spans,
            **extra,
        )
        return AccessService(ports, KEYS, self.settings)


def usim(*, k: bytes = K, highest_sqn: int = 0) -> Usim:
    return Usim(imsi=IMSI, k=k, opc=OPC, highest_sqn=highest_sqn)


def peer_error(function: Callable[..., object], *arguments: object) -> str:
    """The reason of the `PeerError` a call ends in, or "parsed"; any other exception gets out."""
    try:
        function(*arguments)
    except PeerError as error:
        return error.reason
    return "parsed"
