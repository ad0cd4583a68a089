"""A phone, an access point that counts nothing, the agent beside it, and money at the end.

Debian's unmodified `wpa_supplicant` gets on through its unmodified `hostapd` (driver wired) in two
network namespaces. `opencarrier node run` takes hostapd's RADIUS, reads the cable's counters from
the kernel and asks on over RadSec at `opencarrier up`. In the middle that is away. What is billed
is what went through the cable, and the receipt verifies against the chain.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.peers.test_access_wired import Cable, cable, daemon, seen
from tests.peers.test_app_access import (
    ACCT_PORT,
    AUTH_PORT,
    HOSTAPD,
    IMSI,
    NAS,
    OPC,
    REALM,
    SECRET,
    K,
    Place,
    _until,
    card,
    needs_cable,
)
from typer.testing import CliRunner

from opencarrier.app.cli.root import make
from opencarrier.sim.usim import ControlSim

pytestmark = [pytest.mark.peer, pytest.mark.timeout(300), needs_cable]

RADSEC_PORT = 28083
NANO_PER_KIB = 1_900
DATAGRAM_OCTETS = 1_400
UP_DATAGRAMS, DOWN_DATAGRAMS = 1_500, 4_000
"""Sent before the home goes away, and as many while it is away: 15.4 MB in all."""

PHONE, POINT = "10.99.0.2", "10.99.0.1"
SEND = """
import socket, sys
to, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(count):
    try:
        out.sendto(bytes(size), (to, 9))
    except ConnectionRefusedError:
        pass
"""


@dataclass
class Venue:
    """The agent's folder, and its process in the access point's namespace."""

    folder: Path
    namespace: str
    kid: str = ""
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.folder / "node.log"
        self.data = self.folder / "node"

    def command(self, *words: str) -> list[str]:
        inside = ["ip", "netns", "exec", self.namespace]
        return [*inside, sys.executable, "-m", "opencarrier", "node", *words]

    def said(self, *words: str) -> str:
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=True)
        return done.stdout

    def status(self) -> dict:
        return json.loads(self.said("status", "--data", str(self.data), "--json"))

    @contextmanager
    def running(self) -> Iterator[None]:
        with self.log.open("w") as log:
            process = subprocess.Popen(self.command("run", "--data", str(self.data)), stderr=log)
        try:
            deadline = time.monotonic() + 60
            while "ready" not in self.log.read_text():
                assert process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            ended = process.wait(30)
        assert ended == 0
        assert "Traceback" not in self.log.read_text(), self.log.read_text()


class Here(Place):
    """The same commands without a process each; setting up is a score of them."""

    def run(self, *words: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess:
        done = CliRunner().invoke(make(), list(words), input=stdin, env=self.env)
        assert done.exit_code == code, (words, done.output, done.exception)
        return subprocess.CompletedProcess(words, code, done.stdout, "")


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home and a venue set up as the guides say, by commands and nothing else."""
    place = Here(tmp_path_factory.mktemp("venue"))
    place.run("operator", "add", "Lumen", "--jurisdiction", "FR", "--plmn", "20893")
    place.run("operator", "add", "Baobab", "--jurisdiction", "SN")
    place.run("operator", "deposit", "Lumen", "500000000", "--reference", "first")
    place.run("host", "add", "Cafe")
    place.run("node", "add", NAS, "--operator", "Baobab", "--host", "Cafe")
    price = ("--price-nano", str(NANO_PER_KIB))
    place.run("agreement", "add", "--home", "Lumen", "--visited", "Baobab", *price)
    place.run("tariff", "add", "--operator", "Lumen", "--plan", "prepaid", *price)
    place.run("client", "add", "dns:node.cafe.example", "--operator", "Baobab")
    place.run(
        *("subscriber", "add", "--operator", "Lumen", "--plan", "prepaid", "--imsi", IMSI),
        *("--ki-file", "-", "--opc-file", "-"),
        stdin=f"{K}\n{OPC}\n",
    )
    place.run("subscriber", "topup", IMSI, "50000000")
    pki = ("--pki", str(place.data / "pki"))
    place.run("pki", "init", *pki)
    for name, host in (("home", "home.example"), ("node", "node.cafe.example")):
        place.run("pki", "issue", name, "--role", "combined", "--dns", host, *pki)
    with (place.data / "config.toml").open("a") as config:
        config.write(
            f'radsec_port = {RADSEC_PORT}\nradsec_chain = "pki/ends/home.pem"\n'
            'radsec_key = "pki/ends/home.key"\nradsec_roots = "pki/trust.pem"\n'
        )
    _furnish_venue(place)
    return place.folder


def _furnish_venue(place: Place) -> None:
    data = place.folder / "node"
    kid = json.loads(place.run("node", "init", "--data", str(data), "--json").stdout)["kid"]
    place.run("node", "key", NAS, kid)
    (data / "hall.secret").write_text(SECRET)
    pki = place.data / "pki"
    for name, copy in (
        ("ends/node.pem", "node.pem"),
        ("ends/node.key", "node-tls.key"),
        ("trust.pem", "trust.pem"),
    ):
        shutil.copy(pki / name, data / copy)
    (data / "node.toml").write_text(
        f"""
[node]
nas_identifier = "{NAS}"
operator_name = "4BAOBAB:SN"
auth_port = {AUTH_PORT}
acct_port = {ACCT_PORT}
[hub]
host = "127.0.0.1"
port = {RADSEC_PORT}
server_name = "home.example"
certificate_file = "node.pem"
key_file = "node-tls.key"
roots_file = "trust.pem"
[[access_point]]
name = "hall"
prefix = "127.0.0.1"
secret_file = "hall.secret"
port = "ocap0"
[limits]
retry_max_s = 2
"""
    )


