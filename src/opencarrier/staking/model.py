"""What staking speaks of: the contract as it was followed, commitments, bindings. Data only."""

from __future__ import annotations

from dataclasses import dataclass

from opencarrier.chain.contracts import Tier
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Reason
from opencarrier.kernel.signatures import Address
from opencarrier.spine.parties import PartyId


@dataclass(frozen=True, slots=True, kw_only=True)
class StakeContract:
    """A stake contract as far as it was followed: all up to the second `followed_s` is known."""

    address: Address
    chain_id: int
    asset: AssetId
    cap_ppm: int
    tiers: tuple[Tier, ...]
    followed_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """An account's stake from an instant on; its lock began at `began_s` and was renewed since."""

    account: Address
    at_s: int
    amount: int
    lock_s: int
    began_s: int

    @property
    def unlock_at_s(self) -> int:
        """The second from which on nothing is locked."""
        return self.at_s + self.lock_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Whose account it is at a home; once given up it is free again from `free_us`."""

    contract: Address
    home: PartyId
    account: Address
    subscriber: PartyId
    bound_us: int
    free_us: int | None


class BindReason(Reason):
    """Why an account is not bound to a subscriber, or not given up."""

    NO_CONTRACT = 1
    EXPIRED = 2
    TOO_LONG_VALID = 3
    SIGNATURE_INVALID = 4
    ACCOUNT_TAKEN = 5
    HAS_ANOTHER = 6
    NOT_BOUND = 7
