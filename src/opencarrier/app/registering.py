"""What the hub does at a venue's registry of nodes: publish the root of all nodes, mint one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain
from opencarrier.chain.contracts import NodeRegistry
from opencarrier.identity.node_tree import NodeTree, node_leaf
from opencarrier.kernel.ids import derive, to_hex
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.spine.nodes import NodeLeaf, chain_node_id
from opencarrier.spine.parties import Node

SINCE_EVER_S = 0
"""A node without a key of its own is signed for by its operator, from the beginning."""


class RegistryRefusal(Reason):
    """Why nothing is done at the registry."""

    NO_NODES = 1
    UNKNOWN_NODE = 2
    NOT_PUBLISHED = 3
    MINTED = 4


class Registry:
    """Errands at a venue's registry; `PeerError` at a venue that has none."""

    def __init__(self, place: Onchain) -> None:
        self._place = place
        self._base = place.base
        self._contract = NodeRegistry(place.manifest.at(NodeRegistry))

    def publish(self) -> dict[str, Any] | Refusal:
        """Publish the root of all nodes there are; one that stands already is left."""
        with self._base.store.read() as unit:
            leaves = self._leaves(unit)
        if not leaves:
            return Refusal(RegistryRefusal.NO_NODES)
        root, client = NodeTree(leaves).root, self._place.client
        epoch = self._contract.epoch().ask(client)
        if self._contract.root().ask(client) != root:
            epoch += 1
            intent = derive("errand/nodes", self._contract.address, epoch, root)
            with self._place.turn:
                self._place.work.do(intent, self._contract.publish_root(epoch, root))
        return {"root": to_hex(root), "epoch": epoch, "nodes": len(leaves)}

    def mint(self, node_id: str) -> dict[str, Any] | Refusal:
        """Make a node the token of its host, by its proof under the root in force."""
        with self._base.store.read() as unit:
            leaves = self._leaves(unit)
        tree, key, client = NodeTree(leaves), chain_node_id(node_id), self._place.client
        if key not in tree.leaves:
            return Refusal(RegistryRefusal.UNKNOWN_NODE, node_id)
        leaf, proof = tree.proof(key)
        token_id = int.from_bytes(key, "big")
        intent = derive("errand/node", self._contract.address, key)
        with self._base.store.read() as unit:
            begun = self._place.work.manager.find(unit, intent) is not None
        if not begun and self._contract.keys_count(key).ask(client):
            return Refusal(RegistryRefusal.MINTED, node_id)
        if not begun and self._contract.root().ask(client) != tree.root:
            return Refusal(RegistryRefusal.NOT_PUBLISHED, "publish the nodes there are first")
        with self._place.turn:
            done = self._place.work.do(intent, self._contract.mint(leaf, proof))
        assert done.mined is not None, "what was waited for is mined"
        owner = self._contract.owner_of(token_id).ask(client)
        return {"node": node_id, "owner": owner, "tx_hash": to_hex(done.mined.tx_hash)}

    def _leaves(self, unit: Connection) -> list[NodeLeaf]:
        directory = self._base.identity.directory
        return [self._leaf(unit, node) for node in directory.nodes(unit)]

    def _leaf(self, unit: Connection, node: Node) -> NodeLeaf:
        directory = self._base.identity.directory
        host, operator = directory.host(unit, node.host), directory.operator(unit, node.operator)
        assert host is not None, "a node's host is known"
        assert operator is not None, "a node's operator is known"
        return node_leaf(node, host, operator=operator.address, valid_from_s=SINCE_EVER_S)
