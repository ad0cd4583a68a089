"""A Foundry project in a folder: our bytecode as Solidity constants, and tests that use it.

The compiler is solc-js, which `./dev peers` installs; forge is told that it is a `solc`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROOFS = HERE / "proofs"
MODULES = ROOT / ".peers" / "node_modules"
FORGE = MODULES / ".bin" / "forge"
HALMOS = ROOT / ".peers" / "halmos" / "bin" / "halmos"
SECONDS_MAX = 900

# What forge asks a compiler: its version, and one JSON input for one JSON output.
SOLC = """#!/usr/bin/env node
const solc = require("{modules}/solc");
if (process.argv.includes("--version")) {{
  console.log("solc, the solidity compiler commandline interface\\nVersion: " + solc.version());
}} else {{
  process.stdout.write(solc.compile(require("fs").readFileSync(0, "utf8")));
}}
"""

SETTINGS = """
[profile.default]
src = "src"
test = "test"
out = "out"
libs = []
solc = "{solc}"
evm_version = "cancun"
optimizer = true
ast = true
offline = true

[invariant]
runs = 32
depth = 24
fail_on_revert = false
"""


def is_installed() -> bool:
    """Whether forge, the prover and the compiler are here."""
    return all(path.exists() for path in (FORGE, HALMOS, MODULES / "solc"))


def project(folder: Path, contracts: Mapping[str, bytes], tests: Sequence[str]) -> Path:
    """Write a project of tests from `proofs`; they find our creation code in `Code`."""
    solc = folder / "solc"
    solc.write_text(SOLC.format(modules=MODULES))
    solc.chmod(0o755)
    (folder / "foundry.toml").write_text(SETTINGS.format(solc=solc))
    for name in ("src", "test"):
        (folder / name).mkdir()
    constants = "\n".join(
        f'    bytes internal constant {name} = hex"{code.hex()}";'
        for name, code in contracts.items()
    )
    (folder / "src" / "Code.sol").write_text(
        f"// SPDX-License-Identifier: Apache-2.0\npragma solidity ^0.8.28;\n"
        f"library Code {{\n{constants}\n}}\n"
    )
    shutil.copy(PROOFS / "Base.sol", folder / "src" / "Base.sol")
    for test in tests:
        shutil.copy(PROOFS / f"{test}.t.sol", folder / "test")
    return folder


def run(folder: Path, *command: str | Path) -> tuple[int, str]:
    """Run a command in a project; return its exit code and what it said."""
    environment = os.environ | {
        "PATH": f"{FORGE.parent}:{os.environ.get('PATH', '')}",
        "VIRTUAL_ENV": str(HALMOS.parents[1]),  # where halmos looks for its solver
        "FOUNDRY_DISABLE_NIGHTLY_WARNING": "1",
        "NO_COLOR": "1",
    }
    ran = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


def proven(folder: Path) -> dict[str, str]:
    """Prove every `check_` of a project; return each with `proven`, `false` or `unknown`.

    A proof that cut a loop short, or gave a path up, is none. Vyper hashes a mapping's place and
    key in another order than Solidity, hence the storage layout.
    """
    report = folder / "report.json"
    limits = ("--loop", "64", "--storage-layout", "generic", "--solver-timeout-assertion", "600000")
    code, said = run(folder, HALMOS, *limits, "--json-output", report)
    assert report.exists(), f"{code}: {said}"
    found = json.loads(report.read_text())["test_results"]
    return {
        test["name"].partition("(")[0]: _outcome(test) for tests in found.values() for test in tests
    }


def _outcome(test: Mapping[str, int]) -> str:
    if test["num_models"]:
        return "false"
    whole = test["exitcode"] == 0 and test["num_bounded_loops"] == 0
    return "proven" if whole else "unknown"


def held(folder: Path, seed: int = 1) -> dict[str, bool]:
    """Run every fuzz and invariant test of a project; say of each whether it held."""
    code, said = run(folder, FORGE, "test", "--fuzz-seed", str(seed))
    # A failure tells its sequence between its mark and its name.
    found = re.findall(r"^(.*?)\b((?:test|invariant)\w+)\([^)]*\) \(runs: ", said, re.M)
    assert found, f"{code}: {said}"
    return {name: mark.startswith("[PASS]") for mark, name in found}
