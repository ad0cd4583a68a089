"""The product set up by commands alone: `eapol_test` gets on by certificate and by password.

Certificates are those of `opencarrier pki`; what is revoked or renewed while `up` runs is in force
without a restart.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time

import pytest
from tests.peers.test_app_access import NAS, SECRET, Place

pytestmark = [
    pytest.mark.peer,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("eapol_test") is None, reason="eapol_test is not installed"),
]

REALM = "lumen.example"
PASSWORD = "correct horse battery"
FORCE_S = 1.5
"""What is changed by a command or in a file is in force within a second."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """One operator that serves its own subscribers: Ada by certificate, Bob by password."""
    made = Place(tmp_path_factory.mktemp("eap"))
    (made.folder / "secret.txt").write_text(SECRET + "\n")
    made.run("operator", "add", "Lumen", "--jurisdiction", "FR", "--realm", REALM)
    made.run("operator", "deposit", "Lumen", "500000000", "--reference", "first")
    made.run("host", "add", "Cafe")
    made.run("node", "add", NAS, "--operator", "Lumen", "--host", "Cafe")
    for words in (
        ("agreement", "add", "--home", "Lumen", "--visited", "Lumen"),
        ("tariff", "add", "--operator", "Lumen", "--plan", "by-time"),
    ):
        made.run(*words, "--unit", "duration_s", "--step", "1", "--price-nano", "1000")
    made.run(
        *("client", "add", "127.0.0.1", "--operator", "Lumen"),
        *("--secret-file", str(made.folder / "secret.txt")),
    )
    for name in ("Ada", "Bob"):
        made.run("subscriber", "add", "--name", name, "--operator", "Lumen")
        made.run("subscriber", "topup", name, "50000000")
    _certificates(made)
    ada = str(made.folder / "pki" / "ends" / "ada.crt")
    made.run("subscriber", "credential", "certificate", "Ada", "--file", ada)
    made.run(
        *("subscriber", "credential", "password", "Bob", "--user-name", "bob"),
        *("--password-file", "-"),
        stdin=PASSWORD + "\n",
    )
    return made


def _certificates(place: Place) -> None:
    pki = place.folder / "pki"
    at = ("--pki", str(pki))
    place.run("pki", "init", *at)
    place.run("pki", "issue", "server", *at, "--role", "server", "--dns", "aaa.lumen.example")
    for name in ("ada", "eve"):
        place.run("pki", "issue", name, *at, "--role", "subscriber", "--nai", f"{name}@{REALM}")
    place.run("pki", "crl", *at)
    ends = pki / "ends"
    (place.data / "config.toml").write_text(
        f'eap_chain = "{ends / "server.pem"}"\neap_key = "{ends / "server.key"}"\n'
        f'eap_roots = "{pki / "trust.pem"}"\neap_lists = "{pki / "crls.pem"}"\n'
    )


def attempt(place: Place, running: dict, who: str, *, password: str = "", again: int = 0) -> str:
    """Authenticate as a device would; what the program said."""
    pki = place.folder / "pki"
    lines = [
        'ssid="test"\nkey_mgmt=WPA-EAP',
        f'ca_cert="{pki / "trust.pem"}"\ndomain_suffix_match="lumen.example"',
        f'anonymous_identity="anonymous@{REALM}"\nidentity="{who}@{REALM}"',
        'phase1="tls_disable_tlsv1_3=0"',
    ]
    if password:
        lines.append(f'eap=TTLS\npassword="{password}"\nphase2="auth=MSCHAPV2"')
    else:
        end = pki / "ends" / who
        lines.append(f'eap=TLS\nclient_cert="{end}.pem"\nprivate_key="{end}.key"')
    config = place.folder / "eapol.conf"
    config.write_text("fast_reauth=1\nnetwork={\n" + "\n".join(lines) + "\n}\n")
    done = subprocess.run(
        [
            *("eapol_test", "-c", str(config), "-t", "10", "-r", str(again)),
            *("-N", f"32:s:{NAS}", "-N", "89:x:00", "-a", "127.0.0.1"),
            *("-p", str(running["radius_port"]), "-s", SECRET),
        ],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
    )
    return done.stdout


def let_in(said: str, times: int = 1) -> bool:
    return f"MPPE keys OK: {times}  mismatch: 0" in said


def test_by_certificate_and_by_password_until_revoked_or_renewed(place: Place) -> None:
    with place.up() as running:
        said = attempt(place, running, "ada", again=1)
        assert let_in(said, 2), said
        assert re.search("Handshake finished - resumed=1", said)
        assert "Attribute 25 (Class)" in said
        assert "Attribute 89 (Chargeable-User-Identity)" in said
        assert "ada" not in "".join(re.findall(r"Attribute 1 \(User-Name\).*\n.*", said))
        assert let_in(attempt(place, running, "bob", password=PASSWORD, again=1), 2)
        assert not let_in(attempt(place, running, "bob", password="wrong password"))
        assert not let_in(attempt(place, running, "eve")), "vouched for, and no subscriber's"
        held = place.json("status")
        _renew_and_revoke(place, running)
        counted = place.metrics(running)
    assert held["ledger"]["transfers"]
    assert counted["radius_accepts_total"] == 5
    rejects = {name: count for name, count in counted.items() if "rejects_total{" in name}
    assert rejects == {
        'radius_rejects_total{reason="password_wrong"}': 2,
        'radius_rejects_total{reason="subscriber_unknown"}': 1,
        'radius_rejects_total{reason="certificate_revoked"}': 1,
    }


def _renew_and_revoke(place: Place, running: dict) -> None:
    """Our certificate anew, Ada's on the list, Bob's password revoked: each without a restart."""
    at = ("--pki", str(place.folder / "pki"))
    before = (place.folder / "pki" / "ends" / "server.crt").read_bytes()
    place.run("pki", "renew", "server", *at)
    assert (place.folder / "pki" / "ends" / "server.crt").read_bytes() != before
    time.sleep(FORCE_S)
    assert let_in(attempt(place, running, "bob", password=PASSWORD))
    place.run("pki", "revoke", "ada", *at)
    place.run("subscriber", "credential", "revoke", "bob")
    time.sleep(FORCE_S)
    assert not let_in(attempt(place, running, "ada"))
    assert not let_in(attempt(place, running, "bob", password=PASSWORD))


def test_what_is_listed_and_what_cannot_be_used(place: Place) -> None:
    (listed,) = place.json("subscriber", "credential", "list", "Ada")["credentials"]
    assert listed["kind"] == "certificate"
    assert listed["revoked_us"] is None
    text = place.run("subscriber", "credential", "list", "Bob").stdout
    assert PASSWORD not in text
    refused = place.run(
        *("subscriber", "credential", "password", "Ada", "--user-name", "bob"),
        *("--password-file", "-"),
        stdin="another password\n",
        code=1,
    )
    assert "exists_with_different" in refused.stderr
    config = place.data / "config.toml"
    kept = config.read_text()
    config.write_text(kept.replace("server.key", "ada.key"))
    failed = place.run("up", "--radius-port", "0", "--acct-port", "0", "--http-port", "0", code=3)
    config.write_text(kept)
    assert "hint:" in failed.stderr
    assert "server.pem" in failed.stderr
