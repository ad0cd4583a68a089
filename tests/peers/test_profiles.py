"""Foreign programs read our profiles: openssl, xmlsec1 and eapol_test."""

from __future__ import annotations

import asyncio
import plistlib
import shutil
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.access.fakes import HOME, NAS, REALM, SECRET, SUBSCRIBER, Bench
from tests.access.provision.descriptions import P12_PASSWORD, PAP, PASSWORD, SIM, Home, home
from tests.access.tls import Source

from opencarrier.access.provision import apple, signing, supplicant, windows
from opencarrier.access.provision.model import Inner
from opencarrier.access.udp import Bind, UdpServer
from opencarrier.access.wire.tls_material import TlsMaterial
from opencarrier.identity.pki import names
from opencarrier.identity.pki.model import Algorithm
from opencarrier.kernel.clock import FixedClock
from opencarrier.spine.parties import Subscriber

OPENSSL, XMLSEC = shutil.which("openssl"), shutil.which("xmlsec1")
EAPOL_TEST = shutil.which("eapol_test")
pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(
        not (OPENSSL and XMLSEC and EAPOL_TEST), reason="openssl, xmlsec1 or eapol_test is missing"
    ),
]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(one) for one in arguments], capture_output=True, text=True, check=False, timeout=30
    )


@pytest.fixture(scope="module", params=list(Algorithm))
def ours(request: pytest.FixtureRequest) -> Home:
    """A home of today, for these programs ask no one but the machine for the time."""
    return home(request.param, int(time.time()) * 1_000_000)


def test_openssl_verifies_what_apple_gets(ours: Home, tmp_path: Path) -> None:
    plain = apple.mobileconfig(ours.profile(PASSWORD), P12_PASSWORD)
    assert isinstance(plain, bytes)
    signed = signing.cms(plain, ours.signer)
    (tmp_path / "trust.pem").write_bytes(ours.federation.trust_pem)
    check = ("cms", "-verify", "-inform", "DER", "-purpose", "any", "-binary")
    files = ("-CAfile", tmp_path / "trust.pem", "-in", tmp_path / "in", "-out", tmp_path / "out")
    (tmp_path / "in").write_bytes(signed)
    done = run(OPENSSL, *check, *files)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_bytes() == plain
    assert plistlib.loads((tmp_path / "out").read_bytes())["PayloadType"] == "Configuration"
    (tmp_path / "in").write_bytes(signed.replace(b"correct horse", b"correct mouse"))
    assert run(OPENSSL, *check, *files).returncode != 0
    stranger = ours.federation.branches[0].root.certificate_pem
    (tmp_path / "in").write_bytes(signed)
    (tmp_path / "trust.pem").write_bytes(stranger)
    assert run(OPENSSL, *check, *files).returncode != 0


def test_xmlsec_verifies_what_windows_gets(ours: Home, tmp_path: Path) -> None:
    plain = windows.carrier_provisioning(ours.profile(PAP))
    assert isinstance(plain, bytes)
    signed = signing.enveloped(plain, ours.signer)
    root = tmp_path / "root.pem"
    root.write_bytes(ours.server.root.public_bytes(Encoding.PEM))
    path = tmp_path / "signed.xml"
    path.write_bytes(signed)
    check = (XMLSEC, "--verify", "--enabled-key-data", "x509", "--trusted-pem")
    done = run(*check, root, path)
    assert done.returncode == 0, done.stderr
    path.write_bytes(signed.replace(b"Lumen Mobile", b"Lumen Mobilf"))
    assert run(*check, root, path).returncode != 0
    path.write_bytes(signed)
    root.write_bytes(ours.federation.branches[0].root.certificate_pem)
    assert run(*check, root, path).returncode != 0


@pytest.mark.parametrize("credential", [None, PASSWORD, PAP, SIM], ids=["tls", "ms", "pap", "sim"])
@pytest.mark.parametrize("kind", ["cred", "network"])
def test_eapol_test_takes_the_file(ours: Home, tmp_path: Path, credential, kind: str) -> None:
    profile = ours.profile(credential)
    if kind == "cred":
        made = supplicant.passpoint(profile, P12_PASSWORD)
    else:
        made = supplicant.network(profile, 'a # " name', P12_PASSWORD)
    assert isinstance(made, bytes)
    path = tmp_path / "supplicant.conf"

    def read(octets: bytes) -> str:
        path.write_bytes(octets)
        done = run(EAPOL_TEST, "-c", path, "-a", "127.0.0.1", "-p", "9", "-s", "x", "-t", "0")
        return done.stdout + done.stderr

    log = read(made)
    assert f"start of a new {kind} block" in log
    assert "failed to parse" not in log
    assert "Failed to read" not in log
    broken = made.replace(f"{kind}={{".encode(), f"{kind}={{\n    nonsense=1".encode())
    assert "failed to parse" in read(broken).lower() or "unknown" in read(broken).lower()


