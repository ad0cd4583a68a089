"""The door of pay as you use: open a channel, lease it to a node, begin, pay, end; keep the books.

`unit` is the caller's: a payment is kept, and booked, in the transaction whose commit comes before
its answer. Nothing here talks to a chain, so it goes on while that is away.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from opencarrier.chain.typed_data import ChannelConfig
from opencarrier.channels import store
from opencarrier.channels.carried import unpack
from opencarrier.channels.model import (
    Channel,
    ChannelSettings,
    ChannelVenue,
    Deposit,
    Lease,
    Mode,
    PaidSession,
    Payment,
)
from opencarrier.channels.opening import crowded, unfit, unpaid
from opencarrier.channels.reasons import LeaseReason, OpenReason, PaymentReason
from opencarrier.channels.rules import Offer, Price, Standing, next_lease, offer, take
from opencarrier.channels.typed_data import acks_domain, channel_id_of, lease_digest
from opencarrier.channels.wire import read_payment, write_payment
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger import chart
from opencarrier.spine.access import Grant
from opencarrier.spine.parties import PartyId
from opencarrier.spine.ports import Directory, Notary, RetailPrices
from opencarrier.spine.usage import Counters

RENEWABLE = (PaymentReason.LEASE_EXPIRED, PaymentReason.VOUCHER_ABOVE_CEILING)
"""Why a payment is refused that the node's next lease may allow."""

REPORTS_MAX = 1_000
"""Payments handed to the seller's books in one go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything the room asks of others."""

    prices: RetailPrices
    directory: Directory
    notary: Notary


