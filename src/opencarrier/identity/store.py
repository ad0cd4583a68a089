"""The tables of `identity`; secrets stand in them sealed only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Row

from opencarrier.identity.model import Credential, Login, Party, PartyKind, SigningKey
from opencarrier.kernel.encoding import Value
from opencarrier.kernel.ids import derive
from opencarrier.kernel.signatures import Address
from opencarrier.rowsets import Lookup
from opencarrier.spine import access as spine
from opencarrier.spine.parties import (
    Beneficiary,
    Host,
    Node,
    Operator,
    PartyId,
    Route,
    RouteKind,
    Subscriber,
)

metadata = MetaData()

parties = Table(
    "identity_party",
    metadata,
    Column("party_id", String(48), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("name", String(64), nullable=False),
    Column("address", String(42), nullable=True, index=True),
    Column("jurisdiction", String(8), nullable=True),
    UniqueConstraint("kind", "name"),
)

realms = Table(
    "identity_realm",
    metadata,
    Column("realm", String(253), primary_key=True),
    Column("operator", ForeignKey("identity_party.party_id"), nullable=False, index=True),
    Column("plmn", String(6), nullable=True, unique=True),
)

nodes = Table(
    "identity_node",
    metadata,
    Column("node_id", String(64), primary_key=True),
    Column("nas_identifier", String(253), nullable=False, unique=True),
    Column("operator", ForeignKey("identity_party.party_id"), nullable=False),
    Column("host", ForeignKey("identity_party.party_id"), nullable=False),
    Index("identity_node_of_host", "host", "node_id"),
)

splits = Table(
    "identity_split",
    metadata,
    Column("host", ForeignKey("identity_party.party_id"), primary_key=True),
    Column("valid_from_us", BigInteger, primary_key=True),
    Column("payout", String(42), primary_key=True),
    Column("share_ppm", Integer, nullable=False),
)

clients = Table(
    "identity_radius_client",
    metadata,
    Column("client_id", String(64), primary_key=True),
    Column("prefix", String(300), nullable=False, unique=True),
    Column("operator", ForeignKey("identity_party.party_id"), nullable=False),
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("require_message_authenticator", Boolean, nullable=True),
    Column("limit_proxy_state", Boolean, nullable=True),
    Column("carries", Text, nullable=True),
    Column("federation", Boolean, nullable=True),
)

servers = Table(
    "identity_radius_server",
    metadata,
    Column("server_id", String(300), primary_key=True),
    Column("upstream", String(253), nullable=False, index=True),
    Column("place", Integer, nullable=False),
    Column("transport", String(8), nullable=False),
    Column("host", String(253), nullable=False),
    Column("port", Integer, nullable=False),
    Column("secret_sealed", LargeBinary, nullable=False),
)

routes = Table(
    "identity_route",
    metadata,
    Column("pattern", String(253), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("upstream", String(253), nullable=True),
    Column("inward", Boolean, nullable=False),
)

wba_ids = Table(
    "identity_wba_id",
    metadata,
    Column("wba_id", String(68), primary_key=True),
    Column("operator", ForeignKey("identity_party.party_id"), nullable=False, index=True),
)
"""How the federation names operators, in upper case; one may have several."""

subscribers = Table(
    "identity_subscriber",
    metadata,
    Column("party_id", ForeignKey("identity_party.party_id"), primary_key=True),
    Column("home", ForeignKey("identity_party.party_id"), nullable=False),
    Column("plan_id", String(64), nullable=False),
)

credentials = Table(
    "identity_credential",
    metadata,
    Column("imsi", String(15), primary_key=True),
    Column("subscriber", ForeignKey("identity_subscriber.party_id"), nullable=False, index=True),
    Column("k_sealed", LargeBinary, nullable=False),
    Column("opc_sealed", LargeBinary, nullable=False),
    Column("sqn", BigInteger, nullable=False),
    Column("barred", Boolean, nullable=False),
    Column("pseudonym", LargeBinary(16), nullable=True),
)

certificates = Table(
    "identity_certificate",
    metadata,
    Column("fingerprint", String(64), primary_key=True),
    Column("subscriber", ForeignKey("identity_subscriber.party_id"), nullable=False, index=True),
    Column("expires_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger, nullable=True),
)

passwords = Table(
    "identity_password",
    metadata,
    Column("user_name", String(64), primary_key=True),
    Column("subscriber", ForeignKey("identity_subscriber.party_id"), nullable=False, index=True),
    Column("hash_sealed", LargeBinary, nullable=False),
    Column("expires_us", BigInteger, nullable=True),
    Column("revoked_us", BigInteger, nullable=True),
)

keys = Table(
    "identity_key",
    metadata,
    Column("kid", String(42), primary_key=True),
    Column("party", ForeignKey("identity_party.party_id"), nullable=False, index=True),
    Column("secret_sealed", LargeBinary, nullable=True),
    Column("valid_from_us", BigInteger, nullable=False),
    Column("valid_to_us", BigInteger, nullable=True),
    Column("compromised_from_us", BigInteger, nullable=True),
)

data_keys = Table(
    "identity_data_key",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("sealing_key", String(64), nullable=False),
)

secrets = Table(
    "identity_secret",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("secret_sealed", LargeBinary, nullable=False),
)

changes = Table(
    "identity_change",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("state", LargeBinary(32), nullable=False),
)

enrolments = Table(
    "identity_enrolment",
    metadata,
    Column("token_sha256", LargeBinary(32), primary_key=True),
    Column("subscriber", ForeignKey("identity_subscriber.party_id"), nullable=False, index=True),
    Column("expires_us", BigInteger, nullable=False, index=True),
    Column("uses_left", Integer, nullable=False),
)
"""Links by which a subscriber's devices get their profiles; a token is kept as its hash."""

