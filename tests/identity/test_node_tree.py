"""The tree over nodes says of each node what the directory says, and proves it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.chain import abi
from opencarrier.identity.node_tree import NodeTree, node_leaf
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.pair_tree import NO_ROOT, verify
from opencarrier.spine.nodes import NodeLeaf, chain_node_id, node_leaf_hash
from opencarrier.spine.parties import Host, Node, PartyId

HOST = Host(party_id=PartyId("host_1"), name="Host", payout="0x" + "11" * 20)
KEY = "0x" + "22" * 20

words = st.binary(min_size=32, max_size=32)
addresses = st.binary(min_size=20, max_size=20).map(lambda octets: "0x" + octets.hex())
leaves = st.builds(
    NodeLeaf,
    node_id=words,
    owner=addresses,
    operator=addresses,
    valid_from=st.integers(0, 2**256 - 1),
)


def node(number: int) -> Node:
    return Node(
        node_id=f"node_{number}",
        nas_identifier=f"ap-{number}",
        operator=PartyId("op_1"),
        host=HOST.party_id,
    )


@given(leaves)
def test_a_leaf_is_hashed_as_the_contract_does(leaf: NodeLeaf):
    """Keccak-256 twice over the ABI's words, by a general encoder."""
    types = ["bytes32", "address", "address", "uint256"]
    encoded = abi.encode(types, [leaf.node_id, leaf.owner, leaf.operator, leaf.valid_from])
    assert node_leaf_hash(leaf) == keccak(keccak(encoded))


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_every_node_is_proven(count: int):
    """A node's leaf names its host's payout address and its key."""
    made = [node_leaf(node(i), HOST, operator=KEY, valid_from_s=7) for i in range(count)]
    tree = NodeTree(made)
    for i in range(count):
        leaf, siblings = tree.proof(chain_node_id(f"node_{i}"))
        assert leaf == NodeLeaf(
            node_id=keccak(b"node_%d" % i), owner=HOST.payout, operator=KEY, valid_from=7
        )
        assert verify(tree.root, node_leaf_hash(leaf), siblings)
    with pytest.raises(KeyError):
        tree.proof(chain_node_id("stranger"))


def test_no_nodes():
    assert NodeTree([]).root == NO_ROOT


def test_a_node_stands_once():
    """Two leaves of one node would let two owners prove it."""
    one = node_leaf(node(1), HOST, operator=KEY, valid_from_s=7)
    with pytest.raises(AssertionError):
        NodeTree([one, node_leaf(node(1), HOST, operator=KEY, valid_from_s=8)])


def test_a_node_is_its_own_hosts():
    other = Host(party_id=PartyId("host_2"), name="Other", payout=HOST.payout)
    with pytest.raises(AssertionError):
        node_leaf(node(1), other, operator=KEY, valid_from_s=7)
