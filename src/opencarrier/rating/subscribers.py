"""The door for whoever looks at its own account: what it was let in for, charged, and may spend."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, or_, select

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Refusal
from opencarrier.rating import caps, spent, store
from opencarrier.rating.caps import Notice, SpendCap
from opencarrier.rating.desk import plan_at
from opencarrier.rating.holds import Authorisation
from opencarrier.rating.model import SESSION_S_MAX, RetailPlan
from opencarrier.rating.spent import Spent
from opencarrier.rating.tables import (
    allocations,
    authorisations,
    authorised_sessions,
    by_ids,
    charges,
)
from opencarrier.spine.money import Kind, Role
from opencarrier.spine.notices import Announcer
from opencarrier.spine.parties import PartyId, Subscriber

Grants = Sequence[Authorisation]
GRANTS_MAX: Final = 2_000
LASTING_MAX: Final = 16
"""Running sessions of one subscriber that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetailLine:
    """What a subscriber was charged for a usage; tax is in the amount."""

    usage_id: Id
    charge_id: Id
    cycle_id: Id
    asset: AssetId
    amount_minor: int
    tax_minor: int
    discount_minor: int


class SubscriberBook:
    """Reads and sets what is one subscriber's; each call stands in the caller's unit."""

    def __init__(self, announcer: Announcer | None = None) -> None:
        self._announcer = announcer

    def grants(
        self, unit: Connection, subscriber: PartyId, *, before: tuple[int, bytes] | None, limit: int
    ) -> Grants:
        """Return grants, the newest first, those after one by its instant and id."""
        columns = authorisations.c
        query = select(authorisations).where(columns.subscriber == subscriber)
        if before is not None:
            at_us, key = before
            earlier = or_(columns.granted_us < at_us, columns.authorisation_id < key)
            query = query.where(columns.granted_us <= at_us, earlier)
        newest = (columns.granted_us.desc(), columns.authorisation_id.desc())
        rows = unit.execute(query.order_by(*newest).limit(limit))
        return [Authorisation(**row._mapping) for row in rows]

    def grant(
        self, unit: Connection, subscriber: PartyId, authorisation_id: bytes
    ) -> Authorisation | None:
        """Return a grant, None where there is none or it is another's."""
        found = store.authorisations_by_id(unit, [authorisation_id]).get(authorisation_id)
        return found if found is not None and found.subscriber == subscriber else None

    def lasting(
        self, unit: Connection, subscriber: PartyId, *, at_us: int, limit: int = LASTING_MAX
    ) -> Grants:
        """Return the grants under which a session may go on now, the newest first."""
        columns, ended = authorisations.c, authorised_sessions.c
        over = select(ended.authorisation_id).where(
            ended.authorisation_id == columns.authorisation_id, ended.closed.is_(True)
        )
        query = (
            select(authorisations)
            .where(
                columns.subscriber == subscriber,
                columns.granted_us > at_us - SESSION_S_MAX * SECOND_US,
                columns.expires_us > at_us,
                ~over.exists(),
            )
            .order_by(columns.granted_us.desc(), columns.authorisation_id.desc())
            .limit(limit)
        )
        return [Authorisation(**row._mapping) for row in unit.execute(query)]

    def charged(self, unit: Connection, usages: Collection[Id]) -> dict[Id, RetailLine]:
        """Return the retail charges of some usages."""
        columns = charges.c
        retail = select(charges).where(columns.kind == int(Kind.RETAIL))
        rows = list(by_ids(unit, retail, usages, columns.usage_id))
        taxes = _taxes(unit, [row.charge_id for row in rows])
        return {
            Id(row.usage_id): RetailLine(
                usage_id=Id(row.usage_id),
                charge_id=Id(row.charge_id),
                cycle_id=Id(row.cycle_id),
                asset=AssetId(row.asset),
                amount_minor=row.amount_minor,
                tax_minor=taxes.get(row.charge_id, 0),
                discount_minor=row.discount_minor,
            )
            for row in rows
        }

    def month(self, unit: Connection, subscriber: PartyId, month_us: int) -> Sequence[Spent]:
        """Return what was charged in a month."""
        return spent.lines(unit, subscriber, month_us)

    def receipts_in(self, unit: Connection, subscriber: PartyId, cycle_id: Id) -> int:
        """Count a subscriber's charges in a cycle, of its `GRANTS_MAX` newest grants."""
        columns, sessions = authorisations.c, authorised_sessions.c
        newest = (
            select(columns.authorisation_id)
            .where(columns.subscriber == subscriber)
            .order_by(columns.granted_us.desc(), columns.authorisation_id.desc())
            .limit(GRANTS_MAX)
        )
        mine = select(sessions.session_id).where(sessions.authorisation_id.in_(newest))
        chosen = (charges.c.cycle_id == cycle_id, charges.c.kind == int(Kind.RETAIL))
        query = select(func.count()).where(*chosen, charges.c.session_id.in_(mine))
        return int(unit.scalar(query) or 0)

    def months(
        self, unit: Connection, subscriber: PartyId, *, before_us: int, limit: int
    ) -> Sequence[int]:
        """Return the months before one with charges, the newest first."""
        return spent.months(unit, subscriber, before_us=before_us, limit=limit)

    def plan(self, unit: Connection, subscriber: Subscriber, *, at_us: int) -> RetailPlan | Refusal:
        """Return the plan a subscriber is on, as it is in force."""
        return plan_at(unit, subscriber.home, subscriber.plan_id, at_us)

    def plan_of(self, unit: Connection, grant: Authorisation) -> RetailPlan:
        """Return the plan a grant was made on."""
        found = store.plan(unit, grant.plan_hash)
        assert found is not None, "an authorisation's plan is gone"
        return found

    def cap(self, unit: Connection, subscriber: PartyId) -> SpendCap | None:
        """Return a subscriber's spend cap."""
        return caps.of(unit, [subscriber]).get(subscriber)

    def put_cap(self, unit: Connection, cap: SpendCap) -> Refusal | None:
        """Set a spend cap."""
        return caps.put(unit, cap, announcer=self._announcer)

    def lift_cap(self, unit: Connection, subscriber: PartyId) -> None:
        """Take a spend cap away."""
        caps.lift(unit, subscriber)

    def notices(self, unit: Connection, subscriber: PartyId, month_us: int) -> Sequence[Notice]:
        """Return what a subscriber was told of its cap in a month."""
        return caps.notices_of(unit, subscriber, month_us)


def _taxes(unit: Connection, ids: Iterable[bytes]) -> dict[bytes, int]:
    columns = allocations.c
    query = (
        select(columns.charge_id, func.sum(columns.amount_minor).label("tax_minor"))
        .where(columns.role == int(Role.TAX))
        .group_by(columns.charge_id)
    )
    rows = by_ids(unit, query, ids, columns.charge_id)
    return {row.charge_id: int(row.tax_minor) for row in rows}
