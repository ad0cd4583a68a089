"""A phone daemon and an access-point daemon over a cable between two network namespaces.

Debian's unmodified `wpa_supplicant` (driver wired) attaches by EAP-AKA' through its unmodified
`hostapd` (driver wired), which reports the session to the server; our software USIM is the SIM.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.access.fakes import HOME, IMSI, NAS, REALM, SECRET, usim

from opencarrier.sim.usim import ControlSim

PROGRAMS = ("hostapd", "wpa_supplicant", "ip")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
ROOT = Path(__file__).parents[2]
AUTH_PORT, ACCT_PORT = 28120, 28130


def _namespaces_allowed() -> bool:
    if MISSING or os.geteuid() != 0:
        return False
    name = f"oc-try-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        return False
    subprocess.run(["ip", "netns", "del", name], check=True, capture_output=True)
    return True


pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(
        not MISSING and not _namespaces_allowed(), reason="making network namespaces needs root"
    ),
]

HOSTAPD = f"""
interface=ocap0
driver=wired
logger_stdout=-1
ieee8021x=1
eap_reauth_period=0
use_pae_group_addr=1
own_ip_addr=127.0.0.1
nas_identifier={NAS}
auth_server_addr=127.0.0.1
auth_server_port={AUTH_PORT}
auth_server_shared_secret={SECRET.decode()}
acct_server_addr=127.0.0.1
acct_server_port={ACCT_PORT}
acct_server_shared_secret={SECRET.decode()}
radius_acct_interim_interval=1
radius_request_cui=1
"""


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@dataclass(frozen=True)
class Cable:
    ap: str
    phone: str


@contextmanager
def cable() -> Iterator[Cable]:
    ends = Cable(f"oc-ap-{os.getpid()}", f"oc-phone-{os.getpid()}")
    try:
        _ip("netns", "add", ends.ap)
        _ip("netns", "add", ends.phone)
        peer = ("peer", "name", "ocsta0", "netns", ends.phone)
        _ip("link", "add", "ocap0", "netns", ends.ap, "type", "veth", *peer)
        for namespace, link in ((ends.ap, "ocap0"), (ends.phone, "ocsta0")):
            _ip("-n", namespace, "link", "set", "lo", "up")
            _ip("-n", namespace, "link", "set", link, "up")
        yield ends
    finally:
        for namespace in (ends.ap, ends.phone):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)


@asynccontextmanager
async def daemon(namespace: str, *command: str, log: Path) -> AsyncIterator[Any]:
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *("ip", "netns", "exec", namespace, *command),
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), timeout=10)


async def seen(log: Path, word: str, *, timeout_s: float = 20) -> str:
    for _ in range(int(timeout_s / 0.05)):
        text = log.read_text(errors="replace") if log.exists() else ""
        if word in text:
            return text
        await asyncio.sleep(0.05)
    raise AssertionError(f"{word} not in {log.name}:\n{text}")


async def _session(folder: Path, ends: Cable) -> list[dict[str, Any]]:
    hostapd_conf, wpa_conf = folder / "hostapd.conf", folder / "wpa.conf"
    hostapd_conf.write_text(HOSTAPD)
    wpa_conf.write_text(
        f"ctrl_interface={folder / 'ctrl'}\nap_scan=0\nexternal_sim=1\n"
        "network={\n key_mgmt=IEEE8021X\n eapol_flags=0\n eap=AKA'\n"
        f' identity="6{IMSI}@{REALM}"\n}}\n'
    )
    log = {name: folder / f"{name}.log" for name in ("server", "hostapd", "wpa")}
    serve = (sys.executable, str(ROOT / "tests/access/serve.py"), str(AUTH_PORT), str(ACCT_PORT))
    async with daemon(ends.ap, *serve, log=log["server"]) as server:
        await seen(log["server"], "ready")
        async with daemon(ends.ap, "hostapd", str(hostapd_conf), log=log["hostapd"]):
            await seen(log["server"], '"ON"')
            wpa = ("wpa_supplicant", "-D", "wired", "-i", "ocsta0", "-c", str(wpa_conf))
            card = ControlSim(usim(), folder / "ctrl" / "ocsta0")
            async with daemon(ends.phone, *wpa, log=log["wpa"]):
                await card.attach()
                await seen(log["wpa"], "CTRL-EVENT-EAP-SUCCESS")
                await seen(log["server"], '"INTERIM"')
                card.command("LOGOFF")
                await seen(log["server"], '"STOP"')
                card.close()
        await seen(log["server"], '"OFF"')
        server.stdin.close()
        text = await seen(log["server"], '"metrics"')
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


async def test_a_real_phone_through_a_real_access_point(tmp_path: Path) -> None:
    with cable() as ends:
        lines = await _session(tmp_path, ends)
    facts = [line for line in lines if "status" in line]
    kinds = [fact["status"] for fact in facts]
    assert kinds[0] == "ON"
    assert kinds[-1] == "OFF"
    session = [fact for fact in facts if fact["status"] not in ("ON", "OFF")]
    assert [session[0]["status"], session[-1]["status"]] == ["START", "STOP"]
    assert {fact["status"] for fact in session[1:-1]} == {"INTERIM"}
    assert len({fact["session"] for fact in session}) == 1
    assert all(fact["authorised"] and fact["home"] == HOME for fact in session), session
    assert len({fact["subject"] for fact in session}) == 1
    assert session[-1]["session_time_s"] >= session[1]["session_time_s"] >= 1
    assert not any(fact["octets_out"] for fact in session)
    metrics = lines[-1]["metrics"]
    assert metrics["accepts"] == 1
    assert metrics["accounting_responses"] == len(facts)
