"""Profiles parse back with parsers that did not write them and hold every field that is needed."""

from __future__ import annotations

import email
import email.errors
import plistlib
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from signxml.exceptions import InvalidSignature
from signxml.verifier import XMLVerifier
from tests.access.provision.descriptions import (
    CONSORTIA,
    ENDS_US,
    HOSTILE,
    P12_PASSWORD,
    PAP,
    PASSWORD,
    REALM,
    SERVER,
    SIM,
    home,
)

from opencarrier.access.provision import (
    android,
    apple,
    eap_config,
    model,
    signing,
    supplicant,
    windows,
)
from opencarrier.access.provision.model import (
    ClientCertificate,
    Credential,
    Inner,
    Password,
    Profile,
    ProvisionReason,
    Sim,
)
from opencarrier.kernel.refusals import Refusal

HOME = home()
SERVERS = [SERVER, "aaa2.lumen.example"]
OUTER = f"anonymous@{REALM}"
ENDS = datetime.fromtimestamp(ENDS_US // 1_000_000, UTC)
CREDENTIALS = [HOME.certificate, PASSWORD, PAP, SIM]
IDS = ["tls", "mschapv2", "pap", "sim"]


def octets(made: bytes | Refusal) -> bytes:
    assert isinstance(made, bytes), made
    return made


def plist(profile: Profile) -> dict:
    return plistlib.loads(octets(apple.mobileconfig(profile, P12_PASSWORD)))


def kinds(told: dict, kind: str) -> list[dict]:
    return [one for one in told["PayloadContent"] if one["PayloadType"] == kind]


@pytest.mark.parametrize("credential", CREDENTIALS, ids=IDS)
def test_apples_profile_names_all_consortia_at_once_and_each_by_itself(
    credential: Credential,
) -> None:
    told = plist(HOME.profile(credential))
    assert (told["PayloadType"], told["PayloadVersion"]) == ("Configuration", 1)
    assert told["PayloadIdentifier"] == "example.lumen.passpoint"
    assert told["RemovalDate"] == ENDS.replace(tzinfo=None)
    every = [told, *told["PayloadContent"]]
    assert len({one["PayloadUUID"] for one in every}) == len(every)
    assert len({one["PayloadIdentifier"] for one in every}) == len(every)
    wifi = kinds(told, "com.apple.wifi.managed")
    assert [one["RoamingConsortiumOIs"] for one in wifi] == [
        list(CONSORTIA),
        *([c] for c in CONSORTIA),
    ]
    for one in wifi:
        assert one["AutoJoin"] is one["IsHotspot"] is one["ServiceProviderRoamingEnabled"] is True
        assert (one["EncryptionType"], one["DomainName"]) == ("WPA2", REALM)
        assert (one["NAIRealmNames"], one["DisplayedOperatorName"]) == ([REALM], "Lumen Mobile")
        eap = one["EAPClientConfiguration"]
        assert eap["AcceptEAPTypes"] == list(credential.eap_types)
        if not isinstance(credential, Sim):
            assert eap["TLSTrustedServerNames"] == SERVERS
    roots = kinds(told, "com.apple.security.root")
    assert [one["PayloadContent"] for one in roots] == [
        one.public_bytes(Encoding.DER) for one in HOME.anchors
    ]
    if not isinstance(credential, Sim):
        anchors = wifi[0]["EAPClientConfiguration"]["PayloadCertificateAnchorUUID"]
        assert anchors == [one["PayloadUUID"] for one in roots]


def test_apples_profile_holds_the_key_without_authorities_or_the_password() -> None:
    told = plist(HOME.profile())
    (p12,) = kinds(told, "com.apple.security.pkcs12")
    opened = load_pkcs12(p12["PayloadContent"], p12["Password"].encode())
    assert opened.cert is not None
    assert opened.cert.certificate == HOME.subscriber.certificate
    assert opened.key is not None
    assert opened.key.public_key() == HOME.subscriber.key.public_key()
    assert opened.additional_certs == []
    between = [one["PayloadContent"] for one in kinds(told, "com.apple.security.pkcs1")]
    assert between == [one.public_bytes(Encoding.DER) for one in HOME.subscriber.chain[1:]]
    wifi = kinds(told, "com.apple.wifi.managed")
    assert {one["PayloadCertificateUUID"] for one in wifi} == {p12["PayloadUUID"]}
    assert {one["EAPClientConfiguration"]["UserName"] for one in wifi} == {OUTER}
    eap = kinds(plist(HOME.profile(PAP)), "com.apple.wifi.managed")[0]["EAPClientConfiguration"]
    assert (eap["UserName"], eap["UserPassword"]) == (PAP.username, HOSTILE)
    assert (eap["OuterIdentity"], eap["TTLSInnerAuthentication"]) == (OUTER, "PAP")
    sim = kinds(plist(HOME.profile(SIM)), "com.apple.wifi.managed")[0]
    assert sim["MCCAndMNCs"] == ["208093"]


def test_one_consortium_is_one_payload_and_the_same_profile_replaces_itself() -> None:
    one = HOME.profile(consortia=("5A03BA0000",))
    assert len(kinds(plist(one), "com.apple.wifi.managed")) == 1
    assert octets(apple.mobileconfig(HOME.profile(PASSWORD), "x")) == octets(
        apple.mobileconfig(HOME.profile(PASSWORD), "x")
    )
    ids = {plist(HOME.profile(one))["PayloadUUID"] for one in (HOME.certificate, PASSWORD, SIM)}
    assert len(ids) == 3


def parts(profile: Profile) -> dict[str, bytes]:
    message = email.message_from_bytes(b64decode(octets(android.wifi_config(profile))))
    assert message.get_content_type() == "multipart/mixed"
    assert message["Content-Transfer-Encoding"] == "base64"
    # RFC 2045 knows no base64 multipart; Android takes no other.
    known = email.errors.InvalidMultipartContentTransferEncodingDefect
    assert [type(one) for one in message.defects] == [known]
    found = {one.get_content_type(): one.get_payload(decode=True) for one in message.get_payload()}
    assert len(found) == len(message.get_payload())
    return found


def leaves(element: etree._Element) -> dict[str, str]:
    """Every path of node names with the value at its end."""
    found = {}
    for value in element.iter("{syncml:dmddf1.2}Value"):
        path = [
            node.findtext("{syncml:dmddf1.2}NodeName")
            for node in value.iterancestors("{syncml:dmddf1.2}Node")
        ]
        found["/".join(reversed(path[:-2]))] = value.text
    return found


@pytest.mark.parametrize("credential", CREDENTIALS, ids=IDS)
def test_androids_file_is_a_tree_a_root_and_a_key(credential: Credential) -> None:
    found = parts(HOME.profile(credential))
    root = x509.load_der_x509_certificate(found["application/x-x509-ca-cert"])
    assert root == HOME.server.root
    tree = etree.fromstring(found["application/x-passpoint-profile"])
    assert tree.findtext(".//{*}DDFName") == "urn:wfa:mo:hotspot2dot0-perprovidersubscription:1.0"
    told = leaves(tree)
    common = {
        "HomeSP/FriendlyName": "Lumen Mobile",
        "HomeSP/FQDN": REALM,
        "HomeSP/RoamingConsortiumOI": "5a03ba0000,5a03ba0800,004096",
        "Credential/Realm": REALM,
        "Credential/ExpirationDate": ENDS.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Extension/Android/AAAServerTrustedNames/FQDN": ";".join(SERVERS),
    }
    assert told.items() >= common.items()
    own = {key: value for key, value in told.items() if key not in common}
    if isinstance(credential, ClientCertificate):
        opened = load_pkcs12(found["application/x-pkcs12"], None)
        assert opened.cert is not None
        assert opened.cert.certificate == HOME.subscriber.certificate
        assert [one.certificate for one in opened.additional_certs] == HOME.subscriber.chain[1:]
        assert own == {
            "Credential/DigitalCertificate/CertificateType": "x509v3",
            "Credential/DigitalCertificate/CertSHA256Fingerprint": (
                HOME.subscriber.certificate.fingerprint(SHA256()).hex()
            ),
        }
    elif isinstance(credential, Password):
        base = "Credential/UsernamePassword/"
        assert b64decode(own.pop(f"{base}Password")).decode() == credential.password
        inner = {Inner.PAP: "PAP", Inner.MSCHAPV2: "MS-CHAP-V2"}[credential.inner]
        assert own == {
            f"{base}Username": "alice",
            f"{base}MachineManaged": "true",
            f"{base}EAPMethod/EAPType": "21",
            f"{base}EAPMethod/InnerMethod": inner,
        }
    else:
        assert own == {"Credential/SIM/IMSI": credential.imsi, "Credential/SIM/EAPType": "50"}


def test_a_sim_of_the_operator_is_told_by_its_network_code() -> None:
    tree = etree.fromstring(android.pps_mo(HOME.profile(Sim("20893"))))
    assert leaves(tree)["Credential/SIM/IMSI"] == "20893*"


def sequence(element: etree._Element) -> list[str]:
    return [etree.QName(one).localname for one in element]


@pytest.mark.parametrize("credential", CREDENTIALS[:3], ids=IDS[:3])
def test_windows_document_keeps_the_schemas_order(credential: Credential) -> None:
    tree = etree.fromstring(octets(windows.carrier_provisioning(HOME.profile(credential))))
    assert sequence(tree) == ["Global", "WLANProfiles"]
    profile = tree.find(".//{*}WLANProfile")
    assert sequence(profile) == ["name", "SSIDConfig", "Hotspot2", "MSM"]
    assert profile.findtext(".//{*}SSID/{*}name") == "_Passpoint"
    hotspot = profile.find("{*}Hotspot2")
    assert sequence(hotspot) == ["DomainName", "NAIRealm", "RoamingConsortium"]
    assert hotspot.findtext("{*}DomainName") == hotspot.findtext("{*}NAIRealm/{*}name") == REALM
    assert [one.text for one in hotspot.iter("{*}OUI")] == list(CONSORTIA)
    assert tree.findtext(".//{*}ServerNames") == ";".join(SERVERS)
    hashes = [one.fingerprint(SHA1()).hex(" ") for one in HOME.anchors]
    word = "TrustedRootCAHash" if isinstance(credential, Password) else "TrustedRootCA"
    assert [one.text for one in tree.iter(f"{{*}}{word}")] == hashes
    types = [one.text for one in tree.iter("{http://www.microsoft.com/provisioning/EapCommon}Type")]
    if isinstance(credential, Password):
        assert types == ["21", "21"]
        assert tree.findtext(".//{*}AnonymousIdentity") == OUTER
        user = tree.find(".//{*}Credentials/{*}EapTtls")
        assert [one.text for one in user] == [credential.username, credential.password]
        inner = "PAPAuthentication" if credential is PAP else "MSCHAPv2Authentication"
        assert sequence(tree.find(".//{*}Phase2Authentication")) == [inner]
    else:
        assert types == ["13"]
        assert tree.find(".//{*}EapHostUserCredentials") is None


@pytest.mark.parametrize("credential", CREDENTIALS[:3], ids=IDS[:3])
def test_the_apps_document_says_each_network_alone(credential: Credential) -> None:
    tree = etree.fromstring(octets(eap_config.eap_config(HOME.profile(credential), P12_PASSWORD)))
    provider = tree.find("EAPIdentityProvider")
    assert (provider.get("ID"), provider.get("namespace")) == (REALM, "urn:RFC4282:realm")
    networks = provider.findall("CredentialApplicability/IEEE80211")
    assert [sequence(one) for one in networks] == [["ConsortiumOID"]] * len(CONSORTIA)
    assert [one.findtext("ConsortiumOID") for one in networks] == [c.lower() for c in CONSORTIA]
    method = provider.find("AuthenticationMethods/AuthenticationMethod")
    server = method.find("ServerSideCredential")
    assert [one.text for one in server.findall("ServerID")] == SERVERS
    roots = [x509.load_der_x509_certificate(b64decode(one.text)) for one in server.findall("CA")]
    assert roots == list(HOME.anchors)
    client = method.find("ClientSideCredential")
    assert client.findtext("OuterIdentity") == OUTER
    assert method.findtext("EAPMethod/Type") == str(credential.eap_types[0])
    if isinstance(credential, Password):
        assert client.findtext("UserName") == credential.username
        assert client.findtext("Password") == credential.password
        kind = "1" if credential.inner is Inner.PAP else "3"
        assert method.findtext("InnerAuthenticationMethod/NonEAPAuthMethod/Type") == kind
    else:
        word = client.findtext("Passphrase").encode()
        opened = load_pkcs12(b64decode(client.findtext("ClientCertificate")), word)
        assert opened.cert is not None
        assert opened.cert.certificate == HOME.subscriber.certificate


def test_what_a_platform_cannot_take_is_said() -> None:
    for made in (
        windows.carrier_provisioning(HOME.profile(SIM)),
        eap_config.eap_config(HOME.profile(SIM), P12_PASSWORD),
    ):
        assert isinstance(made, Refusal)
        assert made.reason is ProvisionReason.UNSUPPORTED


def fields(profile: Profile) -> dict[str, str]:
    """The `cred` block's lines, read as wpa_supplicant does: quoted or hex."""
    text = octets(supplicant.passpoint(profile, P12_PASSWORD)).decode()
    block = text.partition("cred={\n")[2].partition("\n}\n")[0]
    return dict(line.strip().partition("=")[::2] for line in block.splitlines())


def text_of(value: str) -> str:
    return value[1:-1] if value.startswith('"') else bytes.fromhex(value).decode()


def test_the_cred_block_has_all_that_matching_and_trusting_need() -> None:
    told = fields(HOME.profile(PASSWORD))
    assert {key: text_of(value) for key, value in told.items() if key != "eap"} == {
        "realm": REALM,
        "domain": REALM,
        "roaming_consortiums": "5a03ba0000,5a03ba0800,004096",
        "ca_cert": "blob://anchors",
        "domain_suffix_match": ";".join(SERVERS),
        "username": PASSWORD.username,
        "password": PASSWORD.password,
        "phase2": "auth=MSCHAPV2",
    }
    assert told["eap"] == "TTLS"
    tls = fields(HOME.profile())
    assert (tls["eap"], text_of(tls["private_key"])) == ("TLS", "blob://key")
    assert text_of(tls["username"]) == OUTER
    sim = fields(HOME.profile(SIM))
    assert (sim["eap"], text_of(sim["imsi"])) == ("AKA'", "20893-0000000001")
    assert "ca_cert" not in sim


NAMES = st.text(
    st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=40
).filter(lambda text: text == text.strip() and text.isprintable())


@settings(max_examples=40)
@given(name=NAMES, password=NAMES)
def test_names_and_passwords_survive_as_data_everywhere(name: str, password: str) -> None:
    user = name.replace("@", "_")
    credential = Password(f"{user}@{REALM}", password)
    profile = HOME.profile(credential, operator_name=name)
    told = plist(profile)
    assert told["PayloadDisplayName"] == name
    eap = kinds(told, "com.apple.wifi.managed")[0]["EAPClientConfiguration"]
    assert (eap["UserName"], eap["UserPassword"]) == (credential.username, password)
    tree = etree.fromstring(parts(profile)["application/x-passpoint-profile"])
    assert leaves(tree)["HomeSP/FriendlyName"] == name
    assert leaves(tree)["Credential/UsernamePassword/Username"] == user
    tree = etree.fromstring(octets(windows.carrier_provisioning(profile)))
    assert tree.findtext(".//{*}WLANProfile/{*}name") == name
    assert tree.findtext(".//{*}Credentials/{*}EapTtls/{*}Password") == password
    tree = etree.fromstring(octets(eap_config.eap_config(profile, P12_PASSWORD)))
    assert tree.findtext(".//DisplayName") == name
    told = fields(profile)
    assert text_of(told["username"]) == credential.username
    assert text_of(told["password"]) == password


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"operator_name": "a\nb"}, ProvisionReason.INVALID_NAME),
        ({"operator_name": "\x0b"}, ProvisionReason.INVALID_NAME),
        ({"operator_name": "x" * (model.TEXT_LENGTH_MAX + 1)}, ProvisionReason.INVALID_NAME),
        ({"server_names": ()}, ProvisionReason.INVALID_NAME),
        ({"server_names": ('a"b.example',)}, ProvisionReason.INVALID_NAME),
        ({"server_names": (SERVER,) * (model.NAMES_MAX + 1)}, ProvisionReason.INVALID_NAME),
        ({"realm": "lumen"}, ProvisionReason.INVALID_REALM),
        ({"home_fqdn": "lumen.example\n"}, ProvisionReason.INVALID_REALM),
        ({"consortia": ()}, ProvisionReason.INVALID_CONSORTIUM),
        ({"consortia": ("5a03ba0000",)}, ProvisionReason.INVALID_CONSORTIUM),
        ({"consortia": ("004096", "004096")}, ProvisionReason.INVALID_CONSORTIUM),
        ({"anchors": ()}, ProvisionReason.INVALID_ANCHOR),
        ({"anchors": (HOME.server.certificate,)}, ProvisionReason.INVALID_ANCHOR),
        ({"credential": replace(PASSWORD, username="alice")}, ProvisionReason.INVALID_CREDENTIAL),
        ({"credential": replace(PASSWORD, password="")}, ProvisionReason.INVALID_CREDENTIAL),
        ({"credential": Sim("2089")}, ProvisionReason.INVALID_CREDENTIAL),
        ({"credential": Sim("20893", mnc_digits=4)}, ProvisionReason.INVALID_CREDENTIAL),
    ],
)
def test_a_description_that_no_format_holds_is_refused_by_all(
    change: dict, reason: ProvisionReason
) -> None:
    profile = HOME.profile(**change)
    for made in (
        apple.mobileconfig(profile, P12_PASSWORD),
        android.wifi_config(profile),
        windows.carrier_provisioning(profile),
        eap_config.eap_config(profile, P12_PASSWORD),
        supplicant.passpoint(profile, P12_PASSWORD),
        supplicant.network(profile, "test", P12_PASSWORD),
    ):
        assert isinstance(made, Refusal)
        assert made.reason is reason


