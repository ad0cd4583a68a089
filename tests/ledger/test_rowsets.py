"""Statements over sets of rows do on either database what one statement a row would."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, Table, Text, bindparam, select
from tests.memory import Memory

from opencarrier.rowsets import KEYS_MAX, Change, Insertion, Lookup

metadata = MetaData()
things = Table(
    "things",
    metadata,
    Column("key", LargeBinary(4), primary_key=True),
    Column("name", Text, nullable=False),
    Column("number", BigInteger),
)
insert, ignore = Insertion(things), Insertion(things, ("key", "name"), ignoring=True)
change = Change(things, ["key"], ["number", "name"])
lookup = Lookup(select(things.c.key, things.c.name, things.c.number), things.c.key)
named = Lookup(
    select(things.c.name).where(things.c.number > bindparam("least", type_=BigInteger)),
    things.c.name,
)

keys = st.binary(min_size=1, max_size=2)
names = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=4)
numbers = st.none() | st.integers(-(2**63), 2**63 - 1)


@given(
    there=st.dictionaries(keys, st.tuples(names, numbers), max_size=5),
    late=st.lists(st.tuples(keys, names), max_size=5, unique_by=lambda row: row[0]),
    changed=st.dictionaries(keys, st.tuples(numbers, names), max_size=5),
    asked=st.lists(keys, max_size=8),
)
@settings(max_examples=40)
def test_a_set_of_rows_is_inserted_changed_and_found(
    there: dict[bytes, tuple[str, int | None]],
    late: list[tuple[bytes, str]],
    changed: dict[bytes, tuple[int | None, str]],
    asked: list[bytes],
) -> None:
    model = dict(there)
    new = [row for row in late if row[0] not in model]
    model |= {key: (name, None) for key, name in new}
    known = {key: news for key, news in changed.items() if key in model}
    model |= {key: (name, number) for key, (number, name) in known.items()}
    memory = Memory(metadata)
    with memory.begin() as unit:
        assert insert(unit, [(key, *row) for key, row in there.items()]) == len(there)
        assert ignore(unit, late) == len(new)
        assert change(unit, [(key, *news) for key, news in changed.items()]) == len(known)
        found = {row.key: (row.name, row.number) for row in lookup(unit, asked)}
        assert found == {key: model[key] for key in asked if key in model}
        above = sorted(
            row.name for row in named(unit, [name for name, _ in model.values()], least=0)
        )
        assert above == sorted(name for name, number in model.values() if (number or 0) > 0)
    memory.dispose()


def test_more_keys_than_one_statement_takes_are_all_found() -> None:
    memory = Memory(metadata)
    rows = [(number.to_bytes(4, "big"), "one", number) for number in range(KEYS_MAX + 1)]
    with memory.begin() as unit:
        assert insert(unit, rows) == len(rows)
        assert [tuple(row) for row in lookup(unit, [row[0] for row in rows])] == rows
    memory.dispose()
