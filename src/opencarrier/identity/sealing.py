"""Secrets at rest: sealed under data keys, those wrapped by a sealing key that lives elsewhere.

A sealed value is bound to its table, column and row: moved to another place it does not open.
Sealing is AES-SIV (RFC 5297): it needs no nonce, so no bad source of randomness can break it.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from opencarrier.kernel.entropy import Entropy

DATA_KEY_OCTETS = 64
FILE_KEY_OCTETS = 64
_VERSION = 1
_HEAD_OCTETS = 5
_FILE_WORDS = "opencarrier sealing key 1"
_TAG_OCTETS = 16


class SealError(Exception):
    """A sealed value does not open, or the sealing key cannot be used; `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class SealingKey(Protocol):
    """Whoever wraps data keys: a file by default, a KMS or an HSM where there is one."""

    @property
    def name(self) -> str:
        """Which key it is, so that a wrong one is told before anything fails to open."""
        ...

    def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """Encrypt a data key, bound to a context."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt a data key; `SealError` where key or context are not those of the wrapping."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sealed value stands; it opens nowhere else."""

    table: str
    column: str
    row: str

    def associated(self) -> list[bytes]:
        """The associated data, one string per part, so that no two places read alike."""
        return [self.table.encode(), self.column.encode(), self.row.encode()]


class FileSealingKey:
    """A sealing key in a file only its owner may read."""

    __slots__ = ("_cipher", "name")

    def __init__(self, secret: bytes) -> None:
        assert len(secret) == FILE_KEY_OCTETS
        self._cipher = AESSIV(secret)
        self.name = "file:" + sha256(b"opencarrier/sealing-key-name" + secret).hexdigest()[:16]

    def __repr__(self) -> str:
        """Name the key, never its secret."""
        return f"FileSealingKey({self.name})"

    @classmethod
    def load(cls, path: Path) -> FileSealingKey:
        """Read the key; `SealError` where it is missing, malformed or open to others."""
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = path.read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise SealError(
                f"{path}: cannot read the sealing key ({type(error).__name__})",
                "without it no secret of this folder opens: put it back from its backup",
            ) from None
        if mode & 0o077:
            raise SealError(f"{path}: others may read it (mode {mode:04o})", f"chmod 600 {path}")
        words, _, digits = text.strip().rpartition(" ")
        if words != _FILE_WORDS or len(digits) != 2 * FILE_KEY_OCTETS:
            raise SealError(f"{path}: not a sealing key", "put it back from its backup")
        try:
            return cls(bytes.fromhex(digits))
        except ValueError:
            raise SealError(f"{path}: not a sealing key", "put it back from its backup") from None

    @classmethod
    def make(cls, path: Path, entropy: Entropy) -> FileSealingKey:
        """Write a new key, durable before it is used; an existing file is never overwritten."""
        secret = entropy.octets("sealing-key", FILE_KEY_OCTETS)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{_FILE_WORDS} {secret.hex()}\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # whole or not at all, and never over another key
        except FileExistsError:
            raise SealError(f"{path}: exists", "load it, or move it away") from None
        finally:
            temporary.unlink()
        _sync_folder(path.parent)
        return cls(secret)

    def wrap(self, data_key: bytes, context: bytes) -> bytes:
        """Encrypt a data key, bound to a context."""
        return self._cipher.encrypt(data_key, [b"data-key", context])

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Decrypt a data key."""
        try:
            return self._cipher.decrypt(wrapped, [b"data-key", context])
        except InvalidTag:
            raise SealError("the data key was not wrapped by this sealing key") from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DataKey:
    """One data key, unwrapped in memory; it seals and opens values and is never shown."""

    __slots__ = ("_cipher", "number")

    def __init__(self, number: int, secret: bytes) -> None:
        assert 0 < number < 1 << 32
        assert len(secret) == DATA_KEY_OCTETS
        self.number = number
        self._cipher = AESSIV(secret)

    def __repr__(self) -> str:
        """Name the key, never its secret."""
        return f"DataKey({self.number})"

    def seal(self, place: Place, secret: bytes) -> bytes:
        """Return `version | key number | SIV | ciphertext` of a secret for its place."""
        assert secret, "an empty secret is none"
        head = bytes((_VERSION,)) + self.number.to_bytes(4, "big")
        return head + self._cipher.encrypt(secret, [head, *place.associated()])

    def open(self, place: Place, sealed: bytes) -> bytes:
        """Return the secret; `SealError` for another place, key or a changed octet."""
        head, body = sealed[:_HEAD_OCTETS], sealed[_HEAD_OCTETS:]
        try:
            return self._cipher.decrypt(body, [head, *place.associated()])
        except (InvalidTag, ValueError):
            raise SealError(
                f"the sealed {place.column} in {place.table} does not open",
                "the database was changed by hand or belongs to another sealing key",
            ) from None


def key_number(sealed: bytes) -> int:
    """Return which data key a value was sealed under; `SealError` for what is no sealed value."""
    if len(sealed) <= _HEAD_OCTETS + _TAG_OCTETS or sealed[0] != _VERSION:
        raise SealError("not a sealed value")
    return int.from_bytes(sealed[1:_HEAD_OCTETS], "big")
