"""Who a peer says it is: permanent identities, sealed pseudonyms, encrypted permanent identities.

A pseudonym is the IMSI itself, sealed for the home, so there is no table of them to keep or to
lose. Its key follows from one secret and the period of issue: a new key each period by itself, and
pseudonyms of periods long gone open no more. Sources: RFC 4187 section 4.1, TS 23.003 section 14.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.entropy import Entropy

SECRET_OCTETS = 32
PERIOD_S = 30 * 86_400
PERIODS_KEPT = 3
"""How many periods after its own a pseudonym opens: 90 to 120 days."""

PRIVACY_KEYS_MAX = 4

_NONCE_OCTETS = 12
_TAG_OCTETS = 16
_PERIOD_OCTETS = 2
_IMSI_OCTETS = 7
_TOKEN_OCTETS = _PERIOD_OCTETS + _NONCE_OCTETS + _IMSI_OCTETS + _TAG_OCTETS
_REALM = r"[0-9A-Za-z](?:[0-9A-Za-z.-]{0,240}[0-9A-Za-z])?"
_PERMANENT = re.compile(rf"[06]([0-9]{{6,15}})@({_REALM})")
_TEMPORARY = re.compile(rf"([0-9A-Za-z_-]{{1,128}})@({_REALM})")
_ENCRYPTED = re.compile(rf"\x00([0-9A-Za-z+/=]{{1,1000}})(?:@({_REALM}))?(?:,([ -~]{{1,128}}))?")


def permanent_identity(identity: bytes) -> tuple[str, str] | None:
    """The IMSI and the lower-case realm of `0<IMSI>@realm` or `6<IMSI>@realm`, or None.

    Either method takes either digit: a peer that changed the method by NAK told the other one
    (RFC 4187 section 4.1.1.6, RFC 9048 section 5.3.1).
    """
    match = _PERMANENT.fullmatch(_text(identity))
    return (match[1], match[2].lower()) if match else None


def temporary_identity(identity: bytes) -> tuple[str, str] | None:
    """What stands after the first octet of `<digit><name>@realm`, and the realm, or None."""
    match = _TEMPORARY.fullmatch(_text(identity[1:]))
    return (match[1], match[2].lower()) if match else None


def _text(octets: bytes) -> str:
    try:
        return octets.decode("ascii")
    except UnicodeDecodeError:
        return ""


class PseudonymRing:
    """Seals IMSIs into pseudonyms and opens those issued in this period or the last few.

    A name is `period (2) | nonce (12) | sealed IMSI (7) | tag (16)` in base64url, bound to its
    realm; two of one IMSI have nothing in common. AES-256-GCM (SP 800-38D).
    """

    def __init__(self, secret: bytes) -> None:
        assert len(secret) == SECRET_OCTETS
        self._secret = secret
        self._ciphers: dict[int, AESGCM] = {}

    def seal(self, imsi: str, realm: str, *, now_us: int, entropy: Entropy) -> str:
        """Make a fresh name for an IMSI, without the digit that tells the method."""
        period = _period(now_us)
        header = (period % 65_536).to_bytes(_PERIOD_OCTETS, "big")
        nonce = entropy.octets("access/pseudonym-nonce", _NONCE_OCTETS)
        clear = int(f"1{imsi}").to_bytes(_IMSI_OCTETS, "big")
        sealed = self._cipher(period).encrypt(nonce, clear, header + realm.encode())
        return urlsafe_b64encode(header + nonce + sealed).rstrip(b"=").decode()

    def open(self, name: str, realm: str, *, now_us: int) -> str | None:
        """Return the IMSI in a name, or None where it is not ours, not this realm's or too old."""
        try:
            token = urlsafe_b64decode(name + "=" * (-len(name) % 4))
        except ValueError:
            return None
        if len(token) != _TOKEN_OCTETS:
            return None
        header, nonce = token[:_PERIOD_OCTETS], token[_PERIOD_OCTETS:][:_NONCE_OCTETS]
        now = _period(now_us)
        period = now - (now - int.from_bytes(header, "big")) % 65_536
        if now - period > PERIODS_KEPT:
            return None
        try:
            clear = self._cipher(period).decrypt(
                nonce, token[_PERIOD_OCTETS + _NONCE_OCTETS :], header + realm.encode()
            )
        except InvalidTag:
            return None
        return str(int.from_bytes(clear, "big"))[1:]

    def _cipher(self, period: int) -> AESGCM:
        cipher = self._ciphers.get(period)
        if cipher is None:
            key = hmac.digest(
                self._secret, f"opencarrier/pseudonym/aes/{period}".encode(), "sha256"
            )
            if len(self._ciphers) > PERIODS_KEPT:
                self._ciphers.clear()
            self._ciphers[period] = cipher = AESGCM(key)
        return cipher


def _period(now_us: int) -> int:
    return now_us // (PERIOD_S * SECOND_US)


@dataclass(frozen=True, slots=True)
class PrivacyRing:
    """Private keys, by key identifier, that open permanent identities phones encrypted.

    Published as Wi-Fi carriers and phones do it: a NUL, then in base64 the permanent identity
    under RSA-OAEP with SHA-256, then perhaps the realm, then perhaps a comma and `name=value`
    that tells which key.
    """

    keys: Mapping[str, RSAPrivateKey] = field(repr=False)

    def __post_init__(self) -> None:
        assert len(self.keys) <= PRIVACY_KEYS_MAX

    def open(self, identity: bytes) -> bytes | None:
        """Return the permanent identity inside, with its realm; None where no key opens it.

        A peer that names no key is tried with each.
        """
        match = _ENCRYPTED.fullmatch(_text(identity))
        if match is None:
            return None
        try:
            sealed = b64decode(match[1], validate=True)
        except ValueError:
            return None
        clear = _opened_by(self._named(match[3]), sealed)
        if clear is None or match[2] is None or b"@" in clear:
            return clear
        return clear + b"@" + match[2].encode()

    def _named(self, identifier: str | None) -> Iterable[RSAPrivateKey]:
        if identifier is None:
            return self.keys.values()
        return (self.keys[identifier],) if identifier in self.keys else ()


def _opened_by(keys: Iterable[RSAPrivateKey], sealed: bytes) -> bytes | None:
    padding = OAEP(MGF1(SHA256()), SHA256(), None)
    for key in keys:
        with suppress(ValueError):
            return key.decrypt(sealed, padding)
    return None
