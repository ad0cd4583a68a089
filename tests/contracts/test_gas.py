"""Gas of every step of the scenario on the embedded node, against the committed snapshot.

`OPENCARRIER_WRITE_GAS=1` writes the snapshot anew; the difference is then reviewed like code.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from contract_evm import GENESIS_S, key
from contract_scenario import CHAIN_ID, CROWD_SIZES, FUNDS_WEI, PEOPLE, TX_GAS_MAX, play

from opencarrier.chain.client import connect
from opencarrier.chain.node import EmbeddedNode, NodeSettings
from opencarrier.kernel.clock import SECOND_US, FixedClock

SNAPSHOT = Path(__file__).parent / "gas.json"
TOLERANCE_PERCENT = 1


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    settings = NodeSettings(
        chain_id=CHAIN_ID,
        genesis={key(name).address: FUNDS_WEI for name in PEOPLE},
        dev=True,
    )
    path = tmp_path_factory.mktemp("chain") / "chain.sqlite"
    node = EmbeddedNode.open(path, settings, FixedClock(GENESIS_S * SECOND_US))
    try:
        return play(connect("embedded:", node=node))
    finally:
        node.close()


def measured(steps) -> dict[str, int]:
    """The dearest run of each step."""
    gas: dict[str, int] = {}
    for step in steps:
        gas[step.name] = max(step.gas, gas.get(step.name, 0))
    return gas


def test_gas_stays_where_it_was(steps):
    """No step costs over 1 % more or less than the snapshot says, and none is missing."""
    now = measured(steps)
    if os.environ.get("OPENCARRIER_WRITE_GAS"):
        SNAPSHOT.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
    then = json.loads(SNAPSHOT.read_text())
    assert set(now) == set(then)
    moved = {
        name: (then[name], gas)
        for name, gas in now.items()
        if abs(gas - then[name]) * 100 > then[name] * TOLERANCE_PERCENT
    }
    assert moved == {}


def test_the_largest_settlement_fits_a_transaction(steps):
    """C15: 400 members, half of them paying by signature, below the limit of EIP-7825."""
    gas = measured(steps)[f"settle {max(CROWD_SIZES)} members, signed"]
    assert gas < TX_GAS_MAX


def test_reverts_say_why(steps):
    """Every failing step carries a reason the ABI's Error(string) spells."""
    from opencarrier.chain.contracts import revert_reason

    reasons = {step.name: revert_reason(step.revert_data) for step in steps if not step.succeeded}
    assert reasons == {
        "register by stranger": "owner: not caller",
        "conflict": "settled: other content",
        "wrong sequence": "settle: sequence",
        "over cap": "mandate: over cap",
        "short": "debit: short of collateral",
        "by stranger": "settle: not settler",
        "bad signature": "debit: bad signature",
        "withdraw too early": "withdrawal: notice",
        "withdraw twice": "withdrawal: not requested",
        "claim twice": "claim: nothing due",
        "claim old root": "claim: bad proof",
        "permit again": "permit: bad signature",
        "transfer by signature again": "authorization: used",
        "transfer to frozen": "token: frozen",
        "transfer while paused": "token: paused",
    }
