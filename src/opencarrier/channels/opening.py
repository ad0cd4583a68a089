"""What every new channel must show: a deposit its payer signed, within bounds, and room for it."""

from __future__ import annotations

from sqlalchemy import Connection

from opencarrier.chain.typed_data import Authorization, ChannelConfig, deposit_nonce, receive_digest
from opencarrier.channels import store
from opencarrier.channels.model import ChannelSettings, ChannelVenue, Deposit
from opencarrier.channels.reasons import OpenReason
from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address, recover
from opencarrier.spine.parties import PartyId

NOBODY = Address("0x" + "00" * 20)
DEPOSIT_TTL_S_MAX = 86_400


def unfit(
    venue: ChannelVenue,
    settings: ChannelSettings,
    config: ChannelConfig,
    seller: Address,
    *,
    own_key: bool,
) -> Refusal | None:
    """Refuse terms that would not pay a seller at its address in time.

    With `own_key` vouchers are signed by another key than the payer's.
    """
    for address in (config.receiver, config.receiver_authorizer):
        if address != seller:
            return Refusal(OpenReason.NOT_THE_SELLER, address)
    if config.token != venue.token:
        return Refusal(OpenReason.NOT_THE_TOKEN, config.token)
    if config.payer_authorizer == NOBODY or (own_key and config.payer_authorizer == config.payer):
        return Refusal(OpenReason.NO_AUTHORIZER, "name a key of its own for vouchers")
    if config.withdraw_delay_s < settings.withdraw_delay_s_min:
        return Refusal(OpenReason.DELAY_TOO_SHORT, f"{settings.withdraw_delay_s_min} s at least")
    return None


def unpaid(
    venue: ChannelVenue,
    settings: ChannelSettings,
    config: ChannelConfig,
    deposit: Deposit,
    *,
    channel_id: Id,
    now_s: int,
) -> Refusal | None:
    """Refuse a deposit that is out of bounds or that its payer did not sign."""
    if not now_s < deposit.valid_before_s <= now_s + DEPOSIT_TTL_S_MAX:
        detail = f"valid for at most {DEPOSIT_TTL_S_MAX} s from now"
        return Refusal(OpenReason.DEPOSIT_OUT_OF_BOUNDS, detail)
    low, high = settings.deposit_minor_min, settings.deposit_minor_max
    if not low <= deposit.amount_minor <= high:
        return Refusal(OpenReason.DEPOSIT_OUT_OF_BOUNDS, f"{low} to {high}")
    authorization = Authorization(
        sender=config.payer,
        receiver=venue.collector,
        amount_minor=deposit.amount_minor,
        valid_after_s=deposit.valid_after_s,
        valid_before_s=deposit.valid_before_s,
        nonce=deposit_nonce(channel_id, deposit.salt),
    )
    digest = receive_digest(venue.token_domain, authorization)
    if deposit.channel_id != channel_id or recover(digest, deposit.signature) != config.payer:
        return Refusal(OpenReason.DEPOSIT_SIGNATURE)
    return None


def crowded(unit: Connection, settings: ChannelSettings, subscriber: PartyId) -> Refusal | None:
    """Refuse a channel beyond what one payer, or all, may have."""
    limit = settings.channels_per_subscriber_max
    if store.count_channels(unit, subscriber=subscriber) >= limit:
        return Refusal(OpenReason.TOO_MANY_CHANNELS, f"{limit} for one subscriber")
    if store.count_channels(unit) >= settings.channels_max:
        return Refusal(OpenReason.TOO_MANY_CHANNELS, f"{settings.channels_max} in all")
    if store.count_opening(unit) >= settings.opening_max:
        return Refusal(OpenReason.TOO_MANY_OPENING, f"{settings.opening_max} wait")
    return None
