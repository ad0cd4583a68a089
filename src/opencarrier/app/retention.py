"""How long the law of a home's country has a subscriber's data kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from opencarrier.app.config import ConfigError
from opencarrier.kernel.clock import SECOND_US

DAY_US = 86_400 * SECOND_US
DAYS_MAX = 36_500

_FORM = re.compile(r"(\d{1,5})((?: [A-Z]{2}:\d{1,5})*)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Days by country, and elsewhere; 0 keeps nothing."""

    elsewhere: int
    by_country: Mapping[str, int]

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
