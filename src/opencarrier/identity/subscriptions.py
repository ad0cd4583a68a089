"""Subscribers and their SIMs: a party, its plan, and the IMSIs it proves itself with."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, update
from sqlalchemy.engine import Row

from opencarrier.identity import rules, store
from opencarrier.identity.authentication import open_sim_keys, seal_sim_keys
from opencarrier.identity.directory import Directory
from opencarrier.identity.milenage import KEY_OCTETS, SQN_MAX
from opencarrier.identity.model import Credential, IdentityReason, PartyKind, SimKeys
from opencarrier.identity.register import new_party_id
from opencarrier.identity.vault import Vault
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import PartyId, Subscriber

PSEUDONYM_OCTETS = 16


class Subscriptions:
    """Adds and changes subscribers and credentials; each call stands in the caller's unit."""

    def __init__(self, directory: Directory, vault: Vault, entropy: Entropy) -> None:
        self._directory = directory
        self._vault = vault
        self._entropy = entropy

    def add(
        self, unit: Connection, *, name: str, home: PartyId, plan_id: str
    ) -> Subscriber | Refusal:
        """Add a subscriber of a home operator with a retail plan; SIMs are added to it."""
        refusal = rules.checked_name(name) or rules.checked_name(plan_id)
        if refusal is not None:
            return refusal
        if store.operator(unit, home) is None:
            return Refusal(IdentityReason.UNKNOWN_OPERATOR, home)
        named = store.party_named(unit, PartyKind.SUBSCRIBER, name)
        if named is not None:
            return _same(store.subscriber(unit, named.party_id), home, plan_id)
        party_id = new_party_id(self._entropy, PartyKind.SUBSCRIBER, name)
        unit.execute(
            insert(store.parties).values(
                party_id=party_id, kind=PartyKind.SUBSCRIBER.value, name=name
            )
        )
        unit.execute(
            insert(store.subscribers).values(party_id=party_id, home=home, plan_id=plan_id)
        )
        self._directory.changed(unit, "subscriber", party_id, home, plan_id)
        return Subscriber(party_id=party_id, home=home, plan_id=plan_id)

    def change_plan(
        self, unit: Connection, subscriber: PartyId, *, plan_id: str
    ) -> Subscriber | Refusal:
        """Put a subscriber on another plan; a hold that is open keeps the tariff it was made by."""
        known = store.subscriber(unit, subscriber)
        if known is None:
            return Refusal(IdentityReason.UNKNOWN_SUBSCRIBER, subscriber)
        refusal = rules.checked_name(plan_id)
        if refusal is not None:
            return refusal
        unit.execute(
            update(store.subscribers)
            .where(store.subscribers.c.party_id == subscriber)
            .values(plan_id=plan_id)
        )
        self._directory.changed(unit, "plan", subscriber, plan_id)
        return Subscriber(party_id=subscriber, home=known.home, plan_id=plan_id)

    def add_credential(
        self,
        unit: Connection,
        *,
        subscriber: PartyId,
        imsi: str,
        keys: SimKeys,
        sqn: int = 0,
    ) -> Credential | Refusal:
        """Add a SIM; `sqn` is where its sequence numbers stand, and the same SIM again keeps it."""
        owner = store.subscriber(unit, subscriber)
        if owner is None:
            return Refusal(IdentityReason.UNKNOWN_SUBSCRIBER, subscriber)
        home = store.operator(unit, owner.home)
        assert home is not None, "a subscriber without a home"
        refusal = rules.checked_imsi(imsi, home.plmns) or _checked_keys(keys, sqn)
        if refusal is not None:
            return refusal
        known = store.credential_row(unit, imsi)
        if known is not None:
            return self._known(unit, known, subscriber, keys)
        k_sealed, opc_sealed = seal_sim_keys(self._vault, unit, imsi, keys)
        unit.execute(
            insert(store.credentials).values(
                imsi=imsi,
                subscriber=subscriber,
                k_sealed=k_sealed,
                opc_sealed=opc_sealed,
                sqn=sqn,
                barred=False,
                pseudonym=self._entropy.octets(f"pseudonym/{imsi}", PSEUDONYM_OCTETS),
            )
        )
        return Credential(imsi=imsi, subscriber=subscriber, sqn=sqn, barred=False)

    def bar(self, unit: Connection, imsi: str, *, barred: bool) -> Credential | Refusal:
        """Bar a SIM that was lost or stolen, or let it in again."""
        row = store.credential_row(unit, imsi)
        if row is None:
            return Refusal(IdentityReason.UNKNOWN_IMSI)
        unit.execute(
            update(store.credentials).where(store.credentials.c.imsi == imsi).values(barred=barred)
        )
        return Credential(imsi=imsi, subscriber=PartyId(row.subscriber), sqn=row.sqn, barred=barred)

    def credentials(self, unit: Connection, subscriber: PartyId) -> Sequence[Credential]:
        """Return a subscriber's SIMs, ascending by IMSI."""
        return store.credentials_of(unit, subscriber)

    def all(self, unit: Connection) -> Sequence[Subscriber]:
        """Return all subscribers, ascending by party id."""
        return store.all_subscribers(unit)

    def _known(
        self, unit: Connection, row: Row[Any], subscriber: PartyId, keys: SimKeys
    ) -> Credential | Refusal:
        if row.subscriber != subscriber:
            return Refusal(IdentityReason.EXISTS_WITH_DIFFERENT_SUBSCRIBER)
        stored = open_sim_keys(self._vault, unit, row)
        if not hmac.compare_digest(stored.k + stored.opc, keys.k + keys.opc):
            return Refusal(IdentityReason.EXISTS_WITH_DIFFERENT_SECRET)
        return Credential(imsi=row.imsi, subscriber=subscriber, sqn=row.sqn, barred=row.barred)


def _same(known: Subscriber | None, home: PartyId, plan_id: str) -> Subscriber | Refusal:
    assert known is not None
    if known.home != home:
        return Refusal(IdentityReason.EXISTS_WITH_DIFFERENT_OPERATOR, known.party_id)
    if known.plan_id != plan_id:
        return Refusal(IdentityReason.EXISTS_WITH_DIFFERENT_PLAN, known.party_id)
    return known


def _checked_keys(keys: SimKeys, sqn: int) -> Refusal | None:
    if len(keys.k) != KEY_OCTETS or len(keys.opc) != KEY_OCTETS:
        return Refusal(IdentityReason.INVALID_SECRET, "K and OPc have 16 octets each")
    if not 0 <= sqn <= SQN_MAX:
        return Refusal(IdentityReason.INVALID_SECRET, "SQN has 48 bits")
    return None
