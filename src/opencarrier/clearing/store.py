"""The clearing room's tables: positions, their legs, records, signatures, a cycle's roots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
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
    Row,
    Select,
    String,
    Table,
    delete,
    false,
    insert,
    or_,
    select,
    update,
)

from opencarrier.clearing.model import (
    SALT_OCTETS,
    Blinded,
    Leaf,
    OpenPosition,
    SignedPosition,
    Standing,
)
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import Address, Signature
from opencarrier.spine.money import Allocation, Position, Role
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Rung

metadata = MetaData()

positions = Table(
    "clearing_position",
    metadata,
    Column("position_id", LargeBinary(32), primary_key=True),
    Column("cycle_id", LargeBinary(32), nullable=False, index=True),
    Column("debtor", String(64), nullable=False),
    Column("creditor", String(64), nullable=False),
    Column("asset", String(128), nullable=False),
    Column("jurisdiction", String(16), nullable=False),
    Column("rung", Integer, nullable=False),
    Column("pair_root", LargeBinary(32), nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("cut_us", BigInteger, nullable=False),
    Column("standing", String(8), nullable=False),
    Column("settled_in", LargeBinary(32)),
    Column("accepted_by", LargeBinary(32)),
    Column("is_held", Boolean, nullable=False, server_default=false()),
    Index("clearing_position_standing", "standing"),
    Index("clearing_position_settled", "settled_in", "jurisdiction", "position_id"),
)

legs = Table(
    "clearing_leg",
    metadata,
    Column(
        "position_id",
        LargeBinary(32),
        ForeignKey("clearing_position.position_id"),
        primary_key=True,
    ),
    Column("role", Integer, primary_key=True),
    Column("party", String(64), primary_key=True),
    Column("account", String(128), primary_key=True),
    Column("amount_minor", BigInteger, nullable=False),
)

records = Table(
    "clearing_record",
    metadata,
    Column("usage_id", LargeBinary(32), primary_key=True),
    Column(
        "position_id",
        LargeBinary(32),
        ForeignKey("clearing_position.position_id"),
        nullable=False,
    ),
    Column("leaf_index", BigInteger, nullable=False),
    Column("salt", LargeBinary(32), nullable=False),
    Column("leaf_hash", LargeBinary(32), nullable=False),
    Column("has_retail", Boolean, nullable=False),
    Index("clearing_record_position", "position_id", "leaf_index", unique=True),
)

blinded_records = Table(
    "clearing_blinded",
    metadata,
    Column(
        "usage_id",
        LargeBinary(32),
        ForeignKey("clearing_record.usage_id"),
        primary_key=True,
    ),
    Column("usage_salt", LargeBinary(32), nullable=False),
    Column("wholesale_salt", LargeBinary(32), nullable=False),
    Column("retail", LargeBinary(32), nullable=False),
)
"""Records of erased subscribers: what others prove with, and a hash without a salt."""

due_records = Table(
    "clearing_due_record",
    metadata,
    Column("record_id", LargeBinary(32), primary_key=True),
    Column("adjustment_id", LargeBinary(32), nullable=False, index=True),
    Column("role", Integer, nullable=False),
    Column(
        "position_id",
        LargeBinary(32),
        ForeignKey("clearing_position.position_id"),
        nullable=False,
        unique=True,
    ),
    Column("salt", LargeBinary(32), nullable=False),
    Column("leaf_hash", LargeBinary(32), nullable=False),
)

corrections = Table(
    "clearing_correction",
    metadata,
    Column("correction_id", LargeBinary(32), primary_key=True),
    Column(
        "position_id",
        LargeBinary(32),
        ForeignKey("clearing_position.position_id"),
        nullable=False,
        index=True,
    ),
    Column("reference", LargeBinary(32), nullable=False),
    Column("entry_id", LargeBinary(32), nullable=False, index=True),
    Column("amount_minor", BigInteger, nullable=False),
)
"""What both sides of an exchange agreed on beside their records."""

signatures = Table(
    "clearing_signature",
    metadata,
    Column(
        "position_id",
        LargeBinary(32),
        ForeignKey("clearing_position.position_id"),
        primary_key=True,
    ),
    Column("party", String(64), primary_key=True),
    Column("kid", String(42), nullable=False),
    Column("octets", LargeBinary(65), nullable=False),
)

roots = Table(
    "clearing_root",
    metadata,
    Column("cycle_id", LargeBinary(32), primary_key=True),
    Column("jurisdiction", String(16), primary_key=True),
    Column("root", LargeBinary(32), nullable=False),
)

_CHUNK = 500
"""Values asked for in one statement."""

_UNSETTLED = (Standing.OPEN.value, Standing.TAKEN.value)


def add(
    unit: Connection,
    position: Position,
    leaves: Sequence[Leaf],
    *,
    cut_us: int,
    signed: Mapping[PartyId, Signature],
) -> None:
    """Keep a new position, its legs, its records in the order of the leaves, its signatures."""
    assert position.records == len(leaves), "a position has as many leaves as records"
    add_position(unit, position, cut_us=cut_us, signed=signed)
    _insert(
        unit,
        records,
        [
            {
                "usage_id": leaf.usage_id,
                "position_id": position.position_id,
                "leaf_index": leaf.index,
                "salt": leaf.salt,
                "leaf_hash": leaf.leaf_hash,
                "has_retail": leaf.has_retail,
            }
            for leaf in leaves
        ],
    )


def add_position(
    unit: Connection,
    position: Position,
    *,
    cut_us: int,
    signed: Mapping[PartyId, Signature],
) -> None:
    """Keep a new position without its records: its legs and signatures."""
    unit.execute(insert(positions).values(**_position_row(position), cut_us=cut_us))
    key = position.position_id
    _insert(
        unit,
        legs,
        [
            {
                "position_id": key,
                "role": int(leg.role),
                "party": leg.party,
                "account": leg.account,
                "amount_minor": leg.amount_minor,
            }
            for leg in position.legs
        ],
    )
    for party, signature in sorted(signed.items()):
        sign(unit, key, party, signature)


def sign(unit: Connection, position_id: Id, party: PartyId, signature: Signature) -> None:
    """Keep a party's signature over a position; the first one stays."""
    where = (signatures.c.position_id == position_id, signatures.c.party == party)
    if unit.execute(select(signatures.c.kid).where(*where)).first() is None:
        unit.execute(
            insert(signatures).values(
                position_id=position_id,
                party=party,
                kid=signature.kid,
                octets=signature.octets,
            )
        )


