"""Merkle trees as contracts read them: Keccak-256 over pairs in ascending order.

The layout is that of OpenZeppelin's StandardMerkleTree: leaves are ordered by hash and stand at
the end of one array in which node i has the children 2i+1 and 2i+2. A leaf is hashed twice by
whoever makes it, so that the 64 octets of an inner node cannot be passed off as a leaf.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise

from opencarrier.kernel.keccak import keccak

HASH_OCTETS = 32
PROOF_MAX = 40
"""Siblings a contract takes; a tree of 2**40 leaves is never reached."""

NO_ROOT = bytes(HASH_OCTETS)
"""The root of no leaves."""


def twice(data: bytes) -> bytes:
    """Hash what a leaf says, twice."""
    return keccak(keccak(data))


def pair_hash(one: bytes, other: bytes) -> bytes:
    """Hash two nodes, the lower first, so that a proof needs no directions."""
    return keccak(one + other if one < other else other + one)


class PairTree:
    """The tree over a set of leaf hashes; the same set gives the same root in any order.

    All nodes are one run of octets, 64 for each leaf, so two million leaves fit in memory. A leaf
    is found by its hash, as leaves stand in descending order of it.
    """

    __slots__ = ("_count", "_nodes")

    def __init__(self, leaves: Iterable[bytes]) -> None:
        digests = sorted(leaves, reverse=True)
        assert all(one != other for one, other in pairwise(digests)), "a leaf stands in a tree once"
        self._count = len(digests)
        inner = max(self._count - 1, 0)
        self._nodes = bytearray(inner * HASH_OCTETS) + b"".join(digests)
        for position in range(inner - 1, -1, -1):
            pair = pair_hash(self._node(2 * position + 1), self._node(2 * position + 2))
            self._nodes[HASH_OCTETS * position : HASH_OCTETS * (position + 1)] = pair

    def __len__(self) -> int:
        """Count the leaves."""
        return self._count

    @property
    def root(self) -> bytes:
        """The root; `NO_ROOT` of an empty tree."""
        return self._node(0) if self._count else NO_ROOT

    def siblings(self, leaf: bytes) -> tuple[bytes, ...]:
        """Return the proof of a leaf: its siblings from the leaf up; `KeyError` for a stranger."""
        position = self._position(leaf)
        proof = []
        while position:
            proof.append(self._node(position + 1 if position % 2 else position - 1))
            position = (position - 1) // 2
        assert len(proof) <= PROOF_MAX, "no contract takes a longer proof"
        return tuple(proof)

    def _position(self, digest: bytes) -> int:
        last = 2 * self._count - 2
        index = bisect_left(range(self._count), digest, key=lambda i: self._node(last - i))
        if index == self._count or self._node(last - index) != digest:
            raise KeyError(digest.hex())
        return last - index

    def _node(self, position: int) -> bytes:
        return bytes(self._nodes[HASH_OCTETS * position : HASH_OCTETS * (position + 1)])


def verify(root: bytes, leaf: bytes, siblings: Sequence[bytes]) -> bool:
    """Say whether the siblings lead from the leaf to the root, as a contract would."""
    if len(siblings) > PROOF_MAX or any(len(sibling) != HASH_OCTETS for sibling in siblings):
        return False
    digest = leaf
    for sibling in siblings:
        digest = pair_hash(digest, sibling)
    return digest == root
