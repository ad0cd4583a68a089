"""Accounting is kept: a batch of reports in one unit, and what follows from them.

Most reports only add: an observation, and at a session's start its name. Those share the writer's
turn with what other processes add, where the store can. Whatever reads before it writes takes the
turn alone: an order that ends, money that may end, a debt to a home, a node's statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from opencarrier.access.agent.statement import may_state, statement_of
from opencarrier.access.model import Metrics
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.spine.usage import Observation

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from opencarrier.access.hub.passing import Passing
    from opencarrier.access.meters.service import MeterBook
    from opencarrier.access.server import Store
    from opencarrier.access.service import AccessPorts


@dataclass(frozen=True, slots=True)
class Recorder:
    """Keeps reports; everything here runs on the writer's thread."""

    ports: AccessPorts
    metrics: Metrics
    passing: Passing | None

    def add(self, stores: Sequence[Store]) -> int | None:
        """Keep reports beside what others keep; return how many were new.

        None, and nothing is kept, where that takes the turn alone.
        """
        if not self.ports.units.shares_turns or any(map(_reads_first, stores)):
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
            self.passing.keep(unit, [s.relay for s in stores if s.relay is not None])
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
        return new

    def _concerns_others(self, unit: Connection, observations: Sequence[Observation]) -> bool:
        """Say whether more follows than the rows; nobody can change that in a shared turn."""
        orders, spending = self.ports.orders, self.ports.spending
        if orders is not None and orders.concerned(unit, observations):
            return True
        at_us = self.ports.clock.now_us()
        return spending is not None and spending.concerned(unit, observations, at_us=at_us)

    def _observations(self, unit: Connection, stores: Sequence[Store]) -> list[Observation]:
        return [self._with_home(unit, store) for store in stores]

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


def _may_state(store: Store) -> bool:
    return may_state(store.ticket.packet)


def _reads_first(store: Store) -> bool:
    """Say whether a report is owed to a home, or may have a statement that continues a chain."""
    return store.relay is not None or may_state(store.ticket.packet)
