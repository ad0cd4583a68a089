"""How a cycle's entitlements become shares by account, and shares lifetime amounts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from opencarrier.kernel.money import int64
from opencarrier.kernel.signatures import Address
from opencarrier.rewards.model import EntitlementLeaf, Share
from opencarrier.spine.money import Entitlement


def by_account(entitlements: Iterable[Entitlement]) -> dict[Address, int]:
    """Sum a cycle's entitlements by payout account, ascending, without the zeros.

    Hosts may share an account. A negative entitlement is our own mistake: what was paid out is
    never taken back here.
    """
    sums: dict[Address, int] = {}
    for entitlement in entitlements:
        assert entitlement.amount_minor >= 0, "an entitlement is not negative"
        account = entitlement.payout
        assert account == account.lower(), "an address is written in lower case"
        sums[account] = int64(sums.get(account, 0) + entitlement.amount_minor, "a share")
    return {account: amount for account, amount in sorted(sums.items()) if amount}


def fold(lifetimes: Mapping[Address, int], amounts: Mapping[Address, int]) -> list[Share]:
    """Add a cycle's amounts to the lifetime amounts before it; one share per amount.

    `lifetimes` needs to hold the accounts of `amounts` only. Lifetime amounts grow, or the range
    of 64 bits is left and `MoneyError` is raised.
    """
    shares = []
    for account, amount in amounts.items():
        assert amount > 0, "a share is positive"
        lifetime = int64(lifetimes.get(account, 0) + amount, "a lifetime amount")
        shares.append(Share(account=account, amount_minor=amount, lifetime_minor=lifetime))
    return shares


def leaves(lifetimes: Mapping[Address, int], token: Address) -> list[EntitlementLeaf]:
    """Return the leaves over all accounts that ever earned anything, ascending by account."""
    return [
        EntitlementLeaf(account=account, token=token, lifetime_minor=lifetime)
        for account, lifetime in sorted(lifetimes.items())
    ]
