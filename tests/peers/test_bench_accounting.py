"""The bench's peers, small: what FreeRADIUS and we keep in PostgreSQL is what was sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from opencarrier.bench import accounting, authentication, freeradius, postgresql

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


def test_both_servers_let_the_same_devices_in(tmp_path: Path) -> None:
    """The load checks each attach's link keys, and that FreeRADIUS kept a row of each."""
    told = authentication.run(tmp_path / "bench", attaches=1)
    assert set(told["postgresql_us"]) == set(told["freeradius_postgresql_us"])
