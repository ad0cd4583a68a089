"""Where is my money: what every room knows of a use, joined into one timeline each.

An id is looked up in this order: 0x and 64 hex digits as a usage, a session, a cycle, an
adjustment or a record of one, a file;
`cycle:N`; a party (`sub_`, `host_`); a node; a pseudonym.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain
from opencarrier.app.timelines import (
    ID_MAX,
    LIMIT,
    PHASES,
    Cursor,
    Item,
    Page,
    begin,
    told,
    unknown,
)
from opencarrier.chain.contracts import RewardDistributor
from opencarrier.chain.errors import ChainError
from opencarrier.clearing.due_store import DueRecord
from opencarrier.clearing.stages import ClearingStages
from opencarrier.identity import pages
from opencarrier.kernel.ids import Id, from_hex, to_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.rating.stages import AUTHORISATIONS_MAX, RatingStages
from opencarrier.rewards.stages import RewardStages
from opencarrier.settlement.model import Cycle
from opencarrier.settlement.stages import SettlementStages
from opencarrier.spine.ids import cut_id
from opencarrier.spine.parties import PartyId
from opencarrier.spine.ports import Stages
from opencarrier.spine.stages import Stage, StageReason, Step
from opencarrier.usage import stages as usage_stages
from opencarrier.usage.stages import Sought, UsageStages

NODES_MAX: Final = 200
"""A host's nodes that are looked at, the first by id."""

_BEFORE_ALL: Final = to_hex(bytes(32))
"""Where a page ends that had room for its cycle only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What an id means: its kind, what to look for, and the file, cycle or adjustment it is."""

    kind: str
    sought: Sought
    dues: Sequence[DueRecord] = ()
    file: Id | None = None
    cycle: Cycle | None = None
    is_partial: bool = False


