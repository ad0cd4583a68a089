"""Single requests paid by voucher: the payer is whoever has the channel's key, the seller the hub.

    channel deposited, final         it can pay
    voucher(due + price), kept       the request is served; due rises to the voucher
    closed                           what is due is claimed, the rest given back

The same book of channels as for use, and the same claims; no lease, for only the seller's books
take these vouchers. A channel for purchases serves no session, and one for sessions buys nothing.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from opencarrier.chain.contracts import BatchChannels, collector_data
from opencarrier.chain.model import Call
from opencarrier.chain.typed_data import (
    Authorization,
    ChannelConfig,
    SigningDomain,
    deposit_nonce,
    voucher_digest,
)
from opencarrier.channels import store
from opencarrier.channels.model import PAYER, Channel, ChannelSettings, ChannelVenue, Deposit
from opencarrier.channels.opening import crowded, unfit, unpaid
from opencarrier.channels.reasons import PurchaseReason
from opencarrier.channels.typed_data import channel_id_of
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, recover
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer
from opencarrier.spine.channels import ChannelStanding, GaslessDeposit
from opencarrier.spine.parties import PartyId


class Purchases:
    """The door for whoever sells single requests; `unit` is the caller's, as for payments.

    What was bought is kept and booked in the transaction whose commit comes before the answer.
    """

    def __init__(
        self,
        venue: ChannelVenue,
        settings: ChannelSettings,
        *,
        seller: PartyId,
        receiver: Address,
    ) -> None:
        self.receiver = receiver
        self.withdraw_delay_s = settings.withdraw_delay_s_min
        self.deposit_minor_min = settings.deposit_minor_min
        self._venue = venue
        self._settings = settings
        self._seller = seller

    @property
    def domain(self) -> SigningDomain:
        """Where vouchers count."""
        return self._venue.domain

    def standing(self, unit: Connection, config: ChannelConfig) -> ChannelStanding | None:
        """Return where a channel for purchases stands, None where there is none."""
        channel = store.channel(unit, channel_id_of(self._venue, config))
        return None if channel is None or not channel.is_for_purchases else _standing(channel)

    def open(
        self, unit: Connection, config: ChannelConfig, deposit: GaslessDeposit, *, at_us: int
    ) -> ChannelStanding | Refusal:
        """Take a channel and its gasless deposit, or one more deposit for a channel that goes on.

        While a deposit is under way no other is taken. The same again changes nothing.
        """
        channel_id = channel_id_of(self._venue, config)
        known = self._found(unit, channel_id)
        if isinstance(known, Refusal) and known.reason is not PurchaseReason.UNKNOWN_CHANNEL:
            return known
        kept = _kept(channel_id, deposit)
        former = store.deposit(unit, channel_id)
        if former is not None and (not former[1] or former[0].salt == kept.salt):
            assert isinstance(known, Channel), "a deposit has its channel"
            return _standing(known)
        payer = PartyId(PAYER + config.payer.removeprefix("0x"))
        refusal = self._unfit(config, kept, at_us)
        if isinstance(known, Refusal):
            refusal = refusal or crowded(unit, self._settings, payer)
            known = Channel(
                channel_id=channel_id, config=config, subscriber=payer, seller=self._seller
            )
        if refusal is not None:
            return refusal
        store.put_channel(unit, known)
        store.put_deposit(unit, kept)
        return _standing(known)

    def deposit_call(self, config: ChannelConfig, deposit: GaslessDeposit) -> Call:
        """Return the call that brings a deposit to the chain, to see whether it would succeed."""
        channel_id = channel_id_of(self._venue, config)
        given = Authorization(
            sender=config.payer,
            receiver=self._venue.collector,
            amount_minor=deposit.amount_minor,
            valid_after_s=deposit.valid_after_s,
            valid_before_s=deposit.valid_before_s,
            nonce=deposit_nonce(channel_id, deposit.salt),
        )
        data = collector_data(given, salt=deposit.salt, signature=deposit.signature)
        return BatchChannels(self._venue.contract).deposit(
            config, deposit.amount_minor, collector=self._venue.collector, collector_data=data
        )

    def spend(
        self,
        unit: Connection,
        config: ChannelConfig,
        *,
        voucher_minor: int,
        signature: bytes,
        price_minor: int,
        account: str,
        code: str,
        at_us: int,
    ) -> ChannelStanding | Refusal:
        """Keep the voucher that pays for one request and credit what was bought.

        A voucher names what is due with the request, no more and no less: so of two requests on
        one channel one wins, and no voucher kept is ever above what was bought.
        """
        assert price_minor > 0, "nothing is sold for nothing"
        channel = self._signed(unit, config, voucher_minor, signature)
        if isinstance(channel, Refusal):
            return channel
        due_minor = channel.due_minor + price_minor
        if voucher_minor != due_minor:
            return Refusal(PurchaseReason.CUMULATIVE_MISMATCH, f"{due_minor} with this request")
        if voucher_minor > channel.deposited_minor:
            return Refusal(PurchaseReason.ABOVE_DEPOSIT, f"{channel.deposited_minor} is there")
        spent = replace(
            channel,
            voucher_minor=voucher_minor,
            voucher_signature=signature,
            due_minor=due_minor,
            position_minor=due_minor,
        )
        store.put_channel(unit, spent)
        self._book(unit, spent, price_minor, account, code, at_us)
        return _standing(spent)

    def close(
        self, unit: Connection, config: ChannelConfig, *, voucher_minor: int, signature: bytes
    ) -> ChannelStanding | Refusal:
        """Take no more vouchers: what is due is claimed and the rest given back, as its key asks.

        It asks by a voucher of what is due. A closed channel again is the same.
        """
        channel = self._signed(unit, config, voucher_minor, signature, ended=True)
        if isinstance(channel, Refusal):
            return channel
        if voucher_minor != channel.due_minor:
            return Refusal(PurchaseReason.CUMULATIVE_MISMATCH, f"{channel.due_minor} is due")
        closed = replace(channel, closed=True)
        store.put_channel(unit, closed)
        return _standing(closed)

    def _found(self, unit: Connection, channel_id: Id, *, ended: bool = False) -> Channel | Refusal:
        channel = store.channel(unit, channel_id)
        if channel is None:
            return Refusal(PurchaseReason.UNKNOWN_CHANNEL, "deposit first")
        if not channel.is_for_purchases:
            return Refusal(PurchaseReason.FOREIGN_CHANNEL, "it pays for use")
        if not ended and (channel.withdrawing or channel.closed):
            return Refusal(PurchaseReason.CHANNEL_ENDED, "take another salt")
        return channel

    def _signed(
        self,
        unit: Connection,
        config: ChannelConfig,
        voucher_minor: int,
        signature: bytes,
        *,
        ended: bool = False,
    ) -> Channel | Refusal:
        channel_id = channel_id_of(self._venue, config)
        channel = self._found(unit, channel_id, ended=ended)
        if isinstance(channel, Refusal):
            return channel
        digest = voucher_digest(self._venue.domain, channel_id, voucher_minor)
        if recover(digest, signature) != config.payer_authorizer:
            return Refusal(PurchaseReason.VOUCHER_SIGNATURE, f"not {config.payer_authorizer}'s")
        return channel

    def _unfit(self, config: ChannelConfig, deposit: Deposit, at_us: int) -> Refusal | None:
        return unfit(self._venue, self._settings, config, self.receiver, own_key=False) or unpaid(
            self._venue,
            self._settings,
            config,
            deposit,
            channel_id=deposit.channel_id,
            now_s=at_us // SECOND_US,
        )

    def _book(
        self,
        unit: Connection,
        channel: Channel,
        price_minor: int,
        account: str,
        code: str,
        at_us: int,
    ) -> None:
        asset, debit = self._venue.asset, chart.vouchers(channel.seller)
        transfer = Transfer(
            transfer_id=derive("channels/purchase", channel.channel_id, channel.due_minor),
            asset=asset,
            debit=debit,
            credit=account,
            amount_minor=price_minor,
            code=code,
        )
        ledger.ensure(unit, asset, [debit, account])
        outcome = ledger.apply(unit, [transfer], at_us)
        assert outcome == [None], f"what a voucher pays for is not booked: {outcome}"


def _kept(channel_id: Id, deposit: GaslessDeposit) -> Deposit:
    return Deposit(
        channel_id=channel_id,
        amount_minor=deposit.amount_minor,
        valid_after_s=deposit.valid_after_s,
        valid_before_s=deposit.valid_before_s,
        salt=deposit.salt,
        signature=deposit.signature,
    )


def _standing(channel: Channel) -> ChannelStanding:
    return ChannelStanding(
        channel_id=channel.channel_id,
        deposited_minor=channel.deposited_minor,
        claimed_minor=channel.claimed_minor,
        due_minor=channel.due_minor,
        voucher_minor=channel.voucher_minor,
        voucher_signature=channel.voucher_signature,
        withdrawing=channel.withdrawing,
        closed=channel.closed,
    )
