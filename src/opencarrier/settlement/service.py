"""The room's door: close a cycle, drive it to finality, say where everything stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from opencarrier.chain.contracts import NETS_MAX, NO_ROOT
from opencarrier.chain.errors import ChainError, ChainUnavailableError, QuorumBrokenError
from opencarrier.chain.ports import UnitOfWork
from opencarrier.chain.rules import BlockPoint, Transaction, TransactionState
from opencarrier.chain.transactions import Quote, TransactionManager
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address
from opencarrier.settlement import rules, store
from opencarrier.settlement.custody import Caught, CustodyFollower
from opencarrier.settlement.figures import CycleFigures, figures
from opencarrier.settlement.model import (
    Alarm,
    Attempt,
    AttemptState,
    CloseRefusal,
    Cycle,
    CycleClosed,
    CycleEvent,
    CycleState,
    Driven,
    Halt,
    Venue,
)
from opencarrier.settlement.orders import OrderDesk, Ports, RolledBackError
from opencarrier.settlement.reconcile import Reconciler, Reconciliation
from opencarrier.settlement.rules import IN_FLIGHT, MemberFacts, Verdict
from opencarrier.settlement.venue import Obstacle, VenueChain, VenueReader
from opencarrier.spine import ids
from opencarrier.spine.money import Cleared, Deferral
from opencarrier.spine.parties import PartyId

ATTEMPTS_MAX = 8
"""Dead attempts of one cycle after which a person must look."""

ClosedBeside = Callable[[Connection, CycleClosed], None]
"""What is written in the transaction that closes a cycle, of what it came to."""


class SettlementService:
    """The cycles of one venue. `begin` opens a unit of work; the chain is never asked inside one.

    One cycle is in flight at a time. Everything that decides is in the database before anything
    is sent, so after a crash `drive` alone goes on.
    """

    def __init__(
        self, venue: Venue, ports: Ports, manager: TransactionManager, chain: VenueChain
    ) -> None:
        self.venue = venue
        self._ports = ports
        self._manager = manager
        self._reader = VenueReader(chain, venue)
        self._custody = CustodyFollower(venue, ports.members, chain, ports.announcer)
        self._reconciler = Reconciler(self._reader, ports.members, ports.clearing, ports.rewards)
        self._desk = OrderDesk(venue, ports, manager)

    # closing

    def close(
        self, begin: UnitOfWork, *, at_us: int, beside: ClosedBeside | None = None
    ) -> CycleClosed | Refusal:
        """End the open cycle at an instant: cut, rate, book, clear, net, order, in one transaction.

        Where nothing is due the cut and its positions stay and the cycle remains open. A refusal
        changes nothing. `beside` writes in the same transaction who closed it.
        """
        with begin() as unit:
            refusal = self._may_close(unit, at_us)
        if refusal is not None:
            return refusal
        try:
            quote = self._desk.quote()
            with begin() as unit:
                closed = self._close(unit, at_us, quote)
                if beside is not None:
                    beside(unit, closed)
                crashpoint("settlement.close.before_commit")
        except RolledBackError as error:
            return error.refusal
        except ChainError as error:
            return Refusal(CloseRefusal.VENUE_UNAVAILABLE, str(error))
        crashpoint("settlement.close.after_commit")
        return closed

    def _may_close(self, unit: Connection, at_us: int) -> Refusal | None:
        halt = store.halt(unit, self.venue)
        if halt is not None:
            return Refusal(CloseRefusal.HALTED, f"{halt.alarm.value}: {halt.detail}")
        newest = store.newest_cycle(unit, self.venue)
        if newest is not None and newest.state in IN_FLIGHT:
            return Refusal(CloseRefusal.IN_FLIGHT, f"cycle {newest.sequence} is on its way")
        if newest is not None and at_us < newest.cut_us:
            return Refusal(CloseRefusal.CUT_BEFORE_LAST, f"the last cut was at {newest.cut_us} us")
        members = len(self._ports.members.members(unit))
        if members > NETS_MAX:
            return Refusal(CloseRefusal.TOO_MANY_MEMBERS, f"{members}, the venue takes {NETS_MAX}")
        return None

    def _close(self, unit: Connection, at_us: int, quote: Quote) -> CycleClosed:
        refusal = self._may_close(unit, at_us)
        if refusal is not None:
            raise RolledBackError(refusal)
        cycle = self._open_cycle(unit)
        cut = ids.cut_id(cycle.cycle_id, cycle.cuts)
        cycle = replace(cycle, cuts=cycle.cuts + 1, cut_us=at_us)
        usages = self._ports.usage.cut(unit, cycle_id=cut, cut_us=at_us)
        charges, suspended = self._ports.rater.rate(
            unit, cycle_id=cycle.cycle_id, usages=usages, at_us=at_us
        )
        dues = self._ports.rater.adjust(unit, cycle_id=cycle.cycle_id, at_us=at_us)
        self._ports.clearing.take(unit, cycle_id=cycle.cycle_id, charges=charges, cut_us=at_us)
        self._ports.clearing.take_dues(unit, cycle_id=cycle.cycle_id, dues=dues, cut_us=at_us)
        cleared = self._ports.clearing.clear(
            unit,
            cycle_id=cycle.cycle_id,
            at_us=at_us,
            collateral=lambda party: self._desk.collateral(unit, party),
            excluded={},
        )
        attempt = None
        if cleared.positions:
            cycle, attempt = self._order(unit, cycle, CycleEvent.ORDER, cleared, quote, at_us)
        store.save_cycle(unit, self.venue, cycle)
        return CycleClosed(
            cycle=cycle,
            attempt=attempt,
            usages=len(usages),
            suspended=tuple(suspended),
            cleared=cleared,
        )

    def _open_cycle(self, unit: Connection) -> Cycle:
        newest = store.newest_cycle(unit, self.venue)
        if newest is not None and newest.state is CycleState.OPEN:
            return newest
        assert newest is None or newest.state is CycleState.FINAL, "a lost cycle halts the venue"
        sequence = self.venue.first_sequence if newest is None else newest.sequence + 1
        return rules.next_cycle(self.venue.domain, self.venue.asset, sequence)

    def _order(
        self,
        unit: Connection,
        cycle: Cycle,
        event: CycleEvent,
        cleared: Cleared,
        quote: Quote,
        at_us: int,
    ) -> tuple[Cycle, Attempt]:
        cycle = replace(cycle, state=rules.advance(cycle.state, event), attempt=cycle.attempt + 1)
        return cycle, self._desk.order(unit, cycle, cleared, quote, at_us)

    # driving

    def drive(self, begin: UnitOfWork, *, now_us: int) -> Driven:
        """Do what is due for the cycle in flight: send, confirm, post, or try again.

        Safe to repeat and to kill anywhere; it is the whole recovery. A chain that does not
        answer is a note, not an error.
        """
        with begin() as unit:
            halt = store.halt(unit, self.venue)
            cycle = store.newest_cycle(unit, self.venue)
        if halt is not None:
            return Driven(cycle=cycle, note="halted", halt=halt)
        try:
            return self._drive(begin, cycle, now_us)
        except QuorumBrokenError as error:
            self._halt(begin, Alarm.ENDPOINTS_DIFFER, str(error), now_us)
            return self._driven(begin, "halted", ())
        except ChainError as error:
            return self._driven(begin, f"the venue does not answer: {error}", ())

    def drive_until_settled(
        self,
        begin: UnitOfWork,
        *,
        now_us: Callable[[], int],
        pause: Callable[[], None],
        passes_max: int,
    ) -> Driven:
        """Drive until nothing is in flight, pausing between passes; passes may run out before."""
        assert passes_max > 0
        for left in range(passes_max - 1, -1, -1):
            driven = self.drive(begin, now_us=now_us())
            if driven.is_settled or driven.halt is not None or left == 0:
                return driven
            pause()
        raise AssertionError("look once at least")

    def _drive(self, begin: UnitOfWork, cycle: Cycle | None, now_us: int) -> Driven:
        reorg = self._check_past(begin)
        if reorg is not None:
            self._halt(begin, Alarm.DEEP_REORG, reorg, now_us)
            return self._driven(begin, "halted", ())
        in_flight = cycle is not None and cycle.state in IN_FLIGHT
        unapproved = None
        if cycle is not None and in_flight:
            unapproved = self._unapproved(begin, cycle, now_us)
            crashpoint("settlement.drive.before_send")
        alarms = self._manager.drive(begin, now_us=now_us).alarms
        if cycle is None or not in_flight:
            return self._driven(begin, "nothing is in flight", alarms)
        if unapproved is not None:
            return replace(self._driven(begin, str(unapproved), alarms), unapproved=unapproved)
        crashpoint("settlement.drive.after_send")
        note = self._judge(begin, cycle, now_us)
        return self._driven(begin, note, alarms)

    def _unapproved(self, begin: UnitOfWork, cycle: Cycle, now_us: int) -> Refusal | None:
        """Make the transaction of an order that people agreed to by now, or say what is missing."""
        with begin() as unit:
            attempt = store.attempt(unit, cycle.cycle_id, cycle.attempt)
            assert attempt is not None, "a cycle in flight has an attempt"
            if self._manager.find(unit, attempt.intent_id) is not None:
                return None
            refusal = self._desk.objection(unit, attempt)
        if refusal is not None:
            return refusal
        quote = self._desk.quote()
        try:
            with begin() as unit:
                made = self._manager.find(unit, attempt.intent_id)
                if made is None and self._is_current(unit, cycle):
                    self._desk.prepare(unit, attempt, quote, now_us)
        except RolledBackError as error:
            return error.refusal
        return None

    def _driven(self, begin: UnitOfWork, note: str, alarms: tuple[str, ...]) -> Driven:
        with begin() as unit:
            return Driven(
                cycle=store.newest_cycle(unit, self.venue),
                note=note,
                halt=store.halt(unit, self.venue),
                alarms=alarms,
            )

    def _check_past(self, begin: UnitOfWork) -> str | None:
        """Say what is wrong if the chain no longer holds what was final here."""
        with begin() as unit:
            cycle = store.newest_final(unit, self.venue)
            attempt = None if cycle is None else store.attempt(unit, cycle.cycle_id, cycle.attempt)
        if cycle is None or attempt is None:
            return None
        settled = self._reader.settled(cycle.cycle_id)
        if settled.final_number < (attempt.block_number or 0):
            raise ChainUnavailableError("it is behind what was final", outcome_unknown=False)
        if settled.settlement_id == attempt.order.settlement_id:
            return None
        return f"cycle {cycle.sequence} was final and is no longer on the chain"

    def _judge(self, begin: UnitOfWork, cycle: Cycle, now_us: int) -> str:
        """Read transaction and contract and do what the verdict asks; say what is waited for."""
        with begin() as unit:
            attempt = store.attempt(unit, cycle.cycle_id, cycle.attempt)
            assert attempt is not None, "a cycle in flight has an attempt"
            transaction = self._manager.find(unit, attempt.intent_id)
            assert transaction is not None, "an order is kept with its transaction"
            sent = transaction.state is not TransactionState.PREPARED
            if cycle.state is CycleState.ORDERED and sent:
                cycle = replace(cycle, state=rules.advance(cycle.state, CycleEvent.SEND))
                store.save_cycle(unit, self.venue, cycle)
        settled = self._reader.settled(cycle.cycle_id)
        verdict = rules.verdict(
            transaction.state, settled.settlement_id, attempt.order.settlement_id
        )
        if verdict is Verdict.POST:
            return self._post(begin, cycle, attempt, transaction, settled.final_number, now_us)
        if verdict is Verdict.LOST:
            return self._lose(begin, cycle, attempt, settled.settlement_id or b"", now_us)
        if verdict is Verdict.DEAD and self._reader.settled_now(cycle.cycle_id) != NO_ROOT:
            return "somebody settled this cycle, which is not final yet"
        if verdict is Verdict.DEAD:
            return self._again(begin, cycle, attempt, transaction, now_us)
        if verdict is Verdict.UNEXPLAINED:
            detail = f"cycle {cycle.sequence}: the transaction succeeded and settled nothing"
            self._halt(begin, Alarm.UNEXPLAINED, detail, now_us)
            return "halted"
        return f"the transaction is {transaction.state.value}, not final"

    def _post(
        self,
        begin: UnitOfWork,
        cycle: Cycle,
        attempt: Attempt,
        transaction: Transaction,
        final_number: int,
        now_us: int,
    ) -> str:
        tx_hash, block_number = self._reader.settling_transaction(
            cycle.cycle_id, transaction, final_number
        )
        crashpoint("settlement.drive.before_post")
        with begin() as unit:
            if not self._is_current(unit, cycle):
                return "somebody else went on"
            self._desk.post(unit, attempt, now_us)
            final = replace(
                attempt,
                state=AttemptState.FINAL,
                final_us=now_us,
                tx_hash=tx_hash,
                block_number=block_number,
            )
            store.end_attempt(unit, final)
            self._move(unit, cycle, CycleEvent.CONFIRM)
        crashpoint("settlement.drive.after_post")
        return "final"

    def _lose(
        self, begin: UnitOfWork, cycle: Cycle, attempt: Attempt, other: bytes, now_us: int
    ) -> str:
        """The chain settled this cycle with other content: release everything and stop."""
        detail = f"cycle {cycle.sequence} was settled as 0x{other.hex()}"
        with begin() as unit:
            if not self._is_current(unit, cycle):
                return "somebody else went on"
            self._desk.undo(unit, attempt, now_us)
            store.end_attempt(unit, replace(attempt, state=AttemptState.LOST, reason=detail))
            self._move(unit, cycle, CycleEvent.CONFLICT)
            halt = Halt(alarm=Alarm.SETTLED_OTHERWISE, detail=detail, at_us=now_us)
            store.put_halt(unit, self.venue, halt)
        return "halted"

    def _again(
        self,
        begin: UnitOfWork,
        cycle: Cycle,
        attempt: Attempt,
        transaction: Transaction,
        now_us: int,
    ) -> str:
        """The attempt is provably dead and the cycle unsettled: release it and clear it anew.

        Who cannot be debited at the venue leaves by rule. Where nothing can be tried now, the
        cycle is open again and the next close tries.
        """
        with begin() as unit:
            members = self._ports.members.members(unit)
        facts = self._reader.facts(members)
        obstacle = self._reader.obstacle(cycle.sequence, self._manager.sender)
        words = self._reader.why(transaction.call, self._manager.sender)
        reason = f"{transaction.state.value}: {words}" if words else transaction.state.value
        quote = self._desk.quote()
        with begin() as unit:
            if not self._is_current(unit, cycle):
                return "somebody else went on"
            self._desk.undo(unit, attempt, now_us)
            store.end_attempt(unit, replace(attempt, state=AttemptState.DEAD, reason=reason))
            if obstacle is None and cycle.attempt >= ATTEMPTS_MAX:
                note = f"cycle {cycle.sequence}: {cycle.attempt} attempts died, the last {reason}"
                obstacle = Obstacle(note=note, alarm=Alarm.ATTEMPTS_EXHAUSTED)
            if obstacle is not None:
                return self._abandon(unit, cycle, obstacle, now_us)
            reverted = transaction.state is TransactionState.REVERTED
            cleared = self._clear_again(unit, cycle, members, facts)
            if reverted and _same_content(cleared, attempt):
                self._ports.clearing.release(unit, cycle_id=cycle.cycle_id)
                return self._abandon(unit, cycle, Obstacle(note=reason), now_us)
            if not cleared.positions:
                return self._abandon(unit, cycle, Obstacle(note="nothing is due any more"), now_us)
            cycle, _ = self._order(unit, cycle, CycleEvent.RETRY, cleared, quote, now_us)
            store.save_cycle(unit, self.venue, cycle)
        return f"attempt {cycle.attempt} after {reason}"

    def _clear_again(
        self,
        unit: Connection,
        cycle: Cycle,
        members: Mapping[PartyId, Address],
        facts: Mapping[PartyId, MemberFacts],
    ) -> Cleared:
        bounded = rules.bounded_by_venue(
            lambda party: self._desk.collateral(unit, party),
            facts,
            lambda party: self._desk.signs(unit, members[party]),
        )
        strangers = {
            party: "not a member at the venue"
            for party, fact in facts.items()
            if not fact.is_member
        }
        return self._ports.clearing.clear(
            unit,
            cycle_id=cycle.cycle_id,
            at_us=cycle.cut_us,
            collateral=bounded,
            excluded=strangers,
        )

    def _abandon(self, unit: Connection, cycle: Cycle, obstacle: Obstacle, now_us: int) -> str:
        self._move(unit, cycle, CycleEvent.ABANDON)
        if obstacle.alarm is not None:
            halt = Halt(alarm=obstacle.alarm, detail=obstacle.note, at_us=now_us)
            store.put_halt(unit, self.venue, halt)
        return f"open again: {obstacle.note}"

    def _move(self, unit: Connection, cycle: Cycle, event: CycleEvent) -> None:
        moved = replace(cycle, state=rules.advance(cycle.state, event))
        store.save_cycle(unit, self.venue, moved)

    def _is_current(self, unit: Connection, cycle: Cycle) -> bool:
        """Say whether the cycle still stands where it was read; another pass may have gone on."""
        return store.cycle(unit, cycle.cycle_id) == cycle

    def _halt(self, begin: UnitOfWork, alarm: Alarm, detail: str, now_us: int) -> None:
        with begin() as unit:
            store.put_halt(unit, self.venue, Halt(alarm=alarm, detail=detail, at_us=now_us))

    # the venue's other movements

    def follow(self, begin: UnitOfWork, *, now_us: int) -> Caught:
        """Book the venue's new final logs: deposits, withdrawals, claims. Drive first."""
        return self._custody.follow(begin, now_us=now_us)

    def followed(self, unit: Connection) -> BlockPoint | None:
        """Return the block up to which the venue's movements are booked, None before the first."""
        return self._custody.at(unit)

    def reconcile(self, unit: Connection, *, charges: bool = True) -> Reconciliation:
        """Compare ledger, contracts and charges, line by line; raises what the chain raises."""
        return self._reconciler.reconcile(unit, charges=charges)

    # what others read

    def cycle(self, unit: Connection) -> Cycle | None:
        """Return the newest cycle."""
        return store.newest_cycle(unit, self.venue)

    def cycles(
        self, unit: Connection, *, limit: int = 100, before: int | None = None
    ) -> Sequence[tuple[Cycle, Attempt | None]]:
        """Return cycles, newest first, each with its last attempt."""
        found = store.cycles_of(unit, self.venue, limit=limit, before=before)
        return [(c, store.attempt(unit, c.cycle_id, c.attempt)) for c in found]

    def standing(
        self, unit: Connection, *, limit: int, before: int | None = None
    ) -> Sequence[Cycle]:
        """Return cycles and how far they are, newest first, without what any of them pays."""
        return store.cycles_of(unit, self.venue, limit=limit, before=before)

    def figures(
        self, unit: Connection, *, limit: int, before: int | None = None
    ) -> list[CycleFigures]:
        """Return the cycles that were ordered in figures, newest first: for lists."""
        return figures(unit, self.venue, limit=limit, before=before)

    def attempts(self, unit: Connection, cycle_id: Id) -> Sequence[Attempt]:
        """Return all attempts of a cycle in their order."""
        return store.attempts_of(unit, cycle_id)

    def waiting(self, unit: Connection, *, at_us: int) -> Sequence[Deferral]:
        """Return the positions that no cycle at an instant would take, and why."""
        return self._ports.clearing.waiting(unit, at_us=at_us)

    def halt(self, unit: Connection) -> Halt | None:
        """Return why settling stopped, None while it goes on."""
        return store.halt(unit, self.venue)

    def resume(self, unit: Connection) -> None:
        """Let settling go on after a person has looked; a lost cycle can not be gone on from."""
        newest = store.newest_cycle(unit, self.venue)
        assert newest is None or newest.state is not CycleState.LOST, "this cycle is lost"
        store.drop_halt(unit, self.venue)


def _same_content(cleared: Cleared, attempt: Attempt) -> bool:
    return (
        cleared.records_root == attempt.order.records_root
        and rules.rows_of(cleared) == attempt.rows
    )
