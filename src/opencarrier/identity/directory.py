"""Who is who, as access and the other rooms ask: remembered, yet true within a second."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.engine import Row

from opencarrier.identity import store
from opencarrier.identity.model import IdentityReason, Party, PartyKind
from opencarrier.identity.rules import candidate_prefixes, canonical_realm
from opencarrier.identity.sealing import Place
from opencarrier.identity.vault import Vault
from opencarrier.kernel.clock import Clock
from opencarrier.kernel.encoding import Value
from opencarrier.kernel.money import PPM
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.spine.access import Credential, CredentialKind
from opencarrier.spine.parties import (
    Beneficiary,
    Host,
    Node,
    Operator,
    PartyId,
    RadiusClient,
    RadiusServer,
    Route,
    Subscriber,
    operator_of_node,
)

RECHECK_S = 0.25
"""How long an answer may be given without asking whether another process changed anything."""

REMEMBERED_MAX = 10_000
"""Answers kept per question; beyond that the question's answers are all forgotten."""

_MEMBERS = (PartyKind.OPERATOR, PartyKind.TAX, PartyKind.PROTOCOL)

T = TypeVar("T")


class Directory:
    """Answers `spine.ports.Directory` from the tables, through a memory that changes empty.

    A change made through this process is seen at once, one of another process within `RECHECK_S`.
    """

    def __init__(
        self, vault: Vault, clock: Clock, *, monotonic_s: Callable[[], float] = monotonic
    ) -> None:
        self._vault = vault
        self._clock = clock
        self._monotonic_s = monotonic_s
        self._memory = Memory()
        self._checked_s: float | None = None
        self._state = b""

    def client(self, unit: Connection, source: str) -> RadiusClient | None:
        """Return the RADIUS client whose prefix is the longest that holds a source address."""
        self._refresh(unit)
        return self._memory.recall("client", source, lambda: self._client(unit, source))

    def peer(self, unit: Connection, names: Sequence[str]) -> RadiusClient | None:
        """Return the RADIUS client of the first of a certificate's names that is known."""
        self._refresh(unit)
        found = tuple(names)
        return self._memory.recall("peer", found[0], lambda: self._client_of(unit, found))

    def node(self, unit: Connection, nas_identifier: str) -> Node | None:
        """Return the node a NAS-Identifier names."""
        self._refresh(unit)
        return self._memory.recall(
            "node",
            nas_identifier,
            lambda: store.node(unit, column="nas_identifier", value=nas_identifier),
        )

    def node_of(
        self, unit: Connection, client: RadiusClient, nas_identifier: str
    ) -> Node | Refusal:
        """Return the node a client's packet names; one of another operator is refused."""
        found = self.node(unit, nas_identifier)
        if found is None:
            return Refusal(IdentityReason.UNKNOWN_NODE, f"no node is called {nas_identifier!r}")
        if found.operator != client.operator:
            return Refusal(
                IdentityReason.FOREIGN_NODE, f"{nas_identifier!r} is not a node of {client}"
            )
        return found

    def node_by_id(self, unit: Connection, node_id: str) -> Node | None:
        """Return a node by its id."""
        self._refresh(unit)
        return self._memory.recall("node_by_id", node_id, lambda: self._node_by_id(unit, node_id))

    def nodes(self, unit: Connection) -> Sequence[Node]:
        """Return all nodes, ascending by id."""
        return store.all_nodes(unit)

    def operator(self, unit: Connection, party_id: PartyId) -> Operator | None:
        """Return an operator."""
        self._refresh(unit)
        return self._memory.recall("operator", party_id, lambda: store.operator(unit, party_id))

    def operators(self, unit: Connection) -> Sequence[Operator]:
        """Return all operators, ascending by party id."""
        found = (
            self.operator(unit, party.party_id)
            for party in store.parties_of(unit, PartyKind.OPERATOR)
        )
        return [operator for operator in found if operator is not None]

    def home_of(self, unit: Connection, realm: str) -> Operator | None:
        """Return the operator a realm belongs to, by its realms or its PLMNs' 3GPP realm."""
        self._refresh(unit)
        wanted = canonical_realm(realm)
        owner = self._memory.recall("realm", wanted, lambda: store.realm_owner(unit, wanted))
        return None if owner is None else self.operator(unit, owner)

    def serves(self, unit: Connection, realm: str) -> bool:
        """Say whether a realm's subscribers are here, not at another's installation."""
        self._refresh(unit)
        home = self.home_of(unit, realm)
        if home is None:
            return False
        known = self._memory.recall(
            "serves", home.party_id, lambda: home if store.serves(unit, home.party_id) else None
        )
        return known is not None

    def routes(self, unit: Connection) -> Sequence[Route]:
        """Return where realms go, ascending by pattern."""
        self._refresh(unit)
        return self._memory.recall("routes", "", lambda: store.all_routes(unit)) or ()

    def route(self, unit: Connection, pattern: str) -> Route | None:
        """Return the route of exactly one pattern."""
        return next((r for r in store.all_routes(unit) if r.pattern == pattern), None)

    def servers(self, unit: Connection, upstream: str) -> Sequence[RadiusServer]:
        """Return the servers that stand in for each other under a name, in their order."""
        self._refresh(unit)
        return self._memory.recall("servers", upstream, lambda: self._servers(unit, upstream)) or ()

    def operator_named_by_wba(
        self, unit: Connection, wba_id: str, *, whole: bool = False
    ) -> PartyId | None:
        """Return whom the federation calls so; of `SUB.EXAMPLE:US` its member, unless `whole`."""
        self._refresh(unit)
        name = wba_id.upper()
        owner = self._memory.recall("wba", name, lambda: store.wba_owner(unit, name))
        if owner is not None or whole or "." not in name.partition(":")[0]:
            return owner
        return self.operator_named_by_wba(unit, name.partition(".")[2])

    def wba_id(self, unit: Connection, operator: PartyId) -> str | None:
        """Return how the federation calls an operator, None where it has no name there."""
        self._refresh(unit)
        return self._memory.recall("wba-of", operator, lambda: store.wba_id_of(unit, operator))

    def host(self, unit: Connection, party_id: PartyId) -> Host | None:
        """Return a host; of nodes that are not known here it is their operator."""
        self._refresh(unit)
        return self._memory.recall("host", party_id, lambda: self._host(unit, party_id))

    def hosts(self, unit: Connection) -> Sequence[Host]:
        """Return all hosts, ascending by party id."""
        found = (
            self.host(unit, party.party_id) for party in store.parties_of(unit, PartyKind.HOST)
        )
        return [host for host in found if host is not None]

    def subscriber(self, unit: Connection, party_id: PartyId) -> Subscriber | None:
        """Return a subscriber."""
        return store.subscriber(unit, party_id)

    def subscriber_by_imsi(self, unit: Connection, imsi: str) -> Subscriber | None:
        """Return the subscriber a permanent SIM identity belongs to."""
        return store.subscriber_by_imsi(unit, imsi)

    def subscriber_by(self, unit: Connection, credential: Credential) -> Subscriber | None:
        """Return whom a credential belongs to, unless it is barred, revoked or has expired."""
        return self.subscribers_by(unit, [credential]).get(credential)

    def subscribers_by(
        self, unit: Connection, credentials: Collection[Credential]
    ) -> dict[Credential, Subscriber]:
        """Return whom credentials belong to; those barred, revoked or expired are left out.

        It is asked of the tables each time: what was revoked lets nobody on from then.
        """
        values: dict[CredentialKind, set[str]] = {}
        for credential in credentials:
            values.setdefault(credential.kind, set()).add(credential.value)
        sims = values.pop(CredentialKind.SIM, set())
        now_us = self._clock.now_us()
        found = {
            Credential(CredentialKind.SIM, imsi): whose
            for imsi, whose in store.holders_of_sims(unit, sims)
        }
        for kind, some in values.items():
            for login, whose in store.holders(unit, kind, some):
                if login.holds(now_us):
                    found[login.credential] = whose
        return found

    def pseudonym(self, unit: Connection, imsi: str) -> bytes | None:
        """Return the 16 random octets that stand for a SIM of ours in imported records.

        They were made with the SIM and go with it: then nobody can tell whose they were.
        """
        return store.pseudonym(unit, imsi)

    def party(self, unit: Connection, party_id: PartyId) -> Party | None:
        """Return a party of any kind, with its name and address."""
        return store.party(unit, party_id)

    def party_at(self, unit: Connection, address: Address) -> Party | None:
        """Return whom an address belongs, or once belonged, to: one address is one party's."""
        row = store.key_row(unit, address)
        return None if row is None else store.party(unit, PartyId(row.party))

    def members(self, unit: Connection) -> Mapping[PartyId, Address]:
        """Return every member of the clearing domain and its address."""
        found = (party for kind in _MEMBERS for party in store.parties_of(unit, kind))
        return {p.party_id: p.address for p in found if p.address is not None}

    def beneficiaries(
        self, unit: Connection, host: PartyId, *, at_us: int
    ) -> Sequence[Beneficiary]:
        """Return whom a host's share of a cycle closed at an instant goes to, by address.

        Those it named last before that instant; its own payout address where it named none.
        """
        named = store.beneficiaries(unit, host, before_us=at_us)
        if named:
            return named
        found = self.host(unit, host)
        assert found is not None, "who earned is a host, or an operator with nodes of its own"
        return [Beneficiary(payout=found.payout, share_ppm=PPM)]

    def named(self, unit: Connection, kind: PartyKind, text: str) -> Party | None:
        """Return the party of a kind that people mean by an id or a name."""
        found = store.party(unit, PartyId(text))
        if found is not None and found.kind is kind:
            return found
        return store.party_named(unit, kind, text)

    def state(self, unit: Connection) -> bytes:
        """Return a digest of all changes so far: what was made under another may be stale."""
        return store.directory_state(unit)

    def changed(self, unit: Connection, what: str, *fields: Value) -> None:
        """Note a change in the unit, and let this process see it at once."""
        store.note_change(unit, what, *fields)
        self._checked_s = None

    def _client(self, unit: Connection, source: str) -> RadiusClient | None:
        return self._client_of(unit, candidate_prefixes(source))

    def _client_of(self, unit: Connection, prefixes: Sequence[str]) -> RadiusClient | None:
        row = store.client_row(unit, prefixes)
        return None if row is None else read_client(unit, self._vault, row)

    def _servers(self, unit: Connection, upstream: str) -> Sequence[RadiusServer]:
        return [
            RadiusServer(
                upstream=row.upstream,
                place=row.place,
                transport=row.transport,
                host=row.host,
                port=row.port,
                secret=self._vault.open(unit, server_place(row.server_id), row.secret_sealed),
            )
            for row in store.server_rows(unit, upstream)
        ]

    def _node_by_id(self, unit: Connection, node_id: str) -> Node | None:
        found = store.node(unit, column="node_id", value=node_id)
        if found is not None:
            return found
        operator = operator_of_node(node_id)
        if operator is None or self.operator(unit, operator) is None:
            return None
        return Node(node_id=node_id, nas_identifier="", operator=operator, host=operator)

    def _host(self, unit: Connection, party_id: PartyId) -> Host | None:
        found = store.host(unit, party_id)
        if found is not None:
            return found
        operator = self.operator(unit, party_id)
        if operator is None:
            return None
        return Host(party_id=operator.party_id, name=operator.name, payout=operator.address)

    def _refresh(self, unit: Connection) -> None:
        now_s = self._monotonic_s()
        if self._checked_s is not None and now_s - self._checked_s < RECHECK_S:
            return
        state = store.directory_state(unit)
        if state != self._state:
            self._memory.forget()
        self._state, self._checked_s = state, now_s


