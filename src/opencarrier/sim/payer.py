"""A phone that pays as it uses: its keys, its channel, what it signs and what it will not.

The main key signs one gasless deposit and then rests. Vouchers and acks are signed, in a pocket, by
a delegated key whose reach is the channel's deposit and a cap a day.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from opencarrier.chain.typed_data import (
    Authorization,
    ChannelConfig,
    deposit_nonce,
    receive_digest,
    voucher_digest,
)
from opencarrier.channels.model import (
    ChannelSettings,
    ChannelVenue,
    Deposit,
    PaidSession,
    Payment,
    UsageAck,
)
from opencarrier.channels.rules import Price, offer
from opencarrier.channels.typed_data import ack_digest, acks_domain, channel_id_of
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.kernel.signatures import Address, KeySigner, Signer
from opencarrier.spine.usage import Counters

DAY_S = 86_400
AUTHORIZATION_S = 3_600


class PayerReason(Reason):
    """Why a phone does not sign."""

    OVERCHARGED = 1
    DAILY_CAP = 2
    DEPOSIT_SPENT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A session's terms as its seller states them: what the channel owed when it began."""

    session_id: Id
    tariff_hash: bytes
    base_minor: int


class Payer:
    """One phone's money; `price` is its own reading of the plan it was quoted.

    `gap_minor` is what it lets a seller set aside for a node that was not heard from since.
    """

    def __init__(
        self,
        venue: ChannelVenue,
        settings: ChannelSettings,
        main: Signer,
        entropy: Entropy,
        *,
        price: Price,
        day_cap_minor: int,
        gap_minor: int = 0,
    ) -> None:
        self._venue = venue
        self._settings = settings
        self._main = main
        self._entropy = entropy
        self._price = price
        self._day_cap_minor = day_cap_minor
        self._gap_minor = gap_minor
        self._delegate: Signer | None = None
        self._day = 0
        self._spent_minor = 0
        self._signed_minor = 0
        self._owed_minor = 0
        self._deposited_minor = 0
        self._channel_id = Id(bytes(32))
        self._sequences: dict[Id, int] = {}

    @property
    def address(self) -> Address:
        """The account the deposit comes from."""
        return self._main.address

    @property
    def channel_id(self) -> Id:
        """The channel in use."""
        return self._channel_id

    def open(
        self, seller: Address, amount_minor: int, *, now_s: int
    ) -> tuple[ChannelConfig, Deposit]:
        """Make a channel with a new delegated key and a fresh salt, and sign its deposit.

        A key is never rotated in a channel: another key, or another deposit after a refund, is
        another channel, so that no old voucher comes alive again.
        """
        delegate = KeySigner(self._entropy.octets("payer/delegate", 32))
        config = ChannelConfig(
            payer=self._main.address,
            payer_authorizer=delegate.address,
            receiver=seller,
            receiver_authorizer=seller,
            token=self._venue.token,
            withdraw_delay_s=self._settings.withdraw_delay_s_min,
            salt=self._entropy.octets("payer/salt", 32),
        )
        self._delegate, self._signed_minor, self._owed_minor = delegate, 0, 0
        self._deposited_minor = amount_minor
        self._channel_id = channel_id_of(self._venue, config)
        unsigned = Deposit(
            channel_id=self._channel_id,
            amount_minor=amount_minor,
            valid_after_s=0,
            valid_before_s=now_s + AUTHORIZATION_S,
            salt=int.from_bytes(self._entropy.octets("payer/nonce", 32), "big"),
            signature=b"",
        )
        signature = self._main.sign(self._deposit_digest(unsigned)).octets
        return config, replace(unsigned, signature=signature)

    def pay(self, asked: Asked, used: Counters, *, now_s: int) -> Payment | Refusal:
        """Acknowledge what the phone itself counted, and sign for the next slice.

        It signs for its own price of its own use and one slice more, never above its deposit
        and its cap a day.
        """
        return self._signed(asked, used, self._slice_minor(asked, used), now_s)

    def acknowledge(self, asked: Asked, used: Counters, *, now_s: int) -> Payment | Refusal:
        """Acknowledge use and promise nothing more."""
        return self._signed(asked, used, asked.base_minor, now_s)

    def sign(self, ack: UsageAck, max_claimable_minor: int) -> Payment:
        """Sign a payment whatever it says."""
        assert self._delegate is not None, "open a channel first"
        voucher = voucher_digest(self._venue.domain, ack.channel_id, max_claimable_minor)
        return Payment(
            max_claimable_minor=max_claimable_minor,
            voucher_signature=self._delegate.sign(voucher).octets,
            ack=ack,
            ack_signature=self._delegate.sign(ack_digest(acks_domain(self._venue), ack)).octets,
        )

    def _signed(
        self, asked: Asked, used: Counters, ceiling_minor: int, now_s: int
    ) -> Payment | Refusal:
        price_minor = self._price(used)
        assert price_minor is not None, "a phone's use stays within the formula"
        cumulative_minor = asked.base_minor + price_minor
        ceiling_minor = max(ceiling_minor, self._signed_minor, cumulative_minor)
        first = asked.session_id not in self._sequences
        if first and asked.base_minor > self._owed_minor + self._gap_minor:
            detail = f"begins at {asked.base_minor}, {self._owed_minor} is owed"
            return Refusal(PayerReason.OVERCHARGED, detail)
        if ceiling_minor > self._deposited_minor:
            return Refusal(PayerReason.DEPOSIT_SPENT, f"{self._deposited_minor}")
        if now_s // DAY_S != self._day:
            self._day, self._spent_minor = now_s // DAY_S, 0
        more_minor = ceiling_minor - self._signed_minor
        if self._spent_minor + more_minor > self._day_cap_minor:
            return Refusal(PayerReason.DAILY_CAP, f"{self._day_cap_minor} a day")
        self._spent_minor += more_minor
        self._signed_minor = ceiling_minor
        self._owed_minor = max(self._owed_minor, cumulative_minor)
        return self.sign(self._ack(asked, used, cumulative_minor), ceiling_minor)

    def _ack(self, asked: Asked, used: Counters, cumulative_minor: int) -> UsageAck:
        sequence = self._sequences.get(asked.session_id, -1) + 1
        self._sequences[asked.session_id] = sequence
        return UsageAck(
            session_id=asked.session_id,
            sequence=sequence,
            octets_in=used.octets_in,
            octets_out=used.octets_out,
            duration_s=used.session_time_s,
            tariff_hash=asked.tariff_hash,
            channel_id=self._channel_id,
            cumulative_minor=cumulative_minor,
        )

    def _slice_minor(self, asked: Asked, used: Counters) -> int:
        """Return what a slice more than it used can cost, by its own reading."""
        session = PaidSession(
            session_id=asked.session_id,
            channel_id=self._channel_id,
            lease_number=0,
            authorisation_id=b"",
            tariff_hash=asked.tariff_hash,
            base_minor=asked.base_minor,
            voucher_minor=0,
            acked=used,
        )
        found = offer(session, self._price, self._settings)
        assert found is not None, "a phone's use stays within the formula"
        return found.voucher_minor

    def _deposit_digest(self, deposit: Deposit) -> bytes:
        authorization = Authorization(
            sender=self._main.address,
            receiver=self._venue.collector,
            amount_minor=deposit.amount_minor,
            valid_after_s=deposit.valid_after_s,
            valid_before_s=deposit.valid_before_s,
            nonce=deposit_nonce(deposit.channel_id, deposit.salt),
        )
        return receive_digest(self._venue.token_domain, authorization)
