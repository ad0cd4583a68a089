"""Installs the foreign programs the peer tests talk to; those that are there are left alone."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from environment import ROOT, Stop, install, make, run, say

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
MODULES = ROOT / ".peers" / "node_modules"
PACKAGES = {
    "anvil": ("@foundry-rs/anvil@1.7.1", MODULES / ".bin" / "anvil"),
    "forge": ("@foundry-rs/forge@1.7.1", MODULES / ".bin" / "forge"),
    "solc": ("solc@0.8.28", MODULES / "solc" / "package.json"),
    "axe-core": ("axe-core@4.14.1", MODULES / "axe-core" / "axe.min.js"),
    "openzeppelin": ("@openzeppelin/contracts@5.4.0", MODULES / "@openzeppelin" / "contracts"),
}
"""npm packages by what the tests call them: name and version, and where they are once installed."""

HALMOS = ROOT / ".peers" / "halmos"
HALMOS_LOCK = ROOT / "requirements-halmos.lock"
"""The prover has an environment of its own: its solver and its pins are not ours."""

SPARK = ROOT / ".peers" / "spark"
SPARK_LOCK = ROOT / "requirements-spark.lock"
"""Spark too: 455 MB that no other test needs. It comes as source, jars and all."""

ROTEL = ROOT / ".peers" / "rotel"
ROTEL_LOCK = ROOT / "requirements-rotel.lock"
ROTEL_AGENT = "lib/python*/site-packages/rotel/rotel-agent"
"""A collector of spans: a program for newer Linux than the packages of ours are promised on."""

PROGRAMS = {
    "eapol_test": "eapoltest",
    "hostapd": "hostapd",
    "wpa_supplicant": "wpasupplicant",
    "freeradius": "freeradius",
    "radclient": "freeradius-utils",
    "radsecproxy": "radsecproxy",
    "ip": "iproute2",
    "strace": "strace",
    "tshark": "tshark",
    "openssl": "openssl",
    "curl": "curl",
    "xmlsec1": "xmlsec1",
    "zbarimg": "zbar-tools",
    "psql": "postgresql",
    "chromium": "chromium",
    "npm": "npm",
    "node": "nodejs",
    "java": "default-jre-headless",
    "zsh": "zsh",
    "fish": "fish",
}
"""Each program with the Debian package it comes in."""

LIBRARIES = {
    "rlm_sql_postgresql": ("freeradius-postgresql", "usr/lib/freeradius/rlm_sql_postgresql.so"),
}
"""Parts of programs: the package, and where it is once installed."""

PYTHON = "libpython{}.{}".format(*sys.version_info)
PYTHON_AT = f"usr/lib/*/{PYTHON}.so.1.0"
"""What rotel loads: the Debian package of this Python. It comes last: not every release has it."""

SERVICES = ("freeradius", "hostapd", "postgres", "radsecproxy", "wpa_supplicant")
"""Daemons a package may start on its own; the tests start their own copies."""


def main(arguments: list[str]) -> int:
    """Install what is missing, then tell what there is."""
    if arguments:
        raise Stop(f"peers takes no arguments, not {' '.join(arguments)}", code=2)
    missing = {pkg for name, pkg in PROGRAMS.items() if _where(name) is None}
    missing |= {package for package, place in LIBRARIES.values() if _at(place) is None}
    if missing:
        _install(sorted(missing))
    if not all(path.exists() for _, path in PACKAGES.values()):
        _install_packages()
    _ensure(HALMOS, HALMOS_LOCK)
    _ensure(ROTEL, ROTEL_LOCK)
    _ensure(SPARK, SPARK_LOCK, source="pyspark")
    if _at(PYTHON_AT) is None:
        _install([PYTHON])
    found = {name: _where(name) for name in PROGRAMS}
    found |= {name: str(path) if path.exists() else None for name, (_, path) in PACKAGES.items()}
    found |= {name: _at(place) for name, (_, place) in LIBRARIES.items()}
    found[PYTHON] = _at(PYTHON_AT)
    found["halmos"] = _where(str(HALMOS / "bin" / "halmos"))
    found["rotel"] = next((str(path) for path in ROTEL.glob(ROTEL_AGENT)), None)
    found["spark"] = _where(str(SPARK / "bin" / "spark-submit"))
    for name, where in found.items():
        say(f"{name:16}{where or 'missing'}")
    return 0 if all(found.values()) else 1


def _where(name: str) -> str | None:
    return shutil.which(name, path=PATH)


def _at(place: str) -> str | None:
    return next((str(path) for path in Path("/").glob(place)), None)


def _install(packages: list[str]) -> None:
    if platform.system() != "Linux" or _where("apt-get") is None:
        raise Stop(
            f"these come as Debian packages: {' '.join(packages)}",
            "run the peer tests on Debian or Ubuntu; elsewhere they are skipped and counted",
        )
    running = {service for service in SERVICES if _is_running(service)}
    root = [] if os.geteuid() == 0 else ["sudo"]
    install = [
        *(*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes"),
        *("--no-install-recommends", *packages),
    ]
    say(f"installing {' '.join(packages)}")
    if subprocess.run(install, stdout=subprocess.DEVNULL).returncode:
        run([*root, "apt-get", "update", "--quiet"])  # its lists may be old or absent
        run(install)
    for service in SERVICES:
        if service not in running and _is_running(service):
            say(f"stopping {service}: its package started it")
            _stop(root, service)


def _is_running(service: str) -> bool:
    return subprocess.run(["pgrep", "-x", service], capture_output=True).returncode == 0


def _stop(root: list[str], service: str) -> None:
    for command in (
        ["systemctl", "disable", "--now", service],
        ["service", service, "stop"],
    ):
        if _where(command[0]) and not subprocess.run([*root, *command]).returncode:
            return
    say(f"error: {service} still runs")
    say("hint: stop it by hand; it may hold a port the tests want")


def _install_packages() -> None:
    npm = _where("npm")
    wanted = [package for package, _ in PACKAGES.values()]
    if npm is None:
        raise Stop(
            f"npm is missing, it brings {' '.join(wanted)}",
            "install npm, then ./dev peers again",
        )
    folder = MODULES.parent
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text('{"private": true}\n')
    say(f"installing {' '.join(wanted)} into .peers")
    # All at once: npm drops what it is not told to keep.
    run(
        [npm, "install", "--prefix", str(folder), "--no-save", "--no-audit", "--no-fund", *wanted],
        PATH=PATH,
    )


def _ensure(place: Path, lock: Path, source: str = "") -> None:
    """Make an environment hold a lock's packages; `source` names one that is built here."""
    stamp = place / "installed"
    wanted = sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    say(f"installing {lock.name} into {place.relative_to(ROOT)}")
    make(place)
    install(place / "bin" / "python", lock, source)
    stamp.write_text(wanted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
