"""Certificates and passwords that subscribers prove themselves with, besides SIMs.

Of a certificate its SHA-256 is kept, of a password its NT hash, sealed (`kernel.passwords`).
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from sqlalchemy import Connection, insert, update
from sqlalchemy.engine import Row

from opencarrier.identity import rules, store
from opencarrier.identity.directory import Directory
from opencarrier.identity.model import IdentityReason, Login
from opencarrier.identity.sealing import Place
from opencarrier.identity.secrets import Secrets
from opencarrier.identity.vault import Vault
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.passwords import NT_HASH_OCTETS, nt_hash
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.access import Credential, CredentialKind
from opencarrier.spine.parties import PartyId

_DECOY = "no-password"


class Logins:
    """Adds, changes, revokes and finds; each call stands in the caller's unit.

    It answers the port `Passwords`.
    """

    def __init__(self, directory: Directory, vault: Vault, secrets: Secrets, clock: Clock) -> None:
        self._directory = directory
        self._vault = vault
        self._secrets = secrets
        self._clock = clock
        self._decoy = b""

    def add_certificate(
        self, unit: Connection, *, subscriber: PartyId, pem: bytes
    ) -> Login | Refusal:
        """Let a subscriber on with a certificate; its key stays with the device."""
        certificate = rules.read_certificate(pem, now_us=self._clock.now_us())
        if isinstance(certificate, Refusal):
            return certificate
        if store.subscriber(unit, subscriber) is None:
            return Refusal(IdentityReason.UNKNOWN_SUBSCRIBER, subscriber)
        fingerprint = certificate.fingerprint(SHA256()).hex()
        known = store.login(unit, Credential(CredentialKind.CERTIFICATE, fingerprint))
        if known is not None:
            return _same(known, subscriber)
        expires_us = int(certificate.not_valid_after_utc.timestamp()) * SECOND_US
        row = {"fingerprint": fingerprint, "subscriber": subscriber, "expires_us": expires_us}
        unit.execute(insert(store.certificates).values(row))
        return _made(unit, CredentialKind.CERTIFICATE, fingerprint)

    def add_password(
        self,
        unit: Connection,
        *,
        subscriber: PartyId,
        user_name: str,
        password: str,
        expires_us: int | None = None,
    ) -> Login | Refusal:
        """Let a subscriber on with a password; the same again is the same, another is refused."""
        refusal = rules.checked_user_name(user_name) or rules.checked_password(password)
        if refusal is not None:
            return refusal
        if store.subscriber(unit, subscriber) is None:
            return Refusal(IdentityReason.UNKNOWN_SUBSCRIBER, subscriber)
        row = store.password_rows(unit, [user_name]).get(user_name)
        if row is not None:
            if not hmac.compare_digest(self._open(unit, row), nt_hash(password)):
                return Refusal(IdentityReason.EXISTS_WITH_DIFFERENT_SECRET, user_name)
            return _same(_made(unit, CredentialKind.PASSWORD, user_name), subscriber)
        values = {"user_name": user_name, "subscriber": subscriber, "expires_us": expires_us}
        sealed = self._vault.seal(unit, _place(user_name), nt_hash(password))
        unit.execute(insert(store.passwords).values(**values, hash_sealed=sealed))
        return _made(unit, CredentialKind.PASSWORD, user_name)

    def change_password(
        self,
        unit: Connection,
        subscriber: PartyId,
        *,
        user_name: str,
        password: str,
        expires_us: int | None = None,
    ) -> Login | Refusal:
        """Give a user another password, also where the old one was revoked or has expired."""
        refusal = rules.checked_password(password)
        if refusal is not None:
            return refusal
        known = store.login(unit, Credential(CredentialKind.PASSWORD, user_name))
        if known is None:
            return Refusal(IdentityReason.UNKNOWN_CREDENTIAL, user_name)
        if known.subscriber != subscriber:
            return Refusal(IdentityReason.EXISTS_WITH_DIFFERENT_SUBSCRIBER, user_name)
        sealed = self._vault.seal(unit, _place(user_name), nt_hash(password))
        unit.execute(
            update(store.passwords)
            .where(store.passwords.c.user_name == user_name)
            .values(hash_sealed=sealed, expires_us=expires_us, revoked_us=None)
        )
        return _made(unit, CredentialKind.PASSWORD, user_name)

    def revoke(self, unit: Connection, credential: Credential) -> Login | Refusal:
        """Let nobody on with a credential from now on; again changes nothing."""
        known = store.login(unit, credential)
        if known is None:
            return Refusal(IdentityReason.UNKNOWN_CREDENTIAL, credential.value)
        if known.revoked_us is None:
            store.revoke(unit, credential, at_us=self._clock.now_us())
        return _made(unit, credential.kind, credential.value)

    def of(self, unit: Connection, subscriber: PartyId) -> Sequence[Login]:
        """Return a subscriber's certificates, then its passwords, ascending."""
        return store.logins_of(unit, subscriber)

    def passwords(self, unit: Connection, asked: Sequence[tuple[str, str]]) -> list[bytes]:
        """Return, by user name and realm, the NT hashes to compare with.

        A stranger's is one that nobody's password has. So whether a user exists shows neither in
        the answer nor in the work it takes.
        """
        if not self._decoy:
            self._decoy = self._secrets.octets(unit, _DECOY, NT_HASH_OCTETS)
        rows = store.password_rows(unit, {user_name for user_name, _ in asked})
        return [self._password(unit, rows.get(name), name, realm) for name, realm in asked]

    def _password(
        self, unit: Connection, row: Row[Any] | None, user_name: str, realm: str
    ) -> bytes:
        home = self._directory.home_of(unit, realm)
        if row is not None and home is not None and self._holds(row, home.party_id):
            return self._open(unit, row)
        return hmac.digest(self._decoy, user_name.encode(), "sha256")[:NT_HASH_OCTETS]

    def _holds(self, row: Row[Any], home: PartyId) -> bool:
        login = store.read_login(row, Credential(CredentialKind.PASSWORD, row.user_name))
        return row.home == home and login.holds(self._clock.now_us())

    def _open(self, unit: Connection, row: Row[Any]) -> bytes:
        return self._vault.open(unit, _place(row.user_name), row.hash_sealed)


def _made(unit: Connection, kind: CredentialKind, value: str) -> Login:
    made = store.login(unit, Credential(kind, value))
    assert made is not None
    return made


def _same(known: Login, subscriber: PartyId) -> Login | Refusal:
    if known.subscriber != subscriber:
        return Refusal(IdentityReason.EXISTS_WITH_DIFFERENT_SUBSCRIBER, known.credential.value)
    return known


def _place(user_name: str) -> Place:
    return Place(store.passwords.name, "hash_sealed", user_name)
