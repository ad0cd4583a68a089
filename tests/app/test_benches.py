"""Every bench runs, small, and tells figures; what they are is nobody's promise."""

from __future__ import annotations

from importlib import import_module

import pytest

from opencarrier.app.benches import BENCHES


@pytest.mark.parametrize("name", BENCHES)
def test_a_bench_has_a_door(name):
    assert callable(import_module(BENCHES[name]).run)


def test_the_access_bench_settles_what_it_reports():
    told = import_module(BENCHES["access"]).run(sessions=4)
    assert told["packets"] == 32
    assert all(told[key] > 0 for key in told)
