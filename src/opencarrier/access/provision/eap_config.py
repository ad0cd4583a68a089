"""The `.eap-config` of the geteduroam apps: credentials and networks in one document.

Source: the structure of GEANT's eap-metadata; a condition of `IEEE80211` is one network, several
stand beside each other.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from opencarrier.access.provision import pkcs12
from opencarrier.access.provision.model import (
    Inner,
    Password,
    Profile,
    ProvisionReason,
    Sim,
    checked,
)
from opencarrier.access.provision.xml import document, node
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Refusal

CONTENT_TYPE = "application/x-eap-config"

_NON_EAP = {Inner.PAP: "1", Inner.MSCHAPV2: "3"}


def eap_config(profile: Profile, p12_password: str) -> bytes | Refusal:
    """Return the document; the password protects the client's key within it."""
    refusal = checked(profile)
    if refusal is not None:
        return refusal
    if isinstance(profile.credential, Sim):
        return Refusal(ProvisionReason.UNSUPPORTED, "an .eap-config holds no SIM")
    ends = datetime.fromtimestamp(profile.valid_until_us // SECOND_US, UTC)
    provider = node(
        "EAPIdentityProvider",
        node("ValidUntil", ends.strftime("%Y-%m-%dT%H:%M:%SZ")),
        node("AuthenticationMethods", _method(profile, p12_password)),
        node("CredentialApplicability", *(_network(one) for one in profile.consortia)),
        node("ProviderInfo", node("DisplayName", profile.operator_name)),
        ID=profile.realm,
        namespace="urn:RFC4282:realm",
        lang="en",
        version="1",
    )
    return document(node("EAPIdentityProviderList", provider))


def _network(consortium: str) -> Element:
    return node("IEEE80211", node("ConsortiumOID", consortium.lower()))


def _method(profile: Profile, p12_password: str) -> Element:
    (eap_type,) = profile.credential.eap_types
    made = node(
        "AuthenticationMethod",
        node("EAPMethod", node("Type", str(eap_type))),
        node(
            "ServerSideCredential",
            *(_certificate("CA", one) for one in profile.anchors),
            *(node("ServerID", one) for one in profile.server_names),
        ),
        node("ClientSideCredential", *_client(profile, p12_password)),
    )
    if isinstance(profile.credential, Password):
        kind = node("Type", _NON_EAP[profile.credential.inner])
        made.append(node("InnerAuthenticationMethod", node("NonEAPAuthMethod", kind)))
    return made


def _client(profile: Profile, p12_password: str) -> list[Element]:
    outer, credential = node("OuterIdentity", profile.outer_identity), profile.credential
    if isinstance(credential, Password):
        name, word = credential.username, credential.password
        return [outer, node("UserName", name), node("Password", word)]
    assert not isinstance(credential, Sim), "a SIM was refused before"
    octets = b64encode(pkcs12.legacy(credential, p12_password, with_chain=True)).decode()
    return [
        outer,
        node("ClientCertificate", octets, format="PKCS12", encoding="base64"),
        node("Passphrase", p12_password),
    ]


def _certificate(tag: str, certificate: x509.Certificate) -> Element:
    octets = b64encode(certificate.public_bytes(Encoding.DER)).decode()
    return node(tag, octets, format="X.509", encoding="base64")
