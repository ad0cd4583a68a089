"""The readable twin of StakeDiscount.vy."""

from __future__ import annotations

from collections.abc import Iterable

from opencarrier.chain.contracts import Tier


def discount_ppm(tiers: Iterable[Tier], amount: int, lock_s: int) -> int:
    """Return the best discount whose tier an amount and its lock both meet."""
    met = (t.discount_ppm for t in tiers if amount >= t.min_amount and lock_s >= t.min_lock_s)
    return max(met, default=0)
