"""The reward distributor as Python."""

from __future__ import annotations

from collections.abc import Sequence

from opencarrier.chain.contracts.base import Ownable, Query
from opencarrier.chain.events import reward_distributor as events
from opencarrier.chain.model import Call
from opencarrier.kernel.signatures import Address

PROOF_MAX = 40
"""Siblings in one claim."""


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

    def veto(self, token: Address, root: bytes) -> Call:
        """Keep a root that is not ready from ever paying (guardian)."""
        return self._call("veto", token, root)

    def clearing_house(self) -> Query[Address]:
        """The only publisher."""
        return self._query("clearing_house")

    def delay_s(self) -> Query[int]:
        """Seconds from a root's publication to its first payment."""
        return self._query("delay_s")

    def guardian(self) -> Query[Address]:
        """Who may veto a root before it is ready."""
        return self._query("guardian")

    def ready_at(self, token: Address, root: bytes) -> Query[int]:
        """From which second a root pays; zero for one that was not published for the token."""
        return self._query("ready_at", token, root)

    def is_vetoed(self, token: Address, root: bytes) -> Query[bool]:
        """Whether a root never pays."""
        return self._query("is_vetoed", token, root)

    def funded(self, token: Address) -> Query[int]:
        """All money of a token that ever arrived for hosts."""
        return self._query("funded", token)

    def total_claimed(self, token: Address) -> Query[int]:
        """All money of a token that was ever paid to hosts."""
        return self._query("total_claimed", token)

    def claimed(self, account: Address, token: Address) -> Query[int]:
        """What an account was ever paid in a token."""
        return self._query("claimed", account, token)
