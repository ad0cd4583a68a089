"""Orders kept until they are answered or their session is over, whatever stops in between."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, insert, select, update

from opencarrier.access.orders.model import Attach, Kind, Order, OrderLine, State
from opencarrier.access.orders.rules import Verdict
from opencarrier.access.orders.store import ATTACHES, ORDERS
from opencarrier.kernel.clock import SECOND_US
from opencarrier.rowsets import Change as ChangeRows
from opencarrier.rowsets import Insertion, Lookup
from opencarrier.spine.access import Change
from opencarrier.spine.people import Held, Person, batches
from opencarrier.spine.usage import Observation, Status

DUE_MAX = 64
"""Sent at once; the rest a moment later."""

LINES_MAX = 1_000
ATTACH_KEPT_US = 86_400 * SECOND_US
"""How long it is known where a session was after its grant was over."""

ORDER_KEPT_US = 30 * 86_400 * SECOND_US
NOTHING = Change()

_ATTACHED = tuple(ATTACHES.c.keys())
_insert_attaches = Insertion(ATTACHES)
_attach_row = attrgetter(*_ATTACHED)
_call = ChangeRows(ATTACHES, ["authorisation_id"], ["acct_session_id"])
_taken = Lookup(
    select(ATTACHES.c.authorisation_id).order_by(ATTACHES.c.authorisation_id).with_for_update(),
    ATTACHES.c.authorisation_id,
)
_ANY_OPEN = select(ORDERS.c.order_id).where(ORDERS.c.state == State.OPEN).limit(1)


class OrderBook:
    """Answers the ports `Disconnects` and `PersonalData`; each call stands in the caller's unit."""

    def attached(self, unit: Connection, attaches: Sequence[Attach]) -> None:
        """Note where sessions that are let in are served."""
        _insert_attaches(unit, [_attach_row(one) for one in attaches])

    def unattached(self, unit: Connection, authorisation_id: bytes) -> None:
        """Forget where a session would have been served that nobody was let in to.

        Its pseudonym there is the one of every session of that subscriber.
        """
        mine = ATTACHES.c.authorisation_id == authorisation_id
        unit.execute(delete(ATTACHES).where(mine))

    def disconnect(
        self, unit: Connection, authorisation_id: bytes, *, reason: str, at_us: int
    ) -> bool:
        """Have a session ended; say whether it is known where it is served."""
        if self._open(unit, authorisation_id) is Kind.DISCONNECT:
            return True
        return self._place(
            unit, authorisation_id, Kind.DISCONNECT, NOTHING, reason=reason, at_us=at_us
        )

    def change(
        self,
        unit: Connection,
        authorisation_id: bytes,
        change: Change,
        *,
        reason: str,
        at_us: int,
        or_end: bool = False,
    ) -> bool:
        """Have a session served otherwise; say whether it is known where it is served.

        With `or_end` it is ended where the access network will not. An order to end it stands.
        """
        if self._open(unit, authorisation_id) is Kind.DISCONNECT:
            return True
        return self._place(
            unit,
            authorisation_id,
            Kind.CHANGE,
            change,
            reason=reason,
            at_us=at_us,
            or_end=or_end,
        )

    def observed(self, unit: Connection, observations: Sequence[Observation]) -> None:
        """Learn from accounting what a session is called, and which are over."""
        _call(unit, list(_names(observations).items()))
        for one in self._stopping(unit, observations):
            assert one.authorisation_id is not None
            self._stopped(unit, one.authorisation_id, one.acct_session_id)

    def called(self, unit: Connection, observations: Sequence[Observation]) -> None:
        """Learn what sessions are called, beside others who do.

        Rows are taken in the order of their ids, so that two never wait each for the other.
        """
        names = _names(observations)
        if names:
            list(_taken(unit, names))
            _call(unit, list(names.items()))

    def concerned(self, unit: Connection, observations: Sequence[Observation]) -> bool:
        """Say whether a session is over that an order may be open for."""
        return bool(self._stopping(unit, observations))

    def _stopping(
        self, unit: Connection, observations: Sequence[Observation]
    ) -> Sequence[Observation]:
        """Return the reports of sessions that are over and may have an open order."""
        stops = [
            one
            for one in observations
            if one.status is Status.STOP and one.authorisation_id is not None
        ]
        if not stops or self.is_idle(unit):
            return ()
        ordered = set(
            unit.scalars(
                select(ORDERS.c.authorisation_id)
                .where(ORDERS.c.authorisation_id.in_({one.authorisation_id for one in stops}))
                .where(ORDERS.c.state == State.OPEN)
            )
        )
        return [one for one in stops if one.authorisation_id in ordered]

    def is_idle(self, unit: Connection) -> bool:
        """Say whether no order is open."""
        return unit.scalar(_ANY_OPEN) is None

    def due(self, unit: Connection, at_us: int) -> Sequence[Order]:
        """Return open orders whose time has come; those of sessions that are over end here."""
        is_open = ORDERS.c.state == State.OPEN
        is_over = (
            exists()
            .where(ATTACHES.c.authorisation_id == ORDERS.c.authorisation_id)
            .where(ATTACHES.c.expires_us <= at_us)
        )
        unit.execute(update(ORDERS).where(is_open & is_over).values(state=State.OVER))
        rows = unit.execute(
            select(ORDERS, ATTACHES)
            .join(ATTACHES, ATTACHES.c.authorisation_id == ORDERS.c.authorisation_id)
            .where(is_open & (ORDERS.c.next_us <= at_us))
            .order_by(ORDERS.c.next_us, ORDERS.c.order_id)
            .limit(DUE_MAX)
        )
        return [_order(row) for row in rows]

    def settle(self, unit: Connection, order: Order, verdict: Verdict, *, at_us: int) -> None:
        """Note an answer; one that came meanwhile otherwise is left."""
        mine = (ORDERS.c.order_id == order.order_id) & (ORDERS.c.state == State.OPEN)
        changed = unit.execute(
            update(ORDERS)
            .where(mine)
            .values(
                state=verdict.state,
                answer=verdict.answer,
                error_cause=verdict.error_cause,
                tries=order.tries + 1,
                next_us=at_us + verdict.again_s * SECOND_US,
            )
        )
        if changed.rowcount and verdict.state is State.REFUSED and order.or_end:
            self.disconnect(
                unit, order.attach.authorisation_id, reason="change_refused", at_us=at_us
            )

    def called_there(self, unit: Connection, authorisations: Sequence[bytes]) -> dict[bytes, str]:
        """Return what sessions are called where they are served, as far as that is known."""
        mine = ATTACHES.c.authorisation_id.in_(authorisations)
        query = select(ATTACHES.c.authorisation_id, ATTACHES.c.acct_session_id).where(mine)
        return {key: name for key, name in unit.execute(query) if name}

    def lines(self, unit: Connection, *, limit: int = LINES_MAX) -> Sequence[OrderLine]:
        """Return orders, the newest first."""
        rows = unit.execute(select(ORDERS).order_by(ORDERS.c.order_id.desc()).limit(limit))
        return [
            OrderLine(
                order_id=row.order_id,
                authorisation_id=row.authorisation_id.hex(),
                kind=row.kind,
                state=row.state,
                reason=row.reason,
                asked_us=row.asked_us,
                tries=row.tries,
                error_cause=row.error_cause,
                answer=row.answer,
            )
            for row in rows
        ]

    def sweep(self, unit: Connection, at_us: int) -> None:
        """Forget sessions a day after their grant, and orders a month after they were placed."""
        unit.execute(delete(ORDERS).where(ORDERS.c.asked_us < at_us - ORDER_KEPT_US))
        unit.execute(delete(ATTACHES).where(ATTACHES.c.expires_us < at_us - ATTACH_KEPT_US))

    def held(self, unit: Connection, person: Person) -> Held:
        """Return where a person's sessions were let in, and orders about them."""
        return {
            table.name: [
                dict(row)
                for some in batches(person.authorisations)
                for row in unit.execute(
                    select(table).where(table.c.authorisation_id.in_(some))
                ).mappings()
            ]
            for table in (ATTACHES, ORDERS)
        }

    def erase(self, unit: Connection, person: Person) -> None:
        """Forget them."""
        for some in batches(person.authorisations):
            for table in (ATTACHES, ORDERS):
                unit.execute(delete(table).where(table.c.authorisation_id.in_(some)))

    def _open(self, unit: Connection, authorisation_id: bytes) -> Kind | None:
        found = unit.scalar(
            select(ORDERS.c.kind)
            .where(ORDERS.c.authorisation_id == authorisation_id)
            .where(ORDERS.c.state == State.OPEN)
        )
        return None if found is None else Kind(found)

    def _place(
        self,
        unit: Connection,
        authorisation_id: bytes,
        kind: Kind,
        change: Change,
        *,
        reason: str,
        at_us: int,
        or_end: bool = False,
    ) -> bool:
        mine = ATTACHES.c.authorisation_id == authorisation_id
        if unit.scalar(select(ATTACHES.c.expires_us).where(mine)) is None:
            return False
        same = (ORDERS.c.authorisation_id == authorisation_id) & (ORDERS.c.state == State.OPEN)
        unit.execute(update(ORDERS).where(same).values(state=State.REPLACED))
        unit.execute(
            insert(ORDERS).values(
                authorisation_id=authorisation_id,
                kind=kind,
                filter_id=change.filter_id,
                session_timeout_s=change.session_timeout_s,
                rate_octets_per_s=change.rate_octets_per_s,
                or_end=or_end,
                reason=reason,
                asked_us=at_us,
                next_us=at_us,
                tries=0,
                state=State.OPEN,
                answer="",
            )
        )
        return True

    def _stopped(self, unit: Connection, authorisation_id: bytes, acct_session_id: str) -> None:
        """End the orders of a session, unless it goes on elsewhere under another name."""
        elsewhere = (
            select(ATTACHES.c.authorisation_id)
            .where(ATTACHES.c.authorisation_id == authorisation_id)
            .where(ATTACHES.c.acct_session_id.not_in(("", acct_session_id)))
        )
        unit.execute(
            update(ORDERS)
            .where(ORDERS.c.authorisation_id == authorisation_id)
            .where(ORDERS.c.state == State.OPEN)
            .where(ORDERS.c.authorisation_id.not_in(elsewhere))
            .values(state=State.OVER)
        )


def _names(observations: Sequence[Observation]) -> dict[bytes, str]:
    """Return what the sessions that begin are called, by authorisation."""
    return {
        one.authorisation_id: one.acct_session_id
        for one in observations
        if one.status is Status.START and one.authorisation_id is not None
    }


def _order(row: Row[Any]) -> Order:
    found = row._mapping
    attach = Attach(**{name: found[ATTACHES.c[name]] for name in _ATTACHED})
    return Order(
        order_id=found[ORDERS.c.order_id],
        attach=attach,
        kind=Kind(found[ORDERS.c.kind]),
        change=Change(
            filter_id=found[ORDERS.c.filter_id],
            session_timeout_s=found[ORDERS.c.session_timeout_s],
            rate_octets_per_s=found[ORDERS.c.rate_octets_per_s],
        ),
        or_end=found[ORDERS.c.or_end],
        tries=found[ORDERS.c.tries],
    )
