"""The one form in which a password is kept and compared: its NT hash (RFC 2759 section 8.3).

MSCHAPv2 needs exactly this, and a password told in clear is hashed before it is compared. It is as
good as the password, so it is stored sealed. MD4 comes from pycryptodome: OpenSSL keeps it in its
legacy provider, which wheels of `cryptography` do not load.
"""

from __future__ import annotations

from Crypto.Hash import MD4

NT_HASH_OCTETS = 16
PASSWORD_CHARACTERS_MAX = 256


def md4(octets: bytes) -> bytes:
    """MD4 (RFC 1320), which the standard names; nothing else may rest on it."""
    return MD4.new(octets).digest()  # noqa: S303


def nt_hash(password: str) -> bytes:
    """Return MD4 of the password in UTF-16, little endian: 16 octets."""
    return md4(password.encode("utf-16-le", "surrogatepass"))