def recorded(unit: Connection, usage_ids: Sequence[Id]) -> set[Id]:
    """Return which usages have a record already."""
    found: set[Id] = set()
    for chunk in _chunks(usage_ids):
        query = select(records.c.usage_id).where(records.c.usage_id.in_(chunk))
        found.update(Id(row.usage_id) for row in unit.execute(query))
    return found


def open_positions(unit: Connection) -> list[OpenPosition]:
    """Return all positions no cycle has taken, ascending by id."""
    query = (
        select(positions)
        .where(positions.c.standing == Standing.OPEN.value)
        .order_by(positions.c.position_id)
    )
    rows = unit.execute(query).all()
    loaded = _load(unit, rows)
    signed = _signatures(unit, [position.position_id for position in loaded])
    return [
        OpenPosition(
            position=position,
            cut_us=row.cut_us,
            accepted=row.accepted_by is not None
            or position.debtor in dict(signed[position.position_id]),
            is_held=row.is_held,
        )
        for row, position in zip(rows, loaded, strict=True)
    ]


def unsettled_positions(unit: Connection) -> list[Position]:
    """Return all positions that are open or in a cycle under way, ascending by id."""
    query = select(positions).where(positions.c.standing.in_(_UNSETTLED))
    return _load(unit, unit.execute(query.order_by(positions.c.position_id)).all())


def position(unit: Connection, position_id: Id) -> SignedPosition | None:
    """Return a position with its standing and signatures."""
    query = select(positions).where(positions.c.position_id == position_id)
    return next(iter(_signed(unit, unit.execute(query).all())), None)


def settled_in(unit: Connection, position_id: Id) -> Id | None:
    """Return the cycle that has taken a position, None while none has."""
    query = select(positions.c.settled_in).where(positions.c.position_id == position_id)
    found = unit.execute(query).scalar_one()
    return None if found is None else Id(found)


def cut_us(unit: Connection, position_id: Id) -> int:
    """Return the instant a position was cut at."""
    query = select(positions.c.cut_us).where(positions.c.position_id == position_id)
    found: int = unit.execute(query).scalar_one()
    return found


def positions_cut_in(unit: Connection, cycle_id: Id) -> list[SignedPosition]:
    """Return the positions made in a cycle, whichever cycle settles them, ascending by id."""
    query = select(positions).where(
        positions.c.cycle_id == cycle_id, positions.c.standing != Standing.REPLACED.value
    )
    return _signed(unit, unit.execute(query.order_by(positions.c.position_id)).all())


