"""The reward distributor as Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from opencarrier.chain.contracts.base import Ownable, Query, fields_of
from opencarrier.chain.events import reward_distributor as events
from opencarrier.chain.model import Call
from opencarrier.kernel.signatures import Address

PROOF_MAX = 40
"""Siblings in one claim."""

CLAIMS_MAX = 100
"""Claims in one batch."""

DELAY_MAX_S = 90 * 86_400
AMOUNT_BITS = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardClaim:
    """What a claim shows: all an account has earned in a token, and the siblings up to a root."""

    account: Address
    token: Address
    lifetime_amount: int
    proof: Sequence[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressChange:
    """An address that takes office and from which second; zeros where no change waits."""

    account: Address
    ready_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountChange:
    """An amount that takes effect and from which second; zeros where no change waits."""

    amount: int
    ready_at: int


_Change = TypeVar("_Change", AddressChange, AmountChange)


class RewardDistributor(Ownable):
    """Pays hosts what they have earned since the beginning, less what they were paid."""

    NAME = "RewardDistributor"
    EVENTS = events.ALL
    __slots__ = ()

    @classmethod
    def deployment(
        cls, *, clearing_house: Address, owner: Address, guardian: Address, delay_s: int
    ) -> Call:
        """Deploy the distributor of a clearing house, for all its tokens."""
        code = cls.artefact().creation_code(clearing_house, owner, guardian, delay_s)
        return Call(to=None, data=code)

    def claim(
        self, account: Address, token: Address, lifetime_amount: int, proof: Sequence[bytes]
    ) -> Call:
        """Pay an account what is due to it (anybody)."""
        assert len(proof) <= PROOF_MAX, "a longer proof than the contract takes"
        return self._call("claim", account, token, lifetime_amount, list(proof))

    def claim_many(self, claims: Sequence[RewardClaim]) -> Call:
        """Pay many accounts what is due to each; one that fails is skipped (anybody)."""
        assert len(claims) <= CLAIMS_MAX, "a longer batch than the contract takes"
        assert all(len(c.proof) <= PROOF_MAX for c in claims), "a proof is too long"
        rows = [(c.account, c.token, c.lifetime_amount, list(c.proof)) for c in claims]
        return self._call("claim_many", rows)

    def veto(self, token: Address, root: bytes) -> Call:
        """Keep a root that is not ready from ever paying (guardian)."""
        return self._call("veto", token, root)

    def set_cap(self, token: Address, cap: int) -> Call:
        """Bound what a publication adds; a raise waits for `apply_cap` (owner)."""
        return self._call("set_cap", token, cap)

    def apply_cap(self, token: Address) -> Call:
        """Raise a cap whose delay has passed (anybody)."""
        return self._call("apply_cap", token)

    def request_guardian(self, guardian: Address) -> Call:
        """Ask for another guardian (owner)."""
        return self._call("request_guardian", guardian)

    def apply_guardian(self) -> Call:
        """Change the guardian once the delay has passed (anybody)."""
        return self._call("apply_guardian")

    def request_payout(self, token: Address, payout: Address) -> Call:
        """Ask that the caller's claims be paid elsewhere (the account)."""
        return self._call("request_payout", token, payout)

    def cancel_payout(self, token: Address) -> Call:
        """Take the caller's request back (the account)."""
        return self._call("cancel_payout", token)

    def apply_payout(self, account: Address, token: Address) -> Call:
        """Change where an account is paid once the delay has passed (anybody)."""
        return self._call("apply_payout", account, token)

    def clearing_house(self) -> Query[Address]:
        """The only publisher."""
        return self._query("clearing_house")

    def delay_s(self) -> Query[int]:
        """Seconds from a root's publication to its first payment."""
        return self._query("delay_s")

    def guardian(self) -> Query[Address]:
        """Who may veto a root before it is ready."""
        return self._query("guardian")

    def guardian_change(self) -> Query[AddressChange]:
        """The guardian who is to take office."""
        return self._change(AddressChange, "guardian_change")

    def cap_of(self, token: Address) -> Query[int]:
        """The most a publication may add; zero where it is not bounded."""
        return self._query("cap_of", token)

    def cap_raise_of(self, token: Address) -> Query[AmountChange]:
        """The higher cap that waits."""
        return self._change(AmountChange, "cap_raise_of", token)

    def payout_of(self, account: Address, token: Address) -> Query[Address]:
        """Where an account's claims are paid."""
        return self._query("payout_of", account, token)

    def payout_change_of(self, account: Address, token: Address) -> Query[AddressChange]:
        """Where an account's claims are to be paid."""
        return self._change(AddressChange, "payout_change_of", account, token)

    def ready_at(self, token: Address, root: bytes) -> Query[int]:
        """From which second a root pays; zero for one that was not published for the token."""
        return self._query("ready_at", token, root)

    def is_vetoed(self, token: Address, root: bytes) -> Query[bool]:
        """Whether a root never pays."""
        return self._query("is_vetoed", token, root)

    def left_of(self, token: Address, root: bytes) -> Query[int]:
        """What a root may still pay in all."""
        return self._query("left_of", token, root)

    def funded(self, token: Address) -> Query[int]:
        """All money of a token that ever arrived for hosts."""
        return self._query("funded", token)

    def total_claimed(self, token: Address) -> Query[int]:
        """All money of a token that was ever paid to hosts."""
        return self._query("total_claimed", token)

    def claimed(self, account: Address, token: Address) -> Query[int]:
        """What an account was ever paid in a token."""
        return self._query("claimed", account, token)

    def _change(self, kind: type[_Change], function: str, *arguments: Address) -> Query[_Change]:
        query = self._query(function, *arguments)
        return Query(call=query.call, read=lambda data: kind(**fields_of(kind, query.read(data))))
