"""What settlement asks the chain: always the contract, never a memory of what was sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from opencarrier.chain import events
from opencarrier.chain.contracts import ClearingHouse, RewardDistributor, StableToken
from opencarrier.chain.errors import ChainError, ChainUnavailableError, RevertedError
from opencarrier.chain.logs import BLOCKS_PER_BATCH_MAX
from opencarrier.chain.model import LATEST, Block, BlockAt, Call, Log, LogFilter, Receipt
from opencarrier.chain.ports import LogReader
from opencarrier.chain.rules import Transaction
from opencarrier.kernel.ids import Id
from opencarrier.kernel.signatures import Address
from opencarrier.settlement.model import Alarm, Venue
from opencarrier.settlement.rules import MemberFacts
from opencarrier.spine.parties import PartyId


class VenueChain(LogReader, Protocol):
    """The part of a chain client that settlement needs; `ChainClient` is one."""

    def call(self, call: Call, at: BlockAt = LATEST) -> bytes:
        """Run a call without sending it."""
        ...

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        """Return a mined transaction's receipt."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What the contract holds for a cycle at the newest final block, None before there is one."""

    settlement_id: bytes | None
    final_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Why no settlement of ours can succeed now; with an alarm, none ever will."""

    note: str
    alarm: Alarm | None = None


class VenueReader:
    """Asks one venue's contracts. Raises `ChainError` where the chain does not answer."""

    def __init__(self, chain: VenueChain, venue: Venue) -> None:
        self.chain = chain
        self.venue = venue
        self.house = ClearingHouse(venue.clearing_house)
        self.pool = RewardDistributor(venue.distributor)
        self.token = StableToken(venue.token)

    def settled(self, cycle_id: Id) -> Settled:
        """Return what is settled for a cycle at the newest final block."""
        final = self.chain.final_block_number()
        if final is None or final < self.venue.from_block:
            return Settled(settlement_id=None, final_number=-1)
        held = self.house.settled(cycle_id).ask(self.chain, final)
        return Settled(settlement_id=held, final_number=final)

    def settled_now(self, cycle_id: Id) -> bytes:
        """Return what is settled for a cycle at the head."""
        return self.house.settled(cycle_id).ask(self.chain)

    def obstacle(self, sequence: int, settler: Address) -> Obstacle | None:
        """Say what keeps any settlement with this number from succeeding."""
        last = self.house.last_sequence(self.venue.token).ask(self.chain)
        if last != sequence - 1:
            note = f"the venue expects sequence {last + 1}, this cycle has {sequence}"
            return Obstacle(note=note, alarm=Alarm.SEQUENCE)
        if self.house.settler().ask(self.chain) != settler:
            return Obstacle(note=f"{settler} may not settle at the venue")
        if self.house.settle_paused().ask(self.chain):
            return Obstacle(note="settling is paused at the venue")
        return None

    def facts(self, members: Mapping[PartyId, Address]) -> dict[PartyId, MemberFacts]:
        """Return what the venue would say to each member's row now."""
        head = self.chain.block()
        if head is None:
            raise ChainUnavailableError("the chain has no head", outcome_unknown=False)
        epoch = self._mandates_epoch(head)
        token, at = self.venue.token, head.number
        found = {}
        for party, address in sorted(members.items()):
            mandate = self.house.mandate_of(token, address).ask(self.chain, at)
            valid = mandate.valid_until >= head.timestamp_s and mandate.rulebook_epoch == epoch
            found[party] = MemberFacts(
                is_member=self.house.is_member(token, address).ask(self.chain, at),
                balance_minor=self.house.balance_of(token, address).ask(self.chain, at),
                mandate_minor=mandate.cap_per_cycle if valid else 0,
            )
        return found

    def _mandates_epoch(self, head: Block) -> int | None:
        """Return the rulebook's epoch of mandates in force; None while none may be used again."""
        used_at = self.house.mandates_used_at(self.venue.token).ask(self.chain, head.number)
        interval_s = self.house.mandate_interval_s().ask(self.chain, head.number)
        if head.timestamp_s < used_at + interval_s:
            return None
        return self.house.rulebook_epoch().ask(self.chain, head.number)

    def escrowed(self, final_number: int) -> dict[Address, int]:
        """Return what undecided claims hold of each debtor's money, bonds included.

        The contract names no open claims, so they are looked for in its logs, as many blocks at
        a time as a follower reads.
        """
        found: dict[Address, int] = {}
        for claim_id, debtor in self._open_claims(final_number).items():
            claim = self.house.claim_of(claim_id).ask(self.chain, final_number)
            found[debtor] = found.get(debtor, 0) + claim.escrow
        return found

    def _open_claims(self, final_number: int) -> dict[bytes, Address]:
        """Return the claims of the venue's token that were posted and have not ended."""
        open_claims: dict[bytes, Address] = {}
        for first in range(self.venue.from_block, final_number + 1, BLOCKS_PER_BATCH_MAX):
            wanted = LogFilter(
                from_block=first,
                to_block=min(first + BLOCKS_PER_BATCH_MAX - 1, final_number),
                addresses=(self.venue.clearing_house,),
                topics=(self.house.topics(events.ClaimPosted, events.ClaimEnded),),
            )
            for log in self.chain.logs(wanted):
                event = self.house.event(log)
                if isinstance(event, events.ClaimEnded):
                    open_claims.pop(event.claim_id, None)
                elif isinstance(event, events.ClaimPosted) and event.token == self.venue.token:
                    open_claims[event.claim_id] = event.debtor
        return open_claims

    def settling_transaction(
        self, cycle_id: Id, ours: Transaction, final_number: int
    ) -> tuple[bytes, int]:
        """Return the transaction that settled a cycle and its block: ours, or a twin's.

        A twin that sent the same content first makes ours a no-op without a log.
        """
        if ours.mined is not None:
            receipt = self.chain.receipt(ours.mined.tx_hash)
            if receipt is not None and any(self._settles(log, cycle_id) for log in receipt.logs):
                return receipt.tx_hash, receipt.block_number
        wanted = LogFilter(
            from_block=self.venue.from_block,
            to_block=final_number,
            addresses=(self.venue.clearing_house,),
            topics=(self.house.topics(events.Settled), (cycle_id,)),
        )
        logs = self.chain.logs(wanted)
        if len(logs) != 1:
            raise ChainUnavailableError(
                f"{len(logs)} logs say that the cycle was settled", outcome_unknown=False
            )
        return logs[0].tx_hash, logs[0].block_number

    def why(self, call: Call, sender: Address) -> str:
        """Return the words with which the venue refuses a call now, empty where it does not."""
        asked = Call(to=call.to, data=call.data, sender=sender)
        try:
            self.chain.call(asked)
        except RevertedError as error:
            return error.reason or "reverted without words"
        except ChainError:
            return "the venue does not answer"
        return ""

    def _settles(self, log: Log, cycle_id: Id) -> bool:
        event = self.house.event(log)
        return isinstance(event, events.Settled) and event.cycle_id == cycle_id
