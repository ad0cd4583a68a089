"""Months: they tile time, and are named as ISO 8601 names them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.kernel.calendar import month_name, month_named, month_of

LAST_US = 253_370_764_800_000_000
"""The year 9999."""


@given(st.integers(0, LAST_US - 1))
def test_months_follow_each_other(at_us: int) -> None:
    month = month_of(at_us)
    assert month.holds(at_us)
    assert month_of(month.end_us).start_us == month.end_us
    assert month_of(month.end_us - 1) == month
    assert month_named(month_name(at_us)) == month


def test_a_month_begins_at_midnight() -> None:
    assert month_name(1_767_225_600_000_000) == "2026-01"
    assert month_name(1_767_225_600_000_000 - 1) == "2025-12"


@pytest.mark.parametrize("at_us", [-1, -(2**63), 2**63 - 1])
def test_what_no_calendar_knows_has_a_month(at_us: int) -> None:
    assert month_name(at_us) in ("1970-01", "9999-01")


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-13", "2026-00", "26-01", "2026-1", "1969-12", "9999-01", "²026-01"]
)
def test_what_is_no_month_is_none(text: str) -> None:
    assert month_named(text) is None
