"""What an account signs to be a subscriber's; home operators read it, no contract does."""

from __future__ import annotations

from opencarrier.chain.typed_data.base import SigningDomain, struct_hash
from opencarrier.kernel.keccak import keccak
from opencarrier.kernel.signatures import Address

BIND_STAKER_TYPE = keccak(
    b"BindStaker(string home,string party,address account,uint256 valid_until)"
)


def bind_staker_digest(
    domain: SigningDomain, *, home: str, party: str, account: Address, valid_until_s: int
) -> bytes:
    """Return what an account signs, in its stake contract's domain, to be a subscriber's."""
    names = (keccak(home.encode()), keccak(party.encode()))
    return domain.digest(struct_hash(BIND_STAKER_TYPE, *names, account, valid_until_s))
