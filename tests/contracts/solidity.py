"""Compiles Solidity with solc-js, for foreign contracts that tests put beside ours.

Node runs what `./dev peers` installs: `solc` and `@openzeppelin/contracts`, each a fixed version.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from contract_evm import Evm

from opencarrier.chain import abi
from opencarrier.chain.model import Call
from opencarrier.kernel.signatures import Address

MODULES = Path(__file__).resolve().parents[2] / ".peers" / "node_modules"
NODE = shutil.which("node")
EVM_VERSION = "cancun"
COMPILE_S_MAX = 100

DRIVER = """
const fs = require("fs"), path = require("path");
const modules = process.argv[1];
const solc = require(path.join(modules, "solc"));
const found = (name) => {
  const file = path.join(modules, name);
  return fs.existsSync(file) ? { contents: fs.readFileSync(file, "utf8") } : { error: "absent" };
};
const input = fs.readFileSync(0, "utf8");
process.stdout.write(solc.compile(input, { import: found }));
"""


def is_installed() -> bool:
    """Whether there is a node, and what it runs."""
    wanted = (MODULES / "solc", MODULES / "@openzeppelin" / "contracts")
    return NODE is not None and all(path.is_dir() for path in wanted)


@lru_cache
def compiled(text: str, name: str) -> dict[str, Any]:
    """Compile a source and return the named contract: its `abi` and its creation code, `code`."""
    settings = {
        "evmVersion": EVM_VERSION,
        "optimizer": {"enabled": True, "runs": 200},
        "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object"]}},
    }
    source = {"language": "Solidity", "sources": {"test.sol": {"content": text}}}
    assert NODE is not None, "node is not installed"
    ran = subprocess.run(
        [NODE, "-e", DRIVER, str(MODULES)],
        input=json.dumps(source | {"settings": settings}),
        capture_output=True,
        text=True,
        check=True,
        timeout=COMPILE_S_MAX,
    )
    told = json.loads(ran.stdout)
    wrong = [e["formattedMessage"] for e in told.get("errors", ()) if e["severity"] == "error"]
    assert not wrong, "\n".join(wrong)
    built = told["contracts"]["test.sol"][name]
    return {"abi": built["abi"], "code": bytes.fromhex(built["evm"]["bytecode"]["object"])}


def solidity(text: str, name: str, *arguments: object, sender: str, evm: Evm) -> Address:
    """Deploy a contract of a Solidity source."""
    built = compiled(text, name)
    inputs = [entry["inputs"] for entry in built["abi"] if entry["type"] == "constructor"]
    types: Sequence[str] = [entry["type"] for entry in inputs[0]] if inputs else []
    return evm.deploy(sender, Call(to=None, data=built["code"] + abi.encode(types, arguments)))
