"""The readable twin of StakeDiscount.vy, and what follows from a history for one instant."""

from __future__ import annotations

from collections.abc import Iterable

from opencarrier.chain.contracts import Tier
from opencarrier.kernel.money import PPM
from opencarrier.spine.money import Discount, StakeReading
from opencarrier.staking.model import Commitment, StakeContract


def discount_ppm(tiers: Iterable[Tier], amount: int, lock_s: int) -> int:
    """Return the best discount whose tier an amount and its lock both meet."""
    met = (t.discount_ppm for t in tiers if amount >= t.min_amount and lock_s >= t.min_lock_s)
    return max(met, default=0)


def timepoint_s(contract: StakeContract, at_s: int) -> int:
    """Return the second that is read for an instant: the newest that is final by then.

    Blocks may share a second, so the second of the newest final block itself is not over.
    """
    return min(at_s, contract.followed_s - 1)


def began_s(before: Commitment | None, at_s: int) -> int:
    """Return when the lock of a commitment began: with it, or with the lock that it renews."""
    if before is None or before.amount == 0 or at_s >= before.unlock_at_s:
        return at_s
    return before.began_s


def discount(contract: StakeContract, found: Commitment | None, at_s: int) -> Discount | None:
    """Return the discount of the commitment that `timepoint_s` finds; None where it carries none.

    What was committed cannot be taken out before its end, so an old reading grants nothing that
    is not there any more.
    """
    if found is None or at_s >= found.unlock_at_s:
        return None
    ppm = discount_ppm(contract.tiers, found.amount, found.lock_s)
    if ppm == 0:
        return None
    reading = StakeReading(
        contract=contract.address,
        account=found.account,
        timepoint_s=timepoint_s(contract, at_s),
    )
    return Discount(
        ppm=ppm,
        reading=reading,
        unlock_at_s=found.unlock_at_s,
        lock_began_s=found.began_s,
        asset=contract.asset,
        cap_minor=found.amount * contract.cap_ppm // PPM,
    )
