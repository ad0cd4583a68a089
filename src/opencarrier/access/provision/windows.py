"""The profile of Windows 10 and 11: a CarrierProvisioning document, to be signed.

Order matters: the schema is a sequence throughout. Windows takes no client key from such a
document: that is installed first, as PKCS#12. Source: Microsoft's CarrierControlSchema, WLAN
profile schema (Hotspot2) and EAP connection properties.
"""

from __future__ import annotations

from hashlib import sha256
from xml.etree.ElementTree import Element

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1

from opencarrier.access.provision.model import (
    EAP_TLS,
    EAP_TTLS,
    Inner,
    Password,
    Profile,
    ProvisionReason,
    Sim,
    checked,
)
from opencarrier.access.provision.xml import document, node
from opencarrier.kernel.refusals import Refusal

CONTENT_TYPE = "application/xml"

_MICROSOFT = "http://www.microsoft.com"
_CARRIER = f"{_MICROSOFT}/networking/CarrierControl/v1"
_WLAN = f"{_MICROSOFT}/networking/CarrierControl/WLAN/v1"
_ONE_X = f"{_MICROSOFT}/networking/OneX/v1"
_PROVISIONING = f"{_MICROSOFT}/provisioning"
_COMMON = f"{_PROVISIONING}/EapCommon"
_AUTHOR_OF_TTLS = "311"


def carrier_provisioning(profile: Profile) -> bytes | Refusal:
    """Return the document, unsigned."""
    refusal = checked(profile)
    if refusal is not None:
        return refusal
    if isinstance(profile.credential, Sim):
        return Refusal(ProvisionReason.UNSUPPORTED, "Windows takes SIMs from its carrier database")
    subscriber = int.from_bytes(sha256(profile.identifier("subscriber").encode()).digest()[:4])
    return document(
        node(
            "CarrierProvisioning",
            node(
                "Global",
                node("CarrierId", f"{{{profile.identifier('carrier').upper()}}}"),
                node("SubscriberId", f"{subscriber:010d}"),
            ),
            node("WLANProfiles", _wlan(profile)),
            xmlns=_CARRIER,
        )
    )


def _wlan(profile: Profile) -> Element:
    return node(
        "WLANProfile",
        node("name", profile.operator_name),
        node("SSIDConfig", node("SSID", node("name", "_Passpoint"))),
        node(
            "Hotspot2",
            node("DomainName", profile.home_fqdn),
            node("NAIRealm", node("name", profile.realm)),
            node("RoamingConsortium", *(node("OUI", one) for one in profile.consortia)),
        ),
        node("MSM", _security(profile)),
        xmlns=_WLAN,
    )


def _security(profile: Profile) -> Element:
    one_x = node("OneX", node("authMode", "user"), node("EAPConfig", _host(profile)), xmlns=_ONE_X)
    security = node(
        "security",
        node(
            "authEncryption",
            node("authentication", "WPA2"),
            node("encryption", "AES"),
            node("useOneX", "true"),
        ),
        node("PMKCacheMode", "enabled"),
        node("PMKCacheTTL", "720"),
        node("PMKCacheSize", "128"),
        node("preAuthMode", "disabled"),
        one_x,
    )
    if isinstance(profile.credential, Password):
        security.append(_user(profile.credential))
    return security


def _host(profile: Profile) -> Element:
    password = isinstance(profile.credential, Password)
    return node(
        "EapHostConfig",
        _method(EAP_TTLS if password else EAP_TLS, _AUTHOR_OF_TTLS if password else "0"),
        node(
            "Config",
            _ttls(profile, profile.credential)
            if isinstance(profile.credential, Password)
            else _tls(profile),
            xmlns=f"{_PROVISIONING}/EapHostConfig",
        ),
        xmlns=f"{_PROVISIONING}/EapHostConfig",
    )


def _method(eap_type: int, author: str) -> Element:
    numbers = (
        ("Type", str(eap_type)),
        ("VendorId", "0"),
        ("VendorType", "0"),
        ("AuthorId", author),
    )
    return node("EapMethod", *(node(tag, number, xmlns=_COMMON) for tag, number in numbers))


def _ttls(profile: Profile, credential: Password) -> Element:
    if credential.inner is Inner.PAP:
        inner = node("PAPAuthentication")
    else:
        inner = node("MSCHAPv2Authentication", node("UseWinlogonCredentials", "false"))
    return node(
        "EapTtls",
        node(
            "ServerValidation",
            node("ServerNames", ";".join(profile.server_names)),
            *(node("TrustedRootCAHash", thumbprint(one)) for one in profile.anchors),
            node("DisablePrompt", "true"),
        ),
        node("Phase2Authentication", inner),
        node(
            "Phase1Identity",
            node("IdentityPrivacy", "true"),
            node("AnonymousIdentity", profile.outer_identity),
        ),
        xmlns=f"{_PROVISIONING}/EapTtlsConnectionPropertiesV1",
    )


def _tls(profile: Profile) -> Element:
    source = node("CertificateStore", node("SimpleCertSelection", "true"))
    kind = node(
        "EapType",
        node("CredentialsSource", source),
        node(
            "ServerValidation",
            node("DisableUserPromptForServerValidation", "true"),
            node("ServerNames", ";".join(profile.server_names)),
            *(node("TrustedRootCA", thumbprint(one)) for one in profile.anchors),
        ),
        node("DifferentUsername", "false"),
        xmlns=f"{_PROVISIONING}/EapTlsConnectionPropertiesV1",
    )
    return node(
        "Eap",
        node("Type", str(EAP_TLS)),
        kind,
        xmlns=f"{_PROVISIONING}/BaseEapConnectionPropertiesV1",
    )


def _user(credential: Password) -> Element:
    method = node(
        "EapMethod",
        node("Type", str(EAP_TTLS), xmlns=_COMMON),
        node("AuthorId", _AUTHOR_OF_TTLS, xmlns=_COMMON),
    )
    return node(
        "EapHostUserCredentials",
        method,
        node(
            "Credentials",
            node(
                "EapTtls",
                node("Username", credential.username),
                node("Password", credential.password),
                xmlns=f"{_PROVISIONING}/EapTtlsUserPropertiesV1",
            ),
        ),
        xmlns=f"{_PROVISIONING}/EapHostUserCredentials",
    )


def thumbprint(certificate: x509.Certificate) -> str:
    """Return a certificate's SHA-1 as Windows writes it: octets in hex, blanks between."""
    return certificate.fingerprint(SHA1()).hex(" ")  # noqa: S303 - Windows' own name for it
