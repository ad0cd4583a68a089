"""Payments that a node's agent carries for its seller: judged without a book, packed in octets.

The agent has neither channels nor tariffs. A device shows its channel's terms, whose digest is the
channel's id, so that both signatures can be checked against the key they name; deposit, lease and
price are for the seller. What goes on is two attributes of a report:

    voucher  channel id (32) | max claimable (16) | signature (65)
    ack      session id (32) | sequence, octets in, octets out, seconds (8 each) | tariff hash (32)
             | cumulative (16) | signature (65)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from opencarrier.chain.typed_data import (
    ChannelConfig,
    SigningDomain,
    batch_channels_domain,
    channel_id,
)
from opencarrier.channels.model import Payment, UsageAck
from opencarrier.channels.reasons import PaymentReason
from opencarrier.channels.rules import covers, forged
from opencarrier.channels.typed_data import acks_domain_at
from opencarrier.kernel.ids import ID_OCTETS, Id
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.kernel.signatures import SIGNATURE_OCTETS, Address

AMOUNT_OCTETS: Final = 16
COUNTER_OCTETS: Final = 8
VOUCHER_OCTETS: Final = ID_OCTETS + AMOUNT_OCTETS + SIGNATURE_OCTETS
ACK_OCTETS: Final = 2 * ID_OCTETS + 4 * COUNTER_OCTETS + AMOUNT_OCTETS + SIGNATURE_OCTETS


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The one channel contract whose payments are taken."""

    chain_id: int
    address: Address

    @property
    def vouchers(self) -> SigningDomain:
        """Where vouchers count."""
        return batch_channels_domain(chain_id=self.chain_id, contract=self.address)

    @property
    def acks(self) -> SigningDomain:
        """Where acks count."""
        return acks_domain_at(self.chain_id, self.address)


def objection(
    contract: Contract,
    config: ChannelConfig,
    payment: Payment,
    *,
    session_id: Id,
    before: Payment | None,
) -> Refusal | None:
    """Say why a payment is not of this session and channel, signed, and newer than the last.

    `before` is the last one of the same session and channel that the seller has not refused.
    """
    ack = payment.ack
    if ack.session_id != session_id:
        return Refusal(PaymentReason.OTHER_SESSION)
    if ack.channel_id != channel_id(contract.vouchers, config):
        return Refusal(PaymentReason.OTHER_CHANNEL)
    stale = None if before is None else _stale(payment, before)
    if stale is not None:
        return stale
    if ack.cumulative_minor > payment.max_claimable_minor:
        return Refusal(PaymentReason.ACK_UNCOVERED, f"{payment.max_claimable_minor} is covered")
    return forged(contract.vouchers, contract.acks, config.payer_authorizer, payment)


def _stale(payment: Payment, before: Payment) -> Refusal | None:
    ack, last = payment.ack, before.ack
    if payment.max_claimable_minor < before.max_claimable_minor:
        detail = f"{payment.max_claimable_minor}, {before.max_claimable_minor} was signed"
        return Refusal(PaymentReason.VOUCHER_STALE, detail)
    if ack.sequence <= last.sequence:
        return Refusal(PaymentReason.ACK_STALE, f"{last.sequence} was taken")
    falls = ack.cumulative_minor < last.cumulative_minor or not covers(ack.counters, last.counters)
    return Refusal(PaymentReason.ACK_FALLS) if falls else None


def pack(payment: Payment) -> tuple[bytes, bytes]:
    """Return a payment's voucher and ack as they are carried."""
    ack = payment.ack
    counters = (ack.sequence, ack.octets_in, ack.octets_out, ack.duration_s)
    return (
        ack.channel_id + _amount(payment.max_claimable_minor) + payment.voucher_signature,
        ack.session_id
        + b"".join(value.to_bytes(COUNTER_OCTETS, "big") for value in counters)
        + ack.tariff_hash
        + _amount(ack.cumulative_minor)
        + payment.ack_signature,
    )


def unpack(voucher: bytes, ack: bytes) -> Payment:
    """Read what `pack` wrote; `PeerError` for anything else."""
    if len(voucher) != VOUCHER_OCTETS or len(ack) != ACK_OCTETS:
        raise PeerError("carried_payment", f"{len(voucher)} and {len(ack)} octets")
    first = ID_OCTETS
    counters = [
        _number(ack[place : place + COUNTER_OCTETS])
        for place in range(first, first + 4 * COUNTER_OCTETS, COUNTER_OCTETS)
    ]
    tariff = first + 4 * COUNTER_OCTETS
    return Payment(
        max_claimable_minor=_number(voucher[ID_OCTETS:-SIGNATURE_OCTETS]),
        voucher_signature=voucher[-SIGNATURE_OCTETS:],
        ack=UsageAck(
            session_id=Id(ack[:first]),
            sequence=counters[0],
            octets_in=counters[1],
            octets_out=counters[2],
            duration_s=counters[3],
            tariff_hash=ack[tariff : tariff + ID_OCTETS],
            channel_id=Id(voucher[:ID_OCTETS]),
            cumulative_minor=_number(ack[tariff + ID_OCTETS : -SIGNATURE_OCTETS]),
        ),
        ack_signature=ack[-SIGNATURE_OCTETS:],
    )


def _amount(value: int) -> bytes:
    return value.to_bytes(AMOUNT_OCTETS, "big")


def _number(octets: bytes) -> int:
    value = int.from_bytes(octets, "big")
    if value > INT64_MAX:
        raise PeerError("carried_payment", f"beyond {INT64_MAX}")
    return value
