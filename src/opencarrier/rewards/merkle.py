"""The rewards tree: Keccak-256 over sorted pairs in OpenZeppelin's StandardMerkleTree layout.

A leaf is keccak256(keccak256(abi.encode(account, token, lifetime_amount))). Leaves are ordered by
hash and stand at the end of one array in which node i has the children 2i+1 and 2i+2. Hashing a
leaf twice keeps the 64 octets of an inner node from being passed off as a leaf.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

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
    """The tree over a set of leaves; the same set gives the same root in any order.

    All nodes are one run of octets, 64 for each leaf, so two million leaves fit in memory. A leaf
    is found by its hash, as leaves stand in descending order of it. That an account has one leaf is
    `certificate`'s to check.
    """

    __slots__ = ("_count", "_nodes")

    def __init__(self, leaves: Iterable[EntitlementLeaf]) -> None:
        digests = sorted(map(leaf_hash, leaves), reverse=True)
        self._count = len(digests)
        inner = max(self._count - 1, 0)
        self._nodes = bytearray(inner * 32) + b"".join(digests)
        for position in range(inner - 1, -1, -1):
            pair = node_hash(self._node(2 * position + 1), self._node(2 * position + 2))
            self._nodes[32 * position : 32 * position + 32] = pair

    def __len__(self) -> int:
        """Count the leaves."""
        return self._count

    @property
    def root(self) -> bytes:
        """The root; `NO_ROOT` of an empty tree."""
        return self._node(0) if self._count else NO_ROOT

    def siblings(self, leaf: EntitlementLeaf) -> tuple[bytes, ...]:
        """Return the proof of a leaf of this tree: its siblings from the leaf up."""
        position = self._position(leaf_hash(leaf))
        proof = []
        while position:
            proof.append(self._node(position + 1 if position % 2 else position - 1))
            position = (position - 1) // 2
        assert len(proof) <= PROOF_MAX, "the contract takes no longer proof"
        return tuple(proof)

    def _position(self, digest: bytes) -> int:
        last = 2 * self._count - 2
        index = bisect_left(range(self._count), digest, key=lambda i: self._node(last - i))
        found = index < self._count and self._node(last - index) == digest
        assert found, "the tree holds no such leaf"
        return last - index

    def _node(self, position: int) -> bytes:
        return bytes(self._nodes[32 * position : 32 * position + 32])


def verify(root: bytes, leaf: EntitlementLeaf, siblings: Sequence[bytes]) -> bool:
    """Say whether the siblings lead from the leaf to the root, as the contract would."""
    if len(siblings) > PROOF_MAX or any(len(sibling) != 32 for sibling in siblings):
        return False
    digest = leaf_hash(leaf)
    for sibling in siblings:
        digest = node_hash(digest, sibling)
    return digest == root
