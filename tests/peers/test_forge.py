"""Campaigns by forge: random histories of channels, random settlements of crowds.

Where a proof by halmos is for few parties and one step, these are for many and for long; each
holds its own books beside the shipped bytecode.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import foundry

from opencarrier.chain.abi import load

pytestmark = [
    pytest.mark.peer,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not foundry.is_installed(), reason="forge, halmos, solc not installed"),
]


def campaign(folder: Path, contract: str, tests: list[str]) -> dict[str, bool]:
    """Run tests against a contract from a fixed seed; say of each whether it held."""
    foundry.project(folder, {contract: load(contract).bytecode}, tests)
    return foundry.held(folder)


def test_channels_keep_their_books(tmp_path: Path) -> None:
    """B1, B2, B3 and B5 of contracts/BatchChannels.md over two channels of one receiver."""
    assert campaign(tmp_path, "BatchChannels", ["Channels"]) == {
        "invariant_channels": True,
        "invariant_solvency": True,
    }


def test_the_campaign_gets_far_enough(tmp_path: Path) -> None:
    """It claims, settles and gives back: claims that it does not are refuted."""
    found = campaign(tmp_path, "BatchChannels", ["Channels", "WrongChannels"])
    assert {name for name, held in found.items() if not held} == {
        "invariant_nothing_is_claimed",
        "invariant_nothing_is_settled",
        "invariant_nothing_comes_back",
    }


def test_crowds_settle_to_zero(tmp_path: Path) -> None:
    """C1, C2, C5 and C8 of contracts/ClearingHouse.md for forty members and chains of cycles."""
    found = campaign(tmp_path, "ClearingHouse", ["NetSum", "Crowd"])
    assert found == {"testFuzz_chain": True, "testFuzz_one_unit_off": True}
