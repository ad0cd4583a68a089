"""Two writers at every possible moment: one of them fails, or both are booked in turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import IntegrityError, OperationalError

from opencarrier.ledger import service, store

from .books import EUR, opened, transfer

SUB = "prepaid/sub_1"
MINE, THEIRS = transfer("mine", SUB, "sales", 80), transfer("theirs", SUB, "sales", 70)


def database(path: Path) -> Engine:
    made = create_engine(f"sqlite:///{path}", connect_args={"timeout": 0})
    with made.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    return made


def book(unit: Connection, order: Any) -> str:
    (refusal,) = service.apply(unit, [order], 2)
    return "booked" if refusal is None else refusal.code


@pytest.mark.parametrize("moment", range(8))
def test_the_other_books_at_a_moment_of_mine(tmp_path: Path, moment: int) -> None:
    """Both want more than half of what there is; no interleaving gives it to both."""
    path = tmp_path / "ledger.sqlite"
    mine, theirs = database(path), database(path)
    store.metadata.create_all(mine)
    with mine.begin() as unit:
        opened(unit)
        assert service.apply(unit, [transfer("top-up", "cash", SUB, 100)], 1) == [None]
    told: dict[str, str] = {}
    statements = 0

    def interrupt(*_: Any) -> None:
        nonlocal statements
        if statements == moment:
            told["theirs"] = attempt(theirs, THEIRS)
        statements += 1

    event.listen(mine, "before_cursor_execute", interrupt)
    told["mine"] = attempt(mine, MINE)
    event.remove(mine, "before_cursor_execute", interrupt)
    if "theirs" not in told:
        told["theirs"] = attempt(theirs, THEIRS)
    with mine.begin() as unit:
        assert service.check(unit).findings == ()
        assert service.balance(unit, EUR, SUB).free_minor in (20, 30)
    assert sorted(told.values()) in (["booked", "exceeds_credits"], ["booked", "collided"])
    mine.dispose()
    theirs.dispose()


def attempt(engine: Engine, order: Any) -> str:
    try:
        with engine.begin() as unit:
            return book(unit, order)
    except (IntegrityError, OperationalError):
        return "collided"