erasures = Table(
    "identity_erasure",
    metadata,
    Column("party_id", String(48), primary_key=True),
    Column("erased_us", BigInteger, nullable=False),
    Column("cause", String(16), nullable=False),
)
"""Who was erased, when and why; the id is all that is left, and it is nobody's."""

LOGINS: Mapping[spine.CredentialKind, tuple[Table, str]] = {
    spine.CredentialKind.CERTIFICATE: (certificates, "fingerprint"),
    spine.CredentialKind.PASSWORD: (passwords, "user_name"),
}
"""Where a credential stands that is no SIM, and by which column."""

SEALED = (
    (credentials, "imsi", "k_sealed"),
    (credentials, "imsi", "opc_sealed"),
    (passwords, "user_name", "hash_sealed"),
    (clients, "client_id", "secret_sealed"),
    (servers, "server_id", "secret_sealed"),
    (keys, "kid", "secret_sealed"),
    (secrets, "name", "secret_sealed"),
)
"""Every column that holds sealed values, with the column that names its row."""

_GENESIS = bytes(32)


def directory_state(unit: Connection) -> bytes:
    """Return the digest of all changes so far; what was remembered under another is stale."""
    state = unit.execute(select(changes.c.state).where(changes.c.one == 1)).scalar_one_or_none()
    return state if state is not None else _GENESIS


def note_change(unit: Connection, what: str, *fields: Value) -> None:
    """Chain a change into the directory's state.

    The state follows from the content, not from a counter: a unit that is rolled back cannot
    leave a number behind that another change then takes.
    """
    before = directory_state(unit)
    after = derive("identity/change", before, what, *fields)
    if before == _GENESIS:
        unit.execute(insert(changes).values(one=1, state=after))
    else:
        unit.execute(update(changes).values(state=after))


def party(unit: Connection, party_id: PartyId) -> Party | None:
    """Return a party of any kind."""
    row = unit.execute(select(parties).where(parties.c.party_id == party_id)).one_or_none()
    return None if row is None else _party(row)


def party_named(unit: Connection, kind: PartyKind, name: str) -> Party | None:
    """Return the party of a kind that bears a name."""
    chosen = select(parties).where(parties.c.kind == kind.value, parties.c.name == name)
    row = unit.execute(chosen).one_or_none()
    return None if row is None else _party(row)


def parties_of(unit: Connection, kind: PartyKind) -> Sequence[Party]:
    """Return all parties of a kind, ascending by id."""
    chosen = select(parties).where(parties.c.kind == kind.value).order_by(parties.c.party_id)
    return [_party(row) for row in unit.execute(chosen)]


