"""Merkle trees with their levels in files: built as a stream, read log n hashes at a time.

`level-00` holds the leaves, each next file what stands above, 32 octets a node. Many trees stand
one behind the other in the same files, so a cycle of thousands of positions has a few dozen files.
The shape is that of `kernel.merkle`: an odd node at the end of a level rises unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path as File
from typing import BinaryIO, Final

from opencarrier.kernel.merkle import HASH_OCTETS, Path

PAIR_OCTETS: Final = 2 * HASH_OCTETS
LEVELS_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A tree in the files: its leaves, its head, and the node each level of it begins at."""

    size: int
    root: bytes
    starts: tuple[int, ...]


class LevelWriter:
    """Writes trees one behind the other; of a tree, memory holds one node a level.

    Leaves may come in portions of any size; a portion is hashed before the next is asked for.
    """

    def __init__(self, folder: File, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._files: list[BinaryIO] = []
        self._ends: list[int] = []
        self._begin()

    def add(self, leaves: bytes) -> None:
        """Append leaf hashes to the present tree."""
        assert len(leaves) % HASH_OCTETS == 0, "a node has 32 octets"
        self._size += len(leaves) // HASH_OCTETS
        self._put(0, leaves)

    def finish(self) -> Placed:
        """End the present tree, which has at least one leaf, and begin the next."""
        assert self._size, "a tree has leaves"
        size, level = self._size, 0
        while size > 1:
            if size % 2:
                odd, self._odd[level] = self._odd[level], b""
                self._put(level + 1, odd)
            size, level = (size + 1) // 2, level + 1
        placed = Placed(
            size=self._size, root=self._odd[level], starts=tuple(self._starts[: level + 1])
        )
        self._begin()
        return placed

    def _begin(self) -> None:
        self._size = 0
        self._starts = list(self._ends)
        self._odd = [b""] * len(self._ends)

    def _put(self, level: int, nodes: bytes) -> None:
        while nodes:
            self._write(level, nodes)
            pending = self._odd[level] + nodes
            whole = len(pending) - len(pending) % PAIR_OCTETS
            self._odd[level] = pending[whole:]
            nodes = hash_pairs(pending, whole)
            level += 1

    def _write(self, level: int, nodes: bytes) -> None:
        if level == len(self._files):
            assert level < LEVELS_MAX
            file = level_file(self._folder, level).open("wb")
            self._files.append(self._stack.enter_context(file))
            for numbers in (self._ends, self._starts):
                numbers.append(0)
            self._odd.append(b"")
        self._files[level].write(nodes)
        self._ends[level] += len(nodes) // HASH_OCTETS


def hash_pairs(nodes: bytes, octets: int) -> bytes:
    """Hash neighbours in the first `octets` of a run of nodes (RFC 9162 section 2.1.1)."""
    digest = sha256
    return b"".join(
        [
            digest(b"\x01" + nodes[place : place + PAIR_OCTETS]).digest()
            for place in range(0, octets, PAIR_OCTETS)
        ]
    )


@contextmanager
def writing(folder: File) -> Iterator[LevelWriter]:
    """Write trees to a new folder; whoever is done finds all of it on the disk."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        yield LevelWriter(folder, stack)


def read_path(folder: File, tree: Placed, index: int) -> Path:
    """Return a leaf's inclusion path: one read a level, whatever the tree's size."""
    assert 0 <= index < tree.size, "no such leaf"
    siblings, size = [], tree.size
    for level, start in enumerate(tree.starts[:-1]):
        neighbour = (index >> level) ^ 1
        if neighbour < size:
            siblings.append(read_node(folder, level, start + neighbour))
        size = (size + 1) // 2
    return Path(index, tree.size, tuple(siblings))


def read_node(folder: File, level: int, place: int) -> bytes:
    """Return one node of a level's file."""
    with level_file(folder, level).open("rb") as file:
        file.seek(place * HASH_OCTETS)
        node = file.read(HASH_OCTETS)
    assert len(node) == HASH_OCTETS, "the level ends before the node"
    return node


def level_file(folder: File, level: int) -> File:
    """Return where a level is kept."""
    return folder / f"level-{level:02d}"
