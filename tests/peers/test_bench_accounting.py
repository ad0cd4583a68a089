"""The bench's peers, small: what FreeRADIUS and we keep in PostgreSQL is what was sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from opencarrier.bench import accounting, freeradius, postgresql

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        postgresql.program("postgres") is None or freeradius.missing() is not None,
        reason="postgresql, freeradius and freeradius-postgresql are needed",
    ),
]


def test_every_row_of_both_servers_is_compared(tmp_path: Path) -> None:
    told = accounting.run(tmp_path / "bench", sessions=12)
    assert told["packets"] == 96
    assert told["postgresql_us"] >= 0
    assert told["freeradius_postgresql_us"] >= 0