def read_client(unit: Connection, vault: Vault, row: Row[Any]) -> RadiusClient:
    """Return a client as its row says, its secret opened."""
    return RadiusClient(
        client_id=row.client_id,
        prefix=row.prefix,
        secret=vault.open(unit, client_place(row.client_id), row.secret_sealed),
        operator=PartyId(row.operator),
        require_message_authenticator=row.require_message_authenticator,
        limit_proxy_state=row.limit_proxy_state is not False,
        carries=tuple((row.carries or "").split()),
        federation=bool(row.federation),
    )


def client_place(client_id: str) -> Place:
    """Where the secret of a client is sealed for."""
    return Place(store.clients.name, "secret_sealed", client_id)


def server_place(server_id: str) -> Place:
    """Where the secret of a server is sealed for."""
    return Place(store.servers.name, "secret_sealed", server_id)


class Memory:
    """Bounded answers by question and subject; that there is none is an answer kept apart.

    Strangers' addresses can so never push out those of known clients.
    """

    def __init__(self, limit: int = REMEMBERED_MAX) -> None:
        self._limit = limit
        self._known: dict[str, dict[str, object]] = {}
        self._absent: dict[str, set[str]] = {}

    def recall(self, question: str, subject: str, load: Callable[[], T | None]) -> T | None:
        """Return the remembered answer, or load and remember it."""
        known = self._known.setdefault(question, {})
        found = known.get(subject)
        if found is not None:
            return found  # type: ignore[return-value] # one question has one type of answer
        absent = self._absent.setdefault(question, set())
        if subject in absent:
            return None
        answer = load()
        for kept in (known, absent):
            if len(kept) >= self._limit:
                kept.clear()
        if answer is None:
            absent.add(subject)
        else:
            known[subject] = answer
        return answer

    def forget(self) -> None:
        """Forget every answer."""
        self._known.clear()
        self._absent.clear()

    def size(self) -> int:
        """Return how many answers are kept."""
        return sum(map(len, self._known.values())) + sum(map(len, self._absent.values()))
