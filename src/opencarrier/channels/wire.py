"""The room's JSON, read strictly: unknown keys, other forms and values out of range are refused.

Amounts, which may exceed what JSON numbers carry safely, and octets are strings: decimal digits,
and `0x` with lower-case hex digits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from opencarrier.chain.typed_data import ChannelConfig
from opencarrier.channels.model import Deposit, Mode, Payment, UsageAck
from opencarrier.kernel.ids import Id, from_hex, to_hex
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import SIGNATURE_OCTETS, Address

T = TypeVar("T")

BODY_OCTETS_MAX = 4_096
NAME_MAX = 64

Document = Mapping[str, Any]

_CONFIG = (
    "payer",
    "payer_authorizer",
    "receiver",
    "receiver_authorizer",
    "token",
    "withdraw_delay_s",
    "salt",
)
_DEPOSIT = ("amount_minor", "valid_after_s", "valid_before_s", "salt", "signature")
_ACK = ("session_id", "sequence", "octets_in", "octets_out", "duration_s", "tariff_hash")
_PAYMENT = ("max_claimable_minor", "voucher_signature", "ack", "ack_signature")


def read_document(body: bytes, names: tuple[str, ...]) -> Document:
    """Read a request: one JSON object with these keys and no others; `PeerError` otherwise."""
    if len(body) > BODY_OCTETS_MAX:
        raise PeerError("body_size", f"{len(body)} octets")
    try:
        value = json.loads(body, parse_float=_no_float, parse_constant=_no_float)
    except (ValueError, RecursionError) as error:
        raise PeerError("not_json", str(error)[:NAME_MAX]) from None
    return _object(value, names, "request")


def read_open(body: bytes) -> tuple[Mode, ChannelConfig, Deposit]:
    """Read a request to open a channel; the deposit's channel id is for the caller to compare."""
    document = read_document(body, ("mode", "channel_id", "config", "deposit"))
    deposit = _object(document["deposit"], _DEPOSIT, "deposit")
    return (
        _mode(document["mode"]),
        _config(document["config"]),
        Deposit(
            channel_id=_octets(document["channel_id"]),
            amount_minor=_amount(deposit["amount_minor"]),
            valid_after_s=_integer(deposit["valid_after_s"]),
            valid_before_s=_integer(deposit["valid_before_s"]),
            salt=int.from_bytes(_octets(deposit["salt"]), "big"),
            signature=_octets(deposit["signature"], SIGNATURE_OCTETS),
        ),
    )


def read_begin(body: bytes) -> tuple[Id, str]:
    """Read a request to put a session on a channel: its id, and the session's Acct-Session-Id."""
    document = read_document(body, ("channel_id", "acct_session_id"))
    return _octets(document["channel_id"]), _text(document["acct_session_id"])


def read_session(body: bytes) -> Id:
    """Read a request about a session."""
    return _octets(read_document(body, ("session_id",))["session_id"])


def read_channel(body: bytes) -> Id:
    """Read a request about a channel."""
    return _octets(read_document(body, ("channel_id",))["channel_id"])


def read_payment(body: bytes | str) -> Payment:
    """Read a payment."""
    octets = body.encode() if isinstance(body, str) else body
    return _payment(read_document(octets, _PAYMENT))


def read_brought(body: bytes) -> tuple[ChannelConfig, Payment]:
    """Read a payment as it is handed to a node's agent: with its channel's terms."""
    document = read_document(body, ("config", "payment"))
    return _config(document["config"]), _payment(_object(document["payment"], _PAYMENT, "payment"))


def write_brought(config: ChannelConfig, payment: Payment) -> str:
    """Write it, as `read_brought` reads it."""
    return json.dumps({"config": _config_object(config), "payment": _payment_object(payment)})


def _config(value: Any) -> ChannelConfig:
    config = _object(value, _CONFIG, "config")
    return ChannelConfig(
        payer=_address(config["payer"]),
        payer_authorizer=_address(config["payer_authorizer"]),
        receiver=_address(config["receiver"]),
        receiver_authorizer=_address(config["receiver_authorizer"]),
        token=_address(config["token"]),
        withdraw_delay_s=_integer(config["withdraw_delay_s"], (1 << 40) - 1),
        salt=_octets(config["salt"]),
    )


