"""Open a channel from a machine that holds the payer's key: the phone's part, by command."""

from __future__ import annotations

import os
from pathlib import Path

from opencarrier.app.bootstrap import Channels, Onchain
from opencarrier.app.output import CommandError, Exit
from opencarrier.chain.typed_data import (
    Authorization,
    ChannelConfig,
    deposit_nonce,
    receive_digest,
)
from opencarrier.channels.model import Channel, Deposit, Mode
from opencarrier.channels.typed_data import channel_id_of
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import KeySigner, Signer
from opencarrier.spine.parties import PartyId

KEY_OCTETS = 32
AUTHORIZATION_S = 3_600


def open_for(
    place: Onchain,
    channels: Channels,
    *,
    subscriber: PartyId,
    seller: PartyId,
    mode: Mode,
    amount_minor: int,
    main: Signer,
    delegate_file: Path,
) -> Channel | Refusal:
    """Make a channel with a new voucher key, sign its deposit, and take both here.

    The voucher key is written before anything is signed; an existing file is not written over.
    """
    service, base = channels.service, place.base
    delegate = write_key(delegate_file, base.entropy.octets("channel/delegate", KEY_OCTETS))
    with base.store.read() as unit:
        operator = base.identity.directory.operator(unit, seller)
    assert operator is not None, "a seller is an operator"
    config = ChannelConfig(
        payer=main.address,
        payer_authorizer=delegate.address,
        receiver=operator.address,
        receiver_authorizer=operator.address,
        token=service.venue.token,
        withdraw_delay_s=service.settings.withdraw_delay_s_min,
        salt=base.entropy.octets("channel/salt", KEY_OCTETS),
    )
    now_us = base.clock.now_us()
    nonce_salt = int.from_bytes(base.entropy.octets("channel/nonce", KEY_OCTETS), "big")
    valid_before_s = now_us // SECOND_US + AUTHORIZATION_S
    channel_id = channel_id_of(service.venue, config)
    authorization = Authorization(
        sender=main.address,
        receiver=service.venue.collector,
        amount_minor=amount_minor,
        valid_after_s=0,
        valid_before_s=valid_before_s,
        nonce=deposit_nonce(channel_id, nonce_salt),
    )
    deposit = Deposit(
        channel_id=channel_id,
        amount_minor=amount_minor,
        valid_after_s=0,
        valid_before_s=valid_before_s,
        salt=nonce_salt,
        signature=main.sign(receive_digest(service.venue.token_domain, authorization)).octets,
    )
    with base.store.write() as unit:
        return service.register(
            unit,
            subscriber=subscriber,
            seller=seller,
            mode=mode,
            config=config,
            deposit=deposit,
            at_us=now_us,
        )


def write_key(file: Path, key: bytes) -> KeySigner:
    """Write a new key for its owner alone; an existing file is left."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandError(
            Exit.ENVIRONMENT, f"{file}: {error.strerror}", "name a file that does not exist yet"
        ) from None
    with os.fdopen(handle, "w") as out:
        out.write(key.hex() + "\n")
    return KeySigner(key)
