"""The price of every check of a settlement, as `ClearingHouse.md` states it (C15)."""

from __future__ import annotations

import json
import re

import clearing_checks as checks
import pytest

STATED = json.loads(checks.TABLE.read_text("utf-8"))


def test_the_page_states_every_price():
    """The page's table is the measured one, row by row."""
    page = (checks.CONTRACTS / "ClearingHouse.md").read_text("utf-8")
    rows = re.findall(r"^\| (.+?) \| ([\d,]+) \| ([\d,]+) \|$", page, re.M)
    told = {
        name: {"settlement": _number(once), "debit and credit": _number(each)}
        for name, once, each in rows
        if name in checks.CHECKS
    }
    assert told == STATED
    assert list(told) == list(checks.CHECKS)


def test_a_check_without_a_price_is_none():
    """Each costs something: a text whose removal saves nothing checks nothing."""
    assert all(sum(price.values()) > 0 for price in STATED.values())


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_prices_stay_what_they_were():
    assert checks.prices() == STATED


def _number(text: str) -> int:
    return int(text.replace(",", ""))
