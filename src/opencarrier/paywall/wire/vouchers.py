"""The payment of the scheme `batch-settlement`: deposit and voucher, voucher, or refund."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opencarrier.chain.typed_data import ChannelConfig
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import SIGNATURE_OCTETS, checksummed
from opencarrier.paywall.model import BATCH_SETTLEMENT, ChannelPayment, Payment, Way
from opencarrier.paywall.wire.channels import DELAY_S_MAX
from opencarrier.paywall.wire.exchange import offer_object, read_offer, read_payment
from opencarrier.paywall.wire.fields import (
    VERSION,
    address,
    child,
    number,
    octets,
    read_header,
    write_header,
    wrong,
)
from opencarrier.spine.channels import GaslessDeposit


def read_any_payment(text: str) -> Payment | ChannelPayment:
    """Read a payment of either scheme."""
    accepted = read_header(text).get("accepted")
    if isinstance(accepted, dict) and accepted.get("scheme") == BATCH_SETTLEMENT:
        return read_channel_payment(text)
    return read_payment(text)


def read_channel_payment(text: str) -> ChannelPayment:
    """Read a payment through a channel, its deposit by ERC-3009."""
    read = read_header(text)
    payload = child(read, "payload")
    way = _way(payload)
    config, voucher = child(payload, "channelConfig"), child(payload, "voucher")
    return ChannelPayment(
        offer=read_offer(read.get("accepted")),
        way=way,
        config=_config(config),
        channel_id=Id(octets(voucher, "channelId", 32)),
        voucher_minor=_minor(voucher, "maxClaimableAmount"),
        signature=octets(voucher, "signature", SIGNATURE_OCTETS),
        deposit=_deposit(child(payload, "deposit")) if way is Way.DEPOSIT else None,
        refund_minor=_minor(payload, "amount") if "amount" in payload else None,
    )


def write_channel_payment(payment: ChannelPayment, *, url: str) -> str:
    """Write a payment through a channel."""
    payload: dict[str, Any] = {
        "type": payment.way.value,
        "channelConfig": _config_object(payment.config),
        "voucher": {
            "channelId": "0x" + payment.channel_id.hex(),
            "maxClaimableAmount": str(payment.voucher_minor),
            "signature": "0x" + payment.signature.hex(),
        },
    }
    if payment.deposit is not None:
        payload["deposit"] = _deposit_object(payment.deposit)
    return write_header(
        {
            "x402Version": VERSION,
            "resource": {"url": url},
            "accepted": offer_object(payment.offer),
            "payload": payload,
        }
    )


def _way(payload: Mapping[str, Any]) -> Way:
    try:
        return Way(payload.get("type"))
    except ValueError:
        raise PeerError("header_form", "type is deposit, voucher or refund") from None


def _config(config: Mapping[str, Any]) -> ChannelConfig:
    delay_s = config.get("withdrawDelay")
    if type(delay_s) is not int or not 0 <= delay_s <= DELAY_S_MAX:
        wrong("withdrawDelay")
    return ChannelConfig(
        payer=address(config, "payer"),
        payer_authorizer=address(config, "payerAuthorizer"),
        receiver=address(config, "receiver"),
        receiver_authorizer=address(config, "receiverAuthorizer"),
        token=address(config, "token"),
        withdraw_delay_s=delay_s,
        salt=octets(config, "salt", 32),
    )


def _config_object(config: ChannelConfig) -> dict[str, Any]:
    return {
        "payer": checksummed(config.payer),
        "payerAuthorizer": checksummed(config.payer_authorizer),
        "receiver": checksummed(config.receiver),
        "receiverAuthorizer": checksummed(config.receiver_authorizer),
        "token": checksummed(config.token),
        "withdrawDelay": config.withdraw_delay_s,
        "salt": "0x" + config.salt.hex(),
    }


def _deposit(deposit: Mapping[str, Any]) -> GaslessDeposit:
    given = child(child(deposit, "authorization"), "erc3009Authorization")
    return GaslessDeposit(
        amount_minor=_minor(deposit, "amount"),
        valid_after_s=_minor(given, "validAfter"),
        valid_before_s=_minor(given, "validBefore"),
        salt=int.from_bytes(octets(given, "salt", 32), "big"),
        signature=octets(given, "signature", SIGNATURE_OCTETS),
    )


def _deposit_object(deposit: GaslessDeposit) -> dict[str, Any]:
    return {
        "amount": str(deposit.amount_minor),
        "authorization": {
            "erc3009Authorization": {
                "validAfter": str(deposit.valid_after_s),
                "validBefore": str(deposit.valid_before_s),
                "salt": "0x" + deposit.salt.to_bytes(32, "big").hex(),
                "signature": "0x" + deposit.signature.hex(),
            }
        },
    }


def _minor(value: Mapping[str, Any], key: str) -> int:
    found = number(value, key)
    if found > INT64_MAX:
        wrong(key)
    return found
