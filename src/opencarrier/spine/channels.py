"""What rooms tell each other of payment channels: where one stands, a deposit on its way."""

from __future__ import annotations

from dataclasses import dataclass, field

from opencarrier.kernel.ids import Id


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelStanding:
    """Where a channel stands, in amounts over its whole life.

    `deposited_minor` and `claimed_minor` are what final blocks say; `due_minor` is what was
    bought; `voucher_minor` and its signature are the highest voucher that was kept.
    """

    channel_id: Id
    deposited_minor: int
    claimed_minor: int
    due_minor: int
    voucher_minor: int
    voucher_signature: bytes = field(repr=False)
    withdrawing: bool
    closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GaslessDeposit:
    """A payer's ERC-3009 authorisation of a deposit, for anybody to bring to the chain."""

    amount_minor: int
    valid_after_s: int
    valid_before_s: int
    salt: int
    signature: bytes = field(repr=False)
