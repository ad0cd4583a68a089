"""The whole product, set up by commands alone, before unmodified programs of others.

`eapol_test` and `radclient` speak to a running `opencarrier up`; a phone daemon gets on through an
access-point daemon, and its session becomes a settled amount with a receipt that verifies; a storm
of garbage leaves the server answering.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from tests.app.conftest import Oc
from tests.peers.test_access_wired import (
    MISSING,
    Cable,
    _namespaces_allowed,
    cable,
    daemon,
    seen,
)

from opencarrier.access.wire.authenticators import access_request, accounting_request
from opencarrier.access.wire.dictionary import AcctStatus, Type
from opencarrier.access.wire.radius import Attribute, Packet, integer, parse, text
from opencarrier.sim.usim import ControlSim, Usim

pytestmark = [pytest.mark.peer, pytest.mark.timeout(300)]

NAS = "cafe-1"
IMSI = "208930000000001"
REALM = "wlan.mnc093.mcc208.3gppnetwork.org"
SECRET = "a secret of the access tests"
K, OPC = "00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100"
SECOND_NANO, TAX_PPM, HOST_PPM, PROTOCOL_PPM = 1_234_567, 180_000, 600_000, 10_000
RETAIL_NANO, RETAIL_TAX_PPM = 3_333_333, 200_000
AUTH_PORT, ACCT_PORT = 28120, 28130
GARBAGE, BURST = 4_000, 100
READY_S = 60.0

needs_eapol_test = pytest.mark.skipif(
    shutil.which("eapol_test") is None, reason="not installed: eapol_test"
)
needs_radclient = pytest.mark.skipif(
    shutil.which("radclient") is None, reason="not installed: radclient"
)
needs_cable = pytest.mark.skipif(
    bool(MISSING) or not _namespaces_allowed(),
    reason=f"not installed: {', '.join(MISSING)}" if MISSING else "namespaces need root",
)


class Place(Oc):
    """Commands on one folder, in a network namespace if one is named."""

    def __init__(self, folder: Path, namespace: str = "") -> None:
        super().__init__(folder)
        self.folder = folder
        self.log = folder / "up.log"
        self._inside = ("ip", "netns", "exec", namespace) if namespace else ()

    def run(self, *words: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess:
        if not self._inside:
            return super().run(*words, stdin=stdin, code=code)
        done = subprocess.run(
            [*self._inside, sys.executable, "-m", "opencarrier", *words],
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return done

    @contextmanager
    def up(self, *flags: str, auth_port: int = 0, acct_port: int = 0) -> Iterator[dict]:
        """Serve until the end of the block; then it has stopped in order, with a clean log."""
        command = [
            *(*self._inside, sys.executable, "-m", "opencarrier", "up"),
            *("--radius-port", str(auth_port), "--acct-port", str(acct_port)),
            *("--http-port", "0", "--cycle-s", "0", *flags),
        ]
        with self.log.open("w") as log:
            process = subprocess.Popen(command, env=self.env, stderr=log)
        try:
            self._wait_ready(process)
            yield json.loads((self.data / "run.json").read_text())
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                ended = process.wait(60)
            finally:
                process.kill()
        assert ended == 0
        told = self.log.read_text()
        assert "Traceback" not in told, told
        assert "ERROR" not in told, told

    def metrics(self, running: dict) -> dict[str, int]:
        """Read the counters, from within the namespace."""
        address = running["http"] + "/metrics"
        if self._inside:
            program = (
                f"from urllib.request import urlopen; print(urlopen({address!r}).read().decode())"
            )
            words = [*self._inside, sys.executable, "-S", "-c", program]
            page = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        else:
            with urlopen(address, timeout=10) as answer:
                page = answer.read().decode()
        lines = (line.rsplit(" ", 1) for line in page.splitlines() if line[:1] not in ("#", ""))
        return {name.removeprefix("opencarrier_"): int(value) for name, value in lines}

    def _wait_ready(self, process: subprocess.Popen) -> None:
        deadline = time.monotonic() + READY_S
        while "ready" not in self.log.read_text():
            assert process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder set up as the guide says, by commands and nothing else."""
    place = Place(tmp_path_factory.mktemp("furnished"))
    secret = place.folder / "secret.txt"
    secret.write_text(SECRET + "\n")
    place.run("operator", "add", "Lumen", "--jurisdiction", "FR", "--plmn", "20893")
    place.run("operator", "add", "Baobab", "--jurisdiction", "SN", "--realm", "baobab.example")
    place.run("operator", "deposit", "Lumen", "500000000", "--reference", "first")
    place.run("host", "add", "Cafe")
    place.run("node", "add", NAS, "--operator", "Baobab", "--host", "Cafe")
    place.run(
        *("agreement", "add", "--home", "Lumen", "--visited", "Baobab"),
        *("--unit", "duration_s", "--step", "1", "--price-nano", str(SECOND_NANO)),
        *("--host-ppm", str(HOST_PPM), "--protocol-ppm", str(PROTOCOL_PPM)),
        *("--tax-ppm", str(TAX_PPM)),
    )
    place.run(
        *("tariff", "add", "--operator", "Lumen", "--plan", "by-time"),
        *("--unit", "duration_s", "--step", "1", "--price-nano", str(RETAIL_NANO)),
        *("--tax-ppm", str(RETAIL_TAX_PPM)),
    )
    place.run(
        *("client", "add", "127.0.0.1", "--operator", "Baobab", "--secret-file", str(secret)),
    )
    place.run(
        *("subscriber", "add", "--operator", "Lumen", "--plan", "by-time", "--imsi", IMSI),
        *("--ki-file", "-", "--opc-file", "-"),
        stdin=f"{K}\n{OPC}\n",
    )
    place.run("subscriber", "topup", IMSI, "50000000")
    return place.folder


