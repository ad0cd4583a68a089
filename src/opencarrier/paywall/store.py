"""The paywall's table: payments with what they buy, kept before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
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

from opencarrier.chain.typed_data import Authorization
from opencarrier.kernel.ids import Id
from opencarrier.kernel.signatures import Address
from opencarrier.paywall.model import ChannelSale, Kept, PaymentState, Place, Profile, Sale

metadata = MetaData()

payments = Table(
    "paywall_payment",
    metadata,
    Column("payment_id", LargeBinary(32), primary_key=True),
    Column("payer", String(42), nullable=False),
    Column("receiver", String(42), nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("valid_after_s", BigInteger, nullable=False),
    Column("valid_before_s", BigInteger, nullable=False),
    Column("nonce", LargeBinary(32), nullable=False),
    Column("signature", LargeBinary(65), nullable=False),
    Column("resource", String(400), nullable=False),
    Column("description", String(200), nullable=False),
    Column("account", String(128), nullable=False),
    Column("code", String(32), nullable=False),
    Column("profile", String(8), nullable=False),
    Column("answer", Text, nullable=False),
    Column("kept_us", BigInteger, nullable=False),
    Column("from_block", BigInteger, nullable=False),
    Column("state", String(8), nullable=False),
    Column("reason", String(200), nullable=False),
    Column("tx_hash", LargeBinary(32)),
    Column("block_number", BigInteger),
    Column("block_hash", LargeBinary(32)),
    Column("log_index", Integer),
    UniqueConstraint("block_hash", "log_index", name="paywall_transfer_once"),
    Index("paywall_payment_open", "state", "payer"),
)

channel_sales = Table(
    "paywall_channel_sale",
    metadata,
    Column("channel_id", LargeBinary(32), primary_key=True),
    Column("voucher_minor", BigInteger, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("resource", String(400), nullable=False),
    Column("answer", Text, nullable=False),
)
"""What each channel's last voucher bought."""

_OPEN = (PaymentState.KEPT.value, PaymentState.MINED.value)


def add(unit: Connection, kept: Kept) -> None:
    """Keep a new payment."""
    given, sale = kept.authorization, kept.sale
    unit.execute(
        insert(payments).values(
            payment_id=kept.payment_id,
            payer=given.sender,
            receiver=given.receiver,
            amount_minor=given.amount_minor,
            valid_after_s=given.valid_after_s,
            valid_before_s=given.valid_before_s,
            nonce=given.nonce,
            signature=kept.signature,
            resource=sale.resource,
            description=sale.description,
            account=sale.account,
            code=sale.code,
            profile=sale.profile.value,
            answer=sale.answer,
            kept_us=kept.kept_us,
            from_block=kept.from_block,
            **_standing(kept),
        )
    )


def move(unit: Connection, former: Kept, kept: Kept) -> bool:
    """Write where a payment stands now; False where another pass has moved it meanwhile."""
    assert former.payment_id == kept.payment_id
    changed = unit.execute(
        update(payments)
        .where(
            payments.c.payment_id == former.payment_id,
            payments.c.state == former.state.value,
        )
        .values(**_standing(kept))
    )
    return changed.rowcount == 1


def find(unit: Connection, payment_id: Id) -> Kept | None:
    """Return a payment."""
    row = unit.execute(select(payments).where(payments.c.payment_id == payment_id)).one_or_none()
    return None if row is None else _kept(row)


def open_payments(unit: Connection, *, limit: int) -> Sequence[Kept]:
    """Return the payments that are neither booked nor dead, oldest first."""
    query = (
        select(payments)
        .where(payments.c.state.in_(_OPEN))
        .order_by(payments.c.kept_us, payments.c.payment_id)
        .limit(limit)
    )
    return [_kept(row) for row in unit.execute(query)]


def count_open(unit: Connection, payer: Address | None = None) -> int:
    """Count the open payments, of one payer or of all."""
    query = select(func.count()).select_from(payments).where(payments.c.state.in_(_OPEN))
    if payer is not None:
        query = query.where(payments.c.payer == payer)
    return int(unit.execute(query).scalar_one())


def channel_sale(unit: Connection, channel_id: Id) -> ChannelSale | None:
    """Return what a channel's last voucher bought."""
    query = select(channel_sales).where(channel_sales.c.channel_id == channel_id)
    row = unit.execute(query).one_or_none()
    return None if row is None else ChannelSale(**row._mapping)


def put_channel_sale(unit: Connection, sale: ChannelSale) -> None:
    """Keep what a voucher bought in the place of what the channel's former did."""
    former = delete(channel_sales).where(channel_sales.c.channel_id == sale.channel_id)
    unit.execute(former)
    unit.execute(insert(channel_sales).values(**asdict(sale)))


def _standing(kept: Kept) -> dict[str, Any]:
    place = kept.place
    return {
        "state": kept.state.value,
        "reason": kept.reason[:200],
        "tx_hash": None if place is None else place.tx_hash,
        "block_number": None if place is None else place.block_number,
        "block_hash": None if place is None else place.block_hash,
        "log_index": None if place is None else place.log_index,
    }


def _kept(row: Row[Any]) -> Kept:
    place = None
    if row.tx_hash is not None:
        place = Place(
            tx_hash=row.tx_hash,
            block_number=row.block_number,
            block_hash=row.block_hash,
            log_index=row.log_index,
        )
    return Kept(
        payment_id=Id(row.payment_id),
        authorization=Authorization(
            sender=Address(row.payer),
            receiver=Address(row.receiver),
            amount_minor=row.amount_minor,
            valid_after_s=row.valid_after_s,
            valid_before_s=row.valid_before_s,
            nonce=row.nonce,
        ),
        signature=row.signature,
        sale=Sale(
            resource=row.resource,
            description=row.description,
            amount_minor=row.amount_minor,
            account=row.account,
            code=row.code,
            profile=Profile(row.profile),
            answer=row.answer,
        ),
        kept_us=row.kept_us,
        from_block=row.from_block,
        state=PaymentState(row.state),
        reason=row.reason,
        place=place,
    )
