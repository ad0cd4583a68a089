"""The three headers of an x402 exchange, read strictly and written plainly.

    402 + PAYMENT-REQUIRED       the offers
    request + PAYMENT-SIGNATURE  the payment
    answer + PAYMENT-RESPONSE    what became of it

Each is base64 of a JSON object (x402 protocol version 2). Amounts and times are decimal strings,
addresses are written with their checksum (EIP-55), which some peers insist on, and read without.
"""

from __future__ import annotations

import json
import re
from typing import Any

from opencarrier.chain.typed_data import Authorization
from opencarrier.kernel.signatures import SIGNATURE_OCTETS, Address, checksummed
from opencarrier.paywall.model import BATCH_SETTLEMENT, EXACT, Offer, Payment, Required, Settled
from opencarrier.paywall.wire.channels import (
    read_charged,
    read_terms,
    standing_object,
    terms_object,
)
from opencarrier.paywall.wire.fields import (
    VERSION,
    address,
    child,
    number,
    octets,
    read_header,
    words,
    write_header,
    wrong,
)

PAYMENT_REQUIRED = "PAYMENT-REQUIRED"
PAYMENT_SIGNATURE = "PAYMENT-SIGNATURE"
PAYMENT_RESPONSE = "PAYMENT-RESPONSE"

OFFERS_MAX = 16
TIMEOUT_S_MAX = 86_400

_NETWORK = re.compile(r"eip155:[1-9][0-9]{0,19}")


def write_required(required: Required) -> str:
    """Write what a 402 asks for."""
    return write_header(required_object(required))


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
        "accepts": [offer_object(offer) for offer in required.offers],
    }


def read_required(text: str) -> Required:
    """Read what a 402 asks for; ways to pay that are not ours are left out."""
    read = read_header(text)
    resource = read.get("resource") or {}
    accepts = read.get("accepts")
    if not isinstance(resource, dict) or not isinstance(accepts, list):
        wrong("resource or accepts")
    if len(accepts) > OFFERS_MAX:
        wrong(f"more than {OFFERS_MAX} offers")
    return Required(
        url=words(resource, "url"),
        description=words(resource, "description"),
        offers=tuple(read_offer(item) for item in accepts if _is_known(item)),
        error=words(read, "error"),
    )


def write_payment(payment: Payment, *, url: str) -> str:
    """Write a payment for a resource."""
    given = payment.authorization
    return write_header(
        {
            "x402Version": VERSION,
            "resource": {"url": url},
            "accepted": offer_object(payment.offer),
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
    read = read_header(text)
    payload = child(read, "payload")
    given = child(payload, "authorization")
    return Payment(
        offer=read_offer(read.get("accepted")),
        authorization=Authorization(
            sender=address(given, "from"),
            receiver=address(given, "to"),
            amount_minor=number(given, "value"),
            valid_after_s=number(given, "validAfter"),
            valid_before_s=number(given, "validBefore"),
            nonce=octets(given, "nonce", 32),
        ),
        signature=octets(payload, "signature", SIGNATURE_OCTETS),
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
    if settled.standing is not None:
        told |= {"amount": "", "extra": standing_object(settled.standing, settled.charged_minor)}
    return write_header(told)


def read_settled(text: str) -> Settled:
    """Read what became of a payment; servers may leave payer and amount out."""
    read = read_header(text)
    success = read.get("success")
    if not isinstance(success, bool):
        wrong("success")
    return Settled(
        success=success,
        network=words(read, "network"),
        payer=address(read, "payer") if read.get("payer") else Address(""),
        amount_minor=number(read, "amount") if read.get("amount") else 0,
        tx_hash=octets(read, "transaction", 32) if read.get("transaction") else b"",
        error=words(read, "errorReason"),
        charged_minor=read_charged(read.get("extra")),
    )


def offer_object(offer: Offer) -> dict[str, Any]:
    """Return an offer as JSON has it, as its server wrote it where it came from one."""
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
            **({} if offer.channel is None else terms_object(offer.channel)),
        },
    }


def _is_known(item: Any) -> bool:
    """Say whether an offer is one we can take: on an EVM chain, by ERC-3009."""
    if not isinstance(item, dict):
        wrong("accepts")
    extra = item.get("extra")
    return (
        item.get("scheme") in (EXACT, BATCH_SETTLEMENT)
        and isinstance(item.get("network"), str)
        and _NETWORK.fullmatch(item["network"]) is not None
        and isinstance(extra, dict)
        and {"name", "version"} <= extra.keys()
        and extra.get("assetTransferMethod", "eip3009") == "eip3009"
    )


def read_offer(item: Any) -> Offer:
    """Read an offer."""
    if not isinstance(item, dict):
        wrong("accepted")
    extra = item.get("extra")
    timeout_s = item.get("maxTimeoutSeconds")
    if not isinstance(extra, dict):
        wrong("extra")
    if type(timeout_s) is not int or not 0 < timeout_s <= TIMEOUT_S_MAX:
        wrong("maxTimeoutSeconds")
    return Offer(
        scheme=words(item, "scheme"),
        network=words(item, "network"),
        token=address(item, "asset"),
        receiver=address(item, "payTo"),
        amount_minor=number(item, "amount"),
        timeout_s=timeout_s,
        name=words(extra, "name"),
        version=words(extra, "version"),
        channel=read_terms(extra) if item.get("scheme") == BATCH_SETTLEMENT else None,
        source=json.dumps(item),
    )
