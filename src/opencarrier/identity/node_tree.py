"""The tree over all nodes, whose root a registrar publishes: no node is minted one by one."""

from __future__ import annotations

from collections.abc import Iterable

from opencarrier.kernel.pair_tree import PairTree
from opencarrier.kernel.signatures import Address
from opencarrier.spine.nodes import NodeLeaf, chain_node_id, node_leaf_hash
from opencarrier.spine.parties import Host, Node


def node_leaf(node: Node, host: Host, *, operator: Address, valid_from_s: int) -> NodeLeaf:
    """Return what the registry says of a node: its host owns it, `operator` signs for it.

    `valid_from_s` is since when that key signs, in seconds since 1970 UTC.
    """
    assert node.host == host.party_id, "a node is owned by its own host"
    return NodeLeaf(
        node_id=chain_node_id(node.node_id),
        owner=host.payout,
        operator=operator,
        valid_from=valid_from_s,
    )


class NodeTree:
    """The tree over nodes; a node stands in it once."""

    __slots__ = ("_tree", "leaves")

    def __init__(self, leaves: Iterable[NodeLeaf]) -> None:
        listed = list(leaves)
        self.leaves = {leaf.node_id: leaf for leaf in listed}
        assert len(self.leaves) == len(listed), "a node has one leaf"
        self._tree = PairTree(node_leaf_hash(leaf) for leaf in self.leaves.values())

    @property
    def root(self) -> bytes:
        """What the registrar publishes."""
        return self._tree.root

    def proof(self, node_id: bytes) -> tuple[NodeLeaf, tuple[bytes, ...]]:
        """Return a node's leaf and its siblings from the leaf up; `KeyError` for a stranger."""
        leaf = self.leaves[node_id]
        return leaf, self._tree.siblings(node_leaf_hash(leaf))
