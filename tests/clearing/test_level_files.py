"""Trees in files against trees in memory: every size, every portion, many in the same files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.clearing.level_files import Placed, read_path, writing
from opencarrier.kernel.merkle import Tree, leaf_hash, root_from_path


def leaves(tree: int, size: int) -> list[bytes]:
    return [leaf_hash(bytes((tree, number % 256, number // 256))) for number in range(size)]


def write(folder: Path, sizes: list[int], portions: list[int]) -> list[Placed]:
    made = []
    with writing(folder) as writer:
        for tree, size in enumerate(sizes):
            left = leaves(tree, size)
            for number in range(size):
                taken = portions[number % len(portions)]
                writer.add(b"".join(left[:taken]))
                left = left[taken:]
            made.append(writer.finish())
    return made


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 70), min_size=1, max_size=6),
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
)
def test_roots_and_paths_are_those_of_the_tree_in_memory(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], portions: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("trees") / "tree"
    for number, placed in enumerate(write(folder, sizes, portions)):
        hashes = leaves(number, sizes[number])
        whole = Tree(hashes)
        assert (placed.size, placed.root) == (whole.size, whole.root)
        for index in {0, placed.size // 2, placed.size - 1}:
            path = read_path(folder, placed, index)
            assert path == whole.path(index)
            assert root_from_path(hashes[index], path) == placed.root


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 255, 256, 257])
def test_sizes_at_both_sides_of_a_power_of_two(tmp_path: Path, size: int) -> None:
    (placed,) = write(tmp_path / "tree", [size], [size])
    assert placed.root == Tree(leaves(0, size)).root
    assert len(placed.starts) == (size - 1).bit_length() + 1


def test_a_tree_without_leaves_and_a_torn_file_are_noticed(tmp_path: Path) -> None:
    with writing(tmp_path / "none") as writer, pytest.raises(AssertionError, match="has leaves"):
        writer.finish()
    (placed,) = write(tmp_path / "torn", [5], [5])
    torn = tmp_path / "torn" / "level-00"
    torn.write_bytes(torn.read_bytes()[:70])
    with pytest.raises(AssertionError, match="ends before"):
        read_path(tmp_path / "torn", placed, 3)
