"""The profile of Linux: a `cred` block of wpa_supplicant, or a `network` block of the same content.

Certificates stand in the file itself, as blobs. A string of other than plain characters is written
in hex digits: nothing in a name ends the string or the line it stands in. Source: wpa_supplicant's
README-HS20 and wpa_supplicant.conf.
"""

from __future__ import annotations

import re
from base64 import encodebytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from opencarrier.access.provision import pkcs12
from opencarrier.access.provision.model import (
    EAP_AKA,
    EAP_AKA_PRIME,
    EAP_TLS,
    EAP_TTLS,
    ClientCertificate,
    Inner,
    Profile,
    Sim,
    checked,
)
from opencarrier.kernel.refusals import Refusal

CONTENT_TYPE = "text/plain; charset=utf-8"

_PLAIN = re.compile(r"[A-Za-z0-9 @.,:;/=_'*+-]+")
_PHASE2 = {Inner.PAP: "auth=PAP", Inner.MSCHAPV2: "auth=MSCHAPV2"}
_METHODS = {EAP_TLS: "TLS", EAP_TTLS: "TTLS", EAP_AKA: "AKA", EAP_AKA_PRIME: "AKA'"}
_ANCHORS, _KEY = "anchors", "key"


def passpoint(profile: Profile, p12_password: str) -> bytes | Refusal:
    """Return a configuration that finds networks by their consortia."""
    refusal = checked(profile)
    if refusal is not None:
        return refusal
    cred = [
        *_text("realm", profile.realm),
        *_text("domain", profile.home_fqdn),
        *_text("roaming_consortiums", ",".join(profile.consortia).lower()),
        f"eap={_methods(profile)[0]}",
        *_proof(profile, p12_password, cred=True),
    ]
    return _file(
        ["interworking=1", "hs20=1", "auto_interworking=1"], "cred", cred, profile, p12_password
    )


def network(profile: Profile, ssid: str, p12_password: str) -> bytes | Refusal:
    """Return a configuration for one network by its name, such as a wired or a test one."""
    refusal = checked(profile)
    if refusal is not None:
        return refusal
    lines = [
        *_text("ssid", ssid),
        "key_mgmt=WPA-EAP",
        f"eap={' '.join(_methods(profile))}",
        *_proof(profile, p12_password, cred=False),
    ]
    return _file([], "network", lines, profile, p12_password)


def _file(
    head: list[str], kind: str, lines: list[str], profile: Profile, p12_password: str
) -> bytes:
    body = "\n".join([*head, f"{kind}={{", *(f"    {line}" for line in lines), "}", ""])
    blobs = "" if isinstance(profile.credential, Sim) else _blob(_ANCHORS, _pem(profile.anchors))
    if isinstance(profile.credential, ClientCertificate):
        blobs += _blob(_KEY, pkcs12.modern(profile.credential, p12_password))
    return (body + blobs).encode()


def _methods(profile: Profile) -> list[str]:
    """A `cred` takes the first only."""
    return [_METHODS[one] for one in profile.credential.eap_types]


def _proof(profile: Profile, p12_password: str, *, cred: bool) -> list[str]:
    """A `cred` makes the anonymous identity out of the realm by itself; a `network` is told it."""
    credential = profile.credential
    if isinstance(credential, Sim):
        return _sim(credential, cred=cred)
    made = [
        *_text("ca_cert", f"blob://{_ANCHORS}"),
        *_text("domain_suffix_match", ";".join(profile.server_names)),
    ]
    name = "username" if cred else "identity"
    if isinstance(credential, ClientCertificate):
        made += _text(name, profile.outer_identity)
        made += _text("private_key", f"blob://{_KEY}")
        return [*made, *_text("private_key_passwd", p12_password)]
    if not cred:
        made += _text("anonymous_identity", profile.outer_identity)
    made += [*_text(name, credential.username), *_text("password", credential.password)]
    return [*made, *_text("phase2", _PHASE2[credential.inner])]


def _sim(credential: Sim, *, cred: bool) -> list[str]:
    if not cred:
        return []
    at = 3 + credential.mnc_digits
    return _text("imsi", f"{credential.imsi[:at]}-{credential.imsi[at:]}")


def _text(name: str, value: str) -> list[str]:
    written = f'"{value}"' if _PLAIN.fullmatch(value) else value.encode().hex()
    return [f"{name}={written}"]


def _pem(certificates: tuple[x509.Certificate, ...]) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def _blob(name: str, octets: bytes) -> str:
    return f"blob-base64-{name}={{\n{encodebytes(octets).decode()}}}\n"
