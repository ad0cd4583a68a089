"""Merkle trees: RFC 9162's definition as the twin, every proof, every forgery."""

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.vectors.reading import load

from opencarrier.kernel.merkle import (
    EMPTY_ROOT,
    PATH_MAX,
    Path,
    Tree,
    leaf_hash,
    node_hash,
    root_from_path,
)

CERTIFICATE_TRANSPARENCY_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""Roots that certificate transparency logs test with, for one to eight entries."""


def mth(entries: list[bytes]) -> bytes:
    """MTH as RFC 9162 section 2.1.1 writes it, recursively."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = 1 << (len(entries) - 1).bit_length() - 1
    return sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


def path(index: int, entries: list[bytes]) -> list[bytes]:
    """PATH as RFC 9162 section 2.1.3.1 writes it, recursively."""
    if len(entries) == 1:
        return []
    k = 1 << (len(entries) - 1).bit_length() - 1
    if index < k:
        return [*path(index, entries[:k]), mth(entries[k:])]
    return [*path(index - k, entries[k:]), mth(entries[:k])]


def tree_of(entries: list[bytes]) -> Tree:
    return Tree([leaf_hash(entry) for entry in entries])


some_entries = st.lists(st.binary(max_size=4), min_size=1, max_size=40)


def test_roots_of_the_certificate_transparency_entries() -> None:
    vectors = load("merkle.json")
    entries = [bytes.fromhex(text[2:]) for text in vectors["entries"]]
    for size, root in enumerate(CERTIFICATE_TRANSPARENCY_ROOTS, start=1):
        assert tree_of(entries[:size]).root.hex() == root
        assert vectors["trees"][size]["root"] == f"0x{root}"


def test_the_file_holds_paths_that_verify() -> None:
    vectors = load("merkle.json")
    leaves = [bytes.fromhex(text[2:]) for text in vectors["leaf_hashes"]]
    for tree in vectors["trees"]:
        for index, hashes in enumerate(tree["paths"]):
            siblings = tuple(bytes.fromhex(text[2:]) for text in hashes)
            root = root_from_path(leaves[index], Path(index, tree["size"], siblings))
            assert root is not None
            assert f"0x{root.hex()}" == tree["root"]


def test_the_empty_tree_has_the_root_of_nothing() -> None:
    assert Tree([]).root == EMPTY_ROOT == mth([])
    assert Tree([]).size == 0


@given(some_entries)
def test_agrees_with_the_recursive_definition(entries: list[bytes]) -> None:
    tree = tree_of(entries)
    assert tree.root == mth(entries)
    for index in range(len(entries)):
        assert tree.path(index) == Path(index, len(entries), tuple(path(index, entries)))


@given(some_entries)
def test_every_proof_verifies(entries: list[bytes]) -> None:
    tree = tree_of(entries)
    for index, entry in enumerate(entries):
        assert root_from_path(leaf_hash(entry), tree.path(index)) == tree.root


@given(st.integers(1, 70), st.data())
def test_a_changed_leaf_sibling_or_index_never_verifies(size: int, data: st.DataObject) -> None:
    entries = [bytes((n,)) for n in range(size)]
    tree = tree_of(entries)
    index = data.draw(st.integers(0, size - 1))
    leaf, proof = leaf_hash(entries[index]), tree.path(index)
    assert root_from_path(leaf_hash(b"other"), proof) != tree.root
    other_index = data.draw(st.integers(-2, size + 2).filter(lambda n: n != index))
    assert root_from_path(leaf, replace(proof, index=other_index)) != tree.root
    for at, sibling in enumerate(proof.siblings):
        flipped = bytes((sibling[0] ^ 1,)) + sibling[1:]
        siblings = (*proof.siblings[:at], flipped, *proof.siblings[at + 1 :])
        assert root_from_path(leaf, replace(proof, siblings=siblings)) != tree.root


@given(st.integers(1, 70), st.data())
def test_a_path_of_the_wrong_length_has_no_root(size: int, data: st.DataObject) -> None:
    tree = tree_of([bytes((n,)) for n in range(size)])
    index = data.draw(st.integers(0, size - 1))
    leaf, proof = tree.levels[0][index], tree.path(index)
    longer = replace(proof, siblings=(*proof.siblings, bytes(32)))
    assert root_from_path(leaf, longer) is None
    if proof.siblings:
        assert root_from_path(leaf, replace(proof, siblings=proof.siblings[:-1])) is None


@given(st.integers(2, 40), st.integers(0, 80), st.data())
def test_another_size_verifies_only_where_the_shape_is_the_same(
    size: int, claimed: int, data: st.DataObject
) -> None:
    """A root does not commit to its tree's size: what is proven is the entry, not the count."""
    entries = [bytes((n,)) for n in range(size)]
    tree = tree_of(entries)
    index = data.draw(st.integers(0, size - 1))
    root = root_from_path(tree.levels[0][index], replace(tree.path(index), size=claimed))
    if root == tree.root and claimed != size:
        as_claimed = path(index, [b""] * claimed)
        assert len(as_claimed) == len(tree.path(index).siblings)
        assert turns(index, claimed) == turns(index, size)


def turns(index: int, size: int) -> list[bool]:
    """On which side each sibling of a path lies, by the recursive definition."""
    if size == 1:
        return []
    k = 1 << (size - 1).bit_length() - 1
    return [*turns(index, k), True] if index < k else [*turns(index - k, size - k), False]


@pytest.mark.parametrize(
    ("leaf", "proof"),
    [
        (bytes(32), Path(0, 0, ())),
        (bytes(32), Path(-1, 1, ())),
        (bytes(32), Path(1, 1, ())),
        (bytes(31), Path(0, 1, ())),
        (bytes(32), Path(0, 2, (bytes(33),))),
        (bytes(32), Path(0, 2, (b"",))),
        (bytes(32), Path(0, 1 << 70, (bytes(32),) * (PATH_MAX + 1))),
    ],
)
def test_shapes_that_no_tree_has(leaf: bytes, proof: Path) -> None:
    assert root_from_path(leaf, proof) is None


def test_a_path_may_be_as_long_as_the_limit() -> None:
    assert root_from_path(bytes(32), Path(0, 1 << PATH_MAX, (bytes(32),) * PATH_MAX)) is not None


def test_a_leaf_is_never_a_node() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)