@dataclass
class Server:
    """A running server with the home's certificates; its one subscriber has all credentials."""

    ours: Home

    def __post_init__(self) -> None:
        bench = Bench(clock=FixedClock(time.time_ns() // 1_000))
        server = self.ours.server
        bench.tls = Source(
            TlsMaterial(
                chain=server.chain_pem,
                key=server.key_pem,
                anchors=self.ours.federation.authorities_pem,
            )
        )
        somebody = Subscriber(party_id=SUBSCRIBER, home=HOME, plan_id="plan_1")
        bench.directory.subscribers[names.fingerprint(self.ours.subscriber.certificate)] = somebody
        bench.directory.subscribers["alice"] = somebody
        bench.passwords.users["alice"] = PASSWORD.password
        self.service = bench.service()

    async def try_with(self, config: Path) -> str:
        """Let eapol_test in by a file; return what it says."""
        server = UdpServer(self.service, Bind(auth_port=0, acct_port=0))
        await server.start()
        port = server.auth_address[1]
        process = await asyncio.create_subprocess_exec(
            *(EAPOL_TEST or "", "-c", config, "-t", "10", "-N", f"32:s:{NAS}"),
            *("-a", "127.0.0.1", "-p", str(port), "-s", SECRET.decode()),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), timeout=30)
        finally:
            await server.stop()
        return output.decode(errors="replace")


WAYS = {
    "tls": None,
    "mschapv2": replace(PASSWORD, username=f"alice@{REALM}"),
    "pap": replace(PASSWORD, username=f"alice@{REALM}", inner=Inner.PAP),
}


@pytest.mark.parametrize("way", list(WAYS))
async def test_what_linux_gets_lets_it_in(ours: Home, tmp_path: Path, way: str) -> None:
    profile = ours.profile(WAYS[way], realm=REALM)
    made = supplicant.network(profile, "test", P12_PASSWORD)
    assert isinstance(made, bytes)
    (tmp_path / "conf").write_bytes(made)
    log = await Server(ours).try_with(tmp_path / "conf")
    assert log.rstrip().endswith("SUCCESS"), log[-2000:]
    assert "MPPE keys OK: 1  mismatch: 0" in log
    assert f"anonymous@{REALM}" in log


@pytest.mark.parametrize("name", ["other.lumen.example", "lumen.example.net"])
async def test_a_server_of_another_name_is_not_trusted(
    ours: Home, tmp_path: Path, name: str
) -> None:
    profile = ours.profile(WAYS["pap"], realm=REALM, server_names=(name,))
    made = supplicant.network(profile, "test", P12_PASSWORD)
    assert isinstance(made, bytes)
    (tmp_path / "conf").write_bytes(made)
    log = await Server(ours).try_with(tmp_path / "conf")
    assert log.rstrip().endswith("FAILURE")


async def test_a_server_under_another_root_is_not_trusted(ours: Home, tmp_path: Path) -> None:
    other = ours.federation.branches[0].root.certificate
    made = supplicant.network(
        ours.profile(WAYS["pap"], realm=REALM, anchors=(other,)), "test", P12_PASSWORD
    )
    assert isinstance(made, bytes)
    (tmp_path / "conf").write_bytes(made)
    log = await Server(ours).try_with(tmp_path / "conf")
    assert log.rstrip().endswith("FAILURE")


@pytest.mark.parametrize("way", list(WAYS))
async def test_what_an_iphone_gets_lets_it_in(ours: Home, tmp_path: Path, way: str) -> None:
    """Roots, server names, key or password are taken out of the profile and nowhere else.

    The key comes without authorities, so the server hears of the leaf alone.
    """
    told = plistlib.loads(apple.mobileconfig(ours.profile(WAYS[way], realm=REALM), P12_PASSWORD))
    payloads = {one["PayloadUUID"]: one for one in told["PayloadContent"]}
    wifi = next(one for one in payloads.values() if one["PayloadType"] == "com.apple.wifi.managed")
    eap = wifi["EAPClientConfiguration"]
    roots = [payloads[one]["PayloadContent"] for one in eap["PayloadCertificateAnchorUUID"]]
    pem = [x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM) for one in roots]
    (tmp_path / "roots.pem").write_bytes(b"".join(pem))
    lines = [
        'ssid="test"',
        "key_mgmt=WPA-EAP",
        f'ca_cert="{tmp_path}/roots.pem"',
        f'domain_match="{";".join(eap["TLSTrustedServerNames"])}"',
        f'identity="{eap["UserName"]}"',
    ]
    if eap["AcceptEAPTypes"] == [13]:
        p12 = payloads[wifi["PayloadCertificateUUID"]]
        (tmp_path / "key.p12").write_bytes(p12["PayloadContent"])
        lines += ["eap=TLS", f'private_key="{tmp_path}/key.p12"']
        lines += [f'private_key_passwd="{p12["Password"]}"']
    else:
        assert eap["AcceptEAPTypes"] == [21]
        lines += ["eap=TTLS", f'phase2="auth={eap["TTLSInnerAuthentication"].upper()}"']
        lines += [f'password="{eap["UserPassword"]}"']
        lines += [f'anonymous_identity="{eap["OuterIdentity"]}"']
    (tmp_path / "conf").write_text("network={\n" + "\n".join(lines) + "\n}\n")
    log = await Server(ours).try_with(tmp_path / "conf")
    assert log.rstrip().endswith("SUCCESS"), log[-2000:]
    assert "MPPE keys OK: 1  mismatch: 0" in log
