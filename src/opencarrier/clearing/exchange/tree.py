"""A Merkle tree by the digits of usage ids, so that one missing entry moves no other. Pure.

A branch of at most 16 entries hashes their leaves (RFC 9162's shape), a larger one its sixteen
children with their counts. A branch therefore proves itself against what its parent said of it,
and whoever told a head cannot tell another tree below it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from opencarrier.clearing.exchange.model import Branch, Entry, Summary
from opencarrier.kernel.encoding import Value
from opencarrier.kernel.ids import ID_OCTETS, derive
from opencarrier.kernel.merkle import EMPTY_ROOT, Tree

BUCKET: Final = 16
DIGITS: Final = "0123456789abcdef"
DEPTH: Final = 2 * ID_OCTETS

EMPTY: Final = Summary(0, EMPTY_ROOT)


class EntryTree:
    """The tree over one side's entries; a usage id is there once."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = sorted(entries, key=lambda entry: entry.usage_id)
        self._names = [entry.usage_id.hex() for entry in self._entries]
        assert len(set(self._names)) == len(self._names), "an entry is there once"
        self._known: dict[str, Summary] = {}

    @property
    def entries(self) -> Sequence[Entry]:
        """All entries, ascending by usage id."""
        return self._entries

    @property
    def head(self) -> Summary:
        """The summary of all."""
        return self.summary("")

    def under(self, prefix: str) -> Sequence[Entry]:
        """Return the entries whose ids begin with some digits."""
        return self._entries[self._start(prefix) : self._start(prefix + "g")]

    def summary(self, prefix: str) -> Summary:
        """Return the count and hash of a branch."""
        known = self._known.get(prefix)
        if known is None:
            known = self._known[prefix] = self._summary(prefix)
        return known

    def branch(self, prefix: str) -> Branch:
        """Return a branch as it is told."""
        if is_bucket(prefix, self._count(prefix)):
            return Branch(prefix=prefix, entries=tuple(self.under(prefix)))
        children = tuple(self.summary(prefix + digit) for digit in DIGITS)
        return Branch(prefix=prefix, children=children)

    def _summary(self, prefix: str) -> Summary:
        return summary_of(self.branch(prefix)) if self._count(prefix) else EMPTY

    def _count(self, prefix: str) -> int:
        return self._start(prefix + "g") - self._start(prefix)

    def _start(self, prefix: str) -> int:
        return bisect_left(self._names, prefix)


def is_bucket(prefix: str, count: int) -> bool:
    """Say whether a branch of so many entries tells them one by one."""
    return count <= BUCKET or len(prefix) == DEPTH


def summary_of(branch: Branch) -> Summary:
    """Return what a branch that was told comes to."""
    if branch.children:
        told: list[Value] = [[child.count, child.digest] for child in branch.children]
        return Summary(
            sum(child.count for child in branch.children), derive("exchange/branch", told)
        )
    tree = Tree([entry.leaf for entry in branch.entries])
    return Summary(tree.size, tree.root)