def positions_settled_in(
    unit: Connection, cycle_id: Id, *, of: Select[Any] | None = None
) -> list[SignedPosition]:
    """Return the positions a cycle settles, ascending by id; `of`: those among some ids."""
    query = select(positions).where(positions.c.settled_in == cycle_id)
    if of is not None:
        query = query.where(positions.c.position_id.in_(of))
    return _signed(unit, unit.execute(query.order_by(positions.c.position_id)).all())


def positions_of(
    unit: Connection, cycle_id: Id, party: PartyId, *, after: Id | None, limit: int
) -> list[SignedPosition]:
    """Return a party's positions that a cycle settles, ascending by id, after one."""
    columns = positions.c
    query = select(positions).where(
        columns.settled_in == cycle_id, or_(columns.debtor == party, columns.creditor == party)
    )
    if after is not None:
        query = query.where(columns.position_id > after)
    return _signed(unit, unit.execute(query.order_by(columns.position_id).limit(limit)).all())


def take(
    unit: Connection, cycle_id: Id, position_ids: Sequence[Id], roots_by: Mapping[str, bytes]
) -> None:
    """Give positions to a cycle and keep the roots of its jurisdictions."""
    for chunk in _chunks(position_ids):
        changed = unit.execute(
            update(positions)
            .where(
                positions.c.position_id.in_(chunk),
                positions.c.standing == Standing.OPEN.value,
            )
            .values(standing=Standing.TAKEN.value, settled_in=cycle_id)
        )
        assert changed.rowcount == len(chunk), "a cycle takes open positions only"
    _insert(
        unit,
        roots,
        [
            {"cycle_id": cycle_id, "jurisdiction": name, "root": root}
            for name, root in sorted(roots_by.items())
        ],
    )


def release(unit: Connection, cycle_id: Id) -> None:
    """Open the positions a cycle had taken and forget its roots."""
    unit.execute(
        update(positions)
        .where(positions.c.settled_in == cycle_id, positions.c.standing == Standing.TAKEN.value)
        .values(standing=Standing.OPEN.value, settled_in=None)
    )
    unit.execute(delete(roots).where(roots.c.cycle_id == cycle_id))


def finish(unit: Connection, cycle_id: Id) -> None:
    """Mark the positions a cycle had taken as settled; again is nothing."""
    unit.execute(
        update(positions)
        .where(positions.c.settled_in == cycle_id)
        .values(standing=Standing.SETTLED.value)
    )


def leaves_of(unit: Connection, position_id: Id) -> list[Leaf]:
    """Return a position's leaves in their order."""
    query = (
        select(records).where(records.c.position_id == position_id).order_by(records.c.leaf_index)
    )
    return [leaf_of(row) for row in unit.execute(query)]


def usages_settled_in(unit: Connection, cycle_id: Id) -> list[Id]:
    """Return the usages whose records a cycle settles, ascending."""
    query = (
        select(records.c.usage_id)
        .join(positions, positions.c.position_id == records.c.position_id)
        .where(positions.c.settled_in == cycle_id)
        .order_by(records.c.usage_id)
    )
    return [Id(row.usage_id) for row in unit.execute(query)]


def record_of(unit: Connection, usage_id: Id) -> tuple[Id, Leaf] | None:
    """Return a usage's record and the position it is in."""
    row = unit.execute(select(records).where(records.c.usage_id == usage_id)).one_or_none()
    return None if row is None else (Id(row.position_id), leaf_of(row))


def blinded(unit: Connection, usage_id: Id) -> Blinded | None:
    """Return what is left of a record's salt, None where it is whole."""
    query = select(blinded_records).where(blinded_records.c.usage_id == usage_id)
    row = unit.execute(query).one_or_none()
    if row is None:
        return None
    return Blinded(usage_salt=row.usage_salt, wholesale_salt=row.wholesale_salt, retail=row.retail)


def blind(unit: Connection, usage_id: Id, left: Blinded) -> None:
    """Keep of a record's salt what others need, and destroy the rest."""
    unit.execute(insert(blinded_records).values(usage_id=usage_id, **asdict(left)))
    mine = records.c.usage_id == usage_id
    unit.execute(update(records).where(mine).values(salt=bytes(SALT_OCTETS)))