@pytest.fixture
def place(furnished: Path, tmp_path: Path) -> Place:
    shutil.copytree(furnished, tmp_path / "place")
    return Place(tmp_path / "place")


def card(*, k: str = K) -> Usim:
    return Usim(imsi=IMSI, k=bytes.fromhex(k), opc=bytes.fromhex(OPC))


async def eapol_test(folder: Path, port: int, usim: Usim) -> tuple[bool, str, int]:
    """Authenticate once: whether it was let in, what it said, how often the card was asked."""
    control, config = folder / "ctrl", folder / "eapol.conf"
    config.write_text(
        f"ctrl_interface={control}\nexternal_sim=1\n"
        'network={\n ssid="test"\n key_mgmt=WPA-EAP\n eap=AKA\'\n'
        f' identity="6{IMSI}@{REALM}"\n}}\n'
    )
    process = await asyncio.create_subprocess_exec(
        *("eapol_test", "-c", str(config), "-W", "-t", "10", "-N", f"32:s:{NAS}"),
        *("-a", "127.0.0.1", "-p", str(port), "-s", SECRET),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    sim = ControlSim(usim, control / "test")
    try:
        await sim.attach()
        output, _ = await asyncio.wait_for(process.communicate(), timeout=30)
    finally:
        sim.close()
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = output.decode(errors="replace")
    return process.returncode == 0 and said.rstrip().endswith("SUCCESS"), said, sim.requests


def authenticate(place: Place, running: dict, usim: Usim) -> tuple[bool, str, int]:
    return asyncio.run(eapol_test(place.folder, running["radius_port"], usim))


@needs_eapol_test
def test_eapol_test_gets_on_and_a_clone_does_not(place: Place) -> None:
    """The genuine card: let in, link keys equal on both sides. Another K: turned away."""
    with place.up() as running:
        let_in, said, asked = authenticate(place, running, card())
        assert let_in, said
        assert "MPPE keys OK: 1  mismatch: 0" in said
        assert asked == 1
        let_in, said, _ = authenticate(place, running, card(k="00" * 16))
        assert not let_in
        assert "MPPE keys OK: 0" in said
        counted = place.metrics(running)
    assert counted["radius_accepts_total"] == 1
    assert counted['radius_rejects_total{reason="authentication_rejected"}'] == 1


@needs_eapol_test
def test_a_restored_home_resynchronises_with_the_card(place: Place) -> None:
    """The card went on after the backup was made: it answers AUTS, and the next challenge fits."""
    kept, back = place.folder / "kept", place.folder / "back"
    place.run("backup", str(kept))
    usim = card()
    with place.up() as running:
        for _ in range(3):
            let_in, said, asked = authenticate(place, running, usim)
            assert let_in, said
            assert asked == 1
    place.run("restore", str(kept), "--data", str(back))
    place.data = back
    place.env["OPENCARRIER_DATA"] = str(back)
    with place.up() as running:
        let_in, said, asked = authenticate(place, running, usim)
        assert let_in, said
        assert asked == 2
        assert "MPPE keys OK: 1  mismatch: 0" in said
        let_in, said, asked = authenticate(place, running, usim)
        assert let_in, said
        assert asked == 1


@needs_radclient
def test_radclient_sends_accounting_and_is_answered(place: Place) -> None:
    """Start and Stop are answered where `--host` says; a wrong secret gets silence.

    HTTP stays on loopback, so commands go on while it serves, and what was answered is kept.
    """
    session = f'Acct-Session-Id = "5ebe12"\nUser-Name = "x@{REALM}"\nNAS-Identifier = "{NAS}"\n'
    packets = (
        f"{session}Acct-Status-Type = Start\n\n"
        f"{session}Acct-Status-Type = Stop\nAcct-Session-Time = 60\nAcct-Input-Octets = 7\n"
        "Acct-Output-Octets = 5\nAcct-Output-Gigawords = 2\n"
    )

    def radclient(port: int, secret: str) -> str:
        words = ["radclient", "-x", "-r", "1", "-t", "3", f"127.0.0.2:{port}", "acct", secret]
        return subprocess.run(
            words, input=packets, capture_output=True, text=True, timeout=60, check=False
        ).stdout

    with place.up("--host", "127.0.0.2") as running:
        said = radclient(running["acct_port"], SECRET)
        assert said.count("Received Accounting-Response") == 2, said
        assert "Received" not in radclient(running["acct_port"], "wrong")
        counted = place.metrics(running)
        assert place.json("status")["running"]
    assert counted["radius_accounting_responses_total"] == 2
    assert counted['radius_dropped_total{reason="request_authenticator"}'] >= 1
    kept = place.json("status")["usage"]
    assert (kept["sessions"], kept["observations"]) == (1, 2)


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
auth_server_shared_secret={SECRET}
acct_server_addr=127.0.0.1
acct_server_port={ACCT_PORT}
acct_server_shared_secret={SECRET}
radius_acct_interim_interval=1
radius_request_cui=1
"""


SNIFFER = """
import socket
taps = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(0x0800))
taps.bind(("lo", 0))
print("listening", flush=True)
while True:
    packet = taps.recv(65535)
    if packet[9] == socket.IPPROTO_UDP:
        print(packet[20:].hex(), flush=True)
