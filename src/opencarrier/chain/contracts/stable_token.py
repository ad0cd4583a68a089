"""The stable token as Python."""

from __future__ import annotations

from typing import Any

from opencarrier.chain.contracts.base import Ownable, Query, domain_query
from opencarrier.chain.events import stable_token as events
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import Authorization, SigningDomain
from opencarrier.kernel.signatures import Address

_SPLIT = "address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32"


class StableToken(Ownable):
    """ERC-20 of 6 decimals with permits and transfers by signature."""

    NAME = "StableToken"
    EVENTS = events.ALL
    __slots__ = ()

    @classmethod
    def deployment(cls, *, name: str, symbol: str, version: str, owner: Address) -> Call:
        """Deploy a token."""
        return Call(to=None, data=cls.artefact().creation_code(name, symbol, version, owner))

    def transfer(self, receiver: Address, amount: int) -> Call:
        """Move the caller's tokens."""
        return self._call("transfer", receiver, amount)

    def approve(self, spender: Address, amount: int) -> Call:
        """Set an allowance."""
        return self._call("approve", spender, amount)

    def transfer_from(self, sender: Address, receiver: Address, amount: int) -> Call:
        """Move tokens within the caller's allowance."""
        return self._call("transferFrom", sender, receiver, amount)

    def mint(self, account: Address, amount: int) -> Call:
        """Make tokens (minter)."""
        return self._call("mint", account, amount)

    def burn(self, amount: int) -> Call:
        """Destroy the caller's tokens (minter)."""
        return self._call("burn", amount)

    def set_minter(self, account: Address, *, allowed: bool) -> Call:
        """Give or take the right to mint (owner)."""
        return self._call("set_minter", account, allowed)

    def freeze(self, account: Address) -> Call:
        """Freeze an account (owner)."""
        return self._call("freeze", account)

    def unfreeze(self, account: Address) -> Call:
        """Free an account (owner)."""
        return self._call("unfreeze", account)

    def set_paused(self, *, paused: bool) -> Call:
        """Stop or resume the token (owner)."""
        return self._call("set_paused", paused)

    def permit(
        self, *, owner: Address, spender: Address, amount: int, deadline: int, signature: bytes
    ) -> Call:
        """Set an allowance by the owner's 65-octet signature (anybody)."""
        return self._call("permit", owner, spender, amount, deadline, *_split(signature))

    def transfer_with_split_signature(self, given: Authorization, signature: bytes) -> Call:
        """As `transfer_with_authorization`, in the form with `v`, `r` and `s` (anybody)."""
        parts = _split(signature)
        return self._call(f"transferWithAuthorization({_SPLIT})", *_authorization(given), *parts)

    def receive_with_split_signature(self, given: Authorization, signature: bytes) -> Call:
        """As `receive_with_authorization`, in the form with `v`, `r` and `s` (the receiver)."""
        parts = _split(signature)
        return self._call(f"receiveWithAuthorization({_SPLIT})", *_authorization(given), *parts)

    def cancel_with_split_signature(
        self, authorizer: Address, nonce: bytes, signature: bytes
    ) -> Call:
        """As `cancel_authorization`, in the form with `v`, `r` and `s` (anybody)."""
        function = "cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)"
        return self._call(function, authorizer, nonce, *_split(signature))

    def transfer_with_authorization(self, given: Authorization, signature: bytes) -> Call:
        """Move tokens by the sender's signature (anybody)."""
        return self._call("transferWithAuthorization", *_authorization(given), signature)

    def receive_with_authorization(self, given: Authorization, signature: bytes) -> Call:
        """Move tokens by the sender's signature (the receiver)."""
        return self._call("receiveWithAuthorization", *_authorization(given), signature)

    def cancel_authorization(self, authorizer: Address, nonce: bytes, signature: bytes) -> Call:
        """Make an unused authorisation unusable by its author's signature (anybody)."""
        return self._call("cancelAuthorization", authorizer, nonce, signature)

    def balance_of(self, account: Address) -> Query[int]:
        """What an account holds."""
        return self._query("balanceOf", account)

    def allowance(self, owner: Address, spender: Address) -> Query[int]:
        """What a spender may move."""
        return self._query("allowance", owner, spender)

    def is_frozen(self, account: Address) -> Query[bool]:
        """Whether an account is stopped."""
        return self._query("is_frozen", account)

    def total_supply(self) -> Query[int]:
        """All tokens there are."""
        return self._query("totalSupply")

    def decimals(self) -> Query[int]:
        """How many decimals the smallest unit has."""
        return self._query("decimals")

    def symbol(self) -> Query[str]:
        """How it is called where amounts are shown."""
        return self._query("symbol")

    def nonce(self, owner: Address) -> Query[int]:
        """The nonce of an owner's next permit."""
        return self._query("nonces", owner)

    def authorization_used(self, authorizer: Address, nonce: bytes) -> Query[bool]:
        """Whether a nonce was used or cancelled."""
        return self._query("authorizationState", authorizer, nonce)

    def signing_domain(self) -> Query[SigningDomain]:
        """Where signatures for this token count, as the token itself says (EIP-5267)."""
        return domain_query(self._query("eip712Domain"))


def _split(signature: bytes) -> tuple[int, bytes, bytes]:
    return signature[64], signature[:32], signature[32:64]


def _authorization(given: Authorization) -> tuple[Any, ...]:
    times = (given.valid_after_s, given.valid_before_s)
    return (given.sender, given.receiver, given.amount_minor, *times, given.nonce)