def unsettled(unit: Connection, usage_ids: Sequence[Id]) -> list[Id]:
    """Return those usages whose record is in a position that is not settled for good."""
    found: list[Id] = []
    for chunk in _chunks(usage_ids):
        query = (
            select(records.c.usage_id)
            .join(positions, positions.c.position_id == records.c.position_id)
            .where(records.c.usage_id.in_(chunk), positions.c.standing.in_(_UNSETTLED))
        )
        found += [Id(row.usage_id) for row in unit.execute(query)]
    return sorted(found)


def ids_settled_in(unit: Connection, cycle_id: Id, jurisdiction: str) -> list[Id]:
    """Return the ids of a cycle's positions in one jurisdiction, ascending."""
    query = (
        select(positions.c.position_id)
        .where(positions.c.settled_in == cycle_id, positions.c.jurisdiction == jurisdiction)
        .order_by(positions.c.position_id)
    )
    return [Id(row.position_id) for row in unit.execute(query)]


def roots_of(unit: Connection, cycle_id: Id) -> dict[str, bytes]:
    """Return the sealed roots of a cycle's jurisdictions."""
    query = select(roots).where(roots.c.cycle_id == cycle_id).order_by(roots.c.jurisdiction)
    return {row.jurisdiction: row.root for row in unit.execute(query)}


def leaf_of(row: Row[Any]) -> Leaf:
    """Read a record's leaf."""
    return Leaf(
        usage_id=Id(row.usage_id),
        index=row.leaf_index,
        salt=row.salt,
        leaf_hash=row.leaf_hash,
        has_retail=row.has_retail,
    )


def _signed(unit: Connection, rows: Sequence[Row[Any]]) -> list[SignedPosition]:
    loaded = _load(unit, rows)
    signed = _signatures(unit, [position.position_id for position in loaded])
    return [
        SignedPosition(
            position=position,
            standing=Standing(row.standing),
            settled_in=None if row.settled_in is None else Id(row.settled_in),
            signatures=tuple(signed[position.position_id]),
        )
        for row, position in zip(rows, loaded, strict=True)
    ]


def _load(unit: Connection, rows: Sequence[Row[Any]]) -> list[Position]:
    by_position: defaultdict[bytes, list[Allocation]] = defaultdict(list)
    for chunk in _chunks([row.position_id for row in rows]):
        for leg in unit.execute(select(legs).where(legs.c.position_id.in_(chunk))):
            by_position[leg.position_id].append(
                Allocation(
                    role=Role(leg.role),
                    party=PartyId(leg.party),
                    account=leg.account,
                    amount_minor=leg.amount_minor,
                )
            )
    return [_position(row, by_position[row.position_id]) for row in rows]


def _position(row: Row[Any], onward: list[Allocation]) -> Position:
    return Position(
        position_id=Id(row.position_id),
        cycle_id=Id(row.cycle_id),
        debtor=PartyId(row.debtor),
        creditor=PartyId(row.creditor),
        asset=AssetId(row.asset),
        jurisdiction=row.jurisdiction,
        rung=Rung(row.rung),
        pair_root=row.pair_root,
        records=row.records,
        amount_minor=row.amount_minor,
        legs=tuple(sorted(onward)),
    )


def _signatures(
    unit: Connection, position_ids: Sequence[Id]
) -> defaultdict[Id, list[tuple[PartyId, Signature]]]:
    found: defaultdict[Id, list[tuple[PartyId, Signature]]] = defaultdict(list)
    for chunk in _chunks(position_ids):
        query = select(signatures).where(signatures.c.position_id.in_(chunk))
        for row in unit.execute(query.order_by(signatures.c.party)):
            signature = Signature(kid=Address(row.kid), octets=row.octets)
            found[Id(row.position_id)].append((PartyId(row.party), signature))
    return found


def _position_row(position: Position) -> dict[str, Any]:
    return {
        "position_id": position.position_id,
        "cycle_id": position.cycle_id,
        "debtor": position.debtor,
        "creditor": position.creditor,
        "asset": position.asset,
        "jurisdiction": position.jurisdiction,
        "rung": int(position.rung),
        "pair_root": position.pair_root,
        "records": position.records,
        "amount_minor": position.amount_minor,
        "standing": Standing.OPEN.value,
        "settled_in": None,
    }


def _insert(unit: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        unit.execute(insert(table), list(rows))


def _chunks(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (values[i : i + _CHUNK] for i in range(0, len(values), _CHUNK))
