"""Certificates: what stands in them, who may sign, what is refused, and what a folder keeps."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from hypothesis import example, given
from hypothesis import strategies as st

from opencarrier.identity.pki import issue, names, passpoint
from opencarrier.identity.pki.folder import Order, PkiFolder
from opencarrier.identity.pki.model import (
    DAY_S,
    Algorithm,
    Federation,
    Holder,
    PkiReason,
    Revoked,
    Role,
    Wanted,
)
from opencarrier.kernel.clock import SECOND_US, FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.refusals import Refusal

NOW_US = 1_790_000_000 * SECOND_US
SERVER = Wanted(
    role=Role.SERVER,
    common_name="aaa.example.com",
    organisation="Example Inc",
    country="US",
    wba_id="EXAMPLE.HUB:US",
    dns_names=("aaa.example.com",),
    addresses=("127.0.0.1", "::1"),
    nai_realms=("example.com", "*.example.com"),
)


@pytest.fixture(scope="module")
def world() -> Federation:
    return issue.federation(entropy=SeededEntropy(5), now_us=NOW_US)


def made(issuer: Holder, wanted: Wanted, now_us: int = NOW_US) -> Holder:
    holder = issue.issue(
        issuer, wanted, algorithm=Algorithm.EC, entropy=SeededEntropy(6), now_us=now_us
    )
    assert isinstance(holder, Holder), holder
    return holder


def why(issuer: Holder, wanted: Wanted, now_us: int = NOW_US) -> PkiReason:
    refusal = issue.issue(
        issuer, wanted, algorithm=Algorithm.EC, entropy=SeededEntropy(6), now_us=now_us
    )
    assert isinstance(refusal, Refusal)
    return PkiReason(refusal.reason)


@pytest.mark.parametrize("number", [0, 1])
def test_either_roots_server_is_what_another_verifier_takes(world: Federation, number: int) -> None:
    server = made(world.branches[number].issuing, SERVER)
    roots = x509.load_pem_x509_certificates(world.trust_pem)
    assert roots == [branch.root.certificate for branch in world.branches]
    judge = PolicyBuilder().store(Store(roots)).time(issue.instant(NOW_US))
    leaf, *between = x509.load_pem_x509_certificates(server.chain_pem)
    name = x509.DNSName("aaa.example.com")
    found = judge.build_server_verifier(name).verify(leaf, between)
    assert found[-1] == server.root == world.branches[number].root.certificate
    others = Store([world.branches[1 - number].root.certificate])
    stranger = PolicyBuilder().store(others).time(issue.instant(NOW_US)).build_server_verifier(name)
    with pytest.raises(VerificationError):
        stranger.verify(leaf, between)
    with pytest.raises(VerificationError):
        judge.build_server_verifier(x509.DNSName("other.example.com")).verify(leaf, between)


def test_a_member_is_named_as_the_federation_names_it(world: Federation) -> None:
    certificate = made(world.branches[1].issuing, SERVER).certificate
    assert certificate.subject.rfc4514_string() == (
        "UID=EXAMPLE.HUB:US,CN=aaa.example.com,OU=WBA:WRIX End-Entity,O=Example Inc,C=US"
    )
    assert names.wba_id(certificate) == "EXAMPLE.HUB:US"
    assert names.nai_realms(certificate) == ["example.com", "*.example.com"]
    policies = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
    assert [one.policy_identifier for one in policies] == [names.POLICY_OID]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_a_subscribers_certificate_has_a_pseudonym_and_nobodys_name(world: Federation) -> None:
    nai = names.pseudonymous_nai(SeededEntropy(1), "Lumen.Example.")
    user, _, realm = nai.partition("@")
    assert (len(user), realm) == (32, "lumen.example")
    assert nai != names.pseudonymous_nai(SeededEntropy(2), "lumen.example")
    wanted = names.of_subscriber(nai, valid_s=30 * DAY_S)
    certificate = made(world.branches[1].issuing, wanted).certificate
    assert certificate.subject.rfc4514_string() == f"CN={user}"
    alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert alternative.get_values_for_type(x509.RFC822Name) == [nai]
    assert names.wba_id(certificate) == ""
    assert names.nai_realms(certificate) == []


def test_no_certificate_outlives_its_issuer_and_none_comes_of_a_dead_one(
    world: Federation,
) -> None:
    issuing = world.branches[1].issuing
    ends = issuing.certificate.not_valid_after_utc
    last_us = int(ends.timestamp()) * SECOND_US - SECOND_US
    assert made(issuing, SERVER, last_us).certificate.not_valid_after_utc == ends
    assert why(issuing, SERVER, last_us + SECOND_US) is PkiReason.NOT_AN_AUTHORITY


def test_only_the_authority_for_it_issues(world: Federation) -> None:
    branch = world.branches[1]
    policy = Wanted(role=Role.POLICY, common_name="Policy 2")
    assert why(branch.root, SERVER) is PkiReason.NOT_AN_AUTHORITY
    assert why(branch.policy, SERVER) is PkiReason.NOT_AN_AUTHORITY
    assert why(branch.issuing, policy) is PkiReason.NOT_AN_AUTHORITY
    assert why(made(branch.issuing, SERVER), SERVER) is PkiReason.NOT_AN_AUTHORITY
    assert made(branch.root, policy).certificate.issuer == branch.root.certificate.subject


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"common_name": "a\nb"}, PkiReason.INVALID_NAME),
        ({"common_name": "x" * 65}, PkiReason.INVALID_NAME),
        ({"organisation": " Example"}, PkiReason.INVALID_NAME),
        ({"country": "us"}, PkiReason.INVALID_NAME),
        ({"wba_id": "EXAMPLE"}, PkiReason.INVALID_WBA_ID),
        ({"wba_id": "EXA,MPLE:US"}, PkiReason.INVALID_WBA_ID),
        ({"dns_names": ("a..b",)}, PkiReason.INVALID_NAME),
        ({"dns_names": ("a.*.b",)}, PkiReason.INVALID_NAME),
        ({"dns_names": ("A.example",)}, PkiReason.INVALID_NAME),
        ({"addresses": ("127.0.0.256",)}, PkiReason.INVALID_NAME),
        ({"nai_realms": ("localhost",)}, PkiReason.INVALID_REALM),
        ({"nai_realms": ("*.*.example.com",)}, PkiReason.INVALID_REALM),
        ({"nai_realms": ("a b.3gppnetwork.org",)}, PkiReason.INVALID_REALM),
        ({"nai": "somebody@example.com"}, PkiReason.INVALID_NAME),
        ({"dns_names": ("a.example",) * (names.NAMES_MAX + 1)}, PkiReason.INVALID_NAME),
        ({"role": Role.SUBSCRIBER}, PkiReason.INVALID_NAME),
        ({"consortia": ("5A03BA0000",)}, PkiReason.INVALID_NAME),
        (
            {"role": Role.SUBSCRIBER, "nai": "a@example.com", "consortia": ("5a03ba",)},
            PkiReason.INVALID_NAME,
        ),
        ({"role": Role.SUBSCRIBER, "nai": "some body@example.com"}, PkiReason.INVALID_NAME),
    ],
)
def test_what_is_no_name_is_refused(world: Federation, change: dict, reason: PkiReason) -> None:
    assert why(world.branches[1].issuing, replace(SERVER, **change)) is reason


def test_the_most_names_and_a_network_realm_are_taken(world: Federation) -> None:
    realm = "wlan.mnc093.mcc208.3gppnetwork.org"
    most = ("a.example",) * (names.NAMES_MAX - 1)
    wanted = replace(SERVER, nai_realms=(realm,), dns_names=most, addresses=())
    assert names.nai_realms(made(world.branches[1].issuing, wanted).certificate) == [realm]


def test_a_certificate_may_say_where_it_is_good(world: Federation) -> None:
    nai = "abc@lumen.example"
    wanted = replace(names.of_subscriber(nai, valid_s=DAY_S), consortia=("5A03BA0000", "004096"))
    certificate = made(world.branches[1].issuing, wanted).certificate
    extension = certificate.extensions.get_extension_for_oid(passpoint.ATTRIBUTE_OID)
    text = b"username=anonymous;roaming_consortiums=5a03ba0000%2C004096;realm=lumen.example"
    assert extension.value.value == b"\x16" + bytes([len(text)]) + text
    assert not extension.critical
    assert passpoint.provisioned(certificate) == {
        "username": ["anonymous"],
        "roaming_consortiums": ["5a03ba0000", "004096"],
        "realm": ["lumen.example"],
    }
    assert passpoint.provisioned(made(world.branches[1].issuing, SERVER).certificate) == {}
    most = replace(wanted, consortia=tuple(f"{one:010X}" for one in range(names.NAMES_MAX)))
    told = passpoint.provisioned(made(world.branches[1].issuing, most).certificate)
    assert len(told["roaming_consortiums"]) == names.NAMES_MAX


@given(octets=st.binary(max_size=40))
@example(octets=b"\x16\x03a=b")
@example(octets=b"\x16\x03a%b")
@example(octets=b"\x16\x81\x03a=b")
@example(octets=b"\x16\x04a=b")
def test_what_is_no_attribute_provisions_nothing(octets: bytes) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder(x509.Name([]), x509.Name([]), key.public_key(), 1)
        .not_valid_before(issue.instant(NOW_US))
        .not_valid_after(issue.instant(NOW_US))
        .add_extension(x509.UnrecognizedExtension(passpoint.ATTRIBUTE_OID, octets), critical=False)
        .sign(key, hashes.SHA256())
    )
    told = passpoint.provisioned(certificate)
    assert told == {} or (octets[:1] == b"\x16" and b"=" in octets)


@given(size=st.integers(1, 61), letter=st.sampled_from("ab-"))
def test_a_realm_is_a_utf8_string_of_any_length(size: int, letter: str) -> None:
    realm = ".".join(["a" + letter * size + "b"] * 3)
    octets = names.nai_realm(realm).value
    assert octets[:1] == b"\x0c"
    assert octets.endswith(realm.encode())
    long = octets[1] == 0x81
    assert long == (len(realm) > 127)
    assert octets[2 if long else 1] == len(realm) == len(octets) - (3 if long else 2)


@given(octets=st.binary(max_size=8))
@example(octets=b"\x0c\x03a.b")
@example(octets=b"\x0c\x81\x03a.b")
@example(octets=b"\x0c\x01\xff")
def test_what_is_no_utf8_string_is_no_realm(octets: bytes) -> None:
    text = names.utf8_string(octets)
    encoded = text.encode()
    forms = (b"", b"\x0c" + bytes([len(encoded)]), b"\x0c\x81" + bytes([len(encoded)]))
    assert octets in [head + encoded for head in forms] or text == ""


def request(key, *, encoding: Encoding = Encoding.PEM) -> bytes:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
    ca = x509.BasicConstraints(ca=True, path_length=None)
    builder = x509.CertificateSigningRequestBuilder(name).add_extension(ca, critical=True)
    return builder.sign(key, algorithm).public_bytes(encoding)


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_request_gives_a_key_and_nothing_of_what_it_asks(
    world: Federation, encoding: Encoding
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = issue.read_request(request(key, encoding=encoding))
    assert public == key.public_key()
    wanted = names.of_subscriber("abc@lumen.example", valid_s=DAY_S)
    certificate = issue.certify(
        world.branches[1].issuing, wanted, public, entropy=SeededEntropy(1), now_us=NOW_US
    )
    assert isinstance(certificate, x509.Certificate)
    assert certificate.subject.rfc4514_string() == "CN=abc"
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_requests_that_prove_nothing_or_with_weak_keys_are_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    forged = bytearray(request(key, encoding=Encoding.DER))
    forged[-1] ^= 1
    cases = {
        b"": PkiReason.INVALID_REQUEST,
        b"-----BEGIN CERTIFICATE REQUEST-----": PkiReason.INVALID_REQUEST,
        b"\x30\x80" * 40: PkiReason.INVALID_REQUEST,
        b"-" * (issue.CSR_OCTETS_MAX + 1): PkiReason.INVALID_REQUEST,
        bytes(forged): PkiReason.INVALID_REQUEST,
        request(ec.generate_private_key(ec.SECP384R1())): PkiReason.INVALID_KEY,
        request(ed25519.Ed25519PrivateKey.generate()): PkiReason.INVALID_KEY,
    }
    for octets, reason in cases.items():
        refusal = issue.read_request(octets)
        assert isinstance(refusal, Refusal)
        assert refusal.reason is reason
    small = rsa.generate_private_key(public_exponent=65_537, key_size=1024)
    assert isinstance(issue.checked_key(small.public_key()), Refusal)


@given(cut=st.integers(0, 400), octet=st.integers(0, 255))
@example(cut=8, octet=1)
def test_a_request_changed_anywhere_gives_no_other_key(cut: int, octet: int) -> None:
    """Of the signature's encoding a bit may vary; what is signed may not."""
    octets = bytearray(CHANGED)
    at = cut % len(octets)
    octets[at] = octet
    read = issue.read_request(bytes(octets))
    assert isinstance(read, Refusal) or read == issue.read_request(CHANGED)
    assert isinstance(issue.read_request(bytes(CHANGED[:at])), Refusal)


