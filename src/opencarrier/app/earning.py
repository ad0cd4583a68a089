"""Keeps the sums of what hosts earned by day, as the ledger goes on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Installation
from opencarrier.kernel.ids import Id
from opencarrier.rewards.earnings import TRANSFERS_MAX, Earnings, Use

_log = logging.getLogger(__name__)

STEPS_MAX = 20
"""Steps of one look; a ledger that was never read is caught up with over several."""

UNREADABLE: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError)
"""How a transfer fails that cannot be summed; where the database fails, it is tried again."""


class Earning:
    """Reads on in the ledger, a bounded step a transaction."""

    def __init__(self, base: Installation) -> None:
        self._base = base
        self._earnings = Earnings(self.uses_of)

    def follow(self) -> None:
        """Read what was booked since; where that is nothing, nothing is written.

        A step that fails is tried with half as many transfers. One that fails alone is stepped
        over, and its number logged: it keeps none of the others from being read.
        """
        with self._base.store.read() as unit:
            behind = self._earnings.is_behind(unit)
        limit = TRANSFERS_MAX
        for _ in range(STEPS_MAX if behind else 0):
            try:
                with self._base.store.write() as unit:
                    if not self._earnings.follow(unit, limit=limit):
                        return
            except UNREADABLE:
                if limit == 1:
                    with self._base.store.write() as unit:
                        number = self._earnings.step_over(unit)
                    _log.exception("transfer %d is in no sum of what hosts earned", number)
                limit = max(1, limit // 2)

    def uses_of(self, unit: Connection, references: Sequence[Id]) -> Mapping[Id, Use]:
        """Tell of the charges among some references which use they are for."""
        charged = self._base.rating.charged_for(unit, references)
        usages = self._base.usage.some(unit, (one.usage_id for one in charged.values()))
        found = {}
        for key, one in charged.items():
            usage = usages[one.usage_id]
            before, after = usage.counters_from, usage.counters_to
            octets = sum(
                getattr(after, name) - getattr(before, name) for name in ("octets_in", "octets_out")
            )
            found[key] = Use(usage.node_id or "", one.payer == one.seller, octets)
        return found