def test_the_most_that_is_taken_is_taken() -> None:
    most = HOME.profile(
        PASSWORD,
        operator_name="x" * model.TEXT_LENGTH_MAX,
        consortia=tuple(f"{number:010X}" for number in range(model.CONSORTIA_MAX)),
        server_names=(SERVER,) * model.NAMES_MAX,
        anchors=HOME.anchors * (model.ANCHORS_MAX // 2),
    )
    assert model.checked(most) is None
    more = replace(most, consortia=(*most.consortia, "FFFFFFFFFF"))
    assert isinstance(model.checked(more), Refusal)


def test_windows_signature_covers_every_octet_that_counts() -> None:
    plain = octets(windows.carrier_provisioning(HOME.profile(PASSWORD)))
    signed = signing.enveloped(plain, HOME.signer)
    seen = XMLVerifier().verify(signed, x509_cert=HOME.server.certificate)
    seen = seen if not isinstance(seen, list) else seen[0]
    assert seen.signed_xml is not None
    assert seen.signed_xml.findtext(".//{*}WLANProfile/{*}name") == "Lumen Mobile"
    assert seen.signed_xml.find(".//{*}Signature") is None
    for part, other in ((b"Lumen Mobile", b"Lumen Mobilf"), (b"correct horse", b"correct mouse")):
        with pytest.raises(InvalidSignature):
            XMLVerifier().verify(signed.replace(part, other), x509_cert=HOME.server.certificate)


def test_nothing_of_a_credential_shows_in_a_repr() -> None:
    profile = HOME.profile(PAP)
    assert HOSTILE not in repr(profile)
    assert "alice" not in repr(profile)
    assert SIM.imsi not in repr(HOME.profile(SIM))