class Tracing:
    """Traces at one venue; newest data, read in one transaction a page."""

    def __init__(self, place: Onchain) -> None:
        self._place = place
        self._directory = place.base.identity.directory
        self._usage = UsageStages(place.base.usage)
        self._rating = RatingStages()
        self._clearing = ClearingStages(place.clearing, place.base.clock)
        self._settlement = SettlementStages()
        self._of_usages: tuple[Stages[Connection], ...] = (
            self._usage,
            self._rating,
            self._clearing,
        )

    def trace(self, text: str, *, after: str = "", limit: int = LIMIT) -> dict[str, Any] | Refusal:
        """Tell one page of an id's timelines; `next` is the cursor of the next, None on the last.

        Refused: a limit that is not 1 to `LIMIT_MAX`, a cursor no page gave, an id nobody knows.
        """
        cursor = begin(after, limit)
        if isinstance(cursor, Refusal):
            return cursor
        with self._place.base.store.read() as unit:
            subject = self._subject(unit, text)
            if subject is None:
                return unknown(text)
            page = self._page(unit, subject, cursor, limit)
        return told(text, subject.kind, page, is_partial=subject.is_partial)

    # what an id means

    def _subject(self, unit: Connection, text: str) -> Subject | None:
        if len(text) > ID_MAX or not text:
            return None
        try:
            identifier = from_hex(text)
        except ValueError:
            return self._named(unit, text)
        return self._numbered(unit, identifier)

    def _numbered(self, unit: Connection, identifier: Id) -> Subject | None:
        usages = self._place.base.usage
        if usages.usage(unit, identifier) is not None:
            return Subject(kind="usage", sought=usage_stages.of_usage(identifier))
        if usages.session(unit, identifier) is not None:
            return Subject(kind="session", sought=usage_stages.of_session(identifier))
        cycle = self._settlement.cycle(unit, identifier)
        if cycle is not None:
            return _of_cycle(cycle)
        dues = self._clearing.adjustment(unit, identifier)
        if dues:
            return Subject(kind="adjustment", sought=usage_stages.of_cuts(()), dues=dues)
        if self._usage.knows_file(unit, identifier):
            return Subject(kind="file", sought=usage_stages.of_file(identifier), file=identifier)
        uncut = self._usage.uncut(unit, identifier)
        return None if uncut is None else Subject(kind="session", sought=uncut)

    def _named(self, unit: Connection, text: str) -> Subject | None:
        found = self._cycle_numbered(unit, text) or self._party(unit, PartyId(text))
        if found is not None:
            return found
        if self._directory.node_by_id(unit, text) is not None:
            return Subject(kind="node", sought=usage_stages.of_nodes([text]))
        if self._usage.knows_subject(unit, text):
            return Subject(kind="subscriber", sought=usage_stages.of_subject(text))
        return None

    def _cycle_numbered(self, unit: Connection, text: str) -> Subject | None:
        word, _, number = text.partition(":")
        if word != "cycle" or not (number.isascii() and number.isdigit()) or len(number) > 18:
            return None
        for cycle in self._place.settlement.standing(unit, limit=1, before=int(number) + 1):
            if cycle.sequence == int(number):
                return _of_cycle(cycle)
        return None

    def _party(self, unit: Connection, party: PartyId) -> Subject | None:
        if self._directory.subscriber(unit, party) is not None:
            found = self._rating.authorisations(unit, party)
            return Subject(
                kind="subscriber",
                sought=usage_stages.of_authorisations(found[:AUTHORISATIONS_MAX]),
                is_partial=len(found) > AUTHORISATIONS_MAX,
            )
        if self._directory.host(unit, party) is not None:
            some = pages.nodes_after(unit, party, "", limit=NODES_MAX + 1)
            return Subject(
                kind="host",
                sought=usage_stages.of_nodes([node.node_id for node in some[:NODES_MAX]]),
                is_partial=len(some) > NODES_MAX,
            )
        return None

    # a page

    def _page(self, unit: Connection, subject: Subject, cursor: Cursor, limit: int) -> Page:
        if subject.dues:
            return Page([self._of_due(unit, record) for record in subject.dues], None)
        items: list[Item] = []
        if subject.cycle is not None and not cursor.after:
            cycle_id = subject.cycle.cycle_id
            items.append(Item("cycle", cycle_id, self._settlement.steps(unit, [cycle_id])))
        for phase in PHASES[PHASES.index(cursor.phase) :]:
            start = cursor if phase == cursor.phase else Cursor(phase)
            found = self._phase(unit, subject, start, limit - len(items))
            items += [item for _, item in found]
            if len(items) >= limit:
                return Page(items, Cursor(phase, found[-1][0] if found else _BEFORE_ALL))
        return Page(items, None)

    def _phase(
        self, unit: Connection, subject: Subject, start: Cursor, limit: int
    ) -> list[tuple[str, Item]]:
        """Return one part of a page: each item with its place in it."""
        if limit <= 0:
            return []
        if start.phase == "usage":
            return [
                (to_hex(usage_id), Item("usage", usage_id, self._timeline(unit, usage_id)))
                for usage_id in self._usages(unit, subject, start.usage_id, limit)
            ]
        if start.phase == "pending":
            heard = self._usage.pending(unit, subject.sought, after=start.place, limit=limit)
            return [(str(at), Item("session", _about(steps), steps)) for at, steps in heard]
        if subject.file is None:
            return []
        refused = self._usage.refused(unit, subject.file, after=start.place, limit=limit)
        return [(str(at), Item("record", None, [step])) for at, step in refused]

    def _usages(self, unit: Connection, subject: Subject, after: bytes, limit: int) -> list[Id]:
        """Return the next usages; a cycle's are those it cut and those it settles."""
        found = set(self._usage.page(unit, subject.sought, after=after, limit=limit))
        if subject.cycle is not None:
            cycle_id = subject.cycle.cycle_id
            found |= set(self._clearing.page(unit, cycle_id, after=after, limit=limit))
        return sorted(found)[:limit]

    def _timeline(self, unit: Connection, usage_id: Id) -> list[Step]:
        steps = [step for room in self._of_usages for step in room.steps(unit, [usage_id])]
        cycle_id = self._clearing.settled_in(unit, usage_id)
        if cycle_id is not None:
            steps += self._settlement.steps(unit, [cycle_id])
            steps += self._claims(unit, usage_id, cycle_id)
        return sorted(map(self._judged, steps), key=lambda step: step.stage)

    def _of_due(self, unit: Connection, record: DueRecord) -> Item:
        """Return what happened to one flow of an adjustment; there is one for each role at most."""
        about = record.record_id
        steps = [*self._rating.adjusted(unit, about, record.adjustment_id)]
        steps += self._clearing.steps(unit, [about])
        cycle_id = self._clearing.settled_in(unit, about)
        if cycle_id is not None:
            steps += self._settlement.steps(unit, [cycle_id])
        return Item("adjustment", about, steps)

    def _claims(self, unit: Connection, usage_id: Id, cycle_id: Id) -> Sequence[Step]:
        """Return what the usage's host can claim: only what a final settlement has funded."""
        host = self._rating.host(unit, usage_id)
        if host is None or not self._settlement.is_final(unit, cycle_id):
            return []
        accounts = self._settlement.accounts(unit, cycle_id, host)
        return RewardStages(self._place.rewards, accounts).steps(unit, [cycle_id])

    def _judged(self, step: Step) -> Step:
        """Ask the distributor whether a share's root pays yet; unsaid where it does not answer."""
        if step.stage is not Stage.CLAIMABLE:
            return step
        pool, token = (
            RewardDistributor(self._place.manifest.distributor),
            self._place.manifest.token,
        )
        root = from_hex(str(step.facts["rewards_root"]))
        try:
            ready_at_s = pool.ready_at(token, root).ask(self._place.client)
            vetoed = pool.is_vetoed(token, root).ask(self._place.client)
            now_s = self._place.chain_now_s()
        except ChainError:
            return step
        reason = StageReason.OWED_TO_HOST
        if vetoed:
            reason = StageReason.ROOT_VETOED
        elif not 0 < ready_at_s <= now_s:
            reason = StageReason.ROOT_NOT_READY
        facts = {**step.facts, "ready_at_s": ready_at_s}
        return replace(step, reason=reason.name.lower(), facts=facts)


def _about(steps: Sequence[Step]) -> Id | None:
    return steps[0].about if steps else None


def _of_cycle(cycle: Cycle) -> Subject:
    cuts = [cut_id(cycle.cycle_id, number) for number in range(max(1, cycle.cuts))]
    return Subject(kind="cycle", sought=usage_stages.of_cuts(cuts), cycle=cycle)
