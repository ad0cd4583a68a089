"""What the scheme `batch-settlement` adds to an offer and to the word on a payment.

An offer's `extra` names the receiver's authorizer, the withdraw delay and a least deposit; where a
payer has lost its count, also the channel's state and its last voucher, which the payer can check.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opencarrier.kernel.ids import Id
from opencarrier.kernel.signatures import SIGNATURE_OCTETS, checksummed
from opencarrier.paywall.model import ChannelTerms
from opencarrier.paywall.wire.fields import address, child, number, octets, wrong
from opencarrier.spine.channels import ChannelStanding

DELAY_S_MAX = (1 << 40) - 1


def terms_object(terms: ChannelTerms) -> dict[str, Any]:
    """Return what an offer says of the channel that pays it."""
    told: dict[str, Any] = {
        "receiverAuthorizer": checksummed(terms.receiver_authorizer),
        "withdrawDelay": terms.withdraw_delay_s,
        "minDeposit": str(terms.deposit_minor),
    }
    standing = terms.standing
    if standing is not None:
        told["channelState"] = _state_object(standing)
        if standing.voucher_signature:
            told["voucherState"] = {
                "signedMaxClaimable": str(standing.voucher_minor),
                "signature": "0x" + standing.voucher_signature.hex(),
            }
    return told


def read_terms(extra: Mapping[str, Any]) -> ChannelTerms:
    """Read what an offer says of the channel that pays it."""
    delay_s = extra.get("withdrawDelay")
    if type(delay_s) is not int or not 0 < delay_s <= DELAY_S_MAX:
        wrong("withdrawDelay")
    return ChannelTerms(
        receiver_authorizer=address(extra, "receiverAuthorizer"),
        withdraw_delay_s=delay_s,
        deposit_minor=number(extra, "minDeposit") if "minDeposit" in extra else 0,
        standing=_standing(extra) if "voucherState" in extra else None,
    )


def standing_object(standing: ChannelStanding, charged_minor: int) -> dict[str, Any]:
    """Return what a payment cost and where its channel stands after it."""
    return {"chargedAmount": str(charged_minor), "channelState": _state_object(standing)}


def read_charged(extra: Any) -> int:
    """Read what a payment through a channel cost, zero where its server does not say."""
    if not isinstance(extra, dict) or "chargedAmount" not in extra:
        return 0
    return number(extra, "chargedAmount")


def _state_object(standing: ChannelStanding) -> dict[str, Any]:
    return {
        "channelId": "0x" + standing.channel_id.hex(),
        "balance": str(standing.deposited_minor),
        "totalClaimed": str(standing.claimed_minor),
        "withdrawRequestedAt": 0,
        "refundNonce": "0",
        "chargedCumulativeAmount": str(standing.due_minor),
    }


def _standing(extra: Mapping[str, Any]) -> ChannelStanding:
    state, voucher = child(extra, "channelState"), child(extra, "voucherState")
    return ChannelStanding(
        channel_id=Id(octets(state, "channelId", 32)),
        deposited_minor=number(state, "balance"),
        claimed_minor=number(state, "totalClaimed"),
        due_minor=number(state, "chargedCumulativeAmount"),
        voucher_minor=number(voucher, "signedMaxClaimable"),
        voucher_signature=octets(voucher, "signature", SIGNATURE_OCTETS),
        withdrawing=False,
        closed=False,
    )
