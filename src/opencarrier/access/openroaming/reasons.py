"""Why a home says no, as an access network of the federation reads it.

Reply-Message = words, NUL, `Reject-Reason=NN`. Source: WBA RADIUS-VSA, enhanced Reply-Message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from opencarrier.access.wire.dictionary import Type
from opencarrier.access.wire.radius import ATTRIBUTE_VALUE_OCTETS_MAX, Attribute


class Cause(IntEnum):
    """The numbers of WBA: 1x the user, 2x the server, 3x the request, 4x for good, 5x for now."""

    FAILED_AUTHENTICATION = 10
    INVALID_IDENTITY = 11
    EXPIRED_CERTIFICATE = 12
    AAA_FAILURE = 20
    BACKEND_FAILURE = 21
    PROTOCOL_TIMEOUT = 22
    BAD_REQUEST = 30
    MISSING_CHARGING_MODEL = 31
    MISSING_LOCATION = 32
    SUBSCRIPTION = 40
    NO_SUBSCRIPTION = 41
    ROAMING_NOT_ALLOWED = 42
    CHARGING_MODEL = 43
    LOCATION_NOT_ALLOWED = 44
    SERVICE_LEVEL = 45
    SUBSCRIPTION_FOR_NOW = 50
    CHARGING_MODEL_FOR_NOW = 51
    LOCATION_FOR_NOW = 52


MALFORMED: Final = "attribute_malformed"
"""What is told of every attribute of the federation that cannot be read."""

CAUSES: Final[Mapping[str, Cause]] = {
    "authentication_failed": Cause.FAILED_AUTHENTICATION,
    "realm_unknown": Cause.INVALID_IDENTITY,
    "attribute_text": Cause.INVALID_IDENTITY,
    "certificate_expired": Cause.EXPIRED_CERTIFICATE,
    "busy": Cause.BACKEND_FAILURE,
    "upstream_lost": Cause.PROTOCOL_TIMEOUT,
    "upstream_timeout": Cause.PROTOCOL_TIMEOUT,
    "upstream_unreachable": Cause.PROTOCOL_TIMEOUT,
    "upstream_closed": Cause.PROTOCOL_TIMEOUT,
    "dns_timeout": Cause.PROTOCOL_TIMEOUT,
    "hub_busy": Cause.BACKEND_FAILURE,
    "target_busy": Cause.BACKEND_FAILURE,
    "client_busy": Cause.BACKEND_FAILURE,
    "discovery_busy": Cause.BACKEND_FAILURE,
    "realm_without_servers": Cause.INVALID_IDENTITY,
    "realm_not_served": Cause.ROAMING_NOT_ALLOWED,
    "realm_refused": Cause.ROAMING_NOT_ALLOWED,
    "eap_required": Cause.BAD_REQUEST,
    MALFORMED: Cause.BAD_REQUEST,
    "nas_identifier_refused": Cause.BAD_REQUEST,
    "operator_unknown": Cause.ROAMING_NOT_ALLOWED,
    "financial_clearing_missing": Cause.MISSING_CHARGING_MODEL,
    "settled_service_not_cleared": Cause.CHARGING_MODEL,
    "rate_not_offered": Cause.CHARGING_MODEL,
    "terms_out_of_time": Cause.CHARGING_MODEL,
    "terms_differ": Cause.CHARGING_MODEL,
    "terms_not_signed": Cause.CHARGING_MODEL,
    "terms_of_another_session": Cause.CHARGING_MODEL,
    "location_missing": Cause.MISSING_LOCATION,
    "location_not_allowed": Cause.LOCATION_NOT_ALLOWED,
    "no_agreement": Cause.ROAMING_NOT_ALLOWED,
    "no_tariff_in_force": Cause.SERVICE_LEVEL,
    "rate_not_acceptable": Cause.CHARGING_MODEL,
    "no_plan": Cause.NO_SUBSCRIPTION,
    "plan_not_in_force": Cause.SUBSCRIPTION,
    "beyond_range": Cause.CHARGING_MODEL,
    "insufficient_balance": Cause.SUBSCRIPTION_FOR_NOW,
    "spend_cap_reached": Cause.SUBSCRIPTION_FOR_NOW,
    "insufficient_collateral": Cause.CHARGING_MODEL_FOR_NOW,
}
"""The cause of each reason that may be told; one that is not here is a failure of the server."""

_CAUSE: Final = re.compile(rb"\x00Reject-Reason=(\d{2})\Z")
_TAIL_OCTETS: Final = len(b"\x00Reject-Reason=00")


def reply_message(reason: str) -> Attribute:
    """Return the attribute that says why, in words and as the federation's number."""
    cause = CAUSES.get(reason, Cause.AAA_FAILURE)
    words = reason.encode()[: ATTRIBUTE_VALUE_OCTETS_MAX - _TAIL_OCTETS]
    return int(Type.REPLY_MESSAGE), words + b"\x00Reject-Reason=%d" % cause


def cause_of(message: bytes) -> Cause | None:
    """Read the number out of a Reply-Message, None where there is none that is known."""
    found = _CAUSE.search(message)
    try:
        return Cause(int(found.group(1))) if found else None
    except ValueError:
        return None
