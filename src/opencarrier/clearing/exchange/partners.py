"""Whom our operators exchange with each cycle, and when each is spoken to next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)

from opencarrier.clearing.exchange.model import Terms
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.kernel.signatures import Address

PARTNERS_MAX: Final = 256
URL_LENGTH_MAX: Final = 512
NOTE_LENGTH_MAX: Final = 200
PAUSE_MAX_S: Final = 300
"""How long a partner that does not answer is left alone, after one, two, four seconds and so on."""

metadata = MetaData()

table = Table(
    "clearing_partner",
    metadata,
    Column("own", String(42), primary_key=True),
    Column("peer", String(42), primary_key=True),
    Column("asset", String(128), primary_key=True),
    Column("domain", String(128), nullable=False),
    Column("url", String(URL_LENGTH_MAX), nullable=False),
    Column("tolerance_ppm", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("next_us", BigInteger, nullable=False),
    Column("note", String(NOTE_LENGTH_MAX), nullable=False),
)


class PartnerRefusal(Reason):
    """Why nobody is made a partner."""

    NOT_AN_ADDRESS = 1
    TOO_MANY_PARTNERS = 2
    EXISTS_WITH_DIFFERENT_TERMS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """An operator elsewhere that one of ours exchanges with, in one asset.

    After `failures` in a row it is spoken to at `next_us`, not before; `note` says what was wrong.
    """

    domain: str
    asset: AssetId
    own: Address
    peer: Address
    tolerance_ppm: int
    url: str
    failures: int = 0
    next_us: int = 0
    note: str = ""

    def terms(self, sequence: int) -> Terms:
        """Return the terms of one of its exchanges."""
        first, second = sorted((self.own, self.peer))
        return Terms(
            domain=self.domain,
            asset=self.asset,
            sequence=sequence,
            first=first,
            second=second,
            tolerance_ppm=self.tolerance_ppm,
        )


def put(unit: Connection, partner: Partner) -> Refusal | None:
    """Keep a partner; one that is there may have moved to another address."""
    if not partner.url.startswith(("http://", "https://")) or len(partner.url) > URL_LENGTH_MAX:
        return Refusal(PartnerRefusal.NOT_AN_ADDRESS, partner.url[:80])
    known = find(unit, partner.own, partner.peer, partner.asset)
    if known is None:
        count = unit.execute(select(func.count()).select_from(table)).scalar_one()
        if count >= PARTNERS_MAX:
            return Refusal(PartnerRefusal.TOO_MANY_PARTNERS, str(count))
        unit.execute(insert(table), [asdict(partner)])
        return None
    if (known.domain, known.tolerance_ppm) != (partner.domain, partner.tolerance_ppm):
        detail = f"{known.domain}, {known.tolerance_ppm} ppm"
        return Refusal(PartnerRefusal.EXISTS_WITH_DIFFERENT_TERMS, detail)
    unit.execute(
        update(table).where(*_is(partner)).values(url=partner.url, failures=0, next_us=0, note="")
    )
    return None


def remove(unit: Connection, partner: Partner) -> None:
    """Exchange no more with a partner; what was signed stays."""
    unit.execute(delete(table).where(*_is(partner)))


def find(unit: Connection, own: Address, peer: Address, asset: AssetId) -> Partner | None:
    """Return a partner."""
    where = (table.c.own == own, table.c.peer == peer, table.c.asset == asset)
    row = unit.execute(select(table).where(*where)).one_or_none()
    return None if row is None else _partner(row)


def every(unit: Connection) -> Sequence[Partner]:
    """Return all partners, ascending by own address, peer and asset."""
    query = select(table).order_by(table.c.own, table.c.peer, table.c.asset)
    return [_partner(row) for row in unit.execute(query)]


def failed(unit: Connection, partner: Partner, note: str, now_us: int) -> None:
    """Note what went wrong and leave the partner alone for a while, longer each time."""
    pause_s = min(PAUSE_MAX_S, 1 << min(partner.failures, 16))
    unit.execute(
        update(table)
        .where(*_is(partner))
        .values(
            failures=partner.failures + 1,
            next_us=now_us + pause_s * SECOND_US,
            note=note[:NOTE_LENGTH_MAX],
        )
    )


def answered(unit: Connection, own: Address, peer: Address, asset: AssetId) -> None:
    """Note that a partner is there: it is spoken to at once."""
    where = (table.c.own == own, table.c.peer == peer, table.c.asset == asset)
    unit.execute(
        update(table).where(*where, table.c.failures > 0).values(failures=0, next_us=0, note="")
    )


def _is(partner: Partner) -> tuple[Any, ...]:
    return (
        table.c.own == partner.own,
        table.c.peer == partner.peer,
        table.c.asset == partner.asset,
    )


def _partner(row: Row[Any]) -> Partner:
    values = dict(row._mapping)
    values |= {"asset": AssetId(row.asset), "own": Address(row.own), "peer": Address(row.peer)}
    return Partner(**values)
