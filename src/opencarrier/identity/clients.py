"""RADIUS clients: which source or certificate may speak, for which operator, under which secret."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, update
from sqlalchemy.engine import Row

from opencarrier.identity import rules, store
from opencarrier.identity.directory import Directory, client_place, read_client
from opencarrier.identity.model import IdentityReason
from opencarrier.identity.vault import Vault
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import PartyId, RadiusClient


class Clients:
    """Adds, changes and removes RADIUS clients; each call stands in the caller's unit."""

    def __init__(self, directory: Directory, vault: Vault) -> None:
        self._directory = directory
        self._vault = vault

    def add(
        self,
        unit: Connection,
        *,
        prefix: str,
        operator: PartyId,
        secret: bytes = b"",
        client_id: str | None = None,
    ) -> RadiusClient | Refusal:
        """Add a client; its id is its prefix, cut to 64, if it has no other.

        Prefixes may lie within each other, the longest then holds; the same prefix twice is
        refused unless all else is equal too. One named by its certificate has the secret of RFC
        6614, whatever is given.
        """
        network = rules.read_prefix(prefix)
        if isinstance(network, Refusal):
            return network
        if rules.is_certificate_name(network):
            secret = rules.RADSEC_SECRET
        name = network[: rules.NAME_LENGTH_MAX] if client_id is None else client_id
        refusal = rules.checked_name(name) or rules.checked_radius_secret(secret)
        if refusal is not None:
            return refusal
        if store.operator(unit, operator) is None:
            return Refusal(IdentityReason.UNKNOWN_OPERATOR, operator)
        known = store.client_by_id(unit, name)
        if known is not None:
            return self._known(unit, known, network, secret, operator)
        holder = store.client_row(unit, (network,))
        if holder is not None:
            return Refusal(IdentityReason.PREFIX_TAKEN, f"{network} is {holder.client_id}'s")
        sealed = self._vault.seal(unit, client_place(name), secret)
        unit.execute(
            insert(store.clients).values(
                client_id=name, prefix=network, operator=operator, secret_sealed=sealed
            )
        )
        self._directory.changed(unit, "client", name, network, operator, sealed)
        return RadiusClient(client_id=name, prefix=network, secret=secret, operator=operator)

    def change_secret(
        self, unit: Connection, client_id: str, *, secret: bytes
    ) -> RadiusClient | Refusal:
        """Give a client another shared secret, in force for its next packet.

        One named by its certificate has the secret of RFC 6614 and no other.
        """
        row = store.client_by_id(unit, client_id)
        if row is None:
            return Refusal(IdentityReason.UNKNOWN_CLIENT, client_id)
        refusal = rules.checked_radius_secret(secret)
        if rules.is_certificate_name(row.prefix) and secret != rules.RADSEC_SECRET:
            refusal = Refusal(IdentityReason.INVALID_SECRET, "over TLS it is radsec (RFC 6614)")
        if refusal is not None:
            return refusal
        sealed = self._vault.seal(unit, client_place(client_id), secret)
        unit.execute(
            update(store.clients)
            .where(store.clients.c.client_id == client_id)
            .values(secret_sealed=sealed)
        )
        self._directory.changed(unit, "client-secret", client_id, sealed)
        return self._open(unit, store.client_by_id(unit, client_id))

    def protect(
        self,
        unit: Connection,
        client_id: str,
        *,
        require_message_authenticator: bool | None,
        limit_proxy_state: bool,
    ) -> RadiusClient | Refusal:
        """Say what a client's unprotected packets are worth, from its next one (CVE-2024-3596)."""
        if store.client_by_id(unit, client_id) is None:
            return Refusal(IdentityReason.UNKNOWN_CLIENT, client_id)
        unit.execute(
            update(store.clients)
            .where(store.clients.c.client_id == client_id)
            .values(
                require_message_authenticator=require_message_authenticator,
                limit_proxy_state=limit_proxy_state,
            )
        )
        words = (str(require_message_authenticator), str(limit_proxy_state))
        self._directory.changed(unit, "client-protection", client_id, *words)
        return self._open(unit, store.client_by_id(unit, client_id))

    def remove(self, unit: Connection, client_id: str) -> Refusal | None:
        """Remove a client: its packets are a stranger's from then on."""
        row = store.client_by_id(unit, client_id)
        if row is None:
            return Refusal(IdentityReason.UNKNOWN_CLIENT, client_id)
        unit.execute(delete(store.clients).where(store.clients.c.client_id == client_id))
        self._directory.changed(unit, "client-removed", client_id)
        return None

    def all(self, unit: Connection) -> Sequence[RadiusClient]:
        """Return all clients, ascending by id."""
        return [self._open(unit, row) for row in store.all_clients(unit)]

    def _known(
        self, unit: Connection, row: Row[Any], prefix: str, secret: bytes, operator: PartyId
    ) -> RadiusClient | Refusal:
        known = self._open(unit, row)
        if known.operator != operator:
            return Refusal(IdentityReason.EXISTS_WITH_DIFFERENT_OPERATOR, known.client_id)
        if known.prefix != prefix:
            return Refusal(IdentityReason.EXISTS_WITH_DIFFERENT_PREFIX, known.client_id)
        if not hmac.compare_digest(known.secret, secret):
            return Refusal(IdentityReason.EXISTS_WITH_DIFFERENT_SECRET, known.client_id)
        return known

    def _open(self, unit: Connection, row: Row[Any] | None) -> RadiusClient:
        assert row is not None, "a client that was there is gone"
        return read_client(unit, self._vault, row)