"""


async def _session(place: Place, running: dict, ends: Cable) -> list[Packet]:
    """Get on, stay for some interims, leave, switch off; return the accounting on the wire."""
    wire = place.folder / "wire.log"
    async with daemon(ends.ap, sys.executable, "-S", "-c", SNIFFER, log=wire):
        await seen(wire, "listening")
        await _on_and_off(place, running, ends)
        await _until(lambda: _kinds(_accounting(wire))[-1:] == [AcctStatus.ACCOUNTING_OFF])
        sent = _accounting(wire)
        await _until(
            lambda: place.metrics(running)["radius_accounting_responses_total"] == len(sent)
        )
    return sent


def _kinds(sent: list[Packet]) -> list[int | None]:
    return [packet.integer(Type.ACCT_STATUS_TYPE) for packet in sent]


def _accounting(wire: Path) -> list[Packet]:
    """Every Accounting-Request that was seen, once."""
    datagrams = [bytes.fromhex(line) for line in wire.read_text().split("\n")[1:-1]]
    to_server = [d[8:] for d in datagrams if int.from_bytes(d[2:4], "big") == ACCT_PORT]
    return [parse(octets) for octets in dict.fromkeys(to_server)]


async def _on_and_off(place: Place, running: dict, ends: Cable) -> None:
    folder = place.folder
    hostapd_conf, wpa_conf = folder / "hostapd.conf", folder / "wpa.conf"
    hostapd_conf.write_text(HOSTAPD)
    wpa_conf.write_text(
        f"ctrl_interface={folder / 'ctrl'}\nap_scan=0\nexternal_sim=1\n"
        "network={\n key_mgmt=IEEE8021X\n eapol_flags=0\n eap=AKA'\n"
        f' identity="6{IMSI}@{REALM}"\n}}\n'
    )
    hostapd_log, wpa_log = folder / "hostapd.log", folder / "wpa.log"

    async def answered(count: int) -> None:
        await _until(lambda: place.metrics(running)["radius_accounting_responses_total"] >= count)

    async with daemon(ends.ap, "hostapd", str(hostapd_conf), log=hostapd_log):
        await answered(1)
        wpa = ("wpa_supplicant", "-D", "wired", "-i", "ocsta0", "-c", str(wpa_conf))
        sim = ControlSim(card(), folder / "ctrl" / "ocsta0")
        async with daemon(ends.phone, *wpa, log=wpa_log):
            await sim.attach()
            await seen(wpa_log, "CTRL-EVENT-EAP-SUCCESS")
            await answered(4)
            sim.command("LOGOFF")
            await _until(lambda: place.metrics(running)["usage_sessions_open"] == 0)
            sim.close()


async def _until(true: Callable[[], bool], *, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not await asyncio.to_thread(true):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


def price_minor(duration_s: int, *, price_nano: int) -> int:
    """The price of a second, from the page that tells third parties how to recompute it."""
    gross = duration_s * price_nano
    return (gross + 500) // 1_000 if duration_s else 0


def tax_minor(price: int, tax_ppm: int) -> int:
    return (price * tax_ppm + 500_000) // 1_000_000


@needs_cable
def test_a_phone_through_an_access_point_is_settled_and_verified(
    furnished: Path, tmp_path: Path
) -> None:
    """On, Start, Interims, Stop, Off: one session, rated by its time, settled, verified."""
    shutil.copytree(furnished, tmp_path / "place")
    with cable() as ends:
        place = Place(tmp_path / "place", ends.ap)
        with place.up(auth_port=AUTH_PORT, acct_port=ACCT_PORT) as running:
            sent = asyncio.run(_session(place, running, ends))
            closed = place.json("cycle", "close")
            usage_id = closed["usage_ids"][0]
            receipt = place.folder / "receipt.json"
            place.run("receipt", usage_id, "--out", str(receipt))
            verified = place.json("verify", str(receipt), "--rpc", running["rpc"])
            status = place.json("status")
            books = place.json("ledger", "check")
    assert set(books["sum_minor"].values()) == {0}
    assert status["ledger"]["transfers"] == books["transfers"] > 0
    _check_session(sent, status, closed)
    _check_money(sent, json.loads(receipt.read_text()), closed, status)
    assert (verified["verified"], verified["failed"]) == (1, 0)
    assert verified["receipts"][0]["final"]


def _check_session(sent: list[Packet], status: dict, closed: dict) -> None:
    kinds = _kinds(sent)
    assert kinds[0] == AcctStatus.ACCOUNTING_ON
    assert kinds[-1] == AcctStatus.ACCOUNTING_OFF
    assert kinds[1] == AcctStatus.START
    assert kinds[-2] == AcctStatus.STOP
    assert set(kinds[2:-2]) == {AcctStatus.INTERIM_UPDATE}
    assert len({packet.get(Type.CLASS) for packet in sent[1:-1]}) == 1
    assert sent[1].get(Type.CLASS) is not None
    assert (status["usage"]["sessions"], status["usage"]["sessions_open"]) == (1, 0)
    assert status["suspended"] == 0
    assert status["waiting"] == []
    assert closed["state"] == "final"
    assert (closed["records"], len(closed["usage_ids"])) == (1, 1)


def _check_money(sent: list[Packet], receipt: dict, closed: dict, status: dict) -> None:
    stop = next(p for p in sent if p.integer(Type.ACCT_STATUS_TYPE) == AcctStatus.STOP)
    duration_s = stop.integer(Type.ACCT_SESSION_TIME)
    assert duration_s is not None
    assert duration_s >= 1
    usage = receipt["usage"]["content"]
    assert usage["counters_from"] == [0, 0, 0]
    assert usage["counters_to"] == [duration_s, 0, 0]
    assert not usage["weak"]
    assert receipt["path"]["rung"] == 2, "the access point echoed the home's Class"
    price = price_minor(duration_s, price_nano=SECOND_NANO)
    tax = tax_minor(price, TAX_PPM)
    assert receipt["wholesale"]["content"]["amount_minor"] == price + tax
    retail = price_minor(duration_s, price_nano=RETAIL_NANO)
    retail_tax = tax_minor(retail, RETAIL_TAX_PPM)
    assert receipt["retail"]["content"]["amount_minor"] == retail + retail_tax
    assert closed["gross_minor"] == closed["net_minor"] == price + tax
    host = price * HOST_PPM // 1_000_000
    assert [line["earned_minor"] for line in status["hosts_money"]] == [host]


@needs_eapol_test
def test_a_storm_of_garbage_leaves_the_server_answering(place: Place) -> None:
    """Random, cut, flipped and genuinely signed nonsense: each is counted, none is believed."""
    chance = random.Random(20261123)
    with place.up() as running:
        sent = _storm(place, running, chance)
        counted = place.metrics(running)
        let_in, said, _ = authenticate(place, running, card())
        assert let_in, said
        closed = place.json("cycle", "close")
        books = place.json("ledger", "check")
    reasons = {name for name in counted if name.startswith("radius_dropped_total")}
    for reason in ("packet_length", "code", "request_authenticator", "message_authenticator"):
        assert f'radius_dropped_total{{reason="{reason}"}}' in reasons
    assert not any('"internal_error"' in name or "store_failed" in name for name in reasons)
    assert _outcomes(counted) == sent == GARBAGE
    assert counted["radius_accepts_total"] == 0
    assert closed["state"] in ("final", "open")
    assert closed.get("gross_minor", 0) == 0
    assert set(books["sum_minor"].values()) == {0}


def _storm(place: Place, running: dict, chance: random.Random) -> int:
    """Send bursts, each when the last is accounted for; return how many datagrams were sent."""
    ports = (running["radius_port"], running["acct_port"])
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        while sent < GARBAGE:
            for _ in range(BURST):
                sock.sendto(_garbage(chance), ("127.0.0.1", chance.choice(ports)))
                sent += 1
            deadline = time.monotonic() + 20
            while _outcomes(place.metrics(running)) < sent:
                assert time.monotonic() < deadline, (sent, place.metrics(running))
                time.sleep(0.02)
    return sent


def _outcomes(counted: dict[str, int]) -> int:
    """How many datagrams came to an end of some kind."""
    kinds = (
        "radius_accepts_total",
        "radius_challenges_total",
        "radius_rejects_total",
        "radius_accounting_responses_total",
        "radius_duplicates_total",
        "radius_dropped_total",
    )
    return sum(value for name, value in counted.items() if name.split("{")[0] in kinds)


def _garbage(chance: random.Random) -> bytes:
    match chance.randrange(5):
        case 0:
            return chance.randbytes(chance.randrange(300))
        case 1:
            head = bytes([chance.choice((1, 2, 4, 5, 11, 12, 40))]) + chance.randbytes(1)
            body = chance.randbytes(chance.randrange(16, 200))
            return head + (len(body) + 4).to_bytes(2, "big") + body
        case 2:
            signed = _signed(chance)
            return signed[: chance.randrange(len(signed))]
        case 3:
            flipped = bytearray(_signed(chance))
            flipped[chance.randrange(4, len(flipped))] ^= 1 << chance.randrange(8)
            return bytes(flipped)
        case _:
            return _signed(chance)


def _signed(chance: random.Random) -> bytes:
    """A request that the client's own secret signs, whose content is nonsense."""
    attributes = [_attribute(chance) for _ in range(chance.randrange(12))]
    if chance.random() < 0.7:
        attributes.append(text(Type.NAS_IDENTIFIER, NAS))
    if chance.random() < 0.5:
        attributes.append((int(Type.EAP_MESSAGE), _eap(chance)))
        authenticator = chance.randbytes(16)
        return access_request(chance.randrange(256), authenticator, attributes, SECRET.encode())
    if chance.random() < 0.7:
        attributes.append(integer(Type.ACCT_STATUS_TYPE, chance.choice((1, 2, 3, 7, 8, 9, 2**31))))
        attributes.append(text(Type.ACCT_SESSION_ID, f"{chance.randrange(50):x}"))
    return accounting_request(chance.randrange(256), attributes, SECRET.encode())


def _attribute(chance: random.Random) -> Attribute:
    kind = chance.choice((*(int(t) for t in Type if t != Type.NAS_IDENTIFIER), 200, 255))
    return kind, chance.randbytes(chance.choice((0, 1, 2, 3, 4, 4, 4, 8, 16, 253)))


def _eap(chance: random.Random) -> bytes:
    """An EAP response of a plausible kind: identity, notification, nak, AKA, AKA', or none."""
    body = bytes([chance.choice((1, 2, 3, 23, 50, 254))]) + chance.randbytes(chance.randrange(60))
    if chance.random() < 0.3:
        body = b"\x01" + f"6{IMSI}@{REALM}".encode()
    length = len(body) + 4 + chance.choice((0, 0, 0, -1, 1, 4000))
    code = chance.choice((1, 2, 2, 2, 3, 4))
    return bytes([code, chance.randrange(256)]) + length.to_bytes(2, "big") + body
