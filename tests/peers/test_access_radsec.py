"""RadSec with foreign peers: Debian's radsecproxy before and behind us, and `openssl s_client`.

FreeRADIUS is the home behind the proxy; `radclient`, `eapol_test` are the access points before it.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import md5
from pathlib import Path

import pytest
from tests.access.fakes import HOME, IMSI, NAS, REALM, VISITED, Bench, usim
from tests.access.radsec import ENTROPY, Pki, known_as, until

from opencarrier.access.radsec.certificates import Expected
from opencarrier.access.radsec.client import RadsecServerAt, RadsecUpstream
from opencarrier.access.radsec.server import RadsecBind, RadsecServer
from opencarrier.access.radsec.trust import Trust, TrustFiles
from opencarrier.access.upstream.asking import AskLimits
from opencarrier.access.upstream.model import Lost, Reply
from opencarrier.access.upstream.udp import UdpUpstream
from opencarrier.access.wire.authenticators import request
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.radius import Attribute, integer, parse, text
from opencarrier.app.system import SystemClock
from opencarrier.sim.usim import ControlSim

PROXY, RADIUSD, RADCLIENT, EAPOL_TEST, OPENSSL = (
    shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin")
    for name in ("radsecproxy", "freeradius", "radclient", "eapol_test", "openssl")
)
MISSING = [
    name
    for name, found in {
        "radsecproxy": PROXY,
        "freeradius": RADIUSD,
        "radclient": RADCLIENT,
        "eapol_test": EAPOL_TEST,
        "openssl": OPENSSL,
    }.items()
    if found is None
]
pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]

UDP_SECRET = "between the access point and the proxy"
PASSWORD = "an open secret"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def ours(pki: Pki) -> TrustFiles:
    return pki.files(pki.end("aaa", dns_names=("localhost",), addresses=("127.0.0.1",)), "server")


@pytest.fixture(scope="module")
def proxy_files(pki: Pki) -> TrustFiles:
    names = {"dns_names": ("proxy.example",), "addresses": ("127.0.0.1",)}
    return pki.files(pki.end("proxy", branch=1, **names), "proxy")


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def serving(files: TrustFiles) -> AsyncIterator[tuple[RadsecServer, Bench]]:
    bench = Bench()
    bench.directory.clients = [known_as("dns:proxy.example", VISITED)]
    server = RadsecServer(
        bench.service(),
        Trust(files),
        RadsecBind(port=0, tick_s=0.1),
        clock=SystemClock(),
        entropy=ENTROPY,
    )
    await server.start()
    try:
        yield server, bench
    finally:
        await server.stop()


@asynccontextmanager
async def program(log: Path, *command: str) -> AsyncIterator[None]:
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), timeout=10)


@asynccontextmanager
async def radsecproxy(folder: Path, files: TrustFiles, *blocks: str) -> AsyncIterator[Path]:
    config, log = folder / "radsecproxy.conf", folder / "radsecproxy.log"
    config.write_text(
        f"LogLevel 2\nLogDestination file://{log}\n"
        f"tls default {{\n CACertificateFile {files.roots}\n CertificateFile {files.chain}\n"
        f" CertificateKeyFile {files.key}\n}}\n" + "\n".join(blocks)
    )
    command = (PROXY or "", "-f", "-c", str(config), "-i", str(folder / "pid"))
    async with program(folder / "radsecproxy.out", *command):
        yield log


@asynccontextmanager
async def before_us(folder: Path, server: RadsecServer, files: TrustFiles) -> AsyncIterator[int]:
    """A proxy that takes UDP and brings all of it to us; the port it listens on."""
    port = free_port(socket.SOCK_DGRAM)
    blocks = (
        f"ListenUDP 127.0.0.1:{port}",
        f"client ap {{\n host 127.0.0.1\n type UDP\n secret {UDP_SECRET.replace(' ', '')}\n}}",
        f"server home {{\n host 127.0.0.1\n type TLS\n port {server.address[1]}\n secret radsec\n"
        " statusServer on\n CertificateNameCheck on\n}",
        "realm * {\n server home\n accountingServer home\n accountingResponse off\n}",
    )
    async with radsecproxy(folder, files, *blocks) as log:
        try:
            await until(lambda: bool(server.lines()))
        except AssertionError:
            raise AssertionError(log.read_text()) from None
        yield port


async def run(*command: str, stdin: bytes = b"") -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(stdin), timeout=60)
    return output.decode(errors="replace")


def accounting(number: int) -> str:
    return (
        f'Acct-Session-Id = "s{number}"\nUser-Name = "someone@{REALM}"\nNAS-Identifier = "{NAS}"\n'
        "Acct-Status-Type = Interim-Update\nAcct-Session-Time = 1\n\n"
    )


async def test_radsecproxy_before_us_brings_accounting_and_no_request_is_lost_in_a_rotation(
    pki: Pki, ours: TrustFiles, proxy_files: TrustFiles, tmp_path: Path
) -> None:
    async with (
        serving(ours) as (server, bench),
        before_us(tmp_path, server, proxy_files) as port,
    ):
        (line,) = server.lines()
        assert (line.peer, line.certificate) == ("peer", "proxy.example")
        assert line.tls in ("TLSv1.2", "TLSv1.3")
        packets = tmp_path / "packets"
        packets.write_text("".join(accounting(number) for number in range(300)))
        secret = UDP_SECRET.replace(" ", "")
        asked = asyncio.create_task(
            run(
                RADCLIENT or "",
                *("-q", "-s", "-p", "20", "-r", "3", "-t", "5", "-f", str(packets)),
                *(f"127.0.0.1:{port}", "acct", secret),
            )
        )
        renewed = pki.end("aaa-2", dns_names=("localhost",), addresses=("127.0.0.1",))
        ours.chain.write_bytes(renewed.chain_pem)
        await asyncio.sleep(0.15)
        ours.key.write_bytes(renewed.key_pem)
        told = await asked
        assert "Accepted      : 300" in told, told
        assert "Lost          : 0" in told, told
        assert {o.acct_session_id for o in bench.sink.observations} == {
            f"s{number}" for number in range(300)
        }
        assert {o.home for o in bench.sink.observations} == {HOME}
        status = await run(
            RADCLIENT or "",
            f"127.0.0.1:{port}",
            "status",
            secret,
            stdin=b"Message-Authenticator=0x00\n",
        )
        assert "Received Access-Accept" in status


async def test_radsecproxy_before_us_brings_a_phone(
    ours: TrustFiles, proxy_files: TrustFiles, tmp_path: Path
) -> None:
    async with (
        serving(ours) as (server, bench),
        before_us(tmp_path, server, proxy_files) as port,
    ):
        control, config = tmp_path / "ctrl", tmp_path / "eapol.conf"
        config.write_text(
            f"ctrl_interface={control}\nexternal_sim=1\n"
            'network={\n ssid="test"\n key_mgmt=WPA-EAP\n eap=AKA\'\n'
            f' identity="6{IMSI}@{REALM}"\n}}\n'
        )
        attaching = asyncio.create_task(
            run(
                EAPOL_TEST or "",
                *("-c", str(config), "-W", "-t", "10", "-N", f"32:s:{NAS}"),
                *("-a", "127.0.0.1", "-p", str(port), "-s", UDP_SECRET.replace(" ", "")),
            )
        )
        card = ControlSim(usim(), control / "test")
        try:
            await card.attach()
            told = await attaching
        finally:
            card.close()
        assert "MPPE keys OK: 1  mismatch: 0" in told, told
        assert told.rstrip().endswith("SUCCESS")
        assert len(bench.policy.granted) == 1


FREERADIUS = """
prefix = /usr
libdir = /usr/lib/freeradius
logdir = {folder}
run_dir = {folder}
security {{
  allow_core_dumps = no
}}
modules {{
  pap {{
  }}
  detail {{
    filename = {folder}/detail
    permissions = 0600
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
    update control {{
      Cleartext-Password := "{password}"
    }}
    pap
  }}
  authenticate {{
    pap
  }}
  accounting {{
    detail
  }}
}}
"""


@asynccontextmanager
async def freeradius(folder: Path) -> AsyncIterator[tuple[int, int]]:
    """A home server of others over UDP: its ports."""
    auth, acct = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    folder.mkdir()
    secret = UDP_SECRET.replace(" ", "")
    (folder / "radiusd.conf").write_text(
        FREERADIUS.format(folder=folder, secret=secret, auth=auth, acct=acct, password=PASSWORD)
    )
    command = (RADIUSD or "", "-f", "-l", "stdout", "-d", str(folder))
    async with program(folder / "log", *command):
        await until(lambda: "Ready to process" in (folder / "log").read_text())
        yield auth, acct


def hidden(password: str, secret: bytes, authenticator: bytes) -> Attribute:
    clear = password.encode().ljust(16, b"\0")
    chain = md5(secret + authenticator).digest()
    return int(Type.USER_PASSWORD), bytes(a ^ b for a, b in zip(clear, chain, strict=True))


async def test_radsecproxy_behind_us_brings_us_to_freeradius(
    pki: Pki, proxy_files: TrustFiles, tmp_path: Path
) -> None:
    access = pki.files(pki.end("access", dns_names=("access.example",)), "access")
    port = free_port(socket.SOCK_STREAM)
    async with freeradius(tmp_path / "home") as (auth, acct):
        secret = UDP_SECRET.replace(" ", "")
        blocks = (
            f"ListenTLS 127.0.0.1:{port}",
            "client us {\n host 127.0.0.1\n type TLS\n secret radsec\n CertificateNameCheck off\n}",
            f"server auth {{\n host 127.0.0.1\n type UDP\n port {auth}\n secret {secret}\n}}",
            f"server acct {{\n host 127.0.0.1\n type UDP\n port {acct}\n secret {secret}\n}}",
            "realm home.example {\n server auth\n accountingServer acct\n}",
        )
        async with radsecproxy(tmp_path, proxy_files, *blocks):
            upstream = RadsecUpstream(
                "proxy",
                RadsecServerAt(
                    host="127.0.0.1", port=port, expected=Expected(host="proxy.example")
                ),
                Trust(access),
                clock=SystemClock(),
                entropy=ENTROPY,
            )
            for _ in range(100):
                if isinstance(status := await upstream.request(Code.STATUS_SERVER, []), Reply):
                    break
                await asyncio.sleep(0.05)
            assert isinstance(status, Reply), (upstream.counters, status)
            states = [(int(Type.PROXY_STATE), b"ours-1"), (int(Type.PROXY_STATE), b"ours-2")]
            for password, code in ((PASSWORD, Code.ACCESS_ACCEPT), ("wrong", Code.ACCESS_REJECT)):
                authenticator = ENTROPY.octets("authenticator", 16)
                outcome = await upstream.request(
                    Code.ACCESS_REQUEST,
                    [
                        text(Type.USER_NAME, "someone@home.example"),
                        hidden(password, upstream.secret, authenticator),
                        *states,
                    ],
                    authenticator=authenticator,
                )
                assert isinstance(outcome, Reply), outcome
                assert outcome.packet.code == code
                assert outcome.packet.all(Type.PROXY_STATE) == (b"ours-1", b"ours-2")
            outcomes = await asyncio.gather(
                *(upstream.request(Code.ACCOUNTING_REQUEST, interim(n)) for n in range(50))
            )
            assert all(isinstance(outcome, Reply) for outcome in outcomes)
            await upstream.stop()
        assert (tmp_path / "home" / "detail").read_text().count("Acct-Session-Id") == 50


def interim(number: int) -> list[Attribute]:
    return [
        integer(Type.ACCT_STATUS_TYPE, 3),
        text(Type.ACCT_SESSION_ID, f"s{number}"),
        text(Type.USER_NAME, "someone@home.example"),
        text(Type.NAS_IDENTIFIER, NAS),
    ]


async def test_our_udp_client_refuses_freeradius_without_message_authenticator(
    tmp_path: Path,
) -> None:
    """Debian's 3.2.1 signs replies to EAP only: it is from before CVE-2024-3596 was known."""
    async with freeradius(tmp_path / "home") as (auth, acct):
        secret = UDP_SECRET.replace(" ", "").encode()
        upstream, accounted = (
            UdpUpstream(
                "home",
                ("127.0.0.1", port),
                secret,
                entropy=ENTROPY,
                limits=AskLimits(request_s=1.5),
                status_server=False,
            )
            for port in (auth, acct)
        )
        authenticator = ENTROPY.octets("authenticator", 16)
        outcome = await upstream.request(
            Code.ACCESS_REQUEST,
            [text(Type.USER_NAME, "a@home.example"), hidden(PASSWORD, secret, authenticator)],
            authenticator=authenticator,
        )
        assert isinstance(await accounted.request(Code.ACCOUNTING_REQUEST, interim(1)), Reply)
        if outcome is Lost.TIMEOUT:
            assert set(upstream.unsound) == {"message_authenticator_missing"}
        else:
            assert isinstance(outcome, Reply)
            assert outcome.packet.attributes[0][0] == Type.MESSAGE_AUTHENTICATOR
        await upstream.stop()
        await accounted.stop()


