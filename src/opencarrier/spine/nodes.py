"""What a registry on chain says of a node, and how it is hashed."""

from __future__ import annotations

from dataclasses import dataclass

from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.pair_tree import twice
from opencarrier.kernel.signatures import Address, address_word


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLeaf:
    """A node on chain: its owner, its signing key, and since when that is its key.

    `valid_from` is in seconds since 1970 UTC.
    """

    node_id: bytes
    owner: Address
    operator: Address
    valid_from: int


def chain_node_id(node_id: str) -> bytes:
    """Return a node's id on chain: Keccak-256 of its id here."""
    return keccak(node_id.encode())


def node_leaf_hash(leaf: NodeLeaf) -> bytes:
    """Hash a leaf as the registry does: twice over (node_id, owner, operator, valid_from)."""
    assert len(leaf.node_id) == 32, "a node's id on chain has 32 octets"
    addresses = b"".join(address_word(address) for address in (leaf.owner, leaf.operator))
    return twice(leaf.node_id + addresses + leaf.valid_from.to_bytes(32, "big"))


def join_digest(token: str, kid: Address) -> Id:
    """Return what a node's new key signs, so that a link enters no key that is another's."""
    return derive("node/join", token, kid)
