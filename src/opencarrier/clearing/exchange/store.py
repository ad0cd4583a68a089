"""The exchanges' tables: terms, entries as opened, messages that told something new."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    false,
    func,
    insert,
    select,
    update,
)

from opencarrier.clearing.exchange.model import Entry, Terms
from opencarrier.clearing.exchange.wire import read_entry
from opencarrier.kernel.decoding import decode
from opencarrier.kernel.encoding import encode
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.signatures import Address

metadata = MetaData()

exchanges = Table(
    "clearing_exchange",
    metadata,
    Column("exchange_id", LargeBinary(32), primary_key=True),
    Column("domain", String(128), nullable=False),
    Column("asset", String(128), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("first", String(42), nullable=False),
    Column("second", String(42), nullable=False),
    Column("tolerance_ppm", Integer, nullable=False),
    Column("own", String(42), nullable=False),
    Column("cut_us", BigInteger, nullable=False),
    Column("is_concluded", Boolean, nullable=False, server_default=false()),
)

entries = Table(
    "clearing_exchange_entry",
    metadata,
    Column("exchange_id", LargeBinary(32), primary_key=True),
    Column("usage_id", LargeBinary(32), primary_key=True),
    Column("fields", LargeBinary, nullable=False),
)

messages = Table(
    "clearing_exchange_message",
    metadata,
    Column("exchange_id", LargeBinary(32), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("octets", LargeBinary, nullable=False),
)

_CHUNK = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An exchange as it was opened here: its terms, our side of it, our cut."""

    terms: Terms
    own: Address
    cut_us: int

    @property
    def peer(self) -> Address:
        """The other side."""
        return self.terms.other(self.own)


def add(unit: Connection, opened: Opened, kept: Sequence[Entry]) -> None:
    """Keep an exchange and what we stand by in it."""
    identifier = opened.terms.exchange_id
    row = {"exchange_id": identifier, "own": opened.own, "cut_us": opened.cut_us}
    unit.execute(insert(exchanges), [row | asdict(opened.terms)])
    for start in range(0, len(kept), _CHUNK):
        rows = [
            {
                "exchange_id": identifier,
                "usage_id": entry.usage_id,
                "fields": encode(entry.fields()),
            }
            for entry in kept[start : start + _CHUNK]
        ]
        unit.execute(insert(entries), rows)


def find(unit: Connection, identifier: Id) -> Opened | None:
    """Return an exchange."""
    row = unit.execute(select(exchanges).where(exchanges.c.exchange_id == identifier)).first()
    return None if row is None else _opened(row)


def newest(unit: Connection, terms: Terms) -> Opened | None:
    """Return the exchange with the highest sequence between two in an asset of a domain."""
    columns = exchanges.c
    query = select(exchanges).where(
        columns.domain == terms.domain,
        columns.asset == terms.asset,
        columns.first == terms.first,
        columns.second == terms.second,
    )
    row = unit.execute(query.order_by(columns.sequence.desc()).limit(1)).first()
    return None if row is None else _opened(row)


def conclude(unit: Connection, identifier: Id) -> bool:
    """Note that what an exchange came to has been acted on; say whether it had not been before."""
    where = (exchanges.c.exchange_id == identifier, exchanges.c.is_concluded.is_(False))
    return unit.execute(update(exchanges).where(*where).values(is_concluded=True)).rowcount == 1


def _opened(row: Row[Any]) -> Opened:
    terms = Terms(
        domain=row.domain,
        asset=AssetId(row.asset),
        sequence=row.sequence,
        first=Address(row.first),
        second=Address(row.second),
        tolerance_ppm=row.tolerance_ppm,
    )
    return Opened(terms=terms, own=Address(row.own), cut_us=row.cut_us)


def all_ids(unit: Connection) -> list[Id]:
    """Return every exchange, by sequence."""
    query = select(exchanges.c.exchange_id).order_by(exchanges.c.sequence, exchanges.c.exchange_id)
    return [Id(identifier) for (identifier,) in unit.execute(query)]


def entries_of(unit: Connection, identifier: Id) -> Iterator[Entry]:
    """Yield what we stand by, ascending by usage id."""
    query = select(entries.c.fields).where(entries.c.exchange_id == identifier)
    for (fields,) in unit.execute(query.order_by(entries.c.usage_id)):
        yield read_entry(decode(fields))


def keep(unit: Connection, identifier: Id, octets: bytes) -> None:
    """Keep a message of the peer that told something new."""
    count = select(func.count()).where(messages.c.exchange_id == identifier)
    number = unit.execute(count).scalar_one()
    row = {"exchange_id": identifier, "number": number, "octets": octets}
    unit.execute(insert(messages), [row])


def kept(unit: Connection, identifier: Id) -> list[bytes]:
    """Return those messages in the order they came."""
    query = select(messages.c.octets).where(messages.c.exchange_id == identifier)
    return [octets for (octets,) in unit.execute(query.order_by(messages.c.number))]
