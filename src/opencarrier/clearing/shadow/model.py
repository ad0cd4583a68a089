"""What is compared in shadow mode, and what comes of it. No money moves, nothing is booked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from opencarrier.clearing.documents import written
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.money import Adjustment
from opencarrier.spine.parties import PartyId
from opencarrier.spine.statements import StatementForm, StatementRow, Unread

FORMAT: Final = "opencarrier/shadow/v1"
NANO_DECIMALS: Final = 9
MEMORY_MIB: Final = 500


class Cause(IntEnum):
    """Why theirs and ours differ; a row that differs whole has the first that applies.

    `there` is their side, `here` ours. From `EXCHANGE` on both sides have the row.
    """

    MISSING_THERE = 1
    MISSING_HERE = 2
    DUPLICATE = 3
    PERIOD = 4
    SUSPENSE = 5
    PARTNER = 6
    CURRENCY = 7
    EXCHANGE = 8
    VOLUME = 9
    PRICE = 10
    TAX = 11
    ROUNDING = 12
    ADJUSTMENT = 13
    UNEXPLAINED = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A month of UTC time, half-open in microseconds; `name` as in `2026-06`."""

    name: str
    since_us: int
    until_us: int


def month_of(name: str) -> Month:
    """Return a month by its name; raises `PeerError`: `month`."""
    try:
        first = datetime.strptime(name, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise PeerError("month", f"{name!r} is no month like 2026-06") from None
    after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    since_us, until_us = (int(at.timestamp()) * SECOND_US for at in (first, after))
    return Month(name=first.strftime("%Y-%m"), since_us=since_us, until_us=until_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowOrder:
    """What is compared with what, and the folder the report goes to.

    `usage` and `rated` are ours, `adjustments` what deals made of the month. `statement` is theirs;
    without a `form` theirs is what the files charged that the records were read from. `beside` are
    statements of the neighbouring months, where a row may stand that this one lacks. Amounts
    within `rounding` units of their last decimal a record differ by rounding. `waiting` are the
    words of the reasons why a record is not rated, by number.
    """

    usage: Path
    rated: Path
    out: Path
    form: StatementForm | None = None
    statement: Iterable[StatementRow | Unread] = ()
    beside: Iterable[StatementRow | Unread] = ()
    adjustments: Sequence[Adjustment] = ()
    month: Month | None = None
    rounding: int = 1
    waiting: Mapping[int, str] = field(default_factory=dict)
    memory_mib: int = MEMORY_MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One account, who owes whom in which currency: amounts in 1e-9 of it, by cause what differs.

    Theirs and the differences sum to ours, exactly.
    """

    home: PartyId
    visited: PartyId
    currency: str
    theirs_nano: int
    ours_nano: int
    causes: Mapping[Cause, tuple[int, int]]

    def __post_init__(self) -> None:
        told = sum(nano for _, nano in self.causes.values())
        assert self.theirs_nano + told == self.ours_nano, "differences lead from theirs to ours"

    @property
    def difference_nano(self) -> int:
        """Ours less theirs."""
        return self.ours_nano - self.theirs_nano

    @property
    def unexplained_nano(self) -> int:
        """What no reason was found for; nothing where theirs is told record by record."""
        return self.causes.get(Cause.UNEXPLAINED, (0, 0))[1]

    def as_mapping(self) -> dict[str, Any]:
        """Return the account with stable keys, for JSON."""
        return {
            "home": self.home,
            "visited": self.visited,
            "currency": self.currency,
            "theirs_nano": self.theirs_nano,
            "ours_nano": self.ours_nano,
            "difference_nano": self.difference_nano,
            "unexplained_nano": self.unexplained_nano,
            "reasons": {
                cause.name.lower(): {"differences": count, "amount_nano": nano}
                for cause, (count, nano) in sorted(self.causes.items())
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowReport:
    """What the comparison came to."""

    rows_are: str
    month: str | None
    rounding: int
    rows: int
    equal: int
    records: int
    refused: Mapping[str, int]
    accounts: Sequence[Compared]

    @property
    def differences(self) -> int:
        """How many differences there are."""
        return sum(count for item in self.accounts for count, _ in item.causes.values())

    def as_mapping(self) -> dict[str, Any]:
        """Return the report with stable keys, for JSON; amounts are in 1e-9 of a currency."""
        return {
            "format": FORMAT,
            "rows_are": self.rows_are,
            "month": self.month,
            "rounding": self.rounding,
            "rows": self.rows,
            "refused": dict(sorted(self.refused.items())),
            "records": self.records,
            "equal": self.equal,
            "differences": self.differences,
            "accounts": [item.as_mapping() for item in self.accounts],
        }


def shown(nano: int) -> str:
    """Write an amount for people: all decimals that are not zero, at least two."""
    whole, _, rest = written(nano, NANO_DECIMALS).partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(2, '0')}"
