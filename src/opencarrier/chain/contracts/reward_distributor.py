"""The reward distributor as Python."""

from __future__ import annotations

from collections.abc import Sequence

from opencarrier.chain.contracts.base import Contract, Query
from opencarrier.chain.events import reward_distributor as events
from opencarrier.chain.model import Call
from opencarrier.kernel.signatures import Address

PROOF_MAX = 40
"""Siblings in one claim."""


class RewardDistributor(Contract):
    """Pays hosts what they have earned since the beginning, less what they were paid."""

    NAME = "RewardDistributor"
    EVENTS = events.ALL
    __slots__ = ()

    @classmethod
    def deployment(cls, *, token: Address, clearing_house: Address) -> Call:
        """Deploy the distributor of a clearing house."""
        return Call(to=None, data=cls.artefact().creation_code(token, clearing_house))

    def claim(self, account: Address, lifetime_amount: int, proof: Sequence[bytes]) -> Call:
        """Pay an account what is due to it (anybody)."""
        assert len(proof) <= PROOF_MAX, "a longer proof than the contract takes"
        return self._call("claim", account, lifetime_amount, list(proof))

    def root(self) -> Query[bytes]:
        """The root in force."""
        return self._query("root")

    def root_cycle_id(self) -> Query[bytes]:
        """The cycle that published the root in force."""
        return self._query("root_cycle_id")

    def funded(self) -> Query[int]:
        """All money that ever arrived for hosts."""
        return self._query("funded")

    def total_claimed(self) -> Query[int]:
        """All money that was ever paid to hosts."""
        return self._query("total_claimed")

    def claimed(self, account: Address) -> Query[int]:
        """What an account was ever paid."""
        return self._query("claimed", account)

    def token(self) -> Query[Address]:
        """The token hosts are paid in."""
        return self._query("token")

    def clearing_house(self) -> Query[Address]:
        """The only publisher."""
        return self._query("clearing_house")
