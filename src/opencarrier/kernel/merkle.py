"""Merkle trees in the shape of RFC 9162 section 2.1 (SHA-256, leaves 0x00, nodes 0x01)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

HASH_OCTETS = 32
PATH_MAX = 64
"""Hashes allowed in one path; a longer one is refused before it is hashed."""

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Hash an entry as a leaf (RFC 9162 section 2.1.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees as a node (RFC 9162 section 2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Path:
    """A leaf's way to the root: its index, the tree's size, sibling hashes from the leaf up."""

    index: int
    size: int
    siblings: tuple[bytes, ...]


class Tree:
    """A tree over leaf hashes that keeps its levels, so a proof costs one look-up a level.

    An odd node at the end of a level rises unchanged, which gives exactly the left-full shape
    of RFC 9162.
    """

    __slots__ = ("levels",)

    def __init__(self, leaves: Sequence[bytes]) -> None:
        levels = [list(leaves)]
        while len(levels[-1]) > 1:
            below = levels[-1]
            above = [node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
            if len(below) % 2:
                above.append(below[-1])
            levels.append(above)
        self.levels = levels

    @property
    def size(self) -> int:
        """The number of leaves."""
        return len(self.levels[0])

    @property
    def root(self) -> bytes:
        """The tree head; SHA-256 of nothing for an empty tree."""
        return self.levels[-1][0] if self.levels[0] else EMPTY_ROOT

    def path(self, index: int) -> Path:
        """Return the inclusion path of the leaf at `index` (RFC 9162 section 2.1.3.1)."""
        assert 0 <= index < self.size, "no such leaf"
        siblings, position = [], index
        for level in self.levels[:-1]:
            neighbour = position ^ 1
            if neighbour < len(level):
                siblings.append(level[neighbour])
            position //= 2
        return Path(index, self.size, tuple(siblings))


def root_from_path(leaf: bytes, path: Path) -> bytes | None:
    """Walk a path up from a leaf hash (RFC 9162 section 2.1.3.2); None if it has no such shape."""
    if not 0 <= path.index < path.size or len(path.siblings) > PATH_MAX:
        return None
    if any(len(octets) != HASH_OCTETS for octets in (leaf, *path.siblings)):
        return None
    position, last, digest = path.index, path.size - 1, leaf
    for sibling in path.siblings:
        if last == 0:
            return None
        if position % 2 or position == last:
            digest = node_hash(sibling, digest)
            while position % 2 == 0 and position:
                position, last = position >> 1, last >> 1
        else:
            digest = node_hash(digest, sibling)
        position, last = position >> 1, last >> 1
    return digest if last == 0 else None
