"""SQLite and PostgreSQL alike: what every route answers, and what older data comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, MetaData, insert, select
from tests.app.scene import scene
from tests.console.paths import paths
from tests.console.people import Installation, installation
from tests.postgresql import Server, program, server

from opencarrier.app import schema
from opencarrier.app.store import Store
from opencarrier.app.tables import METADATA
from opencarrier.spine.usage import Status

pytestmark = [pytest.mark.peer, pytest.mark.timeout(600)]

ENDLESS = "/v1/events"
NOT_SERVED = (("/readyz", "page"), ("/readyz", "data"))
OLDER = "0043"
"""Before what is spent, earned, carried and used was summed up."""

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    if program("initdb") is None:
        pytest.skip("PostgreSQL is missing (apt: postgresql)")
    with server() as made:
        yield made


def play(made) -> None:
    """Two settled cycles of both kinds of records, and a session that runs on."""
    for number in range(3):
        made.use(f"s{number}", octets=5_000_000 + number, grant=made.authorise())
    made.settle()
    made.use("late", octets=7_000_000, grant=made.authorise())
    made.use("weak", octets=9_000_000, grant=None)
    made.settle()
    made.use("now", octets=4_000_000, grant=made.authorise(), status=Status.INTERIM)


def test_every_route_answers_the_same_on_both(postgresql, tmp_path):
    """As the owner, who may see each; what a page and what a program is given."""
    told = []
    for name, database in (("file", ""), ("server", postgresql.database())):
        with installation(tmp_path / name, database=database) as home:
            play(home.made)
            home.web.watch.look()
            told.append(answers(home, tmp_path / name))
    file, on_server = told
    assert file.keys() == on_server.keys()
    assert [path for path in file if file[path] != on_server[path]] == []
    statuses = Counter(status for status, _ in file.values())
    assert statuses[200] > 120
    assert {path for path, answer in file.items() if answer[0] == 503} == set(NOT_SERVED)


def answers(home: Installation, folder: Path) -> dict[tuple[str, str], tuple[int, str]]:
    """Where it lies may be said, and is no matter."""
    owner, found = home.browser("owner"), {}
    for path in paths(home):
        if path == ENDLESS:
            continue
        for kind, ask in (("page", owner.get), ("data", owner.ask)):
            answer = ask(path)
            found[path, kind] = answer.status_code, answer.text.replace(str(folder), "")
    return found


def test_data_of_an_older_version_comes_to_the_same_on_both(postgresql, tmp_path):
    """And its sums to those that were kept while it was made by this version."""
    with scene(tmp_path / "story", one_sided_window_s=0) as made:
        play(made)
        with made.place.base.store.read() as unit:
            kept = rows(unit)
    found = []
    for database in (tmp_path / "older.sqlite", postgresql.database()):
        store = Store(database)
        with store.write() as unit:
            command.upgrade(schema.alembic_config(unit), OLDER)
            put(unit, kept)
        with store.write() as unit:
            schema.upgrade(unit)
            assert schema.differences(unit) == []
            found.append(rows(unit))
        store.close()
    assert found[0] == found[1]
    older = set(kept) - {name for name in kept if not found[0][name]}
    assert {"rating_charges", "ledger_transfers", "usage", "rating_spent"} <= older
    assert [name for name in older if found[0][name] != kept[name]] == []


def rows(unit: Connection) -> Rows:
    """Every row of every table, in an order of its own."""
    found = {}
    for table in (table for room in METADATA for table in room.sorted_tables):
        every = (dict(row) for row in unit.execute(select(table)).mappings())
        found[table.name] = sorted(every, key=lambda row: repr(sorted(row.items())))
    return found


def put(unit: Connection, kept: Rows) -> None:
    """Write rows into the tables and columns that there are."""
    known = MetaData()
    known.reflect(unit)
    for table in known.sorted_tables:
        names = set(table.columns.keys())
        some = [{k: v for k, v in row.items() if k in names} for row in kept.get(table.name, [])]
        if some:
            unit.execute(insert(table), some)
