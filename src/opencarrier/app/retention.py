"""How long the law of a home's country has a subscriber's data kept, and what is said of bans."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from opencarrier.app.config import ConfigError
from opencarrier.bans.service import BanService
from opencarrier.kernel.clock import SECOND_US

DAY_US = 86_400 * SECOND_US
DAYS_MAX = 36_500
BANS_DAYS: Final = 30
"""How long at least what was said of a ban is kept after it is over."""

EACH_US: Final = 3_600 * SECOND_US

_FORM = re.compile(r"(\d{1,5})((?: [A-Z]{2}:\d{1,5})*)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Days by country, and elsewhere; 0 keeps nothing."""

    elsewhere: int
    by_country: Mapping[str, int]

    def everywhere_us(self, last_us: int) -> int:
        """Return the instant from which no country has it kept any longer."""
        return last_us + max(self.elsewhere, *self.by_country.values(), 0) * DAY_US

    def until_us(self, jurisdiction: str, last_us: int) -> int:
        """Return the instant from which what was last used at `last_us` may be erased."""
        return last_us + self.by_country.get(jurisdiction, self.elsewhere) * DAY_US


def read_retention(text: str) -> Retention:
    """Read `DAYS` and any number of `COUNTRY:DAYS`; `ConfigError` for anything else."""
    found = _FORM.fullmatch(" ".join(text.split()))
    if found is None:
        raise ConfigError(f"retention_days: DAYS COUNTRY:DAYS ..., not {text!r}")
    pairs = [word.split(":") for word in found[2].split()]
    by_country = {country: int(days) for country, days in pairs}
    days = (int(found[1]), *by_country.values())
    if len(by_country) != len(pairs) or max(days) > DAYS_MAX:
        raise ConfigError(f"retention_days: a country once, {DAYS_MAX} at most, not {text!r}")
    return Retention(elsewhere=int(found[1]), by_country=by_country)


class Forgetting:
    """Forgets what people said of bans of nodes that are over: a step at a time, hourly.

    It is kept for `retention_days`, of the country that has it kept longest, and for `BANS_DAYS` at
    least, in which those who were concerned can still read why.
    """

    def __init__(self, bans: BanService, retention: Retention) -> None:
        self._bans = bans
        self._kept_us = max(retention.everywhere_us(0), BANS_DAYS * DAY_US)
        self._due_us: int | None = None

    def step(self, unit: Connection, now_us: int) -> None:
        """Do what is due, a bounded part of it; the rest follows at the next step.

        The first is an hour after the start: what was ordered before is told by the chain by then.
        """
        if self._due_us is None:
            self._due_us = now_us + EACH_US
        if now_us >= self._due_us:
            more = self._bans.forget(unit, before_us=now_us - self._kept_us)
            self._due_us = now_us if more else now_us + EACH_US