def _payment(document: Document) -> Payment:
    ack = _object(document["ack"], (*_ACK, "channel_id", "cumulative_minor"), "ack")
    return Payment(
        max_claimable_minor=_amount(document["max_claimable_minor"]),
        voucher_signature=_octets(document["voucher_signature"], SIGNATURE_OCTETS),
        ack=UsageAck(
            session_id=_octets(ack["session_id"]),
            sequence=_integer(ack["sequence"]),
            octets_in=_integer(ack["octets_in"]),
            octets_out=_integer(ack["octets_out"]),
            duration_s=_integer(ack["duration_s"]),
            tariff_hash=_octets(ack["tariff_hash"]),
            channel_id=_octets(ack["channel_id"]),
            cumulative_minor=_amount(ack["cumulative_minor"]),
        ),
        ack_signature=_octets(document["ack_signature"], SIGNATURE_OCTETS),
    )


def write_payment(payment: Payment) -> str:
    """Write a payment, as `read_payment` reads it."""
    return json.dumps(_payment_object(payment))


def _payment_object(payment: Payment) -> Document:
    ack = payment.ack
    return {
        "max_claimable_minor": str(payment.max_claimable_minor),
        "voucher_signature": to_hex(payment.voucher_signature),
        "ack": {
            "session_id": to_hex(ack.session_id),
            "sequence": ack.sequence,
            "octets_in": ack.octets_in,
            "octets_out": ack.octets_out,
            "duration_s": ack.duration_s,
            "tariff_hash": to_hex(ack.tariff_hash),
            "channel_id": to_hex(ack.channel_id),
            "cumulative_minor": str(ack.cumulative_minor),
        },
        "ack_signature": to_hex(payment.ack_signature),
    }


def write_open(mode: Mode, config: ChannelConfig, deposit: Deposit) -> str:
    """Write a request to open a channel, as `read_open` reads it."""
    return json.dumps(
        {
            "mode": mode.name.lower(),
            "channel_id": to_hex(deposit.channel_id),
            "config": _config_object(config),
            "deposit": {
                "amount_minor": str(deposit.amount_minor),
                "valid_after_s": deposit.valid_after_s,
                "valid_before_s": deposit.valid_before_s,
                "salt": to_hex(deposit.salt.to_bytes(32, "big")),
                "signature": to_hex(deposit.signature),
            },
        }
    )


def _config_object(config: ChannelConfig) -> Document:
    return {
        "payer": config.payer,
        "payer_authorizer": config.payer_authorizer,
        "receiver": config.receiver,
        "receiver_authorizer": config.receiver_authorizer,
        "token": config.token,
        "withdraw_delay_s": config.withdraw_delay_s,
        "salt": to_hex(config.salt),
    }


def _object(value: Any, names: tuple[str, ...], what: str) -> Document:
    if not isinstance(value, dict) or set(value) != set(names):
        raise PeerError("keys", f"{what} has {', '.join(names)}")
    return value


def _no_float(text: str) -> None:
    raise ValueError(f"{text[:NAME_MAX]} is no integer")


def _integer(value: Any, most: int = INT64_MAX) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise PeerError("integer", f"0 to {most}")
    return value


def _amount(value: Any) -> int:
    if not isinstance(value, str) or not 0 < len(value) <= 19 or not value.isascii():
        raise PeerError("amount", "decimal digits as a string")
    if not value.isdigit() or (len(value) > 1 and value[0] == "0"):
        raise PeerError("amount", "decimal digits as a string")
    return _integer(int(value))


def _octets(value: Any, octets: int = 32) -> Id:
    return _read(lambda: from_hex(value, octets=octets), value, f"0x and {octets} octets in hex")


def _address(value: Any) -> Address:
    return Address("0x" + _octets(value, 20).hex())


def _mode(value: Any) -> Mode:
    return _read(lambda: Mode[_lower(value)], value, "home or direct")


def _lower(value: str) -> str:
    if value != value.lower():
        raise ValueError(value)
    return value.upper()


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value.encode()) <= 253:
        raise PeerError("text", "1 to 253 printable octets")
    return value


def _read(reader: Callable[[], T], value: Any, form: str) -> T:
    if not isinstance(value, str):
        raise PeerError("form", form)
    try:
        return reader()
    except (ValueError, KeyError):
        raise PeerError("form", form) from None
