"""The stake for discount as Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from opencarrier.chain.contracts.base import Contract, Query, fields_of
from opencarrier.chain.events import stake_discount as events
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import Authorization, SigningDomain, stake_discount_domain
from opencarrier.kernel.signatures import Address

TIERS_MAX = 16
LOCK_MAX_S = 4 * 366 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """What a stake must have at least, and the discount it then carries."""

    min_amount: int
    min_lock_s: int
    discount_ppm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stake:
    """An account's stake; all zero where there is none."""

    amount: int
    lock_s: int
    committed_at: int
    unlock_at: int


class StakeDiscount(Contract):
    """Locked stakes, and the discount they carry at any past second."""

    NAME = "StakeDiscount"
    EVENTS = events.ALL
    __slots__ = ()

    @classmethod
    def deployment(cls, *, token: Address, tiers: Sequence[Tier], cap_ppm: int) -> Call:
        """Deploy a stake contract; tiers ascend by discount, and stand for good."""
        assert 0 < len(tiers) <= TIERS_MAX, "a contract has 1 to 16 tiers"
        terms = (token, [astuple(tier) for tier in tiers], cap_ppm)
        return Call(to=None, data=cls.artefact().creation_code(*terms))

    def signing_domain(self, chain_id: int) -> SigningDomain:
        """Where stakes signed for this contract count."""
        return stake_discount_domain(chain_id=chain_id, contract=self.address)

    def stake(self, amount: int, lock_s: int) -> Call:
        """Stake approved tokens; all of the stake is locked from now (account)."""
        return self._call("stake", amount, lock_s)

    def stake_with_permit(
        self, *, amount: int, lock_s: int, deadline: int, signature: bytes
    ) -> Call:
        """Stake with the token's permit in the same call (account)."""
        r, s, v = signature[:32], signature[32:64], signature[64]
        return self._call("stake_with_permit", amount, lock_s, deadline, v, r, s)

    def stake_with_authorization(
        self, given: Authorization, *, lock_s: int, salt: bytes, signature: bytes
    ) -> Call:
        """Stake by an ERC-3009 authorisation whose nonce names the lock (anybody)."""
        times = (given.valid_after_s, given.valid_before_s)
        what = (given.sender, given.amount_minor, lock_s)
        return self._call("stake_with_authorization", *what, *times, salt, signature)

    def stake_by_signature(
        self, *, account: Address, amount: int, lock_s: int, deadline: int, signature: bytes
    ) -> Call:
        """Stake approved tokens, or with no amount extend, by a signature (anybody)."""
        return self._call("stake_by_signature", account, amount, lock_s, deadline, signature)

    def increase(self, amount: int) -> Call:
        """Add to a stake and lock it anew for as long (account)."""
        return self._call("increase", amount)

    def extend(self, lock_s: int) -> Call:
        """Lock a stake anew (account)."""
        return self._call("extend", lock_s)

    def withdraw(self, account: Address) -> Call:
        """Send a stake home after its lock (anybody)."""
        return self._call("withdraw", account)

    def token(self) -> Query[Address]:
        """The only token staked here."""
        return self._query("token")

    def cap_ppm(self) -> Query[int]:
        """Discounted spend a lock carries, in parts per million of its amount."""
        return self._query("cap_ppm")

    def nonce(self, account: Address) -> Query[int]:
        """The nonce of an account's next signed stake."""
        return self._query("nonces", account)

    def tiers(self) -> Query[tuple[Tier, ...]]:
        """What is asked for which discount, ascending by discount."""
        query = self._query("tiers")
        return Query(
            call=query.call,
            read=lambda data: tuple(Tier(**fields_of(Tier, row)) for row in query.read(data)),
        )

    def stake_of(self, account: Address) -> Query[Stake]:
        """An account's stake as it stands."""
        return _stake(self._query("stake_of", account))

    def stake_at(self, account: Address, timepoint_s: int) -> Query[Stake]:
        """An account's stake in a past second, locked or not."""
        return _stake(self._query("stake_at", account, timepoint_s))

    def checkpoint_count(self, account: Address) -> Query[int]:
        """How many past values an account's stake has; a second has one at most."""
        return self._query("checkpoint_count", account)

    def total_staked(self) -> Query[int]:
        """The sum of all stakes."""
        return self._query("total_staked")

    def total_at(self, timepoint_s: int) -> Query[int]:
        """The sum of all stakes in a past second."""
        return self._query("total_at", timepoint_s)

    def tier_discount_ppm(self, amount: int, lock_s: int) -> Query[int]:
        """The best tier that an amount locked for a time meets."""
        return self._query("tier_discount_ppm", amount, lock_s)

    def discount_ppm_at(self, account: Address, timepoint_s: int) -> Query[int]:
        """An account's discount in a past second."""
        return self._query("discount_ppm_at", account, timepoint_s)

    def spend_cap_at(self, account: Address, timepoint_s: int) -> Query[int]:
        """The discounted spend that the lock of a past second carries."""
        return self._query("spend_cap_at", account, timepoint_s)

    def clock(self) -> Query[int]:
        """Now, in seconds (ERC-6372)."""
        return self._query("clock")

    def clock_mode(self) -> Query[str]:
        """How time is counted (ERC-6372)."""
        return self._query("CLOCK_MODE")

    def votes(self, account: Address) -> Query[int]:
        """An account's weight now (ERC-5805)."""
        return self._query("getVotes", account)

    def past_votes(self, account: Address, timepoint_s: int) -> Query[int]:
        """An account's weight in a past second (ERC-5805)."""
        return self._query("getPastVotes", account, timepoint_s)

    def past_total_supply(self, timepoint_s: int) -> Query[int]:
        """The sum of all stakes in a past second (ERC-5805)."""
        return self._query("getPastTotalSupply", timepoint_s)


def _stake(query: Query[tuple[int, ...]]) -> Query[Stake]:
    return Query(call=query.call, read=lambda data: Stake(**fields_of(Stake, query.read(data))))
