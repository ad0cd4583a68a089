"""Who signs for us on a chain: EIP-1559 transactions and 32-octet digests, secrets unseen."""

from __future__ import annotations

from dataclasses import dataclass

from opencarrier.chain.rlp import encode
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address, KeySigner, Signature, Signer

DYNAMIC_FEE_TYPE = b"\x02"


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicFeeTransaction:
    """An unsigned EIP-1559 transaction; fees in wei per gas, `to` None deploys."""

    chain_id: int
    nonce: int
    max_priority_fee_per_gas_wei: int
    max_fee_per_gas_wei: int
    gas_limit: int
    to: Address | None
    value_wei: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTransaction:
    """The octets that go on the wire and the hash everybody knows them by."""

    raw: bytes
    tx_hash: bytes


def sign_transaction(transaction: DynamicFeeTransaction, signer: Signer) -> SignedTransaction:
    """Sign a type 2 transaction without access list (EIP-1559, EIP-2718).

    The nonce of the signature is deterministic, so the same fields give the same octets.
    """
    fields = _fields(transaction)
    octets = signer.sign(keccak(DYNAMIC_FEE_TYPE + encode(fields))).octets
    parity = octets[64] - 27
    r = int.from_bytes(octets[:32], "big")
    s = int.from_bytes(octets[32:64], "big")
    raw = DYNAMIC_FEE_TYPE + encode([*fields, parity, r, s])
    return SignedTransaction(raw=raw, tx_hash=keccak(raw))


def create_address(sender: Address, nonce: int) -> Address:
    """Return where a deployment lands: the last 20 octets of keccak(rlp([sender, nonce]))."""
    return Address("0x" + keccak(encode([address_octets(sender), nonce]))[12:].hex())


def address_octets(address: Address) -> bytes:
    """Return an address's 20 octets; ValueError for anything else."""
    octets = bytes.fromhex(address.removeprefix("0x"))
    if len(octets) != 20:
        raise ValueError(f"an address has 20 octets, {address!r} has {len(octets)}")
    return octets


class LocalSigner:
    """A key held in this process; neither `repr` nor a log ever shows it."""

    __slots__ = ("_signer",)

    def __init__(self, secret: bytes) -> None:
        self._signer: Signer = KeySigner(secret)

    @classmethod
    def of(cls, signer: Signer) -> LocalSigner:
        """Sign transactions with a key that somebody else holds, such as a notary."""
        made = cls.__new__(cls)
        made._signer = signer
        return made

    def __repr__(self) -> str:
        """Name the key, never its secret."""
        return f"LocalSigner({self.address})"

    def __reduce__(self) -> str:
        """Refuse to be pickled: a copy of the key would leave the process."""
        raise TypeError("a signer is not copied")

    @property
    def address(self) -> Address:
        """The key's EVM address, its name."""
        return self._signer.address

    def sign(self, digest: bytes) -> Signature:
        """Sign a 32-octet digest: r, s, v with v 27 or 28, s in the lower half."""
        return self._signer.sign(digest)

    def sign_transaction(self, transaction: DynamicFeeTransaction) -> SignedTransaction:
        """Sign an EIP-1559 transaction."""
        return sign_transaction(transaction, self._signer)


def _fields(transaction: DynamicFeeTransaction) -> list[bytes | int | list[bytes]]:
    to = b"" if transaction.to is None else address_octets(transaction.to)
    return [
        transaction.chain_id,
        transaction.nonce,
        transaction.max_priority_fee_per_gas_wei,
        transaction.max_fee_per_gas_wei,
        transaction.gas_limit,
        to,
        transaction.value_wei,
        transaction.data,
        [],
    ]
