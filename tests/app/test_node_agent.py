"""The node agent's process: what it imports, how large it is, and its line to a home."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.access.agent.scene import AP_SECRET, StationRadio, interim, start
from tests.access.fakes import NAS, REALM, SECRET, VISITED, Bench, usim
from tests.access.radsec import Pki, known_as, until
from tests.access.test_upstream import Home

from opencarrier.access.agent.payments import Carried, State
from opencarrier.access.dynamic import ack, sound
from opencarrier.access.radsec.server import RadsecBind, RadsecServer
from opencarrier.access.radsec.trust import Trust
from opencarrier.access.udp import Bind, UdpServer
from opencarrier.access.upstream.model import Reply
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.radius import parse
from opencarrier.app.folder import FolderError
from opencarrier.app.node_agent import NodeRunning, running, standing
from opencarrier.app.node_folder import NodeFolder
from opencarrier.app.system import SystemClock, SystemEntropy
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.sim.eap_peer import AkaPrimePeer
from opencarrier.sim.radio import Attached, Link, RadioSettings
from opencarrier.spine.parties import RadiusClient

AT_POINT = RadiusClient(client_id="hub", prefix="", secret=AP_SECRET, operator=VISITED)
FORBIDDEN = (
    "alembic", "duckdb", "eth", "eth_account", "fastapi", "networkx", "pyarrow", "reportlab",
    "sqlalchemy", "uvicorn", "web3", "OpenSSL",
)  # fmt: skip
RESIDENT_MAX_KIB = 80 * 1024
LOOK = f"""
import json, sys
import opencarrier.__main__
import opencarrier.app.node_agent
status = open("/proc/self/status").read().split()
print(json.dumps([
    sorted(set({FORBIDDEN!r}) & set(sys.modules)), int(status[status.index("VmRSS:") + 1]),
]))
"""


def test_the_process_is_small() -> None:
    """All it ever imports is loaded; `bench` measures the running one."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK], capture_output=True, text=True, check=True, timeout=60
    )
    forbidden, resident_kib = json.loads(done.stdout)
    assert forbidden == []
    assert resident_kib < RESIDENT_MAX_KIB


def folder_with(root: Path, hub: str) -> NodeFolder:
    folder = NodeFolder(root / "node")
    folder.begin(SeededEntropy(1))
    folder.settings_file.write_text(
        f"""
[node]
nas_identifier = "{NAS}"
auth_port = 0
acct_port = 0
[hub]
host = "127.0.0.1"
{hub}
[[access_point]]
name = "hall"
prefix = "127.0.0.0/8"
secret_file = "hall.secret"
"""
    )
    (folder.root / "hall.secret").write_bytes(AP_SECRET)
    (folder.root / "hub.secret").write_bytes(SECRET)
    return folder


async def a_session_through(node: NodeRunning, bench: Bench) -> None:
    settings = RadioSettings(nas_identifier="x", secret=AP_SECRET, auth=node.auth, acct=node.acct)
    links = [await Link.open(address, settings) for address in (settings.auth, settings.acct)]
    radio = StationRadio(settings, SeededEntropy(4), *links)
    attached = await radio.attach(AkaPrimePeer(usim(), REALM))
    assert isinstance(attached, Attached)
    assert attached.keys_match
    await radio.tell(start())
    await radio.tell(interim(session_time_s=1, octets_in=5, octets_out=7))
    await until(lambda: len(bench.sink.observations) == 2)
    assert all(one.authorisation_id for one in bench.sink.observations)
    await until(lambda: standing(node)["waiting"] == 0)
    brought = await node.service.pay(1, b"channel", Carried(b"voucher", b"ack"), 5.0)
    assert brought is not None
    assert (brought.state, brought.reason) == (State.REFUSED, "not_taken_here")
    radio.close()


async def test_a_line_to_a_home_over_udp(tmp_path: Path) -> None:
    bench = Bench()
    server = UdpServer(bench.service(), Bind(auth_port=0, acct_port=0))
    await server.start()
    hub = (
        f'transport = "udp"\nport = {server.auth_address[1]}\n'
        f'acct_port = {server.acct_address[1]}\nsecret_file = "hub.secret"\n'
    )
    async with running(folder_with(tmp_path, hub)) as node:
        await a_session_through(node, bench)
    await server.stop()


async def test_a_line_to_a_home_over_radsec(tmp_path: Path) -> None:
    pki, bench = Pki(tmp_path), Bench()
    bench.directory.clients = [known_as("dns:node.example", VISITED)]
    server = RadsecServer(
        bench.service(),
        Trust(pki.files(pki.end("aaa", dns_names=("aaa.home.example",)), "server")),
        RadsecBind(port=0, tick_s=0.1),
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )
    await server.start()
    ours = pki.files(pki.end("node", branch=1, dns_names=("node.example",)), "node")
    hub = (
        f'transport = "radsec"\nport = {server.address[1]}\nserver_name = "aaa.home.example"\n'
        f'certificate_file = "{ours.chain}"\nkey_file = "{ours.key}"\n'
        f'roots_file = "{ours.roots}"\n'
    )
    loop = asyncio.get_running_loop()
    transport, access_point = await loop.create_datagram_endpoint(
        lambda: Home(lambda octets: ack(sound(octets, AT_POINT), [], AP_SECRET)),
        local_addr=("127.0.0.1", 0),
    )
    folder = folder_with(tmp_path, hub)
    port = transport.get_extra_info("sockname")[1]
    text = folder.settings_file.read_text()
    folder.settings_file.write_text(text.replace("[hub]", f"dynamic_port = {port}\n[hub]"))
    async with running(folder) as node:
        await a_session_through(node, bench)
        back = server.to("peer")
        assert back is not None
        ordered = [(int(Type.NAS_IDENTIFIER), NAS.encode()), (int(Type.ACCT_SESSION_ID), b"s1")]
        outcome = await back.request(Code.DISCONNECT_REQUEST, ordered)
        assert isinstance(outcome, Reply)
        assert outcome.packet.code == Code.DISCONNECT_ACK
        (heard,) = access_point.heard
        assert parse(heard).attributes[1:] == ((int(Type.ACCT_SESSION_ID), b"s1"),)
    transport.close()
    await server.stop()


async def test_what_stands_in_the_way_of_serving_is_told(tmp_path: Path) -> None:
    hub = 'transport = "udp"\nsecret_file = "hub.secret"\n'
    folder = folder_with(tmp_path, hub)
    async with running(folder) as node:
        text = folder.settings_file.read_text()
        taken = text.replace("auth_port = 0", f"auth_port = {node.auth[1]}")
        folder.settings_file.write_text(taken)
        with pytest.raises(FolderError, match="in use"):
            async with running(folder):
                pass
    nowhere = 'certificate_file = "a"\nkey_file = "b"\nroots_file = "c"\n'
    with pytest.raises(FolderError, match="the hub at"):
        async with running(folder_with(tmp_path, nowhere)):
            pass
