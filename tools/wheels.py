"""Builds the wheel and proves that it works alone: no compiler, no Node, no network, no sources.

Usage: python tools/wheels.py [--prove]. Without --prove the wheel is only built, into dist/. The
proof installs it with its locked dependencies, wheels only, into an empty environment and runs it
with an empty home where only loopback may be reached.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
UV = [sys.executable, "-m", "uv"]
DEMO_SEED = 7

SHIPPED = (
    "opencarrier/__main__.py",
    "opencarrier/py.typed",
    "opencarrier/chain/artefacts/",
    "opencarrier/app/console/templates/",
    "opencarrier/app/console/static/console.css",
    "opencarrier/app/console/static/vendor/VENDOR.toml",
    "opencarrier/app/migrations/versions/",
)
"""What is no Python module, or is found by path: it must be in the wheel all the same."""


def main(arguments: list[str]) -> int:
    """Build, and with --prove try what was built."""
    wheel = build()
    print(wheel.relative_to(ROOT))
    missing = [name for name in SHIPPED if not _ships(wheel, name)]
    for name in missing:
        print(f"error: {name} is not in the wheel", file=sys.stderr)
    if missing:
        return 1
    return prove(wheel) if "--prove" in arguments else 0


def build() -> Path:
    """Build the wheel from the sources with the locked build back end."""
    for old in DIST.glob("opencarrier-*.whl"):
        old.unlink()
    _run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(DIST)], ROOT)
    (wheel,) = DIST.glob("opencarrier-*.whl")
    return wheel


def prove(wheel: Path) -> int:
    """Install the wheel alone and run it: its help, and the whole demo."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = folder / "venv" / "bin" / "python"
        home = folder / "home"
        home.mkdir()
        _run([*UV, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")], folder)
        install = [*UV, "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
        locked = ["--require-hashes", "-r", str(ROOT / "requirements.lock")]
        _run([*install, "--python", str(python), *locked], folder)
        _run([*install, "--python", str(python), str(wheel)], folder)
        command = str(folder / "venv" / "bin" / "opencarrier")
        _run([command, "--help"], folder, _shut_in(home))
        output = _run(
            [command, "demo", "--exit", "--seed", str(DEMO_SEED), "--json"], folder, _shut_in(home)
        )
        return _judge(json.loads(output))


def _judge(told: dict[str, object]) -> int:
    ledger = told["ledger"]
    assert isinstance(ledger, dict)
    cycles = told["cycles"]
    assert isinstance(cycles, list)
    records = sum(cycle["records"] for cycle in cycles)
    verified = told["receipts_verified"]
    print(f"the wheel alone: {len(cycles)} cycles, {records} records, {verified} verified")
    if any(ledger["sum_minor"].values()) or verified != records or not records:
        print("error: the demo's own figures do not agree", file=sys.stderr)
        return 1
    return 0


def _shut_in(home: Path) -> dict[str, str]:
    return {
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT / "tools" / "guard"),
        "LANG": "C.UTF-8",
    }


def _ships(wheel: Path, name: str) -> bool:
    with zipfile.ZipFile(wheel) as archive:
        return any(
            entry.startswith(name) if name.endswith("/") else entry == name
            for entry in archive.namelist()
        )


def _run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=dict(os.environ) if environment is None else environment,
        text=True,
        capture_output=True,
    )
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        print(f"error: {' '.join(command[:6])} failed with {done.returncode}", file=sys.stderr)
        sys.exit(1)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
