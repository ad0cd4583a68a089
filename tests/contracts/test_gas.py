"""Gas of every step of every scenario on the embedded node, against the committed snapshots.

`OPENCARRIER_WRITE_GAS=1` writes the snapshots anew; the difference is then reviewed like code.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from contract_story import TX_GAS_MAX, measured, scenarios

from opencarrier.chain.contracts import revert_reason

HERE = Path(__file__).parent
TOLERANCE_PERCENT = 1
SCENARIOS = scenarios()


@pytest.fixture(params=SCENARIOS)
def played(request, told):
    """A scenario's name and its steps."""
    return request.param, told(request.param).steps


def test_gas_stays_where_it_was(played):
    """No step costs over 1 % more or less than the snapshot says, and none is missing."""
    name, steps = played
    now, snapshot = measured(steps), HERE / f"gas_{name}.json"
    if os.environ.get("OPENCARRIER_WRITE_GAS"):
        snapshot.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
    then = json.loads(snapshot.read_text())
    assert set(now) == set(then)
    moved = {
        step: (then[step], gas)
        for step, gas in now.items()
        if abs(gas - then[step]) * 100 > then[step] * TOLERANCE_PERCENT
    }
    assert moved == {}


def test_every_step_fits_a_transaction(played):
    """C15: the largest batches there are, 400 members among them, stay below EIP-7825's limit."""
    _, steps = played
    assert max(measured(steps).values()) < TX_GAS_MAX


def test_reverts_say_why(played):
    """Every failing step carries a reason the ABI's Error(string) spells, the one it should."""
    name, steps = played
    reasons = {step.name: revert_reason(step.revert_data) for step in steps if not step.succeeded}
    assert reasons == SCENARIOS[name].REFUSALS
