"""The room follows its contract: deposits, claims, payments and withdrawals, from final logs.

    Deposited, Refunded, WithdrawFinalized   what a channel holds
    WithdrawInitiated                        no new money is taken on it any more
    Claimed   debit claimed/<seller>   credit vouchers/<seller>
    Settled   debit funding/<seller>   credit claimed/<seller>

A log's place (block hash, index) is its transfer's id, so a log is booked once. Channels nobody
opened here, and what a receiver claims of them, are none of these books.

Logs tell nothing of what was before a channel was opened here, so while its deposit is awaited the
contract itself is asked, as of the block the logs were read to; from there on they are followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sqlalchemy import Connection

from opencarrier.chain import events
from opencarrier.chain import store as chain_store
from opencarrier.chain.contracts import BatchChannels, ChannelState, StableToken
from opencarrier.chain.errors import ChainError
from opencarrier.chain.logs import FinalityBrokenError, Followed, LogFollower
from opencarrier.chain.model import LATEST, BlockAt, Call, Log
from opencarrier.chain.ports import LogReader, UnitOfWork
from opencarrier.chain.rules import BlockPoint
from opencarrier.chain.typed_data import deposit_nonce
from opencarrier.channels import store
from opencarrier.channels.model import Channel, ChannelVenue, Deposit
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer

BATCHES_MAX = 16
"""Ranges of blocks that one `follow` reads."""

AWAITED_MAX = 64
"""Channels whose deposit is awaited that one `follow` asks the contract about; the next, others."""


class ChannelChain(LogReader, Protocol):
    """The part of a chain client that the follower needs; `ChainClient` is one."""

    def call(self, call: Call, at: BlockAt = LATEST) -> bytes:
        """Run a call without sending it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is on chain at a block: the channel, and whether its deposit was made or taken back."""

    state: ChannelState
    withdrawing: bool
    is_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """How many logs were read, and what holds the follower up, if anything."""

    logs: int
    note: str = ""


class ChannelFollower:
    """Takes what final blocks say of the venue's channels; `follow` as often as one likes."""

    def __init__(self, venue: ChannelVenue, chain: ChannelChain) -> None:
        self._venue = venue
        self._after = b""
        self._contract = BatchChannels(venue.contract)
        self._chain = chain
        self._followed = Followed(
            name=f"channels/{venue.contract}",
            from_block=venue.from_block,
            addresses=(venue.contract,),
            topics=(),
            only_final=True,
        )

    def follow(self, begin: UnitOfWork, *, now_us: int) -> Caught:
        """Take the final logs that are new, in the chain's order, each batch with its cursor.

        Then look whether deposits that are awaited are there.
        """
        follower = LogFollower(self._chain, self._followed, _Handler(self, now_us))
        try:
            polled = follower.poll(begin, batches_max=BATCHES_MAX)
            if polled.at is not None:
                self._await(begin, polled.at, now_us // SECOND_US)
        except FinalityBrokenError as error:
            return Caught(logs=0, note=f"what was final is not: {error}")
        except ChainError as error:
            return Caught(logs=0, note=f"the chain does not answer: {error}")
        except PeerError as error:
            return Caught(logs=0, note=f"no channels in the newest final block: {error.reason}")
        return Caught(logs=polled.events)

    def apply(self, unit: Connection, logs: Sequence[Log], now_us: int) -> None:
        """Take a batch of logs."""
        for log in logs:
            event = self._contract.event(log)
            place = derive("transfer", log.block_hash, log.log_index)
            if isinstance(event, events.ReceiverSettled):
                self._settled(unit, event, place, now_us)
                continue
            channel_id = getattr(event, "channel_id", None)
            channel = None if channel_id is None else store.channel(unit, channel_id)
            if event is not None and channel is not None and not _is_awaited(unit, channel):
                self._channel(unit, channel, event, place, now_us)
        crashpoint("channels.followed")

    def _channel(
        self, unit: Connection, channel: Channel, event: events.Event, place: Id, now_us: int
    ) -> None:
        match event:
            case events.ChannelDeposited(new_balance=balance):
                store.finish_deposit(unit, channel.channel_id)
                channel = replace(channel, deposited_minor=min(balance, INT64_MAX))
            case events.ChannelRefunded(amount=amount):
                channel = replace(channel, deposited_minor=channel.deposited_minor - amount)
            case events.WithdrawFinalized(amount=amount):
                left_minor = channel.deposited_minor - amount
                channel = replace(channel, deposited_minor=left_minor, closed=True)
            case events.WithdrawInitiated():
                channel = replace(channel, withdrawing=True)
            case events.ChannelClaimed(new_total_claimed=total):
                self._claimed(unit, channel, total, place, now_us)
                channel = replace(channel, claimed_minor=min(total, INT64_MAX))
        store.put_channel(unit, channel)

    def _await(self, begin: UnitOfWork, at: BlockPoint, now_s: int) -> None:
        """Ask the contract about awaited deposits, as of the block up to which logs were read."""
        with begin() as unit:
            deposits = store.open_deposits(unit, AWAITED_MAX, after=self._after)
        self._after = deposits[-1].channel_id if len(deposits) == AWAITED_MAX else b""
        for deposit in deposits:
            with begin() as unit:
                channel = store.channel(unit, deposit.channel_id)
            assert channel is not None, "a deposit's channel is gone"
            found = self._found(channel.config.payer, deposit, at)
            if found.is_over or now_s >= deposit.valid_before_s:
                with begin() as unit:
                    if chain_store.cursor(unit, self._followed.name) == at:
                        self._take_up(unit, deposit.channel_id, found)

    def _found(self, payer: Address, deposit: Deposit, at: BlockPoint) -> Found:
        key, nonce = deposit.channel_id, deposit_nonce(deposit.channel_id, deposit.salt)
        withdrawal = self._contract.pending_withdrawal(key).ask(self._chain, at.number)
        used = StableToken(self._venue.token).authorization_used(payer, nonce)
        return Found(
            state=self._contract.channel(key).ask(self._chain, at.number),
            withdrawing=withdrawal.initiated_at_s > 0,
            is_over=used.ask(self._chain, at.number),
        )

    def _take_up(self, unit: Connection, channel_id: Id, found: Found) -> None:
        """Take a channel as it is on chain; what was claimed of it before was not earned here.

        One that is followed already is left as it is: what it awaited shows in the logs.
        """
        channel = store.channel(unit, channel_id)
        assert channel is not None, "a deposit's channel is gone"
        store.finish_deposit(unit, channel_id)
        if _is_new(channel):
            store.put_channel(unit, _as_found(channel, found))

    def _claimed(
        self, unit: Connection, channel: Channel, total: int, place: Id, now_us: int
    ) -> None:
        """Book what was claimed of what is due here, and nothing that other books would have."""
        due_minor = channel.due_minor
        amount_minor = min(total, due_minor) - min(channel.claimed_minor, due_minor)
        debit, credit = chart.claimed(channel.seller), chart.vouchers(channel.seller)
        self._book(unit, place, debit, credit, amount_minor, "claimed", now_us)

    def _settled(
        self, unit: Connection, event: events.ReceiverSettled, place: Id, now_us: int
    ) -> None:
        seller = store.seller_of(unit, event.receiver)
        if seller is None or event.token != self._venue.token:
            return
        standing_minor = -ledger.balance(
            unit, self._venue.asset, chart.claimed(seller)
        ).posted_minor
        amount_minor = min(event.amount, standing_minor)
        debit, credit = chart.funding(seller), chart.claimed(seller)
        self._book(unit, place, debit, credit, amount_minor, "settled", now_us)

    def _book(
        self,
        unit: Connection,
        place: Id,
        debit: str,
        credit: str,
        amount_minor: int,
        what: str,
        now_us: int,
    ) -> None:
        if amount_minor <= 0:
            return
        asset = self._venue.asset
        transfer = Transfer(
            transfer_id=place,
            asset=asset,
            debit=debit,
            credit=credit,
            amount_minor=amount_minor,
            code=f"channels/{what}",
        )
        ledger.ensure(unit, asset, [debit, credit])
        outcome = ledger.apply(unit, [transfer], now_us)
        assert outcome == [None], f"what was due and claimed does not go: {outcome}"


def _is_new(channel: Channel) -> bool:
    """Say whether nothing is known of a channel but that it was opened here."""
    return channel.deposited_minor == 0 and channel.voucher_minor == 0


def _as_found(channel: Channel, found: Found) -> Channel:
    claimed = min(found.state.total_claimed_minor, INT64_MAX)
    return replace(
        channel,
        deposited_minor=min(found.state.balance_minor, INT64_MAX),
        claimed_minor=claimed,
        voucher_minor=claimed,
        due_minor=claimed,
        position_minor=claimed,
        withdrawing=channel.withdrawing or found.withdrawing,
    )


def _is_awaited(unit: Connection, channel: Channel) -> bool:
    """Say whether a channel's first deposit was not seen yet."""
    return _is_new(channel) and store.is_awaited(unit, channel.channel_id)


class _Handler:
    """Gives the follower's batches to the room with the caller's instant."""

    def __init__(self, owner: ChannelFollower, now_us: int) -> None:
        self._owner = owner
        self._now_us = now_us

    def apply(self, connection: Connection, logs: tuple[Log, ...]) -> None:
        self._owner.apply(connection, logs, self._now_us)

    def rewind(self, connection: Connection, to_block: int) -> None:
        raise AssertionError("what follows final blocks does not go back")
