"""Orders and their holds: everything an attempt writes, all within the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from opencarrier.chain.contracts import NETS_MAX, ClearingHouse
from opencarrier.chain.model import Call
from opencarrier.chain.transactions import Quote, TransactionManager
from opencarrier.chain.typed_data import debit_digest
from opencarrier.kernel.ids import Id, derive, to_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, Signature
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer
from opencarrier.settlement import rules, store
from opencarrier.settlement.model import (
    Attempt,
    AttemptState,
    CloseRefusal,
    Cycle,
    Venue,
)
from opencarrier.spine.money import Cleared, SettlementOrder
from opencarrier.spine.notices import Announcer, Notice, NoticeKind
from opencarrier.spine.parties import PartyId
from opencarrier.spine.ports import (
    Clearing,
    Consent,
    Members,
    Notary,
    Rater,
    RewardBook,
    UsageSource,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What settlement asks of other rooms."""

    usage: UsageSource
    rater: Rater
    clearing: Clearing
    rewards: RewardBook
    members: Members
    notary: Notary
    consent: Consent | None = None
    announcer: Announcer | None = None


class RolledBackError(Exception):
    """Leaves a unit of work so that nothing of it stays; carries the refusal it ends with."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class OrderDesk:
    """Makes an attempt's order with all its consequences, and undoes or posts them."""

    def __init__(self, venue: Venue, ports: Ports, manager: TransactionManager) -> None:
        self._venue = venue
        self._ports = ports
        self._manager = manager
        self._house = ClearingHouse(venue.clearing_house)

    def quote(self) -> Quote:
        """Ask the network what a settlement costs now; the call itself is not known yet."""
        anything = Call(to=self._venue.clearing_house)
        return self._manager.quote(anything, gas_limit=rules.gas_limit(NETS_MAX))

    def collateral(self, unit: Connection, party: PartyId) -> int:
        """Return what of a member's collateral is free: posted, less what is held."""
        name = chart.collateral(party)
        return ledger.balance(unit, self._venue.asset, name).free_minor

    def signs(self, unit: Connection, address: Address) -> bool:
        """Say whether this installation signs debits for an address."""
        return self._ports.notary.sign(unit, address, derive("can-sign")) is not None

    def order(
        self, unit: Connection, cycle: Cycle, cleared: Cleared, quote: Quote, at_us: int
    ) -> Attempt:
        """Entitle the hosts, check their root, sign the debits, hold the money, keep what is sent.

        Where people have to say yes first, the transaction is made once they did: one that waited
        would hold up all of its sender's. `cycle.attempt` is the number of this attempt. Raises
        `RolledBackError` where the transaction manager takes no more.
        """
        root = self._ports.rewards.entitle(
            unit, cycle_id=cycle.cycle_id, entitlements=cleared.entitlements
        )
        objection = self._ports.rewards.objection(
            unit, cycle_id=cycle.cycle_id, funding_minor=cleared.rewards_minor
        )
        assert objection is None, f"the rewards root is not signed: {objection}"
        order = self._order(unit, cycle, cleared, root)
        rows = rules.rows_of(cleared)
        self._book(unit, rules.holds(order.asset, order.settlement_id, cycle.attempt, rows), at_us)
        attempt = Attempt(
            cycle_id=cycle.cycle_id,
            number=cycle.attempt,
            state=AttemptState.OPEN,
            reason="",
            intent_id=rules.intent_id(order.settlement_id, cycle.attempt),
            order=order,
            rows=rows,
            positions=cleared.positions,
            records=cleared.records,
            gross_minor=cleared.gross_minor,
            residual_minor=cleared.residual_minor,
            payments=cleared.payments,
            ordered_us=at_us,
            final_us=None,
            tx_hash=None,
            block_number=None,
        )
        if self.objection(unit, attempt) is None:
            self.prepare(unit, attempt, quote, at_us)
        store.add_attempt(unit, attempt)
        return attempt

    def objection(self, unit: Connection, attempt: Attempt) -> Refusal | None:
        """Say why people do not let an attempt be sent yet, nothing where they do."""
        if self._ports.consent is None:
            return None
        return self._ports.consent.objection(
            unit, settlement_id=attempt.order.settlement_id, net_minor=attempt.net_minor
        )

    def post(self, unit: Connection, attempt: Attempt, at_us: int) -> None:
        """Post an attempt's holds and note that its positions are settled for good."""
        order = attempt.order
        self._book(unit, rules.posts(self._holds(attempt), order.settlement_id), at_us)
        self._ports.clearing.finish(unit, cycle_id=attempt.cycle_id)
        self._announce(unit, attempt, at_us)

    def _announce(self, unit: Connection, attempt: Attempt, at_us: int) -> None:
        """Let the machines of everybody in the order know."""
        order = attempt.order
        about: dict[str, str | int] = {
            "cycle_id": to_hex(order.cycle_id),
            "settlement_id": to_hex(order.settlement_id),
            "sequence": order.sequence,
        }
        parties = frozenset(row.party for row in attempt.rows)
        settled = Notice(kind=NoticeKind.CYCLE_SETTLED, parties=parties, about=about, at_us=at_us)
        if self._ports.announcer is not None:
            self._ports.announcer.tell(unit, [settled])

    def undo(self, unit: Connection, attempt: Attempt, at_us: int) -> None:
        """Release everything an attempt held: money, entitlements, positions."""
        order = attempt.order
        self._book(unit, rules.voids(self._holds(attempt), order.settlement_id), at_us)
        self._ports.rewards.take_back(unit, cycle_id=attempt.cycle_id)
        self._ports.clearing.release(unit, cycle_id=attempt.cycle_id)

    def _order(
        self, unit: Connection, cycle: Cycle, cleared: Cleared, rewards_root: bytes
    ) -> SettlementOrder:
        settlement_id = rules.settlement_id(self._venue.token, cleared, rewards_root)
        return SettlementOrder(
            settlement_id=settlement_id,
            cycle_id=cycle.cycle_id,
            sequence=cycle.sequence,
            asset=self._venue.asset,
            records_root=cleared.records_root,
            netting_mode=cleared.netting_mode,
            nets=rules.nets_of(cleared),
            rewards_root=rewards_root,
            rewards_minor=cleared.rewards_minor,
            debit_signatures=tuple(
                self._debit_signature(unit, settlement_id, net.address, -net.amount_minor)
                for net in cleared.nets
                if net.amount_minor < 0
            ),
        )

    def _debit_signature(
        self, unit: Connection, settlement_id: Id, member: Address, amount_minor: int
    ) -> Signature | None:
        """A member's signature over its debit; None leaves it to its standing mandate."""
        digest = debit_digest(
            self._house.signing_domain(self._venue.chain_id),
            settlement_id=settlement_id,
            rulebook_hash=self._venue.rulebook_hash,
            token=self._venue.token,
            member=member,
            amount_minor=amount_minor,
        )
        return self._ports.notary.sign(unit, member, digest)

    def prepare(self, unit: Connection, attempt: Attempt, quote: Quote, at_us: int) -> None:
        """Sign and keep the transaction that settles an attempt.

        Raises `RolledBackError` where the transaction manager takes no more.
        """
        call = self._house.settle(self._venue.token, attempt.order)
        wanted = replace(
            quote,
            call=call,
            gas_limit=min(quote.gas_limit, rules.gas_limit(len(attempt.order.nets))),
        )
        prepared = self._manager.prepare(
            unit, attempt.intent_id, wanted, now_us=at_us, purpose="settlement"
        )
        if isinstance(prepared, Refusal):
            raise RolledBackError(Refusal(CloseRefusal.NOT_PREPARED, str(prepared)))

    def _holds(self, attempt: Attempt) -> list[Transfer]:
        order = attempt.order
        return rules.holds(order.asset, order.settlement_id, attempt.number, attempt.rows)

    def _book(self, unit: Connection, transfers: Sequence[Transfer], at_us: int) -> None:
        names = {name for item in transfers for name in (item.debit, item.credit)}
        ledger.ensure(unit, self._venue.asset, names)
        for batch in ledger.in_batches(transfers):
            refused = [item for item in ledger.apply(unit, batch, at_us) if item is not None]
            assert not refused, f"the ledger refuses a settlement: {refused[0]}"