class ChannelService:
    """Channels at one venue; with `books` the seller's own, without a node's that is away."""

    def __init__(
        self,
        venue: ChannelVenue,
        ports: Ports,
        settings: ChannelSettings | None = None,
        *,
        books: bool = True,
    ) -> None:
        self.venue = venue
        self.settings = settings or ChannelSettings()
        self._ports = ports
        self._books = books

    def enrol(self, unit: Connection, subscriber: PartyId, mode: Mode | None) -> None:
        """Let a subscriber pay as it uses from its next attach on; None makes it prepaid again."""
        if mode is None:
            store.drop_payer(unit, subscriber)
        else:
            store.put_payer(unit, subscriber, mode)

    def open(
        self,
        unit: Connection,
        grant: Grant,
        mode: Mode,
        config: ChannelConfig,
        deposit: Deposit,
        *,
        at_us: int,
    ) -> Channel | Refusal:
        """Take a channel of whoever was granted this session, and its gasless deposit."""
        return self.register(
            unit,
            subscriber=grant.subscriber,
            seller=grant.visited if mode is Mode.DIRECT else grant.home,
            mode=mode,
            config=config,
            deposit=deposit,
            at_us=at_us,
        )

    def register(
        self,
        unit: Connection,
        *,
        subscriber: PartyId,
        seller: PartyId,
        mode: Mode,
        config: ChannelConfig,
        deposit: Deposit,
        at_us: int,
    ) -> Channel | Refusal:
        """Take a channel and its gasless deposit; the same again returns it as it stands.

        It carries money once its deposit is final on chain. From its next attach on the
        subscriber pays through it.
        """
        channel_id = channel_id_of(self.venue, config)
        known = store.channel(unit, channel_id)
        if known is not None:
            if (known.subscriber, known.seller) != (subscriber, seller):
                return Refusal(OpenReason.EXISTS_WITH_DIFFERENT_OWNER)
            return known
        refusal = (
            self._unfit(unit, config, seller)
            or unpaid(
                self.venue,
                self.settings,
                config,
                deposit,
                channel_id=channel_id,
                now_s=at_us // SECOND_US,
            )
            or crowded(unit, self.settings, subscriber)
        )
        if refusal is not None:
            return refusal
        made = Channel(channel_id=channel_id, config=config, subscriber=subscriber, seller=seller)
        store.put_channel(unit, made)
        store.put_deposit(unit, deposit)
        store.put_payer(unit, subscriber, mode)
        return made

    def lease(
        self, unit: Connection, channel_id: Id, node_id: str, *, at_us: int
    ) -> Lease | Refusal:
        """Let one node take a channel's vouchers for a time; its holder renews it at any time."""
        channel = store.channel(unit, channel_id)
        if channel is None:
            return Refusal(LeaseReason.UNKNOWN_CHANNEL)
        if channel.withdrawing or channel.closed:
            return Refusal(LeaseReason.CHANNEL_ENDED)
        latest = store.lease(unit, channel_id)
        draft = next_lease(
            channel,
            latest,
            node_id=node_id,
            now_s=at_us // SECOND_US,
            settings=self.settings,
        )
        if draft is None:
            assert latest is not None
            return Refusal(LeaseReason.LEASED_ELSEWHERE, f"until {latest.expires_s}")
        if draft.ceiling_minor <= draft.floor_minor:
            return Refusal(LeaseReason.NOTHING_DEPOSITED, f"beyond {draft.floor_minor}")
        digest = lease_digest(acks_domain(self.venue), draft)
        signature = self._ports.notary.sign(unit, channel.config.receiver, digest)
        if signature is None:
            return Refusal(LeaseReason.NO_KEY, channel.config.receiver)
        signed = replace(draft, signature=signature.octets)
        store.put_lease(unit, signed)
        store.put_channel(unit, replace(channel, position_minor=signed.floor_minor))
        self._move_session(unit, signed, latest)
        return signed

    def hand_back(self, unit: Connection, lease: Lease) -> None:
        """Take a lease back: its node serves no more, so another may at once.

        A detached one is handed back by its node, once it has reported; by nobody else.
        """
        live = store.live_session(unit, lease)
        if live is not None:
            store.put_session(unit, replace(live, ended=True))
        store.return_leases(unit, lease)

    def begin(
        self, unit: Connection, grant: Grant, channel_id: Id, session_id: Id, *, at_us: int
    ) -> Standing | Refusal:
        """Put a session on a channel; the one before it on that channel ends.

        Only a grant of the channel's own seller that holds nothing in advance: so a use is paid
        by hold or by voucher, and owed to home or to visited, never both.
        """
        known = self.standing(unit, session_id)
        if known is not None:
            same = known.channel.channel_id == channel_id
            return known if same else Refusal(PaymentReason.OTHER_CHANNEL)
        channel = store.channel(unit, channel_id)
        if channel is None or channel.subscriber != grant.subscriber:
            return Refusal(LeaseReason.UNKNOWN_CHANNEL)
        if not store.is_sold(unit, grant.authorisation_id):
            return Refusal(OpenReason.PREPAID, "its use is covered by a hold")
        if channel.seller != grant.home:
            return Refusal(OpenReason.NOT_THE_SELLER, grant.home)
        if grant.hold.asset != self.venue.asset:
            return Refusal(OpenReason.NOT_THE_TOKEN, grant.hold.asset)
        latest = store.lease(unit, channel_id)
        if latest is not None and latest.is_away and latest.node_id == grant.node_id:
            return Refusal(LeaseReason.LEASED_ELSEWHERE, "its node serves by itself")
        lease = self._lease_for(unit, channel_id, grant.node_id, at_us)
        if isinstance(lease, Refusal):
            return lease
        live = store.live_session(unit, lease)
        if live is not None:
            store.put_session(unit, replace(live, ended=True))
        return self._begun(unit, lease, grant, session_id)

    def detach(self, unit: Connection, session_id: Id) -> Standing | Refusal:
        """Let a session's node take its payments by itself from now on, while we are away.

        Returns what the node `adopt`s; what it took comes back by `report`.
        """
        standing = self.standing(unit, session_id)
        if standing is None or standing.session.ended or standing.lease.returned:
            return Refusal(PaymentReason.SESSION_ENDED)
        detached = replace(standing.lease, detached=True)
        store.put_lease(unit, detached)
        return replace(standing, lease=detached)

    def adopt(self, unit: Connection, standing: Standing) -> None:
        """Take over a session that its seller began, on a node that serves it by itself."""
        assert standing.lease.detached
        store.put_channel(unit, standing.channel)
        store.put_lease(unit, standing.lease)
        store.put_session(unit, standing.session)

    def pay(self, unit: Connection, payment: Payment, *, at_us: int) -> Standing | Refusal:
        """Take a payment as it comes; when this unit has committed it may be answered.

        Where a node takes a session's payments by itself, its seller takes none beside it: what
        came here would make stale what the node reports.
        """
        standing = self.standing(unit, payment.ack.session_id) if self._books else None
        if standing is not None and standing.lease.is_away:
            return Refusal(PaymentReason.NO_LEASE, "its node serves by itself")
        return self._take(unit, payment, now_s=at_us // SECOND_US, at_us=at_us)

    def pay_renewing(self, unit: Connection, payment: Payment, *, at_us: int) -> Standing | Refusal:
        """Take a payment; a lease that does not allow it is renewed for its node."""
        taken = self.pay(unit, payment, at_us=at_us)
        if not isinstance(taken, Refusal) or taken.reason not in RENEWABLE:
            return taken
        own = self.standing(unit, payment.ack.session_id)
        assert own is not None, "a lease is a session's"
        if payment.max_claimable_minor > own.channel.deposited_minor:
            return taken
        lease = self.lease(unit, own.channel.channel_id, own.lease.node_id, at_us=at_us)
        return taken if isinstance(lease, Refusal) else self.pay(unit, payment, at_us=at_us)

    def carried(
        self,
        unit: Connection,
        voucher: bytes,
        ack: bytes,
        *,
        session_id: Id,
        node_id: str,
        at_us: int,
    ) -> Refusal | None:
        """Take a payment that a session's node brought with a report (port `CarriedPayments`).

        It counts as if the device had sent it here, and is never another session's. A node that
        holds the lease detached reports so what it took. `PeerError` for what is no payment.
        """
        payment = unpack(voucher, ack)
        if payment.ack.session_id != session_id:
            return Refusal(PaymentReason.OTHER_SESSION)
        own = self.standing(unit, session_id)
        away = own is not None and own.lease.is_away and own.lease.node_id == node_id
        take = self.report if away else self.pay_renewing
        taken = take(unit, payment, at_us=at_us)
        return taken if isinstance(taken, Refusal) else None

    def report(self, unit: Connection, payment: Payment, *, at_us: int) -> Standing | Refusal:
        """Take into the books what a node took while it was away."""
        assert self._books
        return self._take(unit, payment, now_s=None, at_us=at_us)

    def unreported(self, unit: Connection) -> list[Payment]:
        """Return a node's payments that its seller's books have not taken yet."""
        return [read_payment(text) for _, text in store.unreported(unit, REPORTS_MAX)]

    def reported(self, unit: Connection, payment: Payment) -> None:
        """Note that the seller's books took a payment."""
        store.reported(unit, payment.ack.session_id, write_payment(payment))

    def end(self, unit: Connection, session_id: Id) -> None:
        """End a session and hand its lease back; one that a node serves by itself goes on."""
        standing = self.standing(unit, session_id)
        if standing is not None and not standing.lease.is_away:
            self.hand_back(unit, standing.lease)

    def close(self, unit: Connection, channel_id: Id) -> Channel | Refusal:
        """Take no more vouchers on a channel: what is due is claimed, the rest given back.

        Not while a node that is away may still hold what pays it: then the payer's way out is the
        contract's, with its notice.
        """
        channel = store.channel(unit, channel_id)
        if channel is None:
            return Refusal(LeaseReason.UNKNOWN_CHANNEL)
        if store.has_lease_away(unit, channel_id):
            return Refusal(LeaseReason.LEASED_ELSEWHERE, "a node may still report")
        latest = store.lease(unit, channel_id)
        if latest is not None:
            self.hand_back(unit, latest)
        closed = replace(channel, closed=True)
        store.put_channel(unit, closed)
        return closed

    def standing(self, unit: Connection, session_id: Id) -> Standing | None:
        """Return where a session stands, None where it was never put on a channel."""
        session = store.session(unit, session_id)
        if session is None:
            return None
        channel = store.channel(unit, session.channel_id)
        lease = store.lease(unit, session.channel_id, session.lease_number)
        assert channel is not None, "a session's channel is gone"
        assert lease is not None, "a session's lease is gone"
        return Standing(channel=channel, lease=lease, session=session)

    def offer(self, unit: Connection, session: PaidSession) -> Offer | None:
        """Offer a session's next slice."""
        return offer(session, self._price(unit, session.authorisation_id), self.settings)

    def authorisation_of(self, unit: Connection, key_digest: bytes) -> bytes | None:
        """Return whose session a device's key belongs to."""
        return store.authorisation_of(unit, key_digest)

    def channel(self, unit: Connection, channel_id: Id) -> Channel | None:
        """Return a channel."""
        return store.channel(unit, channel_id)

    def channels(
        self, unit: Connection, *, subscriber: PartyId | None = None, after: bytes = b""
    ) -> list[Channel]:
        """Return a page of channels, ascending by id."""
        return store.channels(unit, subscriber=subscriber, after=after)

    def _take(
        self, unit: Connection, payment: Payment, *, now_s: int | None, at_us: int
    ) -> Standing | Refusal:
        standing = self.standing(unit, payment.ack.session_id)
        if standing is None:
            return Refusal(PaymentReason.UNKNOWN_SESSION)
        price = self._price(unit, standing.session.authorisation_id)
        taken = take(self.venue, self.settings, standing, payment, price, now_s=now_s)
        if isinstance(taken, Refusal) or taken == standing:
            return taken
        crashpoint("channels.taken")
        store.put_session(unit, taken.session)
        store.put_lease(unit, taken.lease)
        store.put_channel(unit, taken.channel)
        if self._books:
            self._book(unit, taken, taken.channel.due_minor - standing.channel.due_minor, at_us)
        else:
            store.put_unreported(unit, taken.session.session_id, write_payment(payment))
        crashpoint("channels.kept")
        return taken

    def _book(self, unit: Connection, taken: Standing, earned_minor: int, at_us: int) -> None:
        """Give the subscriber what it just paid for, from what its channel owes the seller."""
        if earned_minor == 0:
            return
        session = taken.session
        self._ports.prices.cover(
            unit,
            session.authorisation_id,
            earned_minor,
            payer=chart.vouchers(taken.channel.seller),
            reference=derive("channels/ack", session.session_id, session.sequence),
            at_us=at_us,
        )

    def _price(self, unit: Connection, authorisation_id: bytes) -> Price:
        def price(counters: Counters) -> int | None:
            return self._ports.prices.retail_minor(unit, authorisation_id, counters)

        return price

    def _lease_for(
        self, unit: Connection, channel_id: Id, node_id: str, at_us: int
    ) -> Lease | Refusal:
        """Use the node's lease while it lasts, else ask for one."""
        latest = store.lease(unit, channel_id)
        fresh_s = at_us // SECOND_US + self.settings.skew_s
        held = latest is not None and latest.node_id == node_id and not latest.returned
        if latest is not None and held and fresh_s < latest.expires_s:
            return latest
        return self.lease(unit, channel_id, node_id, at_us=at_us)

    def _begun(self, unit: Connection, lease: Lease, grant: Grant, session_id: Id) -> Standing:
        channel = store.channel(unit, lease.channel_id)
        assert channel is not None
        base_minor = lease.position_minor
        session = PaidSession(
            session_id=session_id,
            channel_id=lease.channel_id,
            lease_number=lease.number,
            authorisation_id=grant.authorisation_id,
            tariff_hash=grant.retail_tariff_hash,
            base_minor=base_minor,
            voucher_minor=min(max(base_minor, channel.voucher_minor), lease.ceiling_minor),
        )
        store.put_session(unit, session)
        return Standing(channel=channel, lease=lease, session=session)

    def _move_session(self, unit: Connection, lease: Lease, former: Lease | None) -> None:
        """Let a live session go on under its node's renewed lease; another node's has ended.

        One that a detached node serves stays with its own lease, for a late report.
        """
        live = None if former is None else store.live_session(unit, former)
        if former is None or live is None:
            return
        if former.node_id == lease.node_id:
            store.put_session(unit, replace(live, lease_number=lease.number))
        elif not former.detached:
            store.put_session(unit, replace(live, ended=True))

    def _unfit(self, unit: Connection, config: ChannelConfig, seller: PartyId) -> Refusal | None:
        """Refuse terms that would not pay this seller in time."""
        operator = self._ports.directory.operator(unit, seller)
        if operator is None:
            return Refusal(OpenReason.NOT_THE_SELLER, config.receiver)
        return unfit(self.venue, self.settings, config, operator.address, own_key=True)
