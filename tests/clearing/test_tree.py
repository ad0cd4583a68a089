"""Every record of a cycle leads to its root; anything changed leads elsewhere or nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.clearing import rules, tree
from opencarrier.clearing.model import Commitments, RecordPath
from opencarrier.kernel.merkle import Path, Tree
from opencarrier.spine.money import RatedUsage
from opencarrier.spine.usage import Rung

from .facts import CYCLE, People, rated, salted


def cycle(items: list[RatedUsage]) -> tuple[bytes, dict[bytes, tuple[bytes, RecordPath]]]:
    """Build a cycle's tree by the text of the rules; return root, leaf data and paths."""
    drafts = []
    for pair, records in rules.by_pair(salted(item) for item in items).items():
        operator = People(8).operator(None, pair.creditor)  # type: ignore[arg-type]
        assert operator is not None
        drafts.append(
            (rules.draft(CYCLE, pair, Rung.CO_SIGNED, operator.jurisdiction, records), records)
        )
    by_name: dict[str, list[Any]] = {}
    for draft, _ in drafts:
        by_name.setdefault(draft.position.jurisdiction, []).append(draft.position.position_id)
    roots = {n: tree.seal_jurisdiction(tree.jurisdiction_tree(i)) for n, i in by_name.items()}
    domain = tree.domain_tree(roots)
    found = {}
    for draft, records in drafts:
        position = draft.position
        ids = sorted(by_name[position.jurisdiction])
        record_tree = Tree([leaf.leaf_hash for leaf in draft.leaves])
        by_usage = {record.rated.usage.usage_id: record for record in records}
        for leaf in draft.leaves:
            path = RecordPath(
                record=record_tree.path(leaf.index),
                cycle_id=position.cycle_id,
                debtor=position.debtor,
                creditor=position.creditor,
                asset=position.asset,
                rung=position.rung,
                amount_minor=position.amount_minor,
                position=tree.jurisdiction_tree(ids).path(ids.index(position.position_id)),
                jurisdiction=position.jurisdiction,
                domain=domain.path(sorted(roots).index(position.jurisdiction)),
            )
            data = tree.leaf_data(leaf.usage_id, tree.commitments(by_usage[leaf.usage_id]))
            found[leaf.usage_id] = data, path
    assert tree.seal_domain(domain) == tree.records_root(by_name)
    return tree.seal_domain(domain), found


def many(count: int) -> list[RatedUsage]:
    return [
        rated(n, home=n % 5, visited=(n * 7 + 1) % 6, amount=100 + n, host_number=n % 8)
        for n in range(count)
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.randoms(use_true_random=False))
def test_every_record_verifies_and_order_decides_nothing(count: int, dice: Any) -> None:
    items = many(count)
    root, found = cycle(items)
    assert len(found) == count
    for data, path in found.values():
        assert tree.root_of_record(data, path) == root
    dice.shuffle(items)
    assert cycle(items) == (root, found)


def variants(value: Any) -> Iterator[Any]:
    """Yield everything one step away from a value."""
    if isinstance(value, Rung):
        yield Rung(3 - value)
    elif isinstance(value, int):
        yield from (value + 1, value - 1, value + 2, 2 * value + 1)
    elif isinstance(value, bytes):
        for index in range(len(value)):
            yield value[:index] + bytes((value[index] ^ 1,)) + value[index + 1 :]
        yield value + b"\x00"
    elif isinstance(value, str):
        yield value + "x"
        yield value[:-1]
    elif isinstance(value, tuple):
        for index in range(len(value)):
            for other in variants(value[index]):
                yield (*value[:index], other, *value[index + 1 :])
            yield (*value[:index], *value[index + 1 :])
        yield (*value, bytes(32))
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            for other in variants(getattr(value, field.name)):
                yield replace(value, **{field.name: other})


@pytest.mark.parametrize("count", [1, 2, 3, 7, 24])
def test_any_changed_byte_or_number_of_a_path_fails(count: int) -> None:
    root, found = cycle(many(count))
    for data, path in list(found.values())[:4]:
        tried = 0
        for other in variants(path):
            assert tree.root_of_record(data, other) != root, other
            tried += 1
        for other in variants(data):
            assert tree.root_of_record(other, path) != root
        assert tried > 50


def test_a_smaller_or_larger_tree_cannot_be_claimed() -> None:
    """Without the seal, the path of leaf 0 in a tree of three would also fit one of four."""
    root, found = cycle([rated(n, home=0, visited=1, amount=5) for n in range(3)])
    for data, path in found.values():
        for size in range(1, 9):
            claimed = replace(path, record=replace(path.record, size=size))
            assert (tree.root_of_record(data, claimed) == root) == (size == 3)


def test_a_path_beyond_all_limits_is_refused_unhashed() -> None:
    _, found = cycle(many(3))
    data, path = next(iter(found.values()))
    long = Path(0, 1 << 80, (bytes(32),) * 80)
    assert tree.root_of_record(data, replace(path, domain=long)) is None


def test_a_part_is_shown_without_the_others() -> None:
    record = salted(rated(1, home=0, visited=1, amount=100))
    parts = tree.commitments(record)
    shown = tree.usage_part(record.rated)
    salt = tree.part_salt(record.salt, "usage")
    assert tree.commit("usage", salt, shown) == parts.usage
    assert tree.commit("wholesale", salt, shown) != parts.usage
    assert len({parts.usage, parts.wholesale, parts.retail}) == 3
    assert "subject" not in shown
    assert not any("sub" in str(value) for key, value in shown.items() if key != "subject_id")


def test_no_retail_charge_is_a_statement_of_its_own() -> None:
    with_retail = rated(1, home=0, visited=1, amount=100)
    without = rated(1, home=0, visited=1, amount=100, retail=False)
    usage_id = with_retail.usage.usage_id
    parts, fewer = (tree.commitments(salted(item)) for item in (with_retail, without))
    assert fewer == Commitments(usage=parts.usage, wholesale=parts.wholesale, retail=None)
    assert tree.leaf_data(usage_id, parts) != tree.leaf_data(usage_id, fewer)


def test_the_salt_hides_equal_records() -> None:
    item = rated(1, home=0, visited=1, amount=100)
    other = replace(salted(item), salt=bytes(32))
    assert tree.record_leaf(salted(item)) != tree.record_leaf(other)
