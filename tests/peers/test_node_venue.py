"""A phone, an access point that counts nothing, the agent beside it, a hub, and money at the end.

Debian's unmodified `wpa_supplicant` gets on through its unmodified `hostapd` (driver wired) in two
network namespaces, by SIM, certificate and password. `opencarrier node run` takes hostapd's RADIUS,
reads the cable's counters from the kernel and asks on over RadSec at a hub, which asks the home:
two installations. In the middle the hub is away. What is billed is what went through the cable,
and the receipt verifies against the chain.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
from opencarrier.app.node_folder import PAYMENTS_PORT, NodeFolder
from opencarrier.sim.usim import ControlSim

pytestmark = [pytest.mark.peer, pytest.mark.timeout(300), needs_cable]

HUB_PORT, HOME_PORT = 28083, 28084
LUMEN = "lumen.example"
PASSWORD = "correct horse battery"
NANO_PER_KIB = 1_900
DATAGRAM_OCTETS = 1_400
UP_DATAGRAMS, DOWN_DATAGRAMS = 1_500, 4_000
"""Sent before the hub goes away, and as many while it is away: 15.4 MB in all."""

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


SHOW = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())
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

    def status(self) -> dict:
        """What the process last said of itself, as `node status` prints it."""
        told = NodeFolder(self.data).told()
        assert told is not None
        return told

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
    home = Here(tmp_path_factory.mktemp("venue"))
    _furnish_pki(home)
    _furnish_home(home)
    _furnish_hub(Here(home.folder / "hub"), home.folder / "pki")
    _furnish_venue(home)
    return home.folder


def _furnish_pki(home: Here) -> None:
    pki = ("--pki", str(home.folder / "pki"))
    home.run("pki", "init", *pki)
    for name in ("home", "hub", "node"):
        names = ("--dns", f"{name}.example", "--ip", "127.0.0.1")
        home.run("pki", "issue", name, "--role", "combined", *names, *pki)
    home.run("pki", "issue", "ada", "--role", "subscriber", "--nai", f"ada@{LUMEN}", *pki)


def _furnish_home(home: Here) -> None:
    home.run(
        "operator", "add", "Lumen", "--jurisdiction", "FR", "--plmn", "20893", "--realm", LUMEN
    )
    home.run("operator", "add", "Baobab", "--jurisdiction", "SN")
    home.run("operator", "wba", "Baobab", "BAOBAB:SN")
    home.run("operator", "deposit", "Lumen", "500000000", "--reference", "first")
    home.run("host", "add", "Cafe")
    home.run("node", "add", NAS, "--operator", "Baobab", "--host", "Cafe")
    price = ("--price-nano", str(NANO_PER_KIB))
    home.run("agreement", "add", "--home", "Lumen", "--visited", "Baobab", *price)
    home.run("tariff", "add", "--operator", "Lumen", "--plan", "prepaid", *price)
    home.run("client", "add", "dns:hub.example", "--operator", "Baobab")
    home.run("client", "carry", "dns:hub.example", "--any")
    home.run(
        *("subscriber", "add", "--operator", "Lumen", "--plan", "prepaid", "--imsi", IMSI),
        *("--ki-file", "-", "--opc-file", "-"),
        stdin=f"{K}\n{OPC}\n",
    )
    for name in ("Ada", "Bob"):
        home.run("subscriber", "add", "--name", name, "--operator", "Lumen")
    for who in (IMSI, "Ada", "Bob"):
        home.run("subscriber", "topup", who, "50000000")
    ada = str(home.folder / "pki" / "ends" / "ada.crt")
    home.run("subscriber", "credential", "certificate", "Ada", "--file", ada)
    password = ("--user-name", "bob", "--password-file", "-")
    home.run("subscriber", "credential", "password", "Bob", *password, stdin=PASSWORD + "\n")
    _configure(home, home.folder / "pki", "home", HOME_PORT)


def _furnish_hub(hub: Here, pki: Path) -> None:
    """Baobab's own: it knows the node, and where the realms of Lumen are answered."""
    hub.run("operator", "add", "Baobab", "--jurisdiction", "SN")
    hub.run("operator", "wba", "Baobab", "BAOBAB:SN")
    hub.run("host", "add", "Cafe")
    hub.run("node", "add", NAS, "--operator", "Baobab", "--host", "Cafe")
    hub.run("client", "add", "dns:node.example", "--operator", "Baobab")
    for realm in (LUMEN, REALM):
        hub.run("route", "add", realm, "--to", f"tls://127.0.0.1:{HOME_PORT}")
    _configure(hub, pki, "hub", HUB_PORT)


