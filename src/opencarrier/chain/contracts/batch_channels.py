"""Payment channels as Python, by the names of x402's `batch-settlement`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from opencarrier.chain.contracts.base import Contract, Query, fields_of
from opencarrier.chain.events import batch_channels as events
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import ChannelConfig, SigningDomain, batch_channels_domain
from opencarrier.kernel.signatures import Address

CLAIM_ROWS_MAX = 100
"""Rows in one claim."""

CALLS_MAX = 8
CALL_OCTETS_MAX = 4096
"""Calls in one multicall, and octets in each."""

WITHDRAW_DELAY_S_MIN = 15 * 60
WITHDRAW_DELAY_S_MAX = 30 * 24 * 60 * 60

X402_SETTLEMENT_ADDRESS = Address("0x4020074e9df2ce1dee5a9c1b5c3f541d02a10003")
"""Where x402's own contract stands on every public chain; its SDK looks nowhere else."""

_CAPITAL = re.compile(r"(?=[A-Z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class VoucherClaim:
    """A voucher with its signature, and how much of it is claimed, all since the beginning."""

    config: ChannelConfig
    max_claimable_minor: int
    signature: bytes
    total_claimed_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelState:
    """What a channel holds, claimed money included until it is settled, and what was claimed."""

    balance_minor: int
    total_claimed_minor: int

    @property
    def unclaimed_minor(self) -> int:
        """What the payer can still take back."""
        return self.balance_minor - self.total_claimed_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingWithdrawal:
    """What a payer has announced to take out, and when; second zero if nothing."""

    amount_minor: int
    initiated_at_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverState:
    """What a receiver has claimed in a token, and what it was paid of that."""

    total_claimed_minor: int
    total_settled_minor: int


class BatchChannels(Contract):
    """Deposit once, sign vouchers, claim the last one of many channels, be paid in one sweep."""

    NAME = "BatchChannels"
    EVENTS = events.ALL
    __slots__ = ()

    @classmethod
    def deployment(cls) -> Call:
        """Deploy the channels of a chain."""
        return Call(to=None, data=cls.artefact().creation_code())

    def signing_domain(self, chain_id: int) -> SigningDomain:
        """Where vouchers for this contract count."""
        return batch_channels_domain(chain_id=chain_id, contract=self.address)

    def deposit(
        self, config: ChannelConfig, amount: int, *, collector: Address, collector_data: bytes
    ) -> Call:
        """Put the payer's money into a channel through a collector (anybody)."""
        return self._call("deposit", astuple(config), amount, collector, collector_data)

    def claim(self, claims: Sequence[VoucherClaim]) -> Call:
        """Book what vouchers allow (the receiver of each row or its authorizer)."""
        return self._call("claim", _rows(claims))

    def claim_with_signature(self, claims: Sequence[VoucherClaim], signature: bytes) -> Call:
        """Book what vouchers allow by the signature of the authorizer of all rows (anybody)."""
        return self._call("claimWithSignature", _rows(claims), signature)

    def settle(self, receiver: Address, token: Address) -> Call:
        """Pay a receiver what it has claimed (anybody)."""
        return self._call("settle", receiver, token)

    def initiate_withdraw(self, config: ChannelConfig, amount: int) -> Call:
        """Announce that unclaimed money will be taken out (payer or its authorizer)."""
        return self._call("initiateWithdraw", astuple(config), amount)

    def finalize_withdraw(self, config: ChannelConfig) -> Call:
        """Take out what was announced and is still unclaimed (payer or its authorizer)."""
        return self._call("finalizeWithdraw", astuple(config))

    def refund(self, config: ChannelConfig, amount: int) -> Call:
        """Give unclaimed money back (receiver or its authorizer)."""
        return self._call("refund", astuple(config), amount)

    def refund_with_signature(
        self, config: ChannelConfig, amount: int, *, nonce: int, signature: bytes
    ) -> Call:
        """Give unclaimed money back by the signature of the receiver's authorizer (anybody)."""
        return self._call("refundWithSignature", astuple(config), amount, nonce, signature)

    def multicall(self, calls: Sequence[Call]) -> Call:
        """Make several calls of this contract at once, all or none (who may make each)."""
        assert len(calls) <= CALLS_MAX, "more calls than the contract takes"
        assert all(len(call.data) <= CALL_OCTETS_MAX for call in calls), "a call is too long"
        return self._call("multicall", [call.data for call in calls])

    def channel(self, channel_id: bytes) -> Query[ChannelState]:
        """What a channel holds and what was claimed of it."""
        return self._struct("channels", ChannelState, channel_id)

    def pending_withdrawal(self, channel_id: bytes) -> Query[PendingWithdrawal]:
        """What a payer has announced to take out."""
        return self._struct("pendingWithdrawals", PendingWithdrawal, channel_id)

    def receiver(self, receiver: Address, token: Address) -> Query[ReceiverState]:
        """What a receiver has claimed in a token and been paid."""
        return self._struct("receivers", ReceiverState, receiver, token)

    def refund_nonce(self, channel_id: bytes) -> Query[int]:
        """The nonce of a channel's next refund."""
        return self._query("refundNonce", channel_id)

    def channel_id(self, config: ChannelConfig) -> Query[bytes]:
        """The id of the channel with these terms."""
        return self._query("getChannelId", astuple(config))

    def voucher_digest(self, channel_id: bytes, max_claimable: int) -> Query[bytes]:
        """What a payer signs in a voucher."""
        return self._query("getVoucherDigest", channel_id, max_claimable)

    def refund_digest(self, channel_id: bytes, *, nonce: int, amount: int) -> Query[bytes]:
        """What a receiver's authorizer signs for a refund."""
        return self._query("getRefundDigest", channel_id, nonce, amount)

    def claim_batch_digest(self, claims: Sequence[VoucherClaim]) -> Query[bytes]:
        """What a receiver's authorizer signs for a batch of claims."""
        return self._query("getClaimBatchDigest", _rows(claims))

    def _struct(self, function: str, cls: type[Any], *arguments: Any) -> Query[Any]:
        query = self._query(function, *arguments)
        return Query(call=query.call, read=lambda data: cls(**fields_of(cls, query.read(data))))

    def _fields(self, values: Mapping[str, Any]) -> dict[str, Any]:
        found = {_CAPITAL.sub("_", name).lower(): value for name, value in values.items()}
        if "config" in found:
            found["config"] = ChannelConfig(**fields_of(ChannelConfig, found["config"]))
        return found


def _rows(claims: Sequence[VoucherClaim]) -> list[tuple[Any, ...]]:
    assert len(claims) <= CLAIM_ROWS_MAX, "more rows than the contract takes"
    return [(_voucher(claim), claim.signature, claim.total_claimed_minor) for claim in claims]


def _voucher(claim: VoucherClaim) -> tuple[Any, ...]:
    return astuple(claim.config), claim.max_claimable_minor
