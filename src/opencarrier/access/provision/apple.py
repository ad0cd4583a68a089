"""The profile of iOS and macOS: a property list of payloads (Apple's Configuration Profiles).

One Wi-Fi payload names all consortia, and where there are several each has one of its own beside
it: systems have been seen to take the first of a list only.
"""

from __future__ import annotations

import plistlib
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from opencarrier.access.provision import pkcs12
from opencarrier.access.provision.model import ClientCertificate, Password, Profile, Sim, checked
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Refusal

CONTENT_TYPE = "application/x-apple-aspen-config"

Payload = dict[str, Any]


def mobileconfig(profile: Profile, p12_password: str) -> bytes | Refusal:
    """Return the profile, unsigned; the password protects the client's key within it."""
    refusal = checked(profile)
    if refusal is not None:
        return refusal
    certificates = [_anchor(profile, number) for number in range(len(profile.anchors))]
    if isinstance(profile.credential, ClientCertificate):
        certificates += _between(profile, profile.credential)
        certificates.append(_key(profile, profile.credential, p12_password))
    sets = [profile.consortia]
    if len(profile.consortia) > 1:
        sets += [(one,) for one in profile.consortia]
    made = {
        **_payload(profile, "Configuration", "profile", profile.operator_name),
        "PayloadIdentifier": _identifier(profile, ""),
        "PayloadOrganization": profile.operator_name,
        "PayloadRemovalDisallowed": False,
        "RemovalDate": datetime.fromtimestamp(profile.valid_until_us // SECOND_US, UTC).replace(
            tzinfo=None
        ),
        "PayloadContent": [*certificates, *(_wifi(profile, one) for one in sets)],
    }
    return plistlib.dumps(made)


def _payload(profile: Profile, kind: str, part: str, name: str) -> Payload:
    return {
        "PayloadType": kind,
        "PayloadVersion": 1,
        "PayloadUUID": profile.identifier(part).upper(),
        "PayloadIdentifier": _identifier(profile, part),
        "PayloadDisplayName": name,
    }


def _identifier(profile: Profile, part: str) -> str:
    reversed_realm = ".".join(reversed(profile.realm.split(".")))
    return ".".join(filter(None, (reversed_realm, "passpoint", part)))


def _anchor(profile: Profile, number: int) -> Payload:
    certificate = profile.anchors[number]
    return {
        **_payload(profile, "com.apple.security.root", f"anchor-{number}", f"Root {number}"),
        "PayloadCertificateFileName": f"root-{number}.cer",
        "PayloadContent": certificate.public_bytes(Encoding.DER),
    }


def _between(profile: Profile, credential: ClientCertificate) -> list[Payload]:
    """The authorities between, untrusted: a device may show its whole chain."""
    return [
        {
            **_payload(profile, "com.apple.security.pkcs1", f"authority-{number}", "Authority"),
            "PayloadCertificateFileName": f"authority-{number}.cer",
            "PayloadContent": one.public_bytes(Encoding.DER),
        }
        for number, one in enumerate(credential.chain)
    ]


def _key(profile: Profile, credential: ClientCertificate, password: str) -> Payload:
    """The authorities are left out: macOS would trust what comes with a key for everything."""
    return {
        **_payload(profile, "com.apple.security.pkcs12", "key", "Key"),
        "PayloadCertificateFileName": "key.p12",
        "PayloadContent": pkcs12.legacy(credential, password),
        "Password": password,
    }


def _wifi(profile: Profile, consortia: tuple[str, ...]) -> Payload:
    part = "wifi-" + ("all" if consortia == profile.consortia else consortia[0].lower())
    made = {
        **_payload(profile, "com.apple.wifi.managed", part, profile.operator_name),
        "AutoJoin": True,
        "CaptiveBypass": False,
        "EncryptionType": "WPA2",
        "HIDDEN_NETWORK": False,
        "ProxyType": "None",
        "IsHotspot": True,
        "ServiceProviderRoamingEnabled": True,
        "DisplayedOperatorName": profile.operator_name,
        "DomainName": profile.home_fqdn,
        "RoamingConsortiumOIs": list(consortia),
        "NAIRealmNames": [profile.realm],
        "EAPClientConfiguration": _eap(profile),
    }
    if isinstance(profile.credential, ClientCertificate):
        made["PayloadCertificateUUID"] = profile.identifier("key").upper()
    if isinstance(profile.credential, Sim):
        plmn = profile.credential.plmn
        made["MCCAndMNCs"] = [plmn[:3] + plmn[3:].zfill(3)]
    return made


def _eap(profile: Profile) -> Payload:
    credential = profile.credential
    made: Payload = {"AcceptEAPTypes": list(credential.eap_types)}
    if isinstance(credential, Sim):
        return made
    made |= {
        "TLSTrustedServerNames": list(profile.server_names),
        "PayloadCertificateAnchorUUID": [
            profile.identifier(f"anchor-{number}").upper() for number in range(len(profile.anchors))
        ],
        "TLSMinimumVersion": "1.2",
        "TLSMaximumVersion": "1.3",
    }
    if isinstance(credential, Password):
        return made | {
            "TTLSInnerAuthentication": credential.inner.value,
            "OuterIdentity": profile.outer_identity,
            "UserName": credential.username,
            "UserPassword": credential.password,
        }
    return made | {"UserName": profile.outer_identity}
