"""The profile of Android: a PPS-MO tree and certificates in one multipart message, all base64.

Source: the Passpoint specification's PerProviderSubscription; what Android reads of it is in
AOSP's `ConfigParser` and `PpsMoParser`: one root, a PKCS#12 with the empty password, base64 within
base64. It is served as `application/x-wifi-config`.
"""

from __future__ import annotations

from base64 import b64encode, encodebytes
from datetime import UTC, datetime
from hashlib import sha256
from xml.etree.ElementTree import Element

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from opencarrier.access.provision import pkcs12
from opencarrier.access.provision.model import (
    ClientCertificate,
    Inner,
    Password,
    Profile,
    Sim,
    checked,
)
from opencarrier.access.provision.xml import document, node
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Refusal

CONTENT_TYPE = "application/x-wifi-config"
SUBSCRIPTION = "urn:wfa:mo:hotspot2dot0-perprovidersubscription:1.0"

_INNER = {Inner.PAP: "PAP", Inner.MSCHAPV2: "MS-CHAP-V2"}


def wifi_config(profile: Profile) -> bytes | Refusal:
    """Return the whole file as it is served."""
    refusal = checked(profile)
    if refusal is not None:
        return refusal
    parts = [
        ("application/x-passpoint-profile", pps_mo(profile)),
        ("application/x-x509-ca-cert", profile.anchors[0].public_bytes(Encoding.DER)),
    ]
    if isinstance(profile.credential, ClientCertificate):
        parts.append(("application/x-pkcs12", pkcs12.bare(profile.credential)))
    digest = sha256(b"".join(octets for _, octets in parts)).hexdigest()
    return encodebytes(_multipart(parts, f"part-{digest[:32]}"))


def _multipart(parts: list[tuple[str, bytes]], boundary: str) -> bytes:
    lines = [
        f"Content-Type: multipart/mixed; boundary={boundary}",
        "Content-Transfer-Encoding: base64",
        "",
    ]
    for kind, octets in parts:
        lines += [f"--{boundary}", f"Content-Type: {kind}", "Content-Transfer-Encoding: base64", ""]
        lines += encodebytes(octets).decode().splitlines()
    return "\n".join([*lines, f"--{boundary}--", ""]).encode()


def pps_mo(profile: Profile) -> bytes:
    """Return the management object's tree."""
    subscription = _branch(
        "PerProviderSubscription",
        node("RTProperties", node("Type", node("DDFName", SUBSCRIPTION))),
        _branch("i001", _home(profile), _credential(profile), _extension(profile)),
    )
    return document(node("MgmtTree", node("VerDTD", "1.2"), subscription, xmlns="syncml:dmddf1.2"))


def _branch(name: str, *children: Element) -> Element:
    return node("Node", node("NodeName", name), *children)


def _leaf(name: str, value: str) -> Element:
    return node("Node", node("NodeName", name), node("Value", value))


def _home(profile: Profile) -> Element:
    return _branch(
        "HomeSP",
        _leaf("FriendlyName", profile.operator_name),
        _leaf("FQDN", profile.home_fqdn),
        _leaf("RoamingConsortiumOI", ",".join(profile.consortia).lower()),
    )


def _credential(profile: Profile) -> Element:
    ends = datetime.fromtimestamp(profile.valid_until_us // SECOND_US, UTC)
    return _branch(
        "Credential",
        _leaf("ExpirationDate", ends.strftime("%Y-%m-%dT%H:%M:%SZ")),
        _leaf("Realm", profile.realm),
        _proof(profile),
    )


def _proof(profile: Profile) -> Element:
    credential = profile.credential
    if isinstance(credential, ClientCertificate):
        return _branch(
            "DigitalCertificate",
            _leaf("CertificateType", "x509v3"),
            _leaf("CertSHA256Fingerprint", credential.certificate.fingerprint(SHA256()).hex()),
        )
    if isinstance(credential, Sim):
        imsi = credential.imsi if len(credential.imsi) > 6 else f"{credential.imsi}*"
        return _branch("SIM", _leaf("IMSI", imsi), _leaf("EAPType", str(credential.eap_types[0])))
    return _branch("UsernamePassword", *_password(credential))


def _password(credential: Password) -> list[Element]:
    return [
        _leaf("Username", credential.username.rpartition("@")[0]),
        _leaf("Password", b64encode(credential.password.encode()).decode()),
        _leaf("MachineManaged", "true"),
        _branch(
            "EAPMethod",
            _leaf("EAPType", str(credential.eap_types[0])),
            _leaf("InnerMethod", _INNER[credential.inner]),
        ),
    ]


def _extension(profile: Profile) -> Element:
    names = _branch("AAAServerTrustedNames", _leaf("FQDN", ";".join(profile.server_names)))
    return _branch("Extension", _branch("Android", names))
