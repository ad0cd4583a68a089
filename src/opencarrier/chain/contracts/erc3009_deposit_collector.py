"""The collector of deposits by signature as Python."""

from __future__ import annotations

from opencarrier.chain.abi import encode
from opencarrier.chain.contracts.base import Contract, Query
from opencarrier.chain.events.base import named
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import Authorization
from opencarrier.kernel.signatures import Address

X402_COLLECTOR_ADDRESS = Address("0x4020806089470a89826cb9fb1f4059150b550004")
"""Where x402's own collector stands on every public chain; its SDK looks nowhere else."""


class Erc3009DepositCollector(Contract):
    """Fetches a payer's tokens for a channel by an ERC-3009 authorisation."""

    NAME = "Erc3009DepositCollector"
    EVENTS = named()
    __slots__ = ()

    @classmethod
    def deployment(cls, *, channels: Address) -> Call:
        """Deploy the collector of one channel contract."""
        return Call(to=None, data=cls.artefact().creation_code(channels))

    def channels(self) -> Query[Address]:
        """The only caller, and where the money goes."""
        return self._query("x402BatchSettlement")


def collector_data(authorization: Authorization, *, salt: int, signature: bytes) -> bytes:
    """Return what a deposit hands to the collector.

    The authorisation goes from the payer to the collector, its nonce is `deposit_nonce` of the
    channel and the salt, and the signature is the payer's over `receive_digest`.
    """
    times = (authorization.valid_after_s, authorization.valid_before_s)
    return encode(["uint256", "uint256", "uint256", "bytes"], [*times, salt, signature])
