"""Our hub among foreign neighbours: FreeRADIUS as home and as proxy, radsecproxy on both sides.

`eapol_test` and `radclient` are the access point; keys have to be right through every hop.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.access.fakes import IMSI, KEYS, NAS, REALM, SECRET, VISITED, Bench, ListSink, usim
from tests.access.radsec import ENTROPY, Pki, known_as, until

from opencarrier.access.discovery.model import DiscoverySettings
from opencarrier.access.discovery.resolver import Resolver
from opencarrier.access.hub import store
from opencarrier.access.hub.dialling import Dialler
from opencarrier.access.hub.model import HubSettings
from opencarrier.access.model import AccessSettings
from opencarrier.access.radsec.server import RadsecBind, RadsecServer
from opencarrier.access.radsec.trust import Trust, TrustFiles
from opencarrier.access.service import AccessPorts, AccessService
from opencarrier.access.udp import Bind, UdpServer
from opencarrier.app.store import Store
from opencarrier.app.system import SystemClock
from opencarrier.sim.dns import ZoneServer, realm_records
from opencarrier.sim.usim import ControlSim
from opencarrier.spine.parties import RadiusServer, Route, RouteKind

PROGRAMS = ("radsecproxy", "freeradius", "radclient", "eapol_test")
PATHS = {name: shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin") for name in PROGRAMS}
MISSING = [name for name, found in PATHS.items() if found is None]
pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]

HOME_REALM = "home.example"
HOME_SECRET = "betweenhubandhome"
PASSWORD = "an open secret"

HOME = """
prefix = /usr
libdir = /usr/lib/freeradius
logdir = {folder}
run_dir = {folder}
security {{
  status_server = yes
}}
modules {{
  pap {{
  }}
  detail {{
    filename = {folder}/detail
    permissions = 0600
  }}
  eap {{
    default_eap_type = ttls
    tls-config common {{
      private_key_file = {key}
      certificate_file = {chain}
      tls_min_version = "1.2"
      tls_max_version = "1.2"
    }}
    ttls {{
      tls = common
      virtual_server = inner
    }}
  }}
}}
client here {{
  ipaddr = 127.0.0.1
  secret = {secret}
}}
server default {{
  listen {{
    type = auth
    ipaddr = 127.0.0.1
    port = {auth}
  }}
  listen {{
    type = acct
    ipaddr = 127.0.0.1
    port = {acct}
  }}
  authorize {{
    eap
    update control {{
      Cleartext-Password := "{password}"
    }}
    pap
  }}
  authenticate {{
    eap
    pap
  }}
  accounting {{
    detail
  }}
}}
server inner {{
  authorize {{
    update control {{
      Cleartext-Password := "{password}"
    }}
    pap
  }}
  authenticate {{
    pap
  }}
}}
"""

FRONT = """
prefix = /usr
libdir = /usr/lib/freeradius
logdir = {folder}
run_dir = {folder}
proxy_requests = yes
modules {{
}}
client here {{
  ipaddr = 127.0.0.1
  secret = {front_secret}
}}
home_server ours {{
  type = auth
  ipaddr = 127.0.0.1
  port = {ours}
  secret = {secret}
}}
home_server_pool ours {{
  home_server = ours
}}
realm ours {{
  auth_pool = ours
  nostrip
}}
server default {{
  listen {{
    type = auth
    ipaddr = 127.0.0.1
    port = {port}
  }}
  authorize {{
    update control {{
      Proxy-To-Realm := "ours"
    }}
  }}
}}
"""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def end(pki: Pki, name: str, **names: Any) -> TrustFiles:
    return pki.files(pki.end(name, **names), name)


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """A free port; over UDP the next one is free too."""
    for _ in range(50):
        with (
            socket.socket(socket.AF_INET, kind) as probe,
            socket.socket(socket.AF_INET, kind) as above,
        ):
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            try:
                above.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise AssertionError("no two ports in a row are free")


@dataclass
class Running:
    """A foreign program, and what it says."""

    process: asyncio.subprocess.Process
    log: Path

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def program(log: Path, *command: str) -> AsyncIterator[Running]:
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
        )
        running = Running(process, log)
        try:
            yield running
        finally:
            await running.end()


async def run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), timeout=60)
    return output.decode(errors="replace")


@dataclass
class Home:
    """A FreeRADIUS that has the subscribers."""

    running: Running
    port: int
    detail: Path

    def heard(self) -> str:
        return self.detail.read_text() if self.detail.exists() else ""


@asynccontextmanager
async def home(folder: Path, files: TrustFiles) -> AsyncIterator[Home]:
    folder.mkdir()
    port = free_port()
    (folder / "dictionary").write_text("$INCLUDE /usr/share/freeradius/dictionary\n")
    (folder / "radiusd.conf").write_text(
        HOME.format(
            folder=folder,
            secret=HOME_SECRET,
            auth=port,
            acct=port + 1,
            password=PASSWORD,
            key=files.key,
            chain=files.chain,
        )
    )
    command = (PATHS["freeradius"] or "", "-f", "-l", "stdout", "-d", str(folder))
    async with program(folder / "log", *command) as running:
        await ready(running, "Ready to process")
        yield Home(running, port, folder / "detail")


async def ready(running: Running, words: str) -> None:
    try:
        await until(lambda: words in running.log.read_text(errors="replace"))
    except AssertionError:
        raise AssertionError(running.log.read_text(errors="replace")) from None


@asynccontextmanager
async def radsecproxy(folder: Path, files: TrustFiles, *blocks: str) -> AsyncIterator[Running]:
    folder.mkdir()
    config = folder / "radsecproxy.conf"
    config.write_text(
        f"LogLevel 2\ntls default {{\n CACertificateFile {files.roots}\n"
        f" CertificateFile {files.chain}\n CertificateKeyFile {files.key}\n}}\n" + "\n".join(blocks)
    )
    command = (PATHS["radsecproxy"] or "", "-f", "-c", str(config), "-i", str(folder / "pid"))
    async with program(folder / "log", *command) as running:
        yield running


def to_home(home: Home) -> tuple[str, ...]:
    """What a radsecproxy needs to bring the realm to its home."""
    where = f"host 127.0.0.1\n type UDP\n secret {HOME_SECRET}"
    return (
        f"server auth {{\n {where}\n port {home.port}\n}}",
        f"server acct {{\n {where}\n port {home.port + 1}\n}}",
        f"realm {HOME_REALM} {{\n server auth\n accountingServer acct\n}}",
    )


@dataclass
class Hub:
    """Our service as access network or hub."""

    bench: Bench
    service: AccessService
    udp: UdpServer
    radsec: RadsecServer | None = None

    def owed(self) -> int:
        with self.bench.units.read() as unit:
            return sum(line.packets for line in store.lines(unit, limit=10))


@asynccontextmanager
async def hub(
    folder: Path,
    routes: Sequence[Route],
    *,
    servers: Sequence[RadiusServer] = (),
    trust: Trust | None = None,
    dns: tuple[str, int] | None = None,
    peer: str = "",
) -> AsyncIterator[Hub]:
    bench = Bench(sink=ListSink())
    bench.clock = SystemClock()  # type: ignore[assignment]
    bench.units = Store(folder / "hub.sqlite")  # type: ignore[assignment]
    bench.directory.routing, bench.directory.neighbours = list(routes), list(servers)
    bench.directory.wba_ids = {VISITED: "VISITED:FR"}
    if peer:
        bench.directory.clients.append(known_as(peer, VISITED))
    with bench.units.write() as unit:
        store.metadata.create_all(unit)
    clock = SystemClock()
    ports = AccessPorts(
        units=bench.units,
        directory=bench.directory,
        vectors=bench.vectors,
        policy=bench.policy,
        sink=bench.sink,
        clock=clock,
        entropy=ENTROPY,
        connect=Dialler(trust, clock=clock, entropy=ENTROPY).connect,
        ask_dns=Resolver([dns], ENTROPY).ask if dns else None,
    )
    settings = AccessSettings(
        hub=HubSettings(patience_s=2.0), discovery=DiscoverySettings(private=True)
    )
    service = AccessService(ports, KEYS, settings)
    async with AsyncExitStack() as stack:
        udp = UdpServer(service, Bind(auth_port=0, acct_port=0))
        await udp.start()
        stack.push_async_callback(udp.stop)
        made = Hub(bench, service, udp)
        if peer:
            assert trust is not None
            made.radsec = RadsecServer(
                service, trust, RadsecBind(port=0, tick_s=0.1), clock=clock, entropy=ENTROPY
            )
            await made.radsec.start()
            stack.push_async_callback(made.radsec.stop)
        yield made


async def ttls(folder: Path, port: int, secret: str, *, realm: str = HOME_REALM) -> str:
    """Authenticate somebody at the home with a password inside TTLS."""
    config = folder / f"ttls-{realm}.conf"
    config.write_text(
        'network={\n ssid="test"\n key_mgmt=WPA-EAP\n eap=TTLS\n phase2="auth=PAP"\n'
        f' identity="someone@{realm}"\n anonymous_identity="anonymous@{realm}"\n'
        f' password="{PASSWORD}"\n phase1="tls_disable_tlsv1_3=1"\n}}\n'
    )
    return await run(
        PATHS["eapol_test"] or "",
        *("-c", str(config), "-t", "15", "-N", f"32:s:{NAS}"),
        *("-a", "127.0.0.1", "-p", str(port), "-s", secret),
    )


def keys_are_right(told: str) -> bool:
    return "MPPE keys OK: 1  mismatch: 0" in told and told.rstrip().endswith("SUCCESS")


async def account(folder: Path, port: int, sessions: Sequence[str]) -> str:
    packets = folder / "packets"
    packets.write_text(
        "\n".join(
            f'Acct-Session-Id = "{name}"\nUser-Name = "someone@{HOME_REALM}"\n'
            f'NAS-Identifier = "{NAS}"\nAcct-Status-Type = Interim-Update\nAcct-Session-Time = 1\n'
            for name in sessions
        )
    )
    return await run(
        PATHS["radclient"] or "",
        *("-q", "-s", "-p", "10", "-r", "3", "-t", "5", "-f", str(packets)),
        *(f"127.0.0.1:{port}", "acct", SECRET.decode()),
    )


async def restart(folder: Path, port: int) -> None:
    """Say that the access point came up anew."""
    packet = folder / "restart"
    packet.write_text(f'NAS-Identifier = "{NAS}"\nAcct-Status-Type = Accounting-On\n')
    told = await run(
        PATHS["radclient"] or "",
        *("-x", "-f", str(packet), f"127.0.0.1:{port}", "acct", SECRET.decode()),
    )
    assert "Received Accounting-Response" in told, told


async def password(port: int, words: str) -> str:
    """Ask with a User-Password: it is hidden anew for each hop."""
    process = await asyncio.create_subprocess_exec(
        PATHS["radclient"] or "",
        *("-x", f"127.0.0.1:{port}", "auth", SECRET.decode()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told = (
        f'User-Name = "someone@{HOME_REALM}"\nUser-Password = "{words}"\n'
        f'NAS-Identifier = "{NAS}"\nMessage-Authenticator = 0x00\n'
    )
    output, _ = await asyncio.wait_for(process.communicate(told.encode()), timeout=60)
    return output.decode(errors="replace")


def at(home: Home, place: int) -> RadiusServer:
    return RadiusServer(
        upstream="homes",
        place=place,
        transport="udp",
        host="127.0.0.1",
        port=home.port,
        secret=HOME_SECRET.encode(),
    )


TO_HOMES = Route(pattern=HOME_REALM, kind=RouteKind.UPSTREAM, upstream="homes")


async def test_freeradius_behind_our_hub_and_the_next_one_when_it_vanishes(
    pki: Pki, tmp_path: Path
) -> None:
    files = end(pki, "radius.home.example")
    async with home(tmp_path / "a", files) as first, home(tmp_path / "b", files) as second:
        servers = [at(first, 0), at(second, 1)]
        async with hub(tmp_path, [TO_HOMES], servers=servers) as ours:
            auth, acct = ours.udp.auth_address[1], ours.udp.acct_address[1]
            told = await ttls(tmp_path, auth, SECRET.decode())
            assert keys_are_right(told), told
            names = [f"s{number}" for number in range(40)]
            told = await account(tmp_path, acct, names[:20])
            assert "Lost          : 0" in told, told
            await until(lambda: ours.owed() == 0)
            assert all(f'"{name}"' in first.heard() for name in names[:20])
            assert 'Operator-Name = "4VISITED:FR"' in first.heard()
            await first.running.end()
            told = await account(tmp_path, acct, names[20:])
            assert "Lost          : 0" in told, told
            told = await ttls(tmp_path, auth, SECRET.decode())
            assert keys_are_right(told), told
            await until(lambda: ours.owed() == 0)
            heard = first.heard() + second.heard()
            assert all(f'"{name}"' in heard for name in names)
            assert {o.acct_session_id for o in ours.bench.sink.observations} == set(names)
            assert "Acct-Status-Type = Stop" not in heard
            await restart(tmp_path, acct)
            await until(lambda: ours.owed() == 0)
            stops = second.heard().split("Acct-Status-Type = Stop")
            assert len(stops) == 1 + len(names), "each session that ran, also of the other home"
            assert second.heard().count("Acct-Terminate-Cause = NAS-Reboot") == len(names)


async def test_discovery_leads_through_radsecproxy_to_the_right_home(
    pki: Pki, tmp_path: Path
) -> None:
    files = end(pki, "radius.home.example")
    proxy = end(pki, "proxy.home.example", dns_names=("proxy.home.example",))
    other = end(pki, "other.example", branch=1, dns_names=("other.example",))
    ours = end(pki, "access.example", dns_names=("access.example",))
    ports = [free_port(socket.SOCK_STREAM) for _ in range(2)]
    zone = ZoneServer(
        {
            **realm_records(HOME_REALM, [("proxy.home.example", "127.0.0.1", ports[0])]),
            **realm_records("stolen.example", [("proxy.stolen.example", "127.0.0.1", ports[1])]),
        }
    )
    await zone.start()
    listening = (
        "client us {\n host 127.0.0.1\n type TLS\n secret radsec\n CertificateNameCheck off\n}"
    )
    discover = Route(pattern="*", kind=RouteKind.DISCOVER)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(zone.stop)
        there = await stack.enter_async_context(home(tmp_path / "home", files))
        for name, theirs, port in (("right", proxy, ports[0]), ("wrong", other, ports[1])):
            blocks = (f"ListenTLS 127.0.0.1:{port}", listening, *to_home(there))
            await stack.enter_async_context(radsecproxy(tmp_path / name, theirs, *blocks))
            await until(lambda port=port: is_open(port))
        made = await stack.enter_async_context(
            hub(tmp_path, [discover], trust=Trust(ours), dns=zone.address)
        )
        auth, acct = made.udp.auth_address[1], made.udp.acct_address[1]
        told = await ttls(tmp_path, auth, SECRET.decode())
        assert keys_are_right(told), told
        assert "Received Access-Accept" in await password(auth, PASSWORD)
        assert "Received Access-Reject" in await password(auth, "another")
        told = await account(tmp_path, acct, ["one"])
        assert "Lost          : 0" in told, told
        await until(lambda: made.owed() == 0)
        assert '"one"' in there.heard()
        told = await ttls(tmp_path, auth, SECRET.decode(), realm="stolen.example")
        assert "FAILURE" in told, told
        assert made.service.metrics.rejects["upstream_unreachable"] == 1
        told = await ttls(tmp_path, auth, SECRET.decode(), realm="nobody.example")
        assert "FAILURE" in told, told
        assert made.service.metrics.rejects["realm_unknown"] == 1
        assert (HOME_REALM, "NAPTR") in zone.asked


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_radsecproxy_before_our_hub_brings_an_access_networks_phones(
    pki: Pki, tmp_path: Path
) -> None:
    files = end(pki, "radius.home.example")
    proxy = end(pki, "proxy.example", dns_names=("proxy.example",))
    ours = end(pki, "hub.example", addresses=("127.0.0.1",), dns_names=("localhost",))
    async with (
        home(tmp_path / "home", files) as there,
        hub(
            tmp_path,
            [TO_HOMES],
            servers=[at(there, 0)],
            trust=Trust(ours),
            peer="dns:proxy.example",
        ) as made,
    ):
        port = free_port()
        assert made.radsec is not None
        blocks = (
            f"ListenUDP 127.0.0.1:{port}",
            f"client ap {{\n host 127.0.0.1\n type UDP\n secret {HOME_SECRET}\n}}",
            f"server hub {{\n host 127.0.0.1\n type TLS\n port {made.radsec.address[1]}\n"
            " secret radsec\n statusServer on\n CertificateNameCheck on\n}",
            "realm * {\n server hub\n accountingServer hub\n accountingResponse off\n}",
        )
        async with radsecproxy(tmp_path / "proxy", proxy, *blocks):
            radsec = made.radsec
            await until(lambda: bool(radsec.lines()))
            told = await ttls(tmp_path, port, HOME_SECRET)
            assert keys_are_right(told), told


async def test_freeradius_before_our_identity_provider_brings_a_sim(tmp_path: Path) -> None:
    bench = Bench()
    service = bench.service()
    udp = UdpServer(service, Bind(auth_port=0, acct_port=0))
    await udp.start()
    folder = tmp_path / "front"
    folder.mkdir()
    port = free_port()
    (folder / "dictionary").write_text("$INCLUDE /usr/share/freeradius/dictionary\n")
    (folder / "radiusd.conf").write_text(
        FRONT.format(
            folder=folder,
            front_secret=HOME_SECRET,
            ours=udp.auth_address[1],
            secret=f'"{SECRET.decode()}"',
            port=port,
        )
    )
    command = (PATHS["freeradius"] or "", "-f", "-l", "stdout", "-d", str(folder))
    control, config = tmp_path / "ctrl", tmp_path / "eapol.conf"
    config.write_text(
        f"ctrl_interface={control}\nexternal_sim=1\n"
        'network={\n ssid="test"\n key_mgmt=WPA-EAP\n eap=AKA\'\n'
        f' identity="6{IMSI}@{REALM}"\n}}\n'
    )
    async with program(folder / "log", *command) as running:
        await ready(running, "Ready to process")
        attaching = asyncio.create_task(
            run(
                PATHS["eapol_test"] or "",
                *("-c", str(config), "-W", "-t", "10", "-N", f"32:s:{NAS}"),
                *("-a", "127.0.0.1", "-p", str(port), "-s", HOME_SECRET),
            )
        )
        card = ControlSim(usim(), control / "test")
        try:
            await card.attach()
            told = await attaching
        finally:
            card.close()
        assert keys_are_right(told), told
    await udp.stop()
    assert len(bench.policy.granted) == 1