def operator(unit: Connection, party_id: PartyId) -> Operator | None:
    """Return an operator with its realms and network codes."""
    chosen = select(parties).where(
        parties.c.party_id == party_id, parties.c.kind == PartyKind.OPERATOR.value
    )
    row = unit.execute(chosen).one_or_none()
    if row is None:
        return None
    owned = unit.execute(
        select(realms).where(realms.c.operator == party_id).order_by(realms.c.realm)
    ).all()
    return Operator(
        party_id=PartyId(row.party_id),
        name=row.name,
        address=Address(row.address),
        jurisdiction=row.jurisdiction,
        realms=tuple(one.realm for one in owned if one.plmn is None),
        plmns=tuple(sorted(one.plmn for one in owned if one.plmn is not None)),
    )


def realm_owner(unit: Connection, realm: str) -> PartyId | None:
    """Return whose a realm is, in its canonical form."""
    chosen = select(realms.c.operator).where(realms.c.realm == realm)
    owner = unit.execute(chosen).scalar_one_or_none()
    return None if owner is None else PartyId(owner)


def all_plmns(unit: Connection) -> Sequence[tuple[str, PartyId]]:
    """Return every network code and whose it is."""
    chosen = select(realms.c.plmn, realms.c.operator).where(realms.c.plmn.is_not(None))
    return [(row.plmn, PartyId(row.operator)) for row in unit.execute(chosen)]


def host(unit: Connection, party_id: PartyId) -> Host | None:
    """Return a host."""
    found = party(unit, party_id)
    if found is None or found.kind is not PartyKind.HOST:
        return None
    assert found.address is not None, "a host has a payout address"
    return Host(party_id=found.party_id, name=found.name, payout=found.address)


def split_from_us(unit: Connection, party_id: PartyId, *, before_us: int | None) -> int | None:
    """Return since when a host's newest split is valid, or its newest before an instant."""
    chosen = select(func.max(splits.c.valid_from_us)).where(splits.c.host == party_id)
    if before_us is not None:
        chosen = chosen.where(splits.c.valid_from_us < before_us)
    found: int | None = unit.execute(chosen).scalar_one()
    return found


def beneficiaries(unit: Connection, party_id: PartyId, *, before_us: int) -> list[Beneficiary]:
    """Return whom a host named last before an instant, ascending by address; none if nobody."""
    from_us = split_from_us(unit, party_id, before_us=before_us)
    chosen = select(splits).where(splits.c.host == party_id, splits.c.valid_from_us == from_us)
    return [
        Beneficiary(payout=Address(row.payout), share_ppm=row.share_ppm)
        for row in unit.execute(chosen.order_by(splits.c.payout))
    ]


def put_split(
    unit: Connection, party_id: PartyId, named: Sequence[Beneficiary], *, valid_from_us: int
) -> None:
    """Keep whom a host names from an instant on, in place of what it named at the same one."""
    same = (splits.c.host == party_id, splits.c.valid_from_us == valid_from_us)
    unit.execute(delete(splits).where(*same))
    rows = [
        {
            "host": party_id,
            "valid_from_us": valid_from_us,
            "payout": one.payout,
            "share_ppm": one.share_ppm,
        }
        for one in named
    ]
    unit.execute(insert(splits), rows)


def node(unit: Connection, *, column: str, value: str) -> Node | None:
    """Return a node by one of its two names."""
    row = unit.execute(select(nodes).where(nodes.c[column] == value)).one_or_none()
    return None if row is None else node_of(row)


def all_nodes(unit: Connection) -> Sequence[Node]:
    """Return all nodes, ascending by id."""
    return [node_of(row) for row in unit.execute(select(nodes).order_by(nodes.c.node_id))]


def client_row(unit: Connection, prefixes: Iterable[str]) -> Row[Any] | None:
    """Return the client with the longest of some prefixes, its secret still sealed."""
    wanted = tuple(prefixes)
    rows = unit.execute(select(clients).where(clients.c.prefix.in_(wanted))).all()
    return min(rows, key=lambda row: wanted.index(row.prefix), default=None)


def client_by_id(unit: Connection, client_id: str) -> Row[Any] | None:
    """Return a client by its id, its secret still sealed."""
    return unit.execute(select(clients).where(clients.c.client_id == client_id)).one_or_none()