async def s_client(
    server: RadsecServer, files: TrustFiles | None, roots: Path, *flags: str
) -> tuple[bytes, str]:
    """What OpenSSL's own client gets for a Status-Server, and what it says of it."""
    command = [OPENSSL or "", "s_client", "-quiet", "-nocommands", "-verify_return_error"]
    command += ["-connect", f"127.0.0.1:{server.address[1]}", "-CAfile", str(roots), *flags]
    if files is not None:
        command += ["-cert", str(files.chain), "-cert_chain", str(files.chain)]
        command += ["-key", str(files.key)]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    octets = request(Code.STATUS_SERVER, 1, [], b"radsec", authenticator=bytes(range(16)))
    process.stdin.write(octets)
    try:
        async with asyncio.timeout(10):
            answer = await process.stdout.read(4096)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    return answer, (await process.stderr.read()).decode(errors="replace")


@pytest.mark.parametrize("flag", ["-tls1_2", "-tls1_3"])
async def test_openssl_gets_in_with_a_good_certificate_only(
    pki: Pki, ours: TrustFiles, proxy_files: TrustFiles, tmp_path: Path, flag: str
) -> None:
    stranger = Pki(tmp_path, roots=1)
    named = {"dns_names": ("proxy.example",)}
    revoked = pki.end("revoked", **named)
    listed = TrustFiles(chain=ours.chain, key=ours.key, roots=ours.roots, lists=pki.lists(revoked))
    bad = {
        "nothing": None,
        "wrong authority": stranger.files(stranger.end("proxy", **named), "proxy"),
        "expired": pki.files(pki.end("expired", ago_s=2 * 86_400, **named), "expired"),
        "revoked": pki.files(revoked, "revoked"),
        "wrong name": pki.files(pki.end("other", dns_names=("other.example",)), "other"),
    }
    async with serving(listed) as (server, _):
        answer, said = await s_client(server, proxy_files, pki.roots, flag)
        assert answer[:1] == bytes((Code.ACCESS_ACCEPT,)), said
        assert parse(answer).attributes[0][0] == Type.MESSAGE_AUTHENTICATOR
        for name, files in bad.items():
            answer, said = await s_client(server, files, pki.roots, flag)
            assert answer == b"", name
        assert server.counters.refused["peer_unknown"] == 1
        assert sum(server.counters.refused.values()) == len(bad)
        _, said = await s_client(server, proxy_files, stranger.roots, flag)
        assert "verify error" in said
        old = await s_client(server, proxy_files, pki.roots, "-tls1_1", "-cipher", "ALL@SECLEVEL=0")
        assert old[0] == b""
