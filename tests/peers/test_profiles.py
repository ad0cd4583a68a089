"""Foreign programs read our profiles: openssl, xmlsec1 and eapol_test."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.access.provision.descriptions import P12_PASSWORD, PAP, PASSWORD, SIM, Home, home

from opencarrier.access.provision import apple, signing, supplicant, windows
from opencarrier.identity.pki.model import Algorithm

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
