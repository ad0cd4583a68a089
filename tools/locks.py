"""Writes the locks: every version pinned and hashed, one lock for all platforms by markers.

Usage: python tools/locks.py [--upgrade]. Versions move only with --upgrade. `--check` resolves
each platform and Python that is promised from wheels alone, and builds nothing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = [sys.executable, "-m", "uv"]
HALMOS = ROOT / "requirements-halmos.lock"
PROVER = "halmos==0.3.3"
COLLECTOR = ROOT / "requirements-rotel.lock"
ROTEL = "rotel==0.0.1a15"
SPARK = ROOT / "requirements-spark.lock"
SPARK_AND_BUILDER = "pyspark==4.1.4\nsetuptools"
RUNTIME, DEV = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"

PLATFORMS = {
    "Linux x86-64": "x86_64-manylinux_2_28",
    "Linux arm64": "aarch64-manylinux_2_28",
    "macOS arm64": "aarch64-apple-darwin",
}
PYTHONS = ("3.11", "3.12", "3.13")


def main(arguments: list[str]) -> int:
    """Write the locks, or check that each promised target resolves from wheels.

    The run-time lock is a part of the development lock, version for version, so that tests run
    on what users install and one environment can hold both.
    """
    if arguments == ["--check"]:
        return check()
    upgrade = [word for word in arguments if word == "--upgrade"]
    _compile(DEV, ["pyproject.toml", "--group", "build", "--group", "dev", *upgrade])
    _compile(RUNTIME, ["pyproject.toml", "--group", "build", "-c", DEV.name, *upgrade])
    _compile(HALMOS, ["-", *upgrade], PROVER)
    _compile(COLLECTOR, ["-", *upgrade], ROTEL)
    _compile(SPARK, ["-", *upgrade], SPARK_AND_BUILDER)
    return check()


def check() -> int:
    """Resolve every target; the development lock is promised on Linux x86-64 only."""
    failed = 0
    for name, platform in PLATFORMS.items():
        for python in PYTHONS:
            failed += _resolves(RUNTIME, name, platform, python)
    for python in PYTHONS:
        failed += _resolves(DEV, "Linux x86-64", PLATFORMS["Linux x86-64"], python)
    return 1 if failed else 0


def _compile(target: Path, more: list[str], stdin: str = "") -> None:
    command = [
        *(*UV, "pip", "compile", "--universal", "--python-version", "3.11"),
        *("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-annotate"),
        *("--custom-compile-command", "./dev lock", "--quiet", "-o", target.name, *more),
    ]
    subprocess.run(command, cwd=ROOT, check=True, text=True, input=stdin, stdout=subprocess.DEVNULL)
    pins = sum("==" in line and not line.startswith(" ") for line in target.open())
    print(f"{target.name}: {pins} packages")


def _resolves(lock: Path, name: str, platform: str, python: str) -> bool:
    with tempfile.TemporaryDirectory() as empty:
        command = [
            *(*UV, "pip", "install", "--dry-run", "--quiet", "--require-hashes", "--no-deps"),
            *("--only-binary", ":all:", "--python-platform", platform, "--python-version", python),
            *("--target", empty, "-r", lock.name),
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    verdict = "resolves from wheels" if done.returncode == 0 else "does not resolve from wheels"
    print(f"{lock.name}: {name}, Python {python}: {verdict}")
    if done.returncode:
        print(done.stderr, file=sys.stderr)
    return done.returncode != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
