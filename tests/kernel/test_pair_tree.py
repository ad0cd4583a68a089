"""Trees as contracts read them: in any order one root; every proof leads up, nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.pair_tree import NO_ROOT, PROOF_MAX, PairTree, pair_hash, twice, verify

leaf_sets = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40, unique=True)


def reference_root(leaves: list[bytes]) -> bytes:
    """The root by the layout's definition, top down: node i has the children 2i+1 and 2i+2."""
    ordered = sorted(leaves)
    size = 2 * len(ordered) - 1

    def node(i: int) -> bytes:
        if 2 * i + 1 >= size:
            return ordered[size - 1 - i]
        low, high = sorted((node(2 * i + 1), node(2 * i + 2)))
        return keccak(low + high)

    return node(0)


@given(leaf_sets, st.randoms(use_true_random=False))
def test_any_order_the_same_root(leaves: list[bytes], order):
    shuffled = list(leaves)
    order.shuffle(shuffled)
    assert PairTree(shuffled).root == PairTree(leaves).root == reference_root(leaves)
    assert len(PairTree(leaves)) == len(leaves)


@given(leaf_sets)
def test_every_leaf_is_proven(leaves: list[bytes]):
    tree = PairTree(leaves)
    for leaf in leaves:
        assert verify(tree.root, leaf, tree.siblings(leaf))


@given(leaf_sets, st.binary(min_size=32, max_size=32))
def test_nothing_else_is_proven(leaves: list[bytes], stranger: bytes):
    tree = PairTree(leaves)
    proof = tree.siblings(leaves[0])
    if stranger not in leaves:
        assert not verify(tree.root, stranger, proof)
        with pytest.raises(KeyError):
            tree.siblings(stranger)
    assert not verify(tree.root, leaves[0], (*proof, stranger))
    if proof:
        assert not verify(tree.root, leaves[0], proof[:-1])


def test_no_leaves_and_one():
    assert PairTree([]).root == NO_ROOT
    only = twice(b"only")
    assert PairTree([only]).root == only
    assert PairTree([only]).siblings(only) == ()


def test_a_leaf_stands_once():
    with pytest.raises(AssertionError):
        PairTree([twice(b"a"), twice(b"a")])


def test_limits_of_a_proof():
    """Forty siblings of 32 octets each; one more, or one of another length, proves nothing."""
    leaf = root = twice(b"leaf")
    siblings = [twice(bytes((i,))) for i in range(PROOF_MAX + 1)]
    for sibling in siblings[:-1]:
        root = pair_hash(root, sibling)
    assert verify(root, leaf, siblings[:-1])
    assert not verify(pair_hash(root, siblings[-1]), leaf, siblings)
    assert not verify(pair_hash(leaf, b"short"), leaf, (b"short",))
