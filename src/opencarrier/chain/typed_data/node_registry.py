"""What guardians of a registry of nodes sign."""

from __future__ import annotations

from dataclasses import dataclass

from opencarrier.chain.typed_data.base import SigningDomain, struct_hash
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address

NODE_REGISTRY_NAME = "opencarrier NodeRegistry"
NODE_REGISTRY_VERSION = "1"

BAN_TYPE_HASH = keccak(
    b"Ban(bytes32 node_id,bytes32 reason_hash,bytes32 evidence_root,"
    b"uint256 starts_at,uint256 ends_at,uint256 slash_amount)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BanStatement:
    """A ban in [`starts_at_s`, `ends_at_s`) that costs the node up to `slash_minor` of its bond."""

    node_id: bytes
    reason_hash: bytes
    evidence_root: bytes
    starts_at_s: int
    ends_at_s: int
    slash_minor: int

    @property
    def words(self) -> tuple[bytes, bytes, bytes, int, int, int]:
        """The fields in the contract's order."""
        times = (self.starts_at_s, self.ends_at_s)
        return (self.node_id, self.reason_hash, self.evidence_root, *times, self.slash_minor)

    @property
    def ban_id(self) -> bytes:
        """The ban's id, known before anything is sent: the hash of the statement."""
        return struct_hash(BAN_TYPE_HASH, *self.words)


def node_registry_domain(*, chain_id: int, contract: Address) -> SigningDomain:
    """Return the signing domain of a registry of nodes."""
    return SigningDomain(
        name=NODE_REGISTRY_NAME,
        version=NODE_REGISTRY_VERSION,
        chain_id=chain_id,
        contract=contract,
    )


def ban_digest(domain: SigningDomain, statement: BanStatement) -> bytes:
    """Return what a guardian signs to ban a node."""
    return domain.digest(statement.ban_id)
