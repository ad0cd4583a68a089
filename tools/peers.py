"""Installs the foreign programs the peer tests talk to; those that are there are left alone."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys

from environment import ROOT, Stop, run, say

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
ANVIL = "@foundry-rs/anvil@1.7.1"
ANVIL_PATH = ROOT / ".peers" / "node_modules" / ".bin" / "anvil"

PROGRAMS = {
    "eapol_test": "eapoltest",
    "hostapd": "hostapd",
    "wpa_supplicant": "wpasupplicant",
    "freeradius": "freeradius",
    "radclient": "freeradius-utils",
    "ip": "iproute2",
    "strace": "strace",
    "tshark": "tshark",
    "npm": "npm",
}
"""Each program with the Debian package it comes in."""

SERVICES = ("freeradius", "hostapd", "wpa_supplicant")
"""Daemons a package may start on its own; the tests start their own copies."""


def main(arguments: list[str]) -> int:
    """Install what is missing, then tell what there is."""
    if arguments:
        raise Stop(f"peers takes no arguments, not {' '.join(arguments)}", code=2)
    missing = sorted({pkg for name, pkg in PROGRAMS.items() if _where(name) is None})
    if missing:
        _install(missing)
    if not ANVIL_PATH.exists():
        _install_anvil()
    absent = [name for name in PROGRAMS if _where(name) is None]
    for name in PROGRAMS:
        say(f"{name:16}{_where(name) or 'missing'}")
    say(f"{'anvil':16}{ANVIL_PATH if ANVIL_PATH.exists() else 'missing'}")
    return 1 if absent or not ANVIL_PATH.exists() else 0


def _where(name: str) -> str | None:
    return shutil.which(name, path=PATH)


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


def _install_anvil() -> None:
    npm = _where("npm")
    if npm is None:
        raise Stop("npm is missing, and anvil comes with it", "install npm, then ./dev peers again")
    folder = ROOT / ".peers"
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text('{"private": true}\n')
    say(f"installing {ANVIL} into .peers")
    run(
        [npm, "install", "--prefix", str(folder), "--no-save", "--no-audit", "--no-fund", ANVIL],
        PATH=PATH,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
