from __future__ import annotations

import pytest
from tests.app.scene import scene


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    """Two settled cycles: co-signed records in the first, a one-sided one in the second."""
    with scene(tmp_path_factory.mktemp("receipts")) as made:
        for number in range(3):
            made.use(f"session-{number}", octets=5_000_000 * (number + 1), grant=made.authorise())
        made.use("weak", octets=9_000_000, grant=None)
        assert made.settle() == 1
        assert made.settle() == 2
        yield made


@pytest.fixture(scope="module")
def receipts(settled):
    """Every settled record's receipt, by audience."""
    place = settled.place
    found = {}
    with place.base.store.read() as unit:
        for cycle, _ in place.settlement.cycles(unit):
            for usage_id in place.clearing.usages(unit, cycle.cycle_id):
                text = place.issuer.issue(unit, usage_id)
                assert isinstance(text, str), text
                found[usage_id] = text
    return found
