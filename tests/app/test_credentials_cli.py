"""Commands about certificates and passwords: from files only, told without secrets."""

from __future__ import annotations

import json

from tests.access.tls import pki

from opencarrier.identity.pki.model import Algorithm

PASSWORD = "correct horse battery"
MADE_US = 4_000_000_000_000_000
"""Long after any run of these tests: the certificate has not expired."""


def test_a_person_without_a_sim_gets_on_by_what_is_added(here, tmp_path) -> None:
    world = pki(Algorithm.EC, MADE_US)
    certificate, secret = tmp_path / "ada.crt", tmp_path / "password.txt"
    certificate.write_bytes(world.client.certificate_pem)
    secret.write_text(PASSWORD + "\n")
    here("operator", "add", "Lumen", "--jurisdiction", "FR", "--realm", "lumen.example")
    person = ("subscriber", "add", "--name", "Ada")
    assert "name them with --name and --operator" in here(*person, code=2)
    made = json.loads(here(*person, "--operator", "Lumen", "--plan", "prepaid", "--json"))
    assert made["imsi"] is None
    assert "two keys" in here("subscriber", "add", "--imsi", "208930000000001", code=2)

    credential = ("subscriber", "credential")
    one = json.loads(here(*credential, "certificate", "Ada", "--file", str(certificate), "--json"))
    password = (*credential, "password", "Ada", "--user-name", "ada", "--password-file")
    two = json.loads(here(*password, str(secret), "--days", "30", "--json"))
    assert two["value"] == "ada"
    assert two["expires_us"] is not None
    listed = here(*credential, "list", "Ada", "--json")
    assert json.loads(listed)["credentials"] == [one, two]
    assert PASSWORD not in listed

    secret.write_text("another password\n")
    refused = here(*password, str(secret), code=1)
    assert "exists_with_different_secret" in refused
    assert "another password" not in refused
    gone = json.loads(here(*credential, "revoke", one["value"], "--json"))
    assert gone["revoked_us"] is not None
