"""`openssl` judges our chains and revocation lists; it shares no code with what made them."""

from __future__ import annotations

import json
import shutil
import subprocess
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from opencarrier.app.cli.root import make

OPENSSL = shutil.which("openssl")
pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed"),
]


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [OPENSSL or "", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def pki(*arguments: str | Path) -> dict:
    result = CliRunner().invoke(make(), ["pki", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    assert "PRIVATE KEY" not in result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module", params=["ec-p256", "rsa-2048"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a server, a client, a combined end and a subscriber under each root."""
    root = tmp_path_factory.mktemp("pki") / "pki"
    key = ("--key", request.param, "--pki", root)
    pki("init", *key)
    member = ("--wba-id", "EXAMPLE:US", "--organisation", "Example Inc", "--country", "US")
    for number in ("0", "1"):
        for role in ("server", "client", "combined"):
            names = ("--dns", "aaa.example.com", "--realm", "example.com")
            pki("issue", f"{role}{number}", "--role", role, "--root", number, *names, *member, *key)
        nai = ("--cn", "abcdef", "--nai", "abcdef@example.com", "--days", "30")
        pki("issue", f"subscriber{number}", "--role", "subscriber", "--root", number, *nai, *key)
    return root


def verify(folder: Path, name: str, *more: str) -> subprocess.CompletedProcess[str]:
    end = folder / "ends" / f"{name}.pem"
    lists = ("-crl_check_all", "-CRLfile", folder / "crls.pem")
    return openssl(
        *("verify", "-x509_strict", "-policy_check", "-CAfile", folder / "trust.pem", *lists),
        *("-untrusted", end, *more, folder / "ends" / f"{name}.crt"),
    )


@pytest.mark.parametrize("number", ["0", "1"])
def test_every_chain_holds_for_what_it_is_for_and_no_more(folder: Path, number: str) -> None:
    wanted = {
        "server": {"sslserver"},
        "client": {"sslclient"},
        "combined": {"sslserver", "sslclient"},
        "subscriber": {"sslclient"},
    }
    for role, purposes in wanted.items():
        for purpose in ("sslserver", "sslclient"):
            done = verify(folder, f"{role}{number}", "-purpose", purpose)
            assert (done.returncode == 0) == (purpose in purposes), (role, purpose, done.stderr)
    named = verify(folder, f"server{number}", "-verify_hostname", "aaa.example.com")
    assert named.returncode == 0, named.stderr
    other = verify(folder, f"server{number}", "-verify_hostname", "bbb.example.com")
    assert "hostname mismatch" in other.stderr
    policy = ("-explicit_policy", "-policy", "1.3.6.1.4.1.14122.1.1.6")
    assert verify(folder, f"client{number}", *policy).returncode == 0
    assert verify(folder, f"subscriber{number}", *policy).returncode != 0


def test_one_roots_chain_is_nothing_to_who_trusts_the_other_alone(folder: Path) -> None:
    end = folder / "ends"
    for number, other in (("0", "1"), ("1", "0")):
        done = openssl(
            *("verify", "-CAfile", folder / f"root{other}.crt"),
            *("-untrusted", end / f"server{number}.pem", end / f"server{number}.crt"),
        )
        assert done.returncode != 0


def test_what_is_over_or_not_begun_is_refused(folder: Path) -> None:
    end = folder / "ends" / "server1.crt"
    begins, ends = (
        int(parsedate_to_datetime(line.partition("=")[2]).timestamp())
        for line in openssl("x509", "-in", end, "-noout", "-dates").stdout.splitlines()
    )
    trusted = ("verify", "-CAfile", folder / "trust.pem", "-untrusted", end.with_suffix(".pem"))
    for at, message in (
        (begins - 1, "not yet valid"),
        (begins, ""),
        (ends - 1, ""),
        (ends + 1, "has expired"),
    ):
        done = openssl(*trusted, "-attime", str(at), end)
        assert (done.returncode == 0) == (not message)
        assert message in done.stderr


def test_what_is_revoked_is_refused_and_its_renewal_is_not(folder: Path) -> None:
    assert verify(folder, "client0").returncode == 0
    old = (folder / "ends" / "client0.crt").read_bytes()
    pki("revoke", "client0", "--reason", "keyCompromise", "--pki", folder)
    done = verify(folder, "client0")
    assert done.returncode != 0
    assert "certificate revoked" in done.stderr
    assert verify(folder, "client1").returncode == 0
    pki("renew", "client0", "--pki", folder)
    pki("crl", "--days", "2", "--pki", folder)
    assert verify(folder, "client0").returncode == 0
    (folder / "ends" / "old.crt").write_bytes(old)
    (folder / "ends" / "old.pem").write_bytes((folder / "ends" / "client0.pem").read_bytes())
    assert "certificate revoked" in verify(folder, "old").stderr


def test_openssl_reads_what_a_certificate_provisions(folder: Path) -> None:
    name = f"thing-{folder.parent.name}"
    nai = ("--cn", "thing", "--nai", "thing@example.com", "--consortium", "5A03BA0000")
    pki("issue", name, "--role", "subscriber", *nai, "--pki", folder)
    assert verify(folder, name, "-purpose", "sslclient").returncode == 0
    shown = openssl("x509", "-in", folder / "ends" / f"{name}.crt", "-noout", "-text").stdout
    assert "1.3.6.1.4.1.14122.1.2.1" in shown
    assert "username=anonymous;roaming_consortiums=5a03ba0000;realm=example.com" in shown


def test_a_device_keeps_its_key_and_brings_a_request(folder: Path, tmp_path: Path) -> None:
    key, csr = tmp_path / "device.key", tmp_path / "device.csr"
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    subject = ("-subj", "/CN=somebody else/UID=OTHER:US")
    assert openssl("req", "-new", "-key", key, *subject, "-out", csr).returncode == 0
    name = f"device-{folder.parent.name}"
    nai = ("--cn", "device", "--nai", "device@example.com")
    pki("issue", name, "--role", "subscriber", *nai, "--csr", csr, "--pki", folder)
    assert verify(folder, name, "-purpose", "sslclient").returncode == 0
    shown = openssl("x509", "-in", folder / "ends" / f"{name}.crt", "-noout", "-subject").stdout
    assert shown.strip() == "subject=CN = device"


def test_openssl_believes_a_response_of_the_authority(folder: Path) -> None:
    """The newest certificate's; revoked it says so."""
    ends = folder / "ends"
    told = pki("ocsp", "combined1", "--pki", folder, "--days", "3")

    def asked() -> str:
        found = openssl(
            *("ocsp", "-respin", told["response"], "-CAfile", folder / "trust.pem"),
            *("-issuer", folder / "issuing1.crt", "-verify_other", folder / "issuing1.crt"),
            *("-VAfile", folder / "issuing1.crt"),
            *("-cert", ends / "combined1.crt", "-no_nonce"),
        )
        assert "Response verify OK" in found.stderr, found.stderr
        return found.stdout

    assert "combined1.crt: good" in asked()
    pki("revoke", "combined1", "--pki", folder, "--reason", "keyCompromise")
    pki("ocsp", "combined1", "--pki", folder)
    assert "combined1.crt: revoked" in asked()
    assert "Reason: keyCompromise" in asked()
