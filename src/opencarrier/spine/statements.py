"""What another clearing house says a month comes to, row by row."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Service


class RowsAre(StrEnum):
    """What a row of a statement is about: what it is found by among our records.

    A usage by its id, a part of a session by the session and the second it began, a whole session,
    or a sum of many records.
    """

    USAGE = "usage"
    PART = "part"
    SESSION = "session"
    SUM = "sum"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementForm:
    """How a statement is to be understood.

    A sum is by service and `period` (`day`, `month`) of local time at `offset_min`. Amounts have
    `decimals`, tax in them or not; `tells_tax` where it is told apart. A currency in `assets` is
    money after exchange: it means the asset.
    """

    rows_are: RowsAre
    decimals: int
    with_tax: bool
    tells_tax: bool = False
    period: str = ""
    offset_min: int = 0
    assets: dict[str, AssetId] = field(default_factory=dict)


class StatementRow(NamedTuple):
    """A row: who owes whom, for what, how much; what the statement does not tell is None.

    `key` names the usage or the session, `start_s` the UTC second it began, `period` the day or
    month of a sum. `exchange_nano` is the rate it was exchanged at, times 1e9. A row without a
    service and key is what a deal came to at the period's end.
    """

    line: int
    home: PartyId
    visited: PartyId
    key: Id | None
    start_s: int | None
    service: Service | None
    is_adjustment: bool
    period: str | None
    currency: str
    amount_minor: int
    tax_minor: int | None
    octets_in: int | None
    octets_out: int | None
    octets: int | None
    duration_s: int | None
    units: int | None
    records: int
    exchange_nano: int | None


class Unread(NamedTuple):
    """A row that could not be taken: where it starts, and why."""

    offset: int
    reason: str
    detail: str
