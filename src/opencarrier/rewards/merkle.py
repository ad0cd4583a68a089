"""The rewards tree: Keccak-256 over sorted pairs in OpenZeppelin's StandardMerkleTree layout.

A leaf is keccak256(keccak256(abi.encode(account, token, lifetime_amount))). Leaves are ordered by
hash and stand at the end of one array in which node i has the children 2i+1 and 2i+2. Hashing a
leaf twice keeps the 64 octets of an inner node from being passed off as a leaf.
"""

from __future__ import annotations

from collections.abc import Sequence

from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address
from opencarrier.rewards.model import NO_ROOT, EntitlementLeaf

PROOF_MAX = 40
"""Siblings the contract takes; a tree of 2**40 leaves is never reached."""


def leaf_hash(leaf: EntitlementLeaf) -> bytes:
    """Hash a leaf as the contract does."""
    words = _word(leaf.account) + _word(leaf.token) + leaf.lifetime_minor.to_bytes(32, "big")
    return keccak(keccak(words))


def node_hash(one: bytes, other: bytes) -> bytes:
    """Hash two nodes, the lower first, so that a proof needs no directions."""
    return keccak(one + other if one < other else other + one)


def _word(address: Address) -> bytes:
    octets = bytes.fromhex(address[2:])
    assert len(octets) == 20, "an address has 20 octets"
    return bytes(12) + octets


class Tree:
    """The tree over a set of leaves; the same set gives the same root in any order."""

    __slots__ = ("_nodes", "_positions")

    def __init__(self, leaves: Sequence[EntitlementLeaf]) -> None:
        hashed = sorted((leaf_hash(leaf), leaf.account) for leaf in leaves)
        last = 2 * len(hashed) - 2
        self._positions = {account: last - i for i, (_, account) in enumerate(hashed)}
        assert len(self._positions) == len(leaves), "an account has one leaf"
        nodes = [b""] * max(len(hashed) - 1, 0)
        nodes += [digest for digest, _ in reversed(hashed)]
        for position in range(len(hashed) - 2, -1, -1):
            nodes[position] = node_hash(nodes[2 * position + 1], nodes[2 * position + 2])
        self._nodes = nodes

    def __len__(self) -> int:
        """Count the leaves."""
        return len(self._positions)

    @property
    def root(self) -> bytes:
        """The root; `NO_ROOT` of an empty tree."""
        return self._nodes[0] if self._nodes else NO_ROOT

    def siblings(self, leaf: EntitlementLeaf) -> tuple[bytes, ...]:
        """Return the proof of a leaf of this tree: its siblings from the leaf up."""
        position = self._positions[leaf.account]
        assert self._nodes[position] == leaf_hash(leaf), "the tree holds another amount"
        proof = []
        while position:
            proof.append(self._nodes[position + 1 if position % 2 else position - 1])
            position = (position - 1) // 2
        assert len(proof) <= PROOF_MAX, "the contract takes no longer proof"
        return tuple(proof)


def verify(root: bytes, leaf: EntitlementLeaf, siblings: Sequence[bytes]) -> bool:
    """Say whether the siblings lead from the leaf to the root, as the contract would."""
    if len(siblings) > PROOF_MAX or any(len(sibling) != 32 for sibling in siblings):
        return False
    digest = leaf_hash(leaf)
    for sibling in siblings:
        digest = node_hash(digest, sibling)
    return digest == root
