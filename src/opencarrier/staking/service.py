"""The door of staking: whose a stake is, and what discount it carries; `unit` is the caller's.

Answers `spine.ports.Discounts` from what `follower` kept, so nothing here asks the network.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection

from opencarrier.chain.typed_data import bind_staker_digest, stake_discount_domain
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, Signature, verify
from opencarrier.spine.money import Discount
from opencarrier.spine.parties import PartyId, Subscriber
from opencarrier.staking import rules, store
from opencarrier.staking.model import Binding, BindReason, Commitment, StakeContract

SIGNED_AHEAD_S = 24 * 3600
"""How long a signature over a binding may be valid: nobody keeps one for later."""

FREED_AFTER_US = 7 * 24 * 3600 * SECOND_US
"""How long after a binding is given up the account stays taken.

No session is granted for longer, so none of the former subscriber's still runs at its discount.
"""


class StakingService:
    """Bindings and discounts over what was followed of stake contracts."""

    def bind(
        self,
        unit: Connection,
        subscriber: Subscriber,
        signature: Signature,
        *,
        contract: Address,
        valid_until_s: int,
        at_us: int,
    ) -> Binding | Refusal:
        """Bind the account that signed `BindStaker` to a subscriber; again changes nothing.

        An account belongs to one subscriber of a home, and a subscriber has one account.
        """
        known = store.contract(unit, contract)
        if known is None:
            return Refusal(BindReason.NO_CONTRACT, contract)
        refusal = _unsigned(known, subscriber, signature, valid_until_s, at_us)
        if refusal is None:
            refusal = self._taken(unit, subscriber, contract, signature.kid, at_us)
        if refusal is not None:
            return refusal
        kept = store.binding_of(unit, subscriber.party_id)
        if kept is not None:
            return kept
        item = Binding(
            contract=contract,
            home=subscriber.home,
            account=signature.kid,
            subscriber=subscriber.party_id,
            bound_us=at_us,
            free_us=None,
        )
        store.put_binding(unit, item)
        return item

    def unbind(self, unit: Connection, subscriber: PartyId, *, at_us: int) -> Binding | Refusal:
        """Give a subscriber's account up: its discount ends now, the account is free later."""
        kept = store.binding_of(unit, subscriber)
        if kept is None:
            return Refusal(BindReason.NOT_BOUND, subscriber)
        item = Binding(
            contract=kept.contract,
            home=kept.home,
            account=kept.account,
            subscriber=kept.subscriber,
            bound_us=kept.bound_us,
            free_us=at_us + FREED_AFTER_US,
        )
        store.put_binding(unit, item)
        return item

    def binding(self, unit: Connection, subscriber: PartyId) -> Binding | None:
        """Return the account a subscriber has bound."""
        return store.binding_of(unit, subscriber)

    def contract(self, unit: Connection, address: Address) -> StakeContract | None:
        """Return a contract as far as it was followed."""
        return store.contract(unit, address)

    def commitment(self, unit: Connection, subscriber: PartyId, *, at_us: int) -> Commitment | None:
        """Return what a subscriber's account has at stake, as of the newest final second."""
        kept = store.binding_of(unit, subscriber)
        known = kept and store.contract(unit, kept.contract)
        if not kept or not known:
            return None
        timepoint_s = rules.timepoint_s(known, at_us // SECOND_US)
        return store.commitment(unit, known.address, kept.account, timepoint_s)

    def staked(self, unit: Connection, subscribers: Collection[PartyId]) -> set[PartyId]:
        """Return those of some subscribers that have an account bound."""
        return store.bound(unit, subscribers)

    def discount(
        self, unit: Connection, subscriber: PartyId, *, seller: PartyId, at_us: int
    ) -> Discount | None:
        """Return what the stake of a subscriber's account carries, as of the newest final second.

        It is the home's to grant; another seller has promised nothing. A stake counts from the
        first final block after its own on, and no longer than its lock.
        """
        kept = store.binding_of(unit, subscriber)
        known = kept and store.contract(unit, kept.contract)
        if not kept or not known or kept.home != seller:
            return None
        at_s = at_us // SECOND_US
        timepoint_s = rules.timepoint_s(known, at_s)
        found = store.commitment(unit, known.address, kept.account, timepoint_s)
        return rules.discount(known, found, at_s)

    def _taken(
        self,
        unit: Connection,
        subscriber: Subscriber,
        contract: Address,
        account: Address,
        at_us: int,
    ) -> Refusal | None:
        """Say why an account cannot be this subscriber's."""
        holder = store.binding(unit, contract, subscriber.home, account)
        if holder is not None and holder.subscriber != subscriber.party_id:
            if holder.free_us is None:
                return Refusal(BindReason.ACCOUNT_TAKEN, account)
            if at_us < holder.free_us:
                detail = f"{account} until {holder.free_us}"
                return Refusal(BindReason.ACCOUNT_TAKEN, detail)
        own = store.binding_of(unit, subscriber.party_id)
        if own is not None and (own.contract, own.account) != (contract, account):
            return Refusal(BindReason.HAS_ANOTHER, own.account)
        return None


def _unsigned(
    contract: StakeContract,
    subscriber: Subscriber,
    signature: Signature,
    valid_until_s: int,
    at_us: int,
) -> Refusal | None:
    """Say why a signature does not prove whose the account is now."""
    at_s = at_us // SECOND_US
    if valid_until_s < at_s:
        return Refusal(BindReason.EXPIRED, f"at {valid_until_s}")
    if valid_until_s > at_s + SIGNED_AHEAD_S:
        return Refusal(BindReason.TOO_LONG_VALID, f"until {valid_until_s}")
    digest = bind_staker_digest(
        stake_discount_domain(chain_id=contract.chain_id, contract=contract.address),
        home=subscriber.home,
        party=subscriber.party_id,
        account=signature.kid,
        valid_until_s=valid_until_s,
    )
    if not verify(digest, signature):
        return Refusal(BindReason.SIGNATURE_INVALID, signature.kid)
    return None
