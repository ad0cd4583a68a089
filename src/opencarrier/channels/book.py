"""What other rooms ask of this one; it needs no other to answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import sha256

from sqlalchemy import Connection

from opencarrier.channels import store
from opencarrier.channels.model import Mode
from opencarrier.kernel.ids import Id
from opencarrier.spine.access import Grant
from opencarrier.spine.money import Sale
from opencarrier.spine.parties import PartyId, Subscriber
from opencarrier.spine.usage import ZERO, Counters


class ChannelBook:
    """Answers the ports `Sales`, `SessionKeys` and `Acknowledgements`."""

    def payers(self, unit: Connection, subscribers: Collection[PartyId]) -> set[PartyId]:
        """Return those of some subscribers that pay as they use."""
        return store.payers(unit, subscribers)

    def sale(self, unit: Connection, subscriber: Subscriber, visited: PartyId) -> Sale | None:
        """Return who sells to a subscriber here: home or, directly, the visited operator.

        The plan is the seller's of the same name.
        """
        mode = store.mode_of(unit, subscriber.party_id)
        if mode is None:
            return None
        seller = visited if mode is Mode.DIRECT else subscriber.home
        return Sale(seller=seller, plan_id=subscriber.plan_id)

    def sold(self, unit: Connection, grant: Grant) -> None:
        """Note a grant made for a sale."""
        assert grant.hold.minor == 0, "whoever pays as it uses has nothing held in advance"
        store.add_grant(unit, grant.authorisation_id)

    def keep(self, unit: Connection, digests: Mapping[bytes, bytes]) -> None:
        """Keep, by authorisation, the digest of the key that an attach left with its device."""
        assert all(len(digest) == sha256().digest_size for digest in digests.values())
        store.put_keys(unit, digests)

    def acknowledged(self, unit: Connection, sessions: Mapping[Id, bytes]) -> Mapping[Id, Counters]:
        """Return how far each session that pays as it uses was acknowledged."""
        sold = store.sold(unit, set(sessions.values()))
        paid = [key for key, authorisation_id in sessions.items() if authorisation_id in sold]
        return {**dict.fromkeys(paid, ZERO), **store.acknowledged(unit, paid)}
