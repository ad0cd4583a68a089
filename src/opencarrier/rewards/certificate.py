"""What a member checks of a rewards root before it signs the settlement that publishes it.

A false root pays out what hosts have not claimed yet, so whoever signs looks at all its leaves.
The former root is the one the distributor published last, not one that the asker names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.rewards.merkle import Tree
from opencarrier.rewards.model import EntitlementLeaf


class CertificateReason(Reason):
    """Why a root is not signed; of several that apply, the lowest is given."""

    MALFORMED = 1
    OTHER_FORMER_ROOT = 2
    OTHER_ROOT = 3
    SHRUNK = 4
    OTHER_FUNDING = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardSheet:
    """A root and all leaves said to be under it, ascending by account."""

    root: bytes
    leaves: Sequence[EntitlementLeaf]


def objection(
    former: RewardSheet, sheet: RewardSheet, *, token: Address, funding_minor: int
) -> Refusal | None:
    """Say why a root must not follow the former one with this money, or nothing.

    Both sheets are well formed and make their roots, no account has less than before, and what
    they gained is what the settlement brings.
    """
    for one in (former, sheet):
        refusal = _malformed(one.leaves, token)
        if refusal is not None:
            return refusal
    for one, reason in (
        (former, CertificateReason.OTHER_FORMER_ROOT),
        (sheet, CertificateReason.OTHER_ROOT),
    ):
        made = Tree(one.leaves).root
        if made != one.root:
            return Refusal(reason, f"its {len(one.leaves)} leaves make 0x{made.hex()}")
    return _unearned(former, sheet, funding_minor)


def _malformed(leaves: Sequence[EntitlementLeaf], token: Address) -> Refusal | None:
    """Each account once, in order and in lower case, in this token alone."""
    last = ""
    for leaf in leaves:
        if leaf.token != token:
            return Refusal(CertificateReason.MALFORMED, f"{leaf.account} has another token")
        if leaf.account <= last or leaf.account != leaf.account.lower():
            return Refusal(CertificateReason.MALFORMED, f"{leaf.account} is out of order")
        last = leaf.account
    return None


def _unearned(former: RewardSheet, sheet: RewardSheet, funding_minor: int) -> Refusal | None:
    lifetimes = {leaf.account: leaf.lifetime_minor for leaf in sheet.leaves}
    for leaf in former.leaves:
        if lifetimes.get(leaf.account, 0) < leaf.lifetime_minor:
            return Refusal(CertificateReason.SHRUNK, f"{leaf.account} had {leaf.lifetime_minor}")
    gained = sum(lifetimes.values()) - sum(leaf.lifetime_minor for leaf in former.leaves)
    if gained != funding_minor:
        detail = f"accounts gain {gained}, the settlement brings {funding_minor}"
        return Refusal(CertificateReason.OTHER_FUNDING, detail)
    return None
