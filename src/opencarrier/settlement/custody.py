"""The ledger follows the contracts: what happened at the venue is booked from final logs.

`bookings` says what an event of the clearing house moves; a host's claim moves what it was
entitled to out of custody. A log's place (block hash, index) is in its transfers' ids, so a log is
booked once. What settlements move is not read here: `SettlementService.drive` posts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from opencarrier.chain import events
from opencarrier.chain import store as chain_store
from opencarrier.chain.contracts import ClearingHouse, RewardDistributor
from opencarrier.chain.errors import ChainError, QuorumBrokenError
from opencarrier.chain.logs import FinalityBrokenError, Followed, LogFollower
from opencarrier.chain.model import Log
from opencarrier.chain.ports import LogReader, UnitOfWork
from opencarrier.chain.rules import BlockPoint
from opencarrier.kernel.ids import Id, derive, to_hex
from opencarrier.kernel.money import int64
from opencarrier.kernel.signatures import Address
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer
from opencarrier.settlement import rules, store
from opencarrier.settlement.bookings import Bookings, Move
from opencarrier.settlement.model import Alarm, Halt, Venue
from opencarrier.spine.notices import Announcer, Notice, NoticeKind
from opencarrier.spine.parties import PartyId
from opencarrier.spine.ports import Members

BATCHES_MAX = 16
"""Ranges of blocks that one `follow` reads."""


_FOLLOWED = (
    events.Deposited,
    events.Withdrawn,
    events.WithdrawalRequested,
    events.WithdrawalCancelled,
    events.ClaimPosted,
    events.ClaimDisputed,
    events.ClaimEnded,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """How far the ledger followed: the block, the logs read, and what holds it up, if anything."""

    at: BlockPoint | None
    logs: int
    note: str = ""


class _BlockedError(Exception):
    """A log cannot be booked yet; its whole batch stays unread."""


class CustodyFollower:
    """Books what happened at the venue outside settlements; `follow` as often as one likes."""

    def __init__(
        self,
        venue: Venue,
        members: Members,
        chain: LogReader,
        announcer: Announcer | None = None,
    ) -> None:
        self._announcer = announcer
        self._venue = venue
        self._members = members
        self._house = ClearingHouse(venue.clearing_house)
        self._pool = RewardDistributor(venue.distributor)
        topics = (
            *self._house.topics(*_FOLLOWED),
            *self._pool.topics(events.Claimed),
        )
        self._followed = Followed(
            name=f"custody/{venue.clearing_house}",
            from_block=venue.from_block,
            addresses=(venue.clearing_house, venue.distributor),
            topics=(topics,),
            only_final=True,
        )
        self._chain = chain

    def follow(self, begin: UnitOfWork, *, now_us: int) -> Caught:
        """Book the final logs that are new, in the chain's order, each batch with its cursor.

        A log that the ledger cannot bear yet (a withdrawal of what a settlement brought that is
        not posted here) holds up its batch until `drive` has posted. A reorg of what was final
        stops settling.
        """
        handler = _Handler(self, now_us)
        follower = LogFollower(self._chain, self._followed, handler)
        try:
            polled = follower.poll(begin, batches_max=BATCHES_MAX)
        except _BlockedError as error:
            return Caught(at=None, logs=0, note=str(error))
        except FinalityBrokenError as error:
            return Caught(at=None, logs=0, note=self._broken(begin, str(error), now_us))
        except QuorumBrokenError as error:
            note = self._halt(begin, Alarm.ENDPOINTS_DIFFER, str(error), now_us)
            return Caught(at=None, logs=0, note=note)
        except ChainError as error:
            return Caught(at=None, logs=0, note=f"the venue does not answer: {error}")
        return Caught(at=polled.at, logs=polled.events)

    def at(self, unit: Connection) -> BlockPoint | None:
        """Return the block up to which the ledger followed."""
        return chain_store.cursor(unit, self._followed.name)

    def _broken(self, begin: UnitOfWork, detail: str, now_us: int) -> str:
        """Stop, unless the endpoint only lags behind what was read of it before."""
        with begin() as unit:
            at = chain_store.cursor(unit, self._followed.name)
        final = self._chain.final_block_number()
        if at is None or final is None or final < at.number:
            return "the venue is behind what was final"
        return self._halt(begin, Alarm.DEEP_REORG, detail, now_us)

    def _halt(self, begin: UnitOfWork, alarm: Alarm, detail: str, now_us: int) -> str:
        with begin() as unit:
            halt = Halt(alarm=alarm, detail=detail, at_us=now_us)
            store.put_halt(unit, self._venue, halt)
        return f"halted: {detail}"

    def apply(self, unit: Connection, logs: Sequence[Log], now_us: int) -> None:
        """Book a batch of logs."""
        parties = {address: party for party, address in self._members.members(unit).items()}
        for log in logs:
            transfers = self._transfers(unit, log, parties)
            if transfers:
                self._book(unit, log, transfers, now_us)
                self._announce(unit, log, transfers, now_us)

    def _transfers(
        self, unit: Connection, log: Log, parties: dict[Address, PartyId]
    ) -> list[Transfer]:
        event = self._house.event(log) or self._pool.event(log)
        place = derive("transfer", log.block_hash, log.log_index)
        if event is None:
            return []
        if isinstance(event, events.Claimed):
            is_ours = event.token == self._venue.token
            return self._claims(unit, place, event) if is_ours else []
        moves = self._bookings(unit, parties).moves(event)
        return [self._transfer(derive("transfer", place, i), m) for i, m in enumerate(moves)]

    def _bookings(self, unit: Connection, parties: dict[Address, PartyId]) -> Bookings:
        asset = self._venue.asset
        return Bookings(
            self._venue.token,
            party=lambda member: _party(parties, member),
            posted=lambda account: ledger.balance(unit, asset, account).posted_minor,
        )

    def _claims(self, unit: Connection, place: Id, event: events.Claimed) -> list[Transfer]:
        """Take a claim from what hosts earned for that address, in their order, as each has."""
        left = event.amount
        transfers = []
        prefix = chart.entitled(event.account, PartyId(""))
        for account in ledger.accounts(unit, self._venue.asset, prefix=prefix):
            part = min(left, account.balance.free_minor)
            if part:
                key = derive("transfer", place, chart.entitled_host(account.name))
                move = Move(
                    debit=account.name, credit=chart.CUSTODY, amount_minor=part, what="claim"
                )
                transfers.append(self._transfer(key, move))
                left -= part
        if left:
            raise _BlockedError(f"{event.account} claimed {left} that nobody here earned for it")
        return transfers

    def _transfer(self, key: Id, move: Move) -> Transfer:
        return Transfer(
            transfer_id=key,
            asset=self._venue.asset,
            debit=move.debit,
            credit=move.credit,
            amount_minor=int64(move.amount_minor, "a log's amount"),
            code=f"venue/{move.what}",
        )

    def _book(self, unit: Connection, log: Log, transfers: Sequence[Transfer], now_us: int) -> None:
        names = {name for item in transfers for name in (item.debit, item.credit)}
        ledger.ensure(unit, self._venue.asset, names)
        for refusal in ledger.apply(unit, rules.link(transfers), now_us):
            if refusal is not None:
                raise _BlockedError(f"{transfers[0].code} in block {log.block_number}: {refusal}")

    def _announce(
        self, unit: Connection, log: Log, transfers: Sequence[Transfer], now_us: int
    ) -> None:
        """Let a member know of its deposit or withdrawal, a host of what it was paid."""
        about: dict[str, str | int] = {"tx_hash": to_hex(log.tx_hash), "log_index": log.log_index}
        notices = [
            Notice(kind=kind, parties=frozenset({party}), about=about, at_us=now_us)
            for kind, party in map(_told, transfers)
            if kind is not None
        ]
        if self._announcer is not None:
            self._announcer.tell(unit, notices)


def _told(transfer: Transfer) -> tuple[NoticeKind | None, PartyId]:
    """Say what a booking is to whom, if it ends something that somebody waits for."""
    match transfer.code:
        case "venue/deposit":
            return NoticeKind.DEPOSIT_FINAL, PartyId(transfer.credit.partition("/")[2])
        case "venue/withdrawal":
            return NoticeKind.WITHDRAWAL_FINAL, PartyId(transfer.debit.partition("/")[2])
        case "venue/claim":
            return NoticeKind.WITHDRAWAL_FINAL, chart.entitled_host(transfer.debit)
    return None, PartyId("")


class _Handler:
    """Gives the follower's batches to the room with the caller's instant."""

    def __init__(self, owner: CustodyFollower, now_us: int) -> None:
        self._owner = owner
        self._now_us = now_us

    def apply(self, connection: Connection, logs: tuple[Log, ...]) -> None:
        self._owner.apply(connection, logs, self._now_us)

    def rewind(self, connection: Connection, to_block: int) -> None:
        raise AssertionError("what follows final blocks does not go back")


def _party(parties: dict[Address, PartyId], member: Address) -> PartyId:
    """A member nobody here knows is kept under its address: its money is custody all the same."""
    return parties.get(member, PartyId(member))
