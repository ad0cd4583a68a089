"""Nodes on chain: one root for all, a token for the one that is minted, to its host."""

from __future__ import annotations

from opencarrier.app.registering import Registry, RegistryRefusal
from opencarrier.chain.contracts import NodeRegistry
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.nodes import chain_node_id

from .scene import scene, taken


def test_nodes_are_published_at_once_and_minted_one_by_one(tmp_path):
    with scene(tmp_path) as made:
        registry = Registry(made.place)
        contract = NodeRegistry(made.place.manifest.at(NodeRegistry))
        node_id = made.node.node_id
        early = registry.mint(node_id)
        assert isinstance(early, Refusal)
        assert early.reason is RegistryRefusal.NOT_PUBLISHED

        first = taken(registry.publish())
        assert (first["epoch"], first["nodes"]) == (1, 1)
        assert registry.publish() == first, "the same nodes have the same root"
        told = taken(registry.mint(node_id))
        with made.place.base.store.read() as unit:
            host = made.place.base.identity.directory.host(unit, made.node.host)
        assert told["owner"] == host.payout
        key = chain_node_id(node_id)
        now_s = made.clock.now_us() // 1_000_000
        signs = contract.operator_at(key, now_s).ask(made.place.client)
        assert signs == made.visited.address, "until a node has a key, its operator signs for it"
        assert registry.mint(node_id) == told, "the same errand again is the same token"


def test_a_stranger_is_not_minted_and_no_nodes_are_not_published(tmp_path):
    with scene(tmp_path) as made:
        registry = Registry(made.place)
        stranger = registry.mint("nobody")
        assert isinstance(stranger, Refusal)
        assert stranger.reason is RegistryRefusal.UNKNOWN_NODE
