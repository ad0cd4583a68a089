"""`opencarrier privacy`: a key is made, given to phones in two forms, and destroyed."""

from __future__ import annotations

import json

from cryptography import x509


def test_a_key_from_making_to_removing(here):
    here("operator", "add", "Lumen", "--jurisdiction", "FR", "--plmn", "20893")
    assert json.loads(here("privacy", "list", "--json")) == {"keys": []}
    made = json.loads(here("privacy", "make", "--json"))
    assert json.loads(here("privacy", "list", "--json")) == {"keys": [made]}
    name = made["identifier"]
    pem = here("privacy", "export", name)
    certificate = x509.load_pem_x509_certificate(pem.encode())
    assert name == f"CertificateSerialNumber={certificate.serial_number:x}"
    (entry,) = json.loads(here("privacy", "export", name, "--form", "android"))["carrier-keys"]
    assert entry["key-identifier"] == name
    assert entry["key-type"] == "WLAN"
    assert x509.load_pem_x509_certificate(entry["certificate"].encode()) == certificate
    assert "PRIVATE" not in pem
    assert "unknown_key" in here("privacy", "export", name + "0", code=1)
    assert json.loads(here("privacy", "remove", name, "--json")) == {"removed": name}
    assert "unknown_key" in here("privacy", "remove", name, code=1)
