"""What each check of `ClearingHouse.settle` costs: the contract beside itself without it.

    python tests/contracts/clearing_checks.py      write clearing_checks.json

Both settle one debit and one credit, then two of each, under mandates, with every account and slot
cold. A price is what the gas falls by without the check: once for a settlement, and for each debit
with a credit. `ClearingHouse.md` has the same table.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

from contract_evm import Evm
from contract_world import DEPOSIT, World

from opencarrier.chain.abi import Artefact, parse
from opencarrier.chain.contracts import ClearingHouse

HERE = Path(__file__).parent
CONTRACTS = HERE.parents[1] / "contracts"
TABLE = HERE / "clearing_checks.json"
HOUSE, ACCOUNTS = "ClearingHouse.vy", "modules/accounts.vy"

Edit = tuple[str, str, str]
"""A source, a text that stands in it once, and what is left without the check."""

CHECKS: Mapping[str, Sequence[Edit]] = {
    "not paused": [(HOUSE, '    assert gate < PAUSED, "settle: paused"\n', "")],
    "token listed": [(HOUSE, '    assert asset != 0, "token: not listed"\n', "")],
    "sequence": [(HOUSE, '    assert sequence == last + 1, "settle: sequence"\n', "")],
    "rows ascend": [(HOUSE, '        assert member > previous, "nets: order"\n', "")],
    "member": [(HOUSE, '        assert word >= accounts.PRESENT, "nets: not member"\n', "")],
    "row not zero": [(HOUSE, '        assert amount != 0, "nets: zero"\n', "")],
    "balance in its part": [
        (
            HOUSE,
            '            assert balance + amount <= accounts.BALANCE_MAX, "balance: too large"\n',
            "",
        )
    ],
    "mandate in time": [
        (
            ACCOUNTS,
            "    assert block.timestamp <= (word >> VALID_UNTIL_AT) & VALID_UNTIL_MAX, "
            '"mandate: expired"\n',
            "",
        )
    ],
    "mandate of this rulebook": [
        (
            ACCOUNTS,
            '    assert epoch == (word >> EPOCH_AT) & EPOCH_MAX, "mandate: other rulebook"\n',
            "",
        )
    ],
    "mandate's cap": [
        (
            ACCOUNTS,
            '    assert amount <= (word >> CAP_AT) & CAP_MAX, "mandate: over cap"',
            "    pass",
        )
    ],
    "interval of mandates": [
        (HOUSE, "self._with_mandates(asset) if mandated else asset", "asset"),
        (HOUSE, "            mandated = True\n", ""),
    ],
    "no signature left": [
        (
            HOUSE,
            "    assert len(debit_signatures) == 0 or len(debit_signatures) == at, "
            '"debit: signatures left"\n',
            "",
        )
    ],
    "rewards with their root": [
        (HOUSE, "    self._fund_rewards(token, cycle_id, rewards_root, rewards_amount)\n", "")
    ],
    "solvency": [
        (HOUSE, "    held: uint256 = staticcall IERC20(token).balanceOf(self)\n", ""),
        (HOUSE, '    assert held >= asset & accounts.TOTAL_MAX, "settle: insolvent"\n', ""),
    ],
    "the token's word at all: listed, sequence, total, interval": [
        (HOUSE, "asset: uint256 = accounts.tokens[token]", "asset: uint256 = 0"),
        (HOUSE, '    assert asset != 0, "token: not listed"\n', ""),
        (HOUSE, '    assert sequence == last + 1, "settle: sequence"\n', ""),
        (HOUSE, "    asset += (1 << accounts.SEQUENCE_AT) - rewards_amount\n", ""),
        (
            HOUSE,
            "    accounts.tokens[token] = self._with_mandates(asset) if mandated else asset\n",
            "",
        ),
        (HOUSE, "            mandated = True\n", ""),
    ],
    "rows told in the event": [
        (HOUSE, "        nets=nets,\n    )\n    # Here", "        nets=[],\n    )\n    # Here")
    ],
}


def prices() -> dict[str, dict[str, int]]:
    """Measure every check."""
    whole = settled_gas(ClearingHouse.artefact())
    found = {}
    for name, edits in CHECKS.items():
        less = settled_gas(without(edits))
        one, two = (full - part for full, part in zip(whole, less, strict=True))
        found[name] = {"settlement": 2 * one - two, "debit and credit": two - one}
    return found


def settled_gas(house: Artefact) -> tuple[int, int]:
    """The gas of settling one debit with one credit, and two with two."""
    with patch.object(ClearingHouse, "artefact", staticmethod(lambda: house)):
        one, two = (_settle(amounts) for amounts in ([-5, 5], [-5, 5, -5, 5]))
    return one, two


def _settle(amounts: Sequence[int]) -> int:
    world = World(Evm())
    for member in world.members:
        world.mandate(member, DEPOSIT)
    order = world.order(amounts, signed=False)
    world.evm.forget()
    return world.evm.gas(world.settler.address, world.house.settle(world.usd, order))


def without(edits: Sequence[Edit]) -> Artefact:
    """Compile the contract without a check."""
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder) / "contracts"
        shutil.copytree(CONTRACTS, sources)
        for source, old, new in edits:
            path = sources / source
            text = path.read_text("utf-8")
            assert text.count(old) == 1, f"{source} says {old!r} once"
            path.write_text(text.replace(old, new), "utf-8")
        return parse(_build().artefact_text("ClearingHouse", sources))


def _build():
    spec = importlib.util.spec_from_file_location("contracts_build", CONTRACTS / "build.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    return build


def main() -> int:
    """Write the table."""
    TABLE.write_text(json.dumps(prices(), indent=1) + "\n", "utf-8")
    print(f"wrote {TABLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
