"""Accounting is kept: a batch of reports in one unit, and what follows from them.

Most reports only add: an observation, and at a session's start its name. Those share the writer's
turn with what other processes add, where the store can. Whatever reads before it writes takes the
turn alone: an order that ends, money that may end, a debt to a home, what a node's
agent signed or brought.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from opencarrier.access.agent.payments import Carried, Verdict, carried_of
from opencarrier.access.agent.statement import may_state, statement_of
from opencarrier.access.hub.running import RESTARTS
from opencarrier.access.model import Metrics
from opencarrier.access.wire.duplicates import Key
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.spine.ids import session_id as session_id_of
from opencarrier.spine.usage import Observation

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from opencarrier.access.agreeing import TermsDesk
    from opencarrier.access.hub.passing import Passing
    from opencarrier.access.meters.service import MeterBook
    from opencarrier.access.server import Store
    from opencarrier.access.service import AccessPorts


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recorder:
    """Keeps reports; everything here runs on the writer's thread.

    `verdicts` are of payments that came with reports, until these are answered.
    """

    ports: AccessPorts
    metrics: Metrics
    passing: Passing | None
    terms: TermsDesk
    verdicts: dict[Key, Verdict] = field(default_factory=dict)

    def add(self, stores: Sequence[Store]) -> int | None:
        """Keep reports beside what others keep; return how many were new.

        None, and nothing is kept, where that takes the turn alone.
        """
        if not self.ports.units.shares_turns or any(map(self._reads_first, stores)):
            return None
        with self.ports.units.append() as unit:
            observations = self._observations(unit, stores)
            if self._concerns_others(unit, observations):
                return None
            if self.ports.orders is not None:
                self.ports.orders.called(unit, observations)
            new = self.ports.sink.add(unit, observations)
            crashpoint("access.before_commit")
        return new

    def record(self, unit: Connection, stores: Sequence[Store]) -> int:
        """Keep reports and all that follows from them, with the unit; return how many were new."""
        if not stores:
            return 0
        if self.passing is not None:
            self.passing.keep(unit, [(store.relay, store.observation) for store in stores])
        observations = self._observations(unit, stores)
        if self.ports.orders is not None:
            self.ports.orders.observed(unit, observations)
        new = self.ports.sink.record(unit, observations)
        if self.ports.spending is not None:
            at_us = self.ports.clock.now_us()
            self.ports.spending.observed(unit, observations, at_us=at_us)
        if self.ports.meters is not None:
            for store in filter(_may_state, stores):
                self._take_statement(unit, self.ports.meters, store)
        for store in filter(_may_state, stores):
            self._take_payment(unit, store)
        return new

    def _reads_first(self, store: Store) -> bool:
        """Say whether a report is owed to a home, ends what is, or may carry an agent's word."""
        restarts = self.passing is not None and store.observation.status in RESTARTS
        return store.relay is not None or restarts or may_state(store.ticket.packet)

    def _concerns_others(self, unit: Connection, observations: Sequence[Observation]) -> bool:
        """Say whether more follows than the rows; nobody can change that in a shared turn."""
        orders, spending = self.ports.orders, self.ports.spending
        if orders is not None and orders.concerned(unit, observations):
            return True
        at_us = self.ports.clock.now_us()
        return spending is not None and spending.concerned(unit, observations, at_us=at_us)

    def _observations(self, unit: Connection, stores: Sequence[Store]) -> list[Observation]:
        return self.terms.named(unit, stores, [self._with_home(unit, store) for store in stores])

    def _with_home(self, unit: Connection, store: Store) -> Observation:
        if store.realm is None:
            return store.observation
        home = self.ports.directory.home_of(unit, store.realm)
        return replace(store.observation, home=home.party_id if home else None)

    def _take_statement(self, unit: Connection, meters: MeterBook, store: Store) -> None:
        """Keep what a node's agent signed for; a wrong statement is counted, its report stays."""
        try:
            signed = statement_of(store.ticket.packet)
        except PeerError as error:
            self.metrics.statements[error.reason] += 1
            return
        if signed is None or store.observation.node_id is None:
            return
        outcome = meters.take(
            unit,
            signed,
            node_id=store.observation.node_id,
            authorisation_id=store.observation.authorisation_id,
            at_us=self.ports.clock.now_us(),
        )
        name = outcome.code if isinstance(outcome, Refusal) else outcome.name.lower()
        self.metrics.statements[name] += 1

    def _take_payment(self, unit: Connection, store: Store) -> None:
        """Hand on a payment that came with a report of a session we let in; note the verdict."""
        seen = store.observation
        if seen.authorisation_id is None or seen.node_id is None:
            return
        try:
            carried = carried_of(store.ticket.packet)
        except PeerError as error:
            self.metrics.payments[error.reason] += 1
            return
        if carried is None:
            return
        session_id = session_id_of(seen.authorisation_id, seen.nas_key, seen.acct_session_id)
        reason = self._paid(unit, carried, session_id, seen.node_id)
        self.metrics.payments[reason or "taken"] += 1
        self.verdicts[store.ticket.key] = Verdict(carried.digest, reason)

    def _paid(self, unit: Connection, carried: Carried, session_id: Id, node_id: str) -> str:
        """Have a payment taken; return why it is not, nothing where it is.

        Whatever a device signed, the report it came with is kept.
        """
        if self.ports.payments is None:
            return "not_taken_here"
        try:
            with unit.begin_nested():
                refusal = self.ports.payments.carried(
                    unit,
                    carried.voucher,
                    carried.ack,
                    session_id=session_id,
                    node_id=node_id,
                    at_us=self.ports.clock.now_us(),
                )
        except PeerError as error:
            return error.reason
        except Exception:
            _log.exception("a payment could not be taken")
            return "internal_error"
        return "" if refusal is None else refusal.code


def _may_state(store: Store) -> bool:
    return may_state(store.ticket.packet)