def _configure(place: Here, pki: Path, name: str, port: int) -> None:
    end = pki / "ends" / name
    with (place.data / "config.toml").open("a") as config:
        config.write(f'radsec_port = {port}\nradsec_roots = "{pki / "trust.pem"}"\n')
        config.write(f'eap_roots = "{pki / "trust.pem"}"\n')
        for what in ("radsec", "eap"):
            config.write(f'{what}_chain = "{end}.pem"\n{what}_key = "{end}.key"\n')


def _furnish_venue(place: Here) -> None:
    data = place.folder / "node"
    kid = json.loads(place.run("node", "init", "--data", str(data), "--json").stdout)["kid"]
    place.run("node", "key", NAS, kid)
    (data / "hall.secret").write_text(SECRET)
    pki = place.folder / "pki"
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
port = {HUB_PORT}
server_name = "hub.example"
certificate_file = "node.pem"
key_file = "node-tls.key"
roots_file = "trust.pem"
[[access_point]]
name = "hall"
prefix = "127.0.0.1"
secret_file = "hall.secret"
port = "ocap0"
[payments]
host = "0.0.0.0"
chain_id = 31337
contract = "0x{"ab" * 20}"
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


def shown(ends: Cable) -> dict:
    """What the phone sees of its session at the agent: the kernel knows it by its MAC address."""
    words = (sys.executable, "-S", "-c", SHOW, f"http://{POINT}:{PAYMENTS_PORT}/v1/session")
    done = subprocess.run(
        ["ip", "netns", "exec", ends.phone, *words], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@dataclass
class World:
    """Everybody who takes part."""

    home: Place
    hub: Place
    venue: Venue
    ends: Cable


def network(folder: Path, way: str) -> str:
    """The phone's settings, for a SIM, a certificate or a password."""
    pki = folder / "pki"
    trust = f'ca_cert="{pki / "trust.pem"}"\ndomain_suffix_match="home.example"\n'
    ada = pki / "ends" / "ada"
    lines = {
        "aka-prime": f'eap=AKA\'\nidentity="6{IMSI}@{REALM}"\n',
        "tls": f'eap=TLS\n{trust}identity="anonymous@{LUMEN}"\n'
        f'client_cert="{ada}.pem"\nprivate_key="{ada}.key"\n',
        "ttls": f'eap=TTLS\n{trust}anonymous_identity="anonymous@{LUMEN}"\n'
        f'identity="bob@{LUMEN}"\npassword="{PASSWORD}"\nphase2="auth=MSCHAPV2"\n',
    }
    return f"network={{\nkey_mgmt=IEEE8021X\neapol_flags=0\n{lines[way]}}}\n"


async def eventually(true: Callable[[], bool]) -> None:
    """Wait as long as a busy machine, and a line that is dialled again, may take."""
    await _until(true, timeout_s=90)


async def _session(world: World, way: str) -> tuple[tuple[int, int], dict]:
    """Get on, use the network, lose the hub and go on using it, leave; what the kernel counted."""
    home, venue, ends, folder = world.home, world.venue, world.ends, world.home.folder
    (folder / "hostapd.conf").write_text(HOSTAPD.replace(NAS, "the-makers-own-name"))
    (folder / "wpa.conf").write_text(
        f"ctrl_interface={folder / 'ctrl'}\nap_scan=0\nexternal_sim=1\n{network(folder, way)}"
    )
    logs = {name: folder / f"{name}.log" for name in ("hostapd", "wpa")}
    hostapd = ("hostapd", str(folder / "hostapd.conf"))
    wpa = ("wpa_supplicant", "-D", "wired", "-i", "ocsta0", "-c", str(folder / "wpa.conf"))
    sim, line = ControlSim(card(), folder / "ctrl" / "ocsta0"), ExitStack()
    with line, venue.running(), home.up() as running:
        line.enter_context(world.hub.up())
        async with daemon(ends.ap, *hostapd, log=logs["hostapd"]):
            await eventually(lambda: venue.status()["counters"]["delivered"] >= 1)
            async with daemon(ends.phone, *wpa, log=logs["wpa"]):
                await sim.attach()
                await seen(logs["wpa"], "CTRL-EVENT-EAP-SUCCESS")
                before = counters(ends)
                await eventually(lambda: home.metrics(running)["usage_sessions_open"] == 1)
                traffic(ends)
                line.close()
                traffic(ends)
                await eventually(lambda: venue.status()["waiting"] >= 3)
                seen_by_phone = shown(ends)
                line.enter_context(world.hub.up())
                await eventually(lambda: venue.status()["waiting"] <= 1)
                after = counters(ends)
                sim.command("LOGOFF")
                await eventually(lambda: home.metrics(running)["usage_sessions_open"] == 0)
                sim.close()
        await eventually(lambda: venue.status()["waiting"] == 0)
        told = await asyncio.to_thread(_settle, home, running)
    return (after[0] - before[0], after[1] - before[1]), {**told, "shown": seen_by_phone}


def _settle(place: Place, running: dict) -> dict:
    """Close the cycle, and return the receipt with what a verifier says of it."""
    closed = place.json("cycle", "close")
    receipt = place.folder / "receipt.json"
    (usage_id,) = closed["usage_ids"]
    place.run("receipt", usage_id, "--out", str(receipt))
    verified = place.json("verify", str(receipt), "--rpc", running["rpc"])
    return {"closed": closed, "receipt": json.loads(receipt.read_text()), "verified": verified}


@pytest.mark.parametrize("way", ["aka-prime", "tls", pytest.param("ttls", marks=pytest.mark.deep)])
def test_what_went_through_the_cable_is_billed_though_the_hub_was_away(
    furnished: Path, tmp_path: Path, way: str
) -> None:
    folder = tmp_path / "place"
    shutil.copytree(furnished, folder)
    with cable() as ends:
        for namespace, link, address in (
            (ends.ap, "ocap0", POINT),
            (ends.phone, "ocsta0", PHONE),
        ):
            words = ["ip", "-n", namespace, "addr", "add", f"{address}/24", "dev", link]
            subprocess.run(words, check=True)
        home, hub = (Place(one, ends.ap) for one in (folder, folder / "hub"))
        world = World(home, hub, Venue(folder, ends.ap), ends)
        kernel, told = asyncio.run(_session(world, way))
    usage = told["receipt"]["usage"]["content"]
    assert usage["counters_from"] == [0, 0, 0]
    assert not usage["weak"]
    assert told["shown"]["session_id"] == usage["session_id"]
    assert 0 < told["shown"]["octets_out"] <= usage["counters_to"][2]
    sent = tuple(2 * count * DATAGRAM_OCTETS for count in (UP_DATAGRAMS, DOWN_DATAGRAMS))
    for billed, counted, least in zip(usage["counters_to"][1:], kernel, sent, strict=True):
        assert counted > least
        assert abs(billed - counted) * 100 <= counted, (billed, counted)
    assert told["closed"]["state"] == "final"
    assert (told["verified"]["verified"], told["verified"]["failed"]) == (1, 0)
    assert told["receipt"]["path"]["rung"] == 2, "the agent brought the home's Class back"
    _check_statements(Here(folder), folder / "node", usage)


def _check_statements(place: Here, node: Path, usage: dict) -> None:
    """The home has the node's whole chain, though the hub was away, and it says what was billed."""
    file = place.folder / "statements.jsonl"
    file.write_text(place.run("node", "evidence").stdout)
    kid = json.loads(file.read_text().splitlines()[0])["kid"]
    checked = place.json("node", "verify", str(file), "--kid", kid)
    assert checked["holds"]
    assert checked["findings"] == []
    last = json.loads(file.read_text().splitlines()[-1])
    shown = [last["session_time_s"], last["octets_in"], last["octets_out"]]
    assert shown == usage["counters_to"]
    at_venue = place.run("node", "statements", "--data", str(node)).stdout
    assert file.read_text() == at_venue