def all_clients(unit: Connection) -> Sequence[Row[Any]]:
    """Return all clients, ascending by id, their secrets still sealed."""
    return unit.execute(select(clients).order_by(clients.c.client_id)).all()


def all_routes(unit: Connection) -> Sequence[Route]:
    """Return all routes, ascending by pattern."""
    return [
        Route(
            pattern=row.pattern,
            kind=RouteKind(row.kind),
            upstream=row.upstream or "",
            inward=row.inward,
        )
        for row in unit.execute(select(routes).order_by(routes.c.pattern))
    ]


def server_rows(unit: Connection, upstream: str) -> Sequence[Row[Any]]:
    """Return an upstream's servers in their order, their secrets still sealed."""
    chosen = select(servers).where(servers.c.upstream == upstream).order_by(servers.c.place)
    return unit.execute(chosen).all()


def wba_owner(unit: Connection, wba_id: str) -> PartyId | None:
    """Return the operator that bears a WBAID."""
    chosen = select(wba_ids.c.operator).where(wba_ids.c.wba_id == wba_id)
    owner = unit.execute(chosen).scalar_one_or_none()
    return None if owner is None else PartyId(owner)


def wba_id_of(unit: Connection, operator: PartyId) -> str | None:
    """Return the first WBAID of an operator."""
    chosen = select(func.min(wba_ids.c.wba_id)).where(wba_ids.c.operator == operator)
    return unit.execute(chosen).scalar_one_or_none()


def serves(unit: Connection, operator: PartyId) -> bool:
    """Say whether an operator's subscribers, or its key, are in this installation."""
    held = select(keys.c.kid).where(keys.c.party == operator, keys.c.secret_sealed.is_not(None))
    home = select(subscribers.c.party_id).where(subscribers.c.home == operator)
    return any(unit.execute(chosen.limit(1)).first() is not None for chosen in (held, home))


def subscriber(unit: Connection, party_id: PartyId) -> Subscriber | None:
    """Return a subscriber."""
    chosen = select(subscribers).where(subscribers.c.party_id == party_id)
    row = unit.execute(chosen).one_or_none()
    return None if row is None else _subscriber(row)


def subscriber_by_imsi(unit: Connection, imsi: str) -> Subscriber | None:
    """Return the subscriber whose SIM has an IMSI."""
    chosen = select(subscribers).join(credentials).where(credentials.c.imsi == imsi)
    row = unit.execute(chosen).one_or_none()
    return None if row is None else _subscriber(row)


def all_subscribers(unit: Connection) -> Sequence[Subscriber]:
    """Return all subscribers, ascending by id."""
    chosen = select(subscribers).order_by(subscribers.c.party_id)
    return [_subscriber(row) for row in unit.execute(chosen)]


def credential_row(unit: Connection, imsi: str) -> Row[Any] | None:
    """Return a SIM, its keys still sealed; the row is the unit's own until it ends."""
    chosen = select(credentials).where(credentials.c.imsi == imsi).with_for_update()
    return unit.execute(chosen).one_or_none()


def pseudonym(unit: Connection, imsi: str) -> bytes | None:
    """Return what stands for a SIM in imported records, None for an unknown or an older one."""
    return unit.scalar(select(credentials.c.pseudonym).where(credentials.c.imsi == imsi))


def credentials_of(unit: Connection, party_id: PartyId) -> Sequence[Credential]:
    """Return a subscriber's SIMs, ascending by IMSI."""
    chosen = select(credentials).where(credentials.c.subscriber == party_id)
    return [
        Credential(
            imsi=row.imsi, subscriber=PartyId(row.subscriber), sqn=row.sqn, barred=row.barred
        )
        for row in unit.execute(chosen.order_by(credentials.c.imsi))
    ]


def login(unit: Connection, credential: spine.Credential) -> Login | None:
    """Return how a certificate or a password stands, None where nobody has it."""
    table, column = LOGINS[credential.kind]
    row = unit.execute(select(table).where(table.c[column] == credential.value)).one_or_none()
    return None if row is None else read_login(row, credential)


_HOLDERS = {
    kind: Lookup(
        select(table, subscribers.c.home, subscribers.c.plan_id).join(subscribers),
        table.c[column],
    )
    for kind, (table, column) in LOGINS.items()
}
"""Asked at every attach: with whose a login is in the same row."""

