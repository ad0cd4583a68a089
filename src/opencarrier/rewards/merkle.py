"""The rewards tree: the kernel's pair tree over keccak256(keccak256(abi.encode(account, token,
lifetime_amount))), as the distributor reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from opencarrier.kernel import pair_tree
from opencarrier.kernel.pair_tree import PairTree, twice
from opencarrier.kernel.signatures import address_word
from opencarrier.rewards.model import EntitlementLeaf


def leaf_hash(leaf: EntitlementLeaf) -> bytes:
    """Hash a leaf as the contract does."""
    words = (address_word(leaf.account), address_word(leaf.token))
    return twice(b"".join(words) + leaf.lifetime_minor.to_bytes(32, "big"))


class Tree:
    """The tree over a set of leaves. That an account has one leaf is `certificate`'s to check."""

    __slots__ = ("_tree",)

    def __init__(self, leaves: Iterable[EntitlementLeaf]) -> None:
        self._tree = PairTree(map(leaf_hash, leaves))

    def __len__(self) -> int:
        """Count the leaves."""
        return len(self._tree)

    @property
    def root(self) -> bytes:
        """The root; `NO_ROOT` of an empty tree."""
        return self._tree.root

    def siblings(self, leaf: EntitlementLeaf) -> tuple[bytes, ...]:
        """Return the proof of a leaf: its siblings from the leaf up; `KeyError` for a stranger."""
        return self._tree.siblings(leaf_hash(leaf))


def verify(root: bytes, leaf: EntitlementLeaf, siblings: Sequence[bytes]) -> bool:
    """Say whether the siblings lead from the leaf to the root, as the contract would."""
    return pair_tree.verify(root, leaf_hash(leaf), siblings)
