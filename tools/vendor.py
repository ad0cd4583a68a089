"""Keeps the scripts that browsers get from others: fetched by npm, committed, held to their hashes.

Usage: python tools/vendor.py [--fetch]. Without --fetch the committed files are compared with
VENDOR.toml, offline; with it they are taken from npm anew and VENDOR.toml's hashes are written.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "src" / "opencarrier" / "app" / "console" / "static" / "vendor"
MANIFEST = FOLDER / "VENDOR.toml"
FIELDS = ("package", "version", "source", "file", "licence", "sha256")
HEAD = """\
# Scripts and data of others that pages use, as npm has them; `python tools/vendor.py` compares them
# with these hashes, `--fetch` takes them anew. Each package's licence lies beside them.
"""


def main(arguments: list[str]) -> int:
    """Compare or fetch; the exit code is 1 where a file is not what the manifest says."""
    entries = tomllib.loads(MANIFEST.read_text())["file"]
    if arguments == ["--fetch"]:
        entries = fetched(entries)
        MANIFEST.write_text(HEAD + "".join(_written(entry) for entry in entries))
    findings = list(check(entries, FOLDER))
    for finding in findings:
        print(finding, file=sys.stderr)
    print(f"vendor: {len(entries)} files, {len(findings)} findings", file=sys.stderr)
    return 1 if findings else 0


def check(entries: list[dict[str, Any]], folder: Path) -> Iterator[str]:
    """Yield what differs: changed or missing files, files of no entry, packages without licence."""
    named = {MANIFEST.name}
    for entry in entries:
        path = folder / entry["file"]
        named |= {entry["file"], _licence(entry)}
        if not path.exists():
            yield f"{entry['file']}: missing"
        elif sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            yield f"{entry['file']}: is not what VENDOR.toml says"
        if not (folder / _licence(entry)).exists():
            yield f"{entry['file']}: {_licence(entry)} is missing"
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in named:
            yield f"{name}: VENDOR.toml does not name it"


def fetched(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Take every file and licence out of the packages npm gives; return entries with hashes."""
    with tempfile.TemporaryDirectory() as name:
        packages = {(entry["package"], entry["version"]) for entry in entries}
        archives = {package: _packed(*package, Path(name)) for package in sorted(packages)}
        return [_taken(entry, archives[entry["package"], entry["version"]]) for entry in entries]


def _packed(package: str, version: str, folder: Path) -> Path:
    command = ["npm", "pack", f"{package}@{version}", "--json", "--pack-destination", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return folder / str(json.loads(done.stdout)[0]["filename"])


def _taken(entry: dict[str, Any], archive: Path) -> dict[str, Any]:
    with tarfile.open(archive) as packed:
        octets = _member(packed, entry["source"])
        (FOLDER / _licence(entry)).write_bytes(_member(packed, "LICENSE"))
    path = FOLDER / entry["file"]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(octets)
    return {**entry, "sha256": sha256(octets).hexdigest()}


def _member(packed: tarfile.TarFile, name: str) -> bytes:
    found = packed.extractfile(f"package/{name}")
    assert found is not None, f"{name} is a file"
    return found.read()


def _licence(entry: dict[str, Any]) -> str:
    package = str(entry["package"]).removeprefix("@").replace("/", "-")
    return f"{package}.LICENSE.txt"


def _written(entry: dict[str, Any]) -> str:
    return "\n[[file]]\n" + "".join(f'{field} = "{entry.get(field, "")}"\n' for field in FIELDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