_IN_USE = Lookup(
    select(subscribers, credentials.c.imsi).join(credentials).where(~credentials.c.barred),
    credentials.c.imsi,
)


def holders(
    unit: Connection, kind: spine.CredentialKind, values: Collection[str]
) -> Iterator[tuple[Login, Subscriber]]:
    """Return how certificates or passwords stand and whose they are; strangers' are left out."""
    column = LOGINS[kind][1]
    for row in _HOLDERS[kind](unit, values):
        login = read_login(row, spine.Credential(kind, getattr(row, column)))
        whose = Subscriber(party_id=login.subscriber, home=PartyId(row.home), plan_id=row.plan_id)
        yield login, whose


def holders_of_sims(unit: Connection, imsis: Collection[str]) -> Iterator[tuple[str, Subscriber]]:
    """Return whose SIMs are, by IMSI; barred and unknown ones are left out."""
    return ((row.imsi, _subscriber(row)) for row in _IN_USE(unit, imsis))


def password_rows(unit: Connection, user_names: Collection[str]) -> Mapping[str, Row[Any]]:
    """Return passwords, still sealed, with the home of whose they are, by user name."""
    found = _HOLDERS[spine.CredentialKind.PASSWORD](unit, user_names)
    return {row.user_name: row for row in found}


def logins_of(unit: Connection, party_id: PartyId) -> Sequence[Login]:
    """Return a subscriber's certificates, then its passwords, each ascending."""
    return [
        read_login(row, spine.Credential(kind, getattr(row, column)))
        for kind, (table, column) in LOGINS.items()
        for row in unit.execute(
            select(table).where(table.c.subscriber == party_id).order_by(table.c[column])
        )
    ]


def revoke(unit: Connection, credential: spine.Credential, *, at_us: int) -> None:
    """Let nobody on with a credential from an instant on."""
    table, column = LOGINS[credential.kind]
    chosen = update(table).where(table.c[column] == credential.value)
    unit.execute(chosen.values(revoked_us=at_us))


def move_sqn(unit: Connection, imsi: str, *, before: int, after: int) -> None:
    """Move a SIM's sequence number; it is an error of ours if it was not where we read it."""
    moved = unit.execute(
        update(credentials)
        .where(credentials.c.imsi == imsi, credentials.c.sqn == before)
        .values(sqn=after)
    )
    assert moved.rowcount == 1, "the sequence number moved under an open unit"


def key_row(unit: Connection, kid: Address) -> Row[Any] | None:
    """Return a key, its secret, where there is one, still sealed."""
    return unit.execute(select(keys).where(keys.c.kid == kid)).one_or_none()


def keys_of(unit: Connection, party_id: PartyId) -> Sequence[SigningKey]:
    """Return a party's keys in the order they became valid."""
    chosen = select(keys).where(keys.c.party == party_id)
    return [signing_key(row) for row in unit.execute(chosen.order_by(keys.c.valid_from_us))]


def signing_key(row: Row[Any]) -> SigningKey:
    """Return a key's history without its secret."""
    return SigningKey(
        kid=Address(row.kid),
        party=PartyId(row.party),
        valid_from_us=row.valid_from_us,
        valid_to_us=row.valid_to_us,
        compromised_from_us=row.compromised_from_us,
        held=row.secret_sealed is not None,
    )


def read_login(row: Row[Any], credential: spine.Credential) -> Login:
    """Return how a credential of a row stands."""
    return Login(
        credential=credential,
        subscriber=PartyId(row.subscriber),
        expires_us=row.expires_us,
        revoked_us=row.revoked_us,
    )


def _party(row: Row[Any]) -> Party:
    return Party(
        party_id=PartyId(row.party_id),
        kind=PartyKind(row.kind),
        name=row.name,
        address=None if row.address is None else Address(row.address),
        jurisdiction=row.jurisdiction,
    )


def node_of(row: Row[Any]) -> Node:
    """Read a row of `nodes`."""
    return Node(
        node_id=row.node_id,
        nas_identifier=row.nas_identifier,
        operator=PartyId(row.operator),
        host=PartyId(row.host),
    )


def _subscriber(row: Row[Any]) -> Subscriber:
    return Subscriber(party_id=PartyId(row.party_id), home=PartyId(row.home), plan_id=row.plan_id)
