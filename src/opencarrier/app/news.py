"""What parties' machines hear that is no single step: receipts of a cycle, nodes gone and back.

A look a second does a share of it; how far it came stands in the transaction of what was told.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.ids import to_hex
from opencarrier.settlement.model import Cycle, CycleState
from opencarrier.spine.notices import Notice, NoticeKind
from opencarrier.spine.parties import PartyId, operator_of_node
from opencarrier.webhooks import marks, nodes
from opencarrier.webhooks.marks import Mark
from opencarrier.webhooks.model import INSTALLATION, Audience
from opencarrier.webhooks.nodes import SILENT_US, Watched

_log = logging.getLogger(__name__)

CYCLES_MAX: Final = 16
"""Cycles that are looked back at."""

PEOPLE_MAX: Final = 100
"""Subscribers whose receipts are looked for in one look."""

ARRIVED_MAX: Final = 2_000
"""Observations that are read in one look."""

APART_MAX: Final = 20
"""Nodes that a party hears of one by one; more at once are one message with their number."""

RECEIPTS, NODES = "receipts", "nodes"
NODE_KINDS: Final = (NoticeKind.NODE_SILENT, NoticeKind.NODE_ALIVE)


class News:
    """One look after another."""

    def __init__(self, place: Onchain) -> None:
        self._place = place
        self._base = place.base
        self._hooks = place.base.webhooks
        self._judges_from_us: int | None = None

    def tick(self) -> None:
        """Look once; what goes wrong is logged, and looked at again."""
        for look in (self.receipts, self.nodes):
            try:
                look()
            except Exception:
                _log.exception("news is told later")

    # receipts

    def receipts(self) -> None:
        """Tell subscribers of the oldest cycle that is paid for good and not told yet.

        What was paid for before anybody looked is told to nobody.
        """
        with self._base.store.read() as unit:
            mark = marks.read(unit, RECEIPTS)
            paid = self._paid(unit)
        if mark is None:
            self._keep(Mark(max(paid, default=0)))
            return
        waiting = [one for one in paid if one > mark.number or (one == mark.number and mark.party)]
        if waiting:
            self._tell_receipts(paid[min(waiting)], mark)

    def _paid(self, unit: Connection) -> dict[int, Cycle]:
        newest = self._place.settlement.standing(unit, limit=CYCLES_MAX)
        return {one.sequence: one for one in newest if one.state is CycleState.FINAL}

    def _tell_receipts(self, cycle: Cycle, mark: Mark) -> None:
        after = mark.party if mark.number == cycle.sequence else PartyId("")
        with self._base.store.write() as unit:
            people = self._hooks.listeners(unit, Audience.SUBSCRIBER, after=after, limit=PEOPLE_MAX)
            for party in people:
                count = self._base.subscribers.receipts_in(unit, party, cycle.cycle_id)
                if count:
                    self._hooks.tell(unit, [self._ready(cycle, party, count)])
            last = people[-1] if len(people) == PEOPLE_MAX else PartyId("")
            marks.put(unit, RECEIPTS, Mark(cycle.sequence, last))
            crashpoint("news.told")
        crashpoint("news.kept")

    def _ready(self, cycle: Cycle, party: PartyId, count: int) -> Notice:
        return Notice(
            kind=NoticeKind.RECEIPT_READY,
            parties=frozenset({party}),
            about={
                "cycle_id": to_hex(cycle.cycle_id),
                "sequence": cycle.sequence,
                "receipts": count,
            },
            at_us=self._base.clock.now_us(),
            personal=True,
        )

    def _keep(self, mark: Mark) -> None:
        with self._base.store.write() as unit:
            marks.put(unit, RECEIPTS, mark)

    # nodes

    def nodes(self) -> None:
        """Hear what arrived, and tell which nodes are back and which have fallen silent.

        Silence is judged when everything that arrived was heard, and from an hour after the start
        on: while nobody listened here no node could be heard.
        """
        with self._base.store.read() as unit:
            is_wanted = self._hooks.is_wanted(unit, NODE_KINDS)
            mark = marks.read(unit, NODES)
        if is_wanted:
            self._look_at_nodes(mark)
        elif mark is not None:
            self._stop_watching()

    def _look_at_nodes(self, mark: Mark | None) -> None:
        now_us = self._base.clock.now_us()
        if self._judges_from_us is None or mark is None:
            self._judges_from_us = now_us + SILENT_US
        usage = self._base.usage
        with self._base.store.write() as unit:
            number = usage.newest(unit) if mark is None else mark.number
            arrived = usage.arrived_after(unit, number, limit=ARRIVED_MAX)
            seen = {one.node_id: min(one.event_us, now_us) for _, one in arrived if one.node_id}
            self._tell_nodes(unit, NoticeKind.NODE_ALIVE, nodes.hear(unit, seen), now_us)
            if len(arrived) < ARRIVED_MAX and now_us >= self._judges_from_us:
                fallen = nodes.fall_silent(unit, now_us)
                self._tell_nodes(unit, NoticeKind.NODE_SILENT, fallen, now_us)
            if mark is None or arrived:
                marks.put(unit, NODES, Mark(arrived[-1][0] if arrived else number))

    def _stop_watching(self) -> None:
        with self._base.store.write() as unit:
            nodes.forget(unit)
            marks.drop(unit, NODES)

    def _tell_nodes(
        self, unit: Connection, kind: NoticeKind, found: Sequence[Watched], now_us: int
    ) -> None:
        concerned: defaultdict[PartyId, list[Watched]] = defaultdict(list)
        for node in found:
            for party in self._whose(unit, node.node_id):
                concerned[party].append(node)
        for party, own in sorted(concerned.items()):
            self._hooks.tell(unit, _of_nodes(kind, party, own, now_us))

    def _whose(self, unit: Connection, node_id: str) -> Iterable[PartyId]:
        """Return who hears of a node: its operator, its host, and the installation."""
        found = self._base.identity.directory.node_by_id(unit, node_id)
        if found is not None:
            return {INSTALLATION, found.operator, found.host}
        operator = operator_of_node(node_id)
        return {INSTALLATION} if operator is None else {INSTALLATION, operator}


def _of_nodes(
    kind: NoticeKind, party: PartyId, own: Sequence[Watched], now_us: int
) -> Iterable[Notice]:
    """Yield what one party hears: each node, or how many where they are many."""
    about: list[dict[str, str | int]] = [{"nodes": len(own), "noted_us": now_us}]
    if len(own) <= APART_MAX:
        about = [{"node": node.node_id, "heard_us": node.heard_us} for node in own]
    for one in about:
        yield Notice(kind=kind, parties=frozenset({party}), about=one, at_us=now_us, personal=True)
