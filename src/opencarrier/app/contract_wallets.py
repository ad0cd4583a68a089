"""Wallets that are contracts: whether one takes a signature is asked on our chain (EIP-1271).

A contract is whatever somebody deployed: it is given so much gas, and so much time to a node
elsewhere; whatever it does otherwise is a no.
"""

from __future__ import annotations

from threading import BoundedSemaphore
from typing import Final

from opencarrier.app.quick_chain import QuickChain
from opencarrier.chain.errors import ChainError
from opencarrier.chain.model import Call
from opencarrier.kernel.signatures import Address

GAS_MAX: Final = 500_000
SIGNATURE_OCTETS_MAX: Final = 4_096
ASKED_AT_ONCE_MAX: Final = 4

_SELECTOR: Final = bytes.fromhex("1626ba7e")
"""Of `isValidSignature(bytes32,bytes)`, and what it answers where it does take it."""


class ContractWallets:
    """Asks contracts; of more than `ASKED_AT_ONCE_MAX` at once the further ones are a no."""

    def __init__(self, chain: QuickChain) -> None:
        self._chain = chain
        self._room = BoundedSemaphore(ASKED_AT_ONCE_MAX)

    def takes(self, wallet: Address, digest: bytes, signature: bytes) -> bool:
        """Say whether the contract at an address takes a signature over a digest of 32 octets."""
        if len(signature) > SIGNATURE_OCTETS_MAX or not self._room.acquire(blocking=False):
            return False
        try:
            answer = self._chain.client().call(_question(wallet, digest, signature))
        except ChainError:
            return False
        finally:
            self._room.release()
        return answer[:32] == _SELECTOR.ljust(32, b"\x00")


def _question(wallet: Address, digest: bytes, signature: bytes) -> Call:
    """Encode the call: the digest, where the signature stands, its length, it, filled up."""
    padded = signature + bytes(-len(signature) % 32)
    place, length = (number.to_bytes(32, "big") for number in (64, len(signature)))
    return Call(to=wallet, data=_SELECTOR + digest + place + length + padded, gas_limit=GAS_MAX)
