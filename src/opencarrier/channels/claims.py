"""What the seller's side does on chain: bring deposits there, claim, be paid, give the rest back.

Deposits go through the relayer, whose caps are the payers'. Every other step is an intent, prepared
in one transaction with what it was prepared for and sent by the transaction manager; one whose
transaction came to nothing is tried again as another intent. What the contract has, it skips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Connection

from opencarrier.chain.contracts import BatchChannels, VoucherClaim, collector_data
from opencarrier.chain.contracts.base import Reader
from opencarrier.chain.errors import ChainError, RevertedError
from opencarrier.chain.model import Call
from opencarrier.chain.ports import UnitOfWork
from opencarrier.chain.relayer import Relayer
from opencarrier.chain.rules import Transaction, TransactionState
from opencarrier.chain.transactions import TransactionManager
from opencarrier.chain.typed_data import (
    Authorization,
    ClaimEntry,
    claim_batch_digest,
    deposit_nonce,
    refund_digest,
)
from opencarrier.channels import store
from opencarrier.channels.model import Channel, ChannelSettings, ChannelVenue, Deposit
from opencarrier.channels.rules import claim_due
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.encoding import Value
from opencarrier.kernel.ids import Id, derive, to_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.ports import Notary

ROWS_MAX = 100
"""Channels in one claim."""

CLAIMABLE_MAX = 5_000
"""Channels looked at in one pass."""

STEPS_MAX = 64
"""Deposits brought, receivers paid and channels refunded in one pass; the next pass, others.

