"""The three headers of an x402 exchange, read strictly and written plainly.

    402 + PAYMENT-REQUIRED       the offers
    request + PAYMENT-SIGNATURE  the payment
    answer + PAYMENT-RESPONSE    what became of it

Each is base64 of a JSON object (x402 protocol version 2). Amounts and times are decimal strings,
addresses are written with their checksum (EIP-55), which some peers insist on, and read without.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from opencarrier.chain.typed_data import Authorization
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import SIGNATURE_OCTETS, Address, checksummed
from opencarrier.paywall.model import EXACT, Offer, Payment, Required, Settled

VERSION = 2
PAYMENT_REQUIRED = "PAYMENT-REQUIRED"
PAYMENT_SIGNATURE = "PAYMENT-SIGNATURE"
PAYMENT_RESPONSE = "PAYMENT-RESPONSE"

HEADER_CHARACTERS_MAX = 8_192
BRACKETS_MAX = 64
"""Opening brackets in a header: bounds how deep JSON can nest before it is parsed."""

OFFERS_MAX = 16
WORDS_MAX = 400
TIMEOUT_S_MAX = 86_400
WORD_MAX = (1 << 256) - 1

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,77}")
_NETWORK = re.compile(r"eip155:[1-9][0-9]{0,19}")


def write_required(required: Required) -> str:
    """Write what a 402 asks for."""
    return _write(required_object(required))


def required_object(required: Required) -> dict[str, Any]:
    """Return what a 402 asks for as JSON has it, for its body."""
    return {
        "x402Version": VERSION,
        "error": required.error or "payment_required",
        "resource": {
            "url": required.url,
            "description": required.description,
            "mimeType": "application/json",
        },
        "accepts": [_offer_object(offer) for offer in required.offers],
    }


def read_required(text: str) -> Required:
    """Read what a 402 asks for; ways to pay that are not ours are left out."""
    read = _read(text)
    resource = read.get("resource") or {}
    accepts = read.get("accepts")
    if not isinstance(resource, dict) or not isinstance(accepts, list):
        _wrong("resource or accepts")
    if len(accepts) > OFFERS_MAX:
        _wrong(f"more than {OFFERS_MAX} offers")
    return Required(
        url=_words(resource, "url"),
        description=_words(resource, "description"),
        offers=tuple(_offer(item) for item in accepts if _is_known(item)),
        error=_words(read, "error"),
    )


def write_payment(payment: Payment, *, url: str) -> str:
    """Write a payment for a resource."""
    given = payment.authorization
    return _write(
        {
            "x402Version": VERSION,
            "resource": {"url": url},
            "accepted": _offer_object(payment.offer),
            "payload": {
                "signature": "0x" + payment.signature.hex(),
                "authorization": {
                    "from": checksummed(given.sender),
                    "to": checksummed(given.receiver),
                    "value": str(given.amount_minor),
                    "validAfter": str(given.valid_after_s),
                    "validBefore": str(given.valid_before_s),
                    "nonce": "0x" + given.nonce.hex(),
                },
            },
        }
    )


def read_payment(text: str) -> Payment:
    """Read a payment of the scheme `exact` with an ERC-3009 authorisation."""
    read = _read(text)
    payload = _object(read, "payload")
    given = _object(payload, "authorization")
    return Payment(
        offer=_offer(read.get("accepted")),
        authorization=Authorization(
            sender=_address(given, "from"),
            receiver=_address(given, "to"),
            amount_minor=_number(given, "value"),
            valid_after_s=_number(given, "validAfter"),
            valid_before_s=_number(given, "validBefore"),
            nonce=_octets(given, "nonce", 32),
        ),
        signature=_octets(payload, "signature", SIGNATURE_OCTETS),
    )


def write_settled(settled: Settled) -> str:
    """Write what became of a payment."""
    told: dict[str, Any] = {
        "success": settled.success,
        "network": settled.network,
        "payer": checksummed(settled.payer),
        "amount": str(settled.amount_minor),
        "transaction": "0x" + settled.tx_hash.hex() if settled.tx_hash else "",
    }
    if settled.error:
        told["errorReason"] = settled.error
    return _write(told)


def read_settled(text: str) -> Settled:
    """Read what became of a payment; servers may leave payer and amount out."""
    read = _read(text)
    success = read.get("success")
    if not isinstance(success, bool):
        _wrong("success")
    return Settled(
        success=success,
        network=_words(read, "network"),
        payer=_address(read, "payer") if read.get("payer") else Address(""),
        amount_minor=_number(read, "amount") if read.get("amount") else 0,
        tx_hash=_octets(read, "transaction", 32) if read.get("transaction") else b"",
        error=_words(read, "errorReason"),
    )


def _offer_object(offer: Offer) -> dict[str, Any]:
    if offer.source:
        given: dict[str, Any] = json.loads(offer.source)
        return given
    return {
        "scheme": offer.scheme,
        "network": offer.network,
        "asset": checksummed(offer.token),
        "amount": str(offer.amount_minor),
        "payTo": checksummed(offer.receiver),
        "maxTimeoutSeconds": offer.timeout_s,
        "extra": {
            "name": offer.name,
            "version": offer.version,
            "assetTransferMethod": "eip3009",
        },
    }


def _is_known(item: Any) -> bool:
    """Say whether an offer is one we can take: exact, on an EVM chain, by ERC-3009."""
    if not isinstance(item, dict):
        _wrong("accepts")
    extra = item.get("extra")
    return (
        item.get("scheme") == EXACT
        and isinstance(item.get("network"), str)
        and _NETWORK.fullmatch(item["network"]) is not None
        and isinstance(extra, dict)
        and {"name", "version"} <= extra.keys()
        and extra.get("assetTransferMethod", "eip3009") == "eip3009"
    )


def _offer(item: Any) -> Offer:
    if not isinstance(item, dict):
        _wrong("accepted")
    extra = item.get("extra")
    timeout_s = item.get("maxTimeoutSeconds")
    if not isinstance(extra, dict):
        _wrong("extra")
    if type(timeout_s) is not int or not 0 < timeout_s <= TIMEOUT_S_MAX:
        _wrong("maxTimeoutSeconds")
    return Offer(
        scheme=_words(item, "scheme"),
        network=_words(item, "network"),
        token=_address(item, "asset"),
        receiver=_address(item, "payTo"),
        amount_minor=_number(item, "amount"),
        timeout_s=timeout_s,
        name=_words(extra, "name"),
        version=_words(extra, "version"),
        source=json.dumps(item),
    )


def _write(value: Mapping[str, Any]) -> str:
    return base64.b64encode(json.dumps(value, separators=(",", ":")).encode()).decode()


def _read(text: str) -> dict[str, Any]:
    """Read base64 JSON: bounded before anything is parsed, no key twice, no fractions."""
    if len(text) > HEADER_CHARACTERS_MAX:
        raise PeerError("header_too_long", f"more than {HEADER_CHARACTERS_MAX} characters")
    try:
        octets = base64.b64decode(text.encode(), validate=True)
        if octets.count(b"[") + octets.count(b"{") > BRACKETS_MAX:
            _wrong(f"more than {BRACKETS_MAX} opening brackets")
        read = json.loads(
            octets, object_pairs_hook=_once, parse_float=_wrong, parse_constant=_wrong
        )
    except (binascii.Error, ValueError) as error:
        raise PeerError("header_form", f"not base64 of JSON: {error}") from None
    if not isinstance(read, dict) or read.get("x402Version", VERSION) != VERSION:
        _wrong(f"x402Version is not {VERSION}")
    return read


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        _wrong("a key is given twice")
    return found


def _object(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    if not isinstance(found, dict):
        _wrong(key)
    return found


def _words(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    if found is None:
        return ""
    if not isinstance(found, str) or len(found) > WORDS_MAX:
        _wrong(key)
    return found


def _address(value: Mapping[str, Any], key: str) -> Address:
    found = value.get(key)
    if not isinstance(found, str) or _ADDRESS.fullmatch(found) is None:
        _wrong(key)
    return Address(found.lower())


def _number(value: Mapping[str, Any], key: str) -> int:
    found = value.get(key)
    if not isinstance(found, str) or _NUMBER.fullmatch(found) is None or int(found) > WORD_MAX:
        _wrong(key)
    return int(found)


def _octets(value: Mapping[str, Any], key: str, size: int) -> bytes:
    found = value.get(key)
    if not isinstance(found, str) or _HEX.fullmatch(found) is None or len(found) != 2 + 2 * size:
        _wrong(key)
    return bytes.fromhex(found[2:])


def _wrong(what: str) -> NoReturn:
    raise PeerError("header_form", what)
