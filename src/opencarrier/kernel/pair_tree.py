"""Merkle trees as contracts read them: Keccak-256 over pairs in ascending order.

The layout is that of OpenZeppelin's StandardMerkleTree: leaves are ordered by hash and stand at
the end of one array in which node i has the children 2i+1 and 2i+2. A leaf is hashed twice by
whoever makes it, so that the 64 octets of an inner node cannot be passed off as a leaf.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
    """The tree over a set of leaf hashes; the same set gives the same root in any order."""

    __slots__ = ("_nodes", "_positions")

    def __init__(self, leaves: Iterable[bytes]) -> None:
        hashed = sorted(leaves)
        last = 2 * len(hashed) - 2
        self._positions = {digest: last - i for i, digest in enumerate(hashed)}
        assert len(self._positions) == len(hashed), "a leaf stands in a tree once"
        nodes = [b""] * max(len(hashed) - 1, 0) + hashed[::-1]
        for position in range(len(hashed) - 2, -1, -1):
            nodes[position] = pair_hash(nodes[2 * position + 1], nodes[2 * position + 2])
        self._nodes = nodes

    def __len__(self) -> int:
        """Count the leaves."""
        return len(self._positions)

    @property
    def root(self) -> bytes:
        """The root; `NO_ROOT` of an empty tree."""
        return self._nodes[0] if self._nodes else NO_ROOT

    def siblings(self, leaf: bytes) -> tuple[bytes, ...]:
        """Return the proof of a leaf of this tree: its siblings from the leaf up."""
        position = self._positions[leaf]
        proof = []
        while position:
            proof.append(self._nodes[position + 1 if position % 2 else position - 1])
            position = (position - 1) // 2
        assert len(proof) <= PROOF_MAX, "no contract takes a longer proof"
        return tuple(proof)


def verify(root: bytes, leaf: bytes, siblings: Sequence[bytes]) -> bool:
    """Say whether the siblings lead from the leaf to the root, as a contract would."""
    if len(siblings) > PROOF_MAX or any(len(sibling) != HASH_OCTETS for sibling in siblings):
        return False
    digest = leaf
    for sibling in siblings:
        digest = pair_hash(digest, sibling)
    return digest == root
