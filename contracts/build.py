"""Compile the contracts into the artefacts that ship in the wheel, or check that they are current.

    python contracts/build.py            write src/opencarrier/chain/artefacts/*.json
    python contracts/build.py --check    exit 1 and name the file that differs, if any

An artefact holds what a deployment, a caller and a verifier need: the ABI, the creation code, and
how to recognise the deployed code. Vyper appends immutables to the runtime code, so a deployed
contract is recognised by the length and Keccak-256 of the part before them and by their layout.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import vyper
from eth_utils.crypto import keccak
from vyper.compiler import compile_from_file_input
from vyper.compiler.input_bundle import FilesystemInputBundle

CONTRACTS = Path(__file__).resolve().parent
ARTEFACTS = CONTRACTS.parent / "src" / "opencarrier" / "chain" / "artefacts"
NAMES = tuple(sorted(path.stem for path in CONTRACTS.glob("*.vy")))
COMPILER = "0.4.3"
EVM_VERSION = "cancun"
IMPORT = re.compile(r"^from (\.+)(\w*) import (\w+)$", re.MULTILINE)
ANSWERED_BY_DEFAULT = {
    "BatchChannels": "interfaces/IBatchClaims.vyi",
    "StableToken": "interfaces/ISplitAuthorizations.vyi",
}
"""Where a contract's default function answers calls: the interface that describes them."""

FORMATS = ("abi", "bytecode", "bytecode_runtime", "layout", "method_identifiers")


def main(arguments: list[str] | None = None) -> int:
    """Write or check every artefact; return the exit code."""
    parser = argparse.ArgumentParser(description="Build the contract artefacts.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--contracts", type=Path, default=CONTRACTS, help="where the sources are")
    parser.add_argument("--artefacts", type=Path, default=ARTEFACTS, help="where the JSON goes")
    options = parser.parse_args(arguments)
    if vyper.__version__.partition("+")[0] != COMPILER:
        print(f"vyper is {vyper.__version__}, the contracts are built with {COMPILER}")
        return 3
    if options.check:
        return check(options.contracts, options.artefacts)
    options.artefacts.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        path = options.artefacts / f"{name}.json"
        path.write_text(artefact_text(name, options.contracts), encoding="utf-8")
        print(f"wrote {path}")
    return 0


def check(contracts: Path, artefacts: Path) -> int:
    """Compare each artefact byte for byte with a fresh build; name those that differ."""
    stale = []
    for name in NAMES:
        path = artefacts / f"{name}.json"
        built = artefact_text(name, contracts).encode()
        if not path.is_file() or path.read_bytes() != built:
            stale.append(path)
    for path in stale:
        print(f"{path} is not what the sources compile to", file=sys.stderr)
    if stale:
        print("hint: run python contracts/build.py and commit the result", file=sys.stderr)
    return 1 if stale else 0


def artefact_text(name: str, contracts: Path = CONTRACTS) -> str:
    """Compile one contract and return its artefact as the text of the file."""
    bundle = FilesystemInputBundle([contracts])
    source = bundle.load_file(Path(f"{name}.vy"))
    built = compile_from_file_input(source, input_bundle=bundle, output_formats=FORMATS)
    runtime = bytes.fromhex(built["bytecode_runtime"].removeprefix("0x"))
    artefact = {
        "name": name,
        "compiler": f"vyper {vyper.__version__}",
        "evm_version": EVM_VERSION,
        "sources_sha256": dict(_sources(name, contracts)),
        "abi": _answered_by_default(name, contracts) + built["abi"],
        "bytecode": built["bytecode"],
        "runtime": {
            "length": len(runtime),
            "keccak256": "0x" + keccak(runtime).hex(),
            "immutables": list(_immutables(built["layout"].get("code_layout", {}))),
        },
    }
    return json.dumps(artefact, indent=1, sort_keys=True) + "\n"


def _answered_by_default(name: str, contracts: Path) -> list[dict[str, Any]]:
    """Return the ABI of what the compiler does not know that a contract answers."""
    if name not in ANSWERED_BY_DEFAULT:
        return []
    bundle = FilesystemInputBundle([contracts])
    source = bundle.load_file(Path(ANSWERED_BY_DEFAULT[name]))
    built = compile_from_file_input(source, input_bundle=bundle, output_formats=("abi",))
    abi: list[dict[str, Any]] = built["abi"]
    return abi


def _sources(name: str, contracts: Path) -> Iterator[tuple[str, str]]:
    """Name and hash what goes into a contract: its source and all it imports of ours."""
    found = _reached(contracts / f"{name}.vy", contracts)
    for path in sorted(found):
        yield path.relative_to(contracts).as_posix(), sha256(path.read_bytes()).hexdigest()


def _reached(path: Path, contracts: Path) -> set[Path]:
    reached, waiting = set(), [path]
    while waiting:
        source = waiting.pop()
        if source in reached:
            continue
        reached.add(source)
        for dots, folder, wanted in IMPORT.findall(source.read_text("utf-8")):
            near = source.parents[len(dots) - 1] / folder
            waiting += [p for p in (near / f"{wanted}.vy", near / f"{wanted}.vyi") if p.exists()]
    return reached


def _immutables(layout: Mapping[str, Any], prefix: str = "") -> Iterator[dict[str, Any]]:
    for name, entry in layout.items():
        if "offset" in entry:
            yield {
                "name": prefix + name,
                "type": entry["type"],
                "offset": entry["offset"],
                "length": entry["length"],
            }
        else:
            yield from _immutables(entry, f"{prefix}{name}.")


if __name__ == "__main__":
    sys.exit(main())