CHANGED = request(ec.generate_private_key(ec.SECP256R1()), encoding=Encoding.DER)


def test_a_list_names_what_was_taken_back(world: Federation) -> None:
    issuing = world.branches[1].issuing
    serial = made(issuing, SERVER).certificate.serial_number
    back = Revoked(serial, NOW_US, x509.ReasonFlags.key_compromise)
    listed = issue.revocation_list(
        issuing, [back, Revoked(7, NOW_US)], number=3, now_us=NOW_US, valid_s=DAY_S
    )
    assert listed.is_signature_valid(issuing.key.public_key())
    found = listed.get_revoked_certificate_by_serial_number(serial)
    assert found is not None
    reason = found.extensions.get_extension_for_class(x509.CRLReason).value.reason
    assert reason is x509.ReasonFlags.key_compromise
    assert listed.get_revoked_certificate_by_serial_number(8) is None
    assert listed.next_update_utc == issue.instant(NOW_US + DAY_S * SECOND_US)


def folder_in(path: Path) -> PkiFolder:
    return PkiFolder(path / "pki", clock=FixedClock(NOW_US), entropy=SeededEntropy(9))


def test_a_folder_keeps_what_it_issued_and_its_keys_from_others(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    assert not folder.begun
    assert folder.begin(Algorithm.EC) == {
        "folder": str(tmp_path / "pki"),
        "crl_number": 1,
        "next_us": NOW_US + 7 * DAY_S * SECOND_US,
    }
    again = folder.begin(Algorithm.EC)
    assert isinstance(again, Refusal)
    assert again.reason is PkiReason.EXISTS
    first = folder.issue(Order(name="aaa", wanted=SERVER, branch=0))
    assert isinstance(first, dict)
    twice = folder.issue(Order(name="aaa", wanted=SERVER))
    assert isinstance(twice, Refusal)
    old = folder.holder("aaa")
    renewed = folder.renew("aaa")
    assert isinstance(renewed, dict)
    new = folder.holder("aaa")
    assert new.certificate.subject == old.certificate.subject
    assert new.certificate.serial_number != old.certificate.serial_number
    assert new.key.public_key() != old.key.public_key()
    assert new.root == old.root == folder.branch(0).root.certificate
    files = list((tmp_path / "pki").rglob("*"))
    keys = [one for one in files if one.suffix == ".key"]
    assert len(keys) == 7
    assert all(stat.S_IMODE(one.stat().st_mode) == 0o600 for one in keys)
    assert [one["branch"] for one in folder.show()["ends"]["aaa"]] == [0, 0]
    told = str([first, renewed, folder.show(), (tmp_path / "pki" / "index.json").read_text()])
    assert "PRIVATE" not in told
    assert f"{new.certificate.serial_number:x}" in told


def test_a_folder_revokes_the_newest_of_a_name_in_its_branchs_list(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    folder.begin(Algorithm.EC)
    folder.issue(Order(name="aaa", wanted=SERVER, branch=0))
    assert isinstance(folder.revoke("bbb", x509.ReasonFlags.unspecified), Refusal)
    done = folder.revoke("aaa", x509.ReasonFlags.superseded)
    assert isinstance(done, dict)
    assert done["revoked_us"] == NOW_US
    twice = folder.revoke("aaa", x509.ReasonFlags.superseded)
    assert isinstance(twice, Refusal)
    assert twice.reason is PkiReason.REVOKED
    serial = int(done["serial"], 16)
    pem = (tmp_path / "pki" / "crls.pem").read_bytes()
    lists = [
        x509.load_pem_x509_crl(part + b"-----END X509 CRL-----\n")
        for part in pem.split(b"-----END X509 CRL-----\n")[:-1]
    ]
    holding = [one for one in lists if one.get_revoked_certificate_by_serial_number(serial)]
    assert len(lists) == 6
    assert [one.issuer for one in holding] == [folder.branch(0).issuing.certificate.subject]
    assert {
        one.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for one in lists
    } == {2}


def test_who_keeps_its_key_brings_the_new_one_too(tmp_path: Path) -> None:
    folder = folder_in(tmp_path)
    folder.begin(Algorithm.EC)
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    assert isinstance(folder.issue(Order(name="device", wanted=SERVER, key=key)), dict)
    assert not (tmp_path / "pki" / "ends" / "device.key").exists()
    assert isinstance(folder.renew("device"), Refusal)
    assert isinstance(folder.renew("device", key), dict)
    folder.issue(Order(name="ours", wanted=SERVER))
    assert isinstance(folder.renew("ours", key), Refusal)


@pytest.mark.parametrize("name", ["", "../aaa", "a/b", ".a", "A", "a" * 65])
def test_a_name_never_leaves_the_folder(tmp_path: Path, name: str) -> None:
    refusal = folder_in(tmp_path).issue(Order(name=name, wanted=SERVER))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is PkiReason.INVALID_NAME