def counters(ends: Cable) -> tuple[int, int]:
    """The kernel's octets of the access point's port: from the phone, to the phone."""
    words = ["ip", "-n", ends.ap, "-s", "-j", "link", "show", "ocap0"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)[0]["stats64"]
    return told["rx"]["bytes"], told["tx"]["bytes"]


def traffic(ends: Cable) -> None:
    """Send both ways through the cable, in full."""
    ways = ((ends.phone, POINT, UP_DATAGRAMS), (ends.ap, PHONE, DOWN_DATAGRAMS))
    for namespace, to, count in ways:
        words = (sys.executable, "-S", "-c", SEND, to, str(count), str(DATAGRAM_OCTETS))
        subprocess.run(["ip", "netns", "exec", namespace, *words], check=True)


async def _session(place: Place, venue: Venue, ends: Cable) -> tuple[tuple[int, int], dict]:
    """Get on, use the network, lose the home and go on using it, leave; what the kernel counted."""
    folder, home = place.folder, ExitStack()
    (folder / "hostapd.conf").write_text(HOSTAPD)
    (folder / "wpa.conf").write_text(
        f"ctrl_interface={folder / 'ctrl'}\nap_scan=0\nexternal_sim=1\n"
        "network={\n key_mgmt=IEEE8021X\n eapol_flags=0\n eap=AKA'\n"
        f' identity="6{IMSI}@{REALM}"\n}}\n'
    )
    logs = {name: folder / f"{name}.log" for name in ("hostapd", "wpa")}
    hostapd = ("hostapd", str(folder / "hostapd.conf"))
    wpa = ("wpa_supplicant", "-D", "wired", "-i", "ocsta0", "-c", str(folder / "wpa.conf"))
    sim = ControlSim(card(), folder / "ctrl" / "ocsta0")
    with home, venue.running():
        running = home.enter_context(place.up())
        async with daemon(ends.ap, *hostapd, log=logs["hostapd"]):
            await _until(lambda: venue.status()["counters"]["delivered"] >= 1)
            async with daemon(ends.phone, *wpa, log=logs["wpa"]):
                await sim.attach()
                await seen(logs["wpa"], "CTRL-EVENT-EAP-SUCCESS")
                before = counters(ends)
                await _until(lambda: venue.status()["counters"]["delivered"] >= 3)
                traffic(ends)
                home.close()
                traffic(ends)
                await _until(lambda: venue.status()["waiting"] >= 3)
                running = home.enter_context(place.up())
                await _until(lambda: place.metrics(running)["usage_sessions_open"] == 1)
                after = counters(ends)
                sim.command("LOGOFF")
                await _until(lambda: place.metrics(running)["usage_sessions_open"] == 0)
                sim.close()
        await _until(lambda: venue.status()["waiting"] == 0)
        told = await asyncio.to_thread(_settle, place, running)
    return (after[0] - before[0], after[1] - before[1]), told


def _settle(place: Place, running: dict) -> dict:
    """Close the cycle, and return the receipt with what a verifier says of it."""
    closed = place.json("cycle", "close")
    receipt = place.folder / "receipt.json"
    (usage_id,) = closed["usage_ids"]
    place.run("receipt", usage_id, "--out", str(receipt))
    verified = place.json("verify", str(receipt), "--rpc", running["rpc"])
    return {"closed": closed, "receipt": json.loads(receipt.read_text()), "verified": verified}


def test_what_went_through_the_cable_is_billed_though_the_home_was_away(
    furnished: Path, tmp_path: Path
) -> None:
    shutil.copytree(furnished, tmp_path / "place")
    with cable() as ends:
        for namespace, link, address in (
            (ends.ap, "ocap0", POINT),
            (ends.phone, "ocsta0", PHONE),
        ):
            words = ["ip", "-n", namespace, "addr", "add", f"{address}/24", "dev", link]
            subprocess.run(words, check=True)
        place, venue = Place(tmp_path / "place", ends.ap), Venue(tmp_path / "place", ends.ap)
        kernel, told = asyncio.run(_session(place, venue, ends))
    usage = told["receipt"]["usage"]["content"]
    assert usage["counters_from"] == [0, 0, 0]
    assert not usage["weak"]
    sent = tuple(2 * count * DATAGRAM_OCTETS for count in (UP_DATAGRAMS, DOWN_DATAGRAMS))
    for billed, counted, least in zip(usage["counters_to"][1:], kernel, sent, strict=True):
        assert counted > least
        assert abs(billed - counted) * 100 <= counted, (billed, counted)
    assert told["closed"]["state"] == "final"
    assert (told["verified"]["verified"], told["verified"]["failed"]) == (1, 0)
    assert told["receipt"]["path"]["rung"] == 2, "the agent brought the home's Class back"
    _check_statements(Here(place.folder), venue, usage)


def _check_statements(place: Place, venue: Venue, usage: dict) -> None:
    """The home has the node's whole chain, though it was away, and it says what was billed."""
    file = place.folder / "statements.jsonl"
    file.write_text(place.run("node", "evidence").stdout)
    kid = json.loads(file.read_text().splitlines()[0])["kid"]
    checked = place.json("node", "verify", str(file), "--kid", kid)
    assert checked["holds"]
    assert checked["findings"] == []
    last = json.loads(file.read_text().splitlines()[-1])
    shown = [last["session_time_s"], last["octets_in"], last["octets_out"]]
    assert shown == usage["counters_to"]
    at_venue = place.run("node", "statements", "--data", str(venue.data)).stdout
    assert file.read_text() == at_venue
