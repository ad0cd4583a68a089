"""RADIUS clients: which source prefix may speak, for which operator, under which secret."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, update
from sqlalchemy.engine import Row

from opencarrier.identity import rules, store
from opencarrier.identity.directory import Directory, client_place
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
        secret: bytes,
        operator: PartyId,
        client_id: str | None = None,
    ) -> RadiusClient | Refusal:
        """Add a client; its id is its prefix if it has no other.

        Prefixes may lie within each other, the longest then holds; the same prefix twice is
        refused unless all else is equal too.
        """
        network = rules.read_prefix(prefix)
        if isinstance(network, Refusal):
            return network
        name = network if client_id is None else client_id
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
        """Give a client another shared secret, in force for its next packet."""
        row = store.client_by_id(unit, client_id)
        if row is None:
            return Refusal(IdentityReason.UNKNOWN_CLIENT, client_id)
        refusal = rules.checked_radius_secret(secret)
        if refusal is not None:
            return refusal
        sealed = self._vault.seal(unit, client_place(client_id), secret)
        unit.execute(
            update(store.clients)
            .where(store.clients.c.client_id == client_id)
            .values(secret_sealed=sealed)
        )
        self._directory.changed(unit, "client-secret", client_id, sealed)
        return RadiusClient(
            client_id=client_id, prefix=row.prefix, secret=secret, operator=PartyId(row.operator)
        )

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

    def _open(self, unit: Connection, row: Row[Any]) -> RadiusClient:
        return RadiusClient(
            client_id=row.client_id,
            prefix=row.prefix,
            secret=self._vault.open(unit, client_place(row.client_id), row.secret_sealed),
            operator=PartyId(row.operator),
        )