So what cannot be done now, for a payer or receiver its token froze, is in no other's way.
"""

ATTEMPTS_MAX = 16
"""Transactions one step may come to nothing with before a person has to look."""

PURPOSE = "channels"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimReport:
    """What a pass asked for: deposits under way, rows claimed, payments and refunds; what held it
    up.
    """

    deposits: int = 0
    claims: int = 0
    payments: int = 0
    refunds: int = 0
    note: str = ""


class Claimer:
    """One seller's side at one venue; `drive` is all of it, and the whole recovery."""

    def __init__(
        self,
        venue: ChannelVenue,
        manager: TransactionManager,
        relayer: Relayer,
        reader: Reader,
        notary: Notary,
        settings: ChannelSettings | None = None,
    ) -> None:
        self._venue = venue
        self._contract = BatchChannels(venue.contract)
        self._manager = manager
        self._relayer = relayer
        self._reader = reader
        self._notary = notary
        self._settings = settings or ChannelSettings()
        self._deposits_after = b""
        self._receivers_after = ""
        self._refunds_after = b""

    def drive(self, begin: UnitOfWork, *, now_us: int, everything: bool = False) -> ClaimReport:
        """Do once what is due; `everything` claims whatever is earned, however little."""
        try:
            self._end_claims(begin)
            return ClaimReport(
                deposits=self._deposit(begin, now_us),
                claims=self._claim(begin, now_us, everything),
                payments=self._settle(begin, now_us),
                refunds=self._refund(begin, now_us),
            )
        except ChainError as error:
            return ClaimReport(note=f"the chain does not answer: {error}")

    def _end_claims(self, begin: UnitOfWork) -> None:
        """Let go of the claims whose transaction has come to its end, whatever it was."""
        with begin() as unit:
            for intent in store.open_claims(unit):
                record = self._manager.find(unit, intent)
                if record is None or record.is_terminal:
                    store.end_claim(unit, intent)

    def _deposit(self, begin: UnitOfWork, now_us: int) -> int:
        """Have signed deposits brought to the chain, until they are there or have expired."""
        with begin() as unit:
            waiting = store.open_deposits(unit, STEPS_MAX, after=self._deposits_after)
        self._deposits_after = waiting[-1].channel_id if len(waiting) == STEPS_MAX else b""
        done = 0
        for deposit in waiting:
            if now_us // SECOND_US >= deposit.valid_before_s:
                continue
            with begin() as unit:
                channel = store.channel(unit, deposit.channel_id)
            assert channel is not None, "a deposit's channel is gone"
            call, key = self._deposit_call(channel, deposit), _deposit_key(deposit)
            taken = self._relayer.submit(begin, [call], key=key, now_us=now_us)
            done += not isinstance(taken, Refusal)
        return done

    def _claim(self, begin: UnitOfWork, now_us: int, everything: bool) -> int:
        """Claim for each receiver what is due, a hundred channels in a transaction."""
        now_s = now_us // SECOND_US
        with begin() as unit:
            due = [
                channel
                for channel in store.claimable(unit, CLAIMABLE_MAX)
                if everything
                or claim_due(channel, store.lease(unit, channel.channel_id), now_s, self._settings)
            ]
        done = 0
        for _, some in groupby(due, key=lambda channel: channel.config.receiver_authorizer):
            for rows in _batches(some, ROWS_MAX):
                done += self._claim_rows(begin, rows, now_us)
        return done

    def _claim_rows(self, begin: UnitOfWork, rows: Sequence[Channel], now_us: int) -> int:
        with begin() as unit:
            call = self._claim_call(unit, rows)
        if call is None:
            return 0
        amounts = {row.channel_id: row.claimable_minor for row in rows}
        content: list[Value] = [[key, amount] for key, amount in amounts.items()]

        def note(unit: Connection, intent: Id) -> None:
            store.add_claims(unit, intent, amounts)

        name: list[Value] = ["channels/claim", self._venue.contract, content]
        return len(rows) * self._once(begin, name, call, now_us, note)

    def _settle(self, begin: UnitOfWork, now_us: int) -> int:
        """Have each receiver paid what it has claimed."""
        with begin() as unit:
            receivers = store.receivers(unit, STEPS_MAX, after=self._receivers_after)
        self._receivers_after = receivers[-1] if len(receivers) == STEPS_MAX else ""
        done = 0
        for receiver in receivers:
            query = self._contract.receiver(receiver, self._venue.token)
            state = query.ask(self._reader)
            if state.total_claimed_minor > state.total_settled_minor:
                name: list[Value] = ["channels/settle", receiver, state.total_claimed_minor]
                call = self._contract.settle(receiver, self._venue.token)
                done += self._once(begin, name, call, now_us)
        return done

    def _refund(self, begin: UnitOfWork, now_us: int) -> int:
        """Give back what closed channels hold and nobody has earned."""
        with begin() as unit:
            closed = store.refundable(unit, STEPS_MAX, after=self._refunds_after)
        self._refunds_after = closed[-1].channel_id if len(closed) == STEPS_MAX else b""
        done = 0
        for channel in closed:
            nonce = self._contract.refund_nonce(channel.channel_id).ask(self._reader)
            with begin() as unit:
                call = self._refund_call(unit, channel, nonce)
            if call is not None:
                name: list[Value] = ["channels/refund", channel.channel_id, nonce]
                done += self._once(begin, name, call, now_us)
        return done

    def _once(
        self,
        begin: UnitOfWork,
        name: Sequence[Value],
        call: Call,
        now_us: int,
        note: Callable[[Connection, Id], None] = lambda unit, intent: None,
    ) -> int:
        """Prepare a step unless it is under way or done; return 1 where it was prepared now.

        What would revert now is left for a later pass.
        """
        with begin() as unit:
            intent = self._next_intent(unit, name)
        if intent is None:
            return 0
        try:
            quote = self._manager.quote(call)
        except RevertedError:
            return 0
        crashpoint("channels.before_prepare")
        with begin() as unit:
            made = self._manager.prepare(unit, intent, quote, now_us=now_us, purpose=PURPOSE)
            if isinstance(made, Refusal):
                return 0
            note(unit, intent)
        crashpoint("channels.prepared")
        return 1

    def _next_intent(self, unit: Connection, name: Sequence[Value]) -> Id | None:
        """Return the intent of the next attempt, None while one is under way or has done it."""
        for attempt in range(ATTEMPTS_MAX):
            intent = derive("step", list(name), attempt)
            record = self._manager.find(unit, intent)
            if record is None:
                return intent
            if not _came_to_nothing(record):
                return None
        return None

    def _deposit_call(self, channel: Channel, deposit: Deposit) -> Call:
        authorization = Authorization(
            sender=channel.config.payer,
            receiver=self._venue.collector,
            amount_minor=deposit.amount_minor,
            valid_after_s=deposit.valid_after_s,
            valid_before_s=deposit.valid_before_s,
            nonce=deposit_nonce(deposit.channel_id, deposit.salt),
        )
        return self._contract.deposit(
            channel.config,
            deposit.amount_minor,
            collector=self._venue.collector,
            collector_data=collector_data(
                authorization, salt=deposit.salt, signature=deposit.signature
            ),
        )

    def _claim_call(self, unit: Connection, rows: Sequence[Channel]) -> Call | None:
        entries = [
            ClaimEntry(
                channel_id=row.channel_id,
                max_claimable_minor=row.voucher_minor,
                total_claimed_minor=row.claimable_minor,
            )
            for row in rows
        ]
        digest = claim_batch_digest(self._venue.domain, entries)
        signature = self._notary.sign(unit, rows[0].config.receiver_authorizer, digest)
        if signature is None:
            return None
        claims = [
            VoucherClaim(
                config=row.config,
                max_claimable_minor=row.voucher_minor,
                signature=row.voucher_signature,
                total_claimed_minor=row.claimable_minor,
            )
            for row in rows
        ]
        return self._contract.claim_with_signature(claims, signature.octets)

    def _refund_call(self, unit: Connection, channel: Channel, nonce: int) -> Call | None:
        amount_minor = channel.deposited_minor - channel.claimed_minor
        digest = refund_digest(
            self._venue.domain,
            channel_id=channel.channel_id,
            nonce=nonce,
            amount_minor=amount_minor,
        )
        signature = self._notary.sign(unit, channel.config.receiver_authorizer, digest)
        if signature is None:
            return None
        return self._contract.refund_with_signature(
            channel.config, amount_minor, nonce=nonce, signature=signature.octets
        )


def _deposit_key(deposit: Deposit) -> str:
    """Name a deposit: a channel may be given more than one."""
    return to_hex(derive("channels/deposit", deposit.channel_id, deposit.salt.to_bytes(32, "big")))


def _came_to_nothing(record: Transaction) -> bool:
    return record.is_terminal and record.state is not TransactionState.FINAL


def _batches(channels: Iterable[Channel], size: int) -> Iterator[list[Channel]]:
    every = list(channels)
    for start in range(0, len(every), size):
        yield every[start : start + size]
