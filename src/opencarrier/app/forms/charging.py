"""Nchf_ConvergedCharging as far as it is read and written here (TS 32.291 clause 6.1.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opencarrier.app.api import Body
from opencarrier.charging.wire import CONTAINERS_MAX, GROUPS_MAX, TEXT_MAX, UINT32_MAX, UINT64_MAX


def _number(most: int) -> Mapping[str, Any]:
    return {"type": "integer", "minimum": 0, "maximum": most}


_TEXT: Final = {"type": "string", "maxLength": TEXT_MAX}
_VOLUME: Final = {**_number(UINT64_MAX), "description": "Octets."}
_VOLUMES: Final = {
    "totalVolume": _VOLUME,
    "uplinkVolume": _VOLUME,
    "downlinkVolume": _VOLUME,
}
_USED: Final = {
    "type": "object",
    "required": ["localSequenceNumber"],
    "properties": {"localSequenceNumber": _number(UINT32_MAX), **_VOLUMES},
}
_USAGE: Final = {
    "type": "object",
    "required": ["ratingGroup"],
    "properties": {
        "ratingGroup": _number(UINT32_MAX),
        "requestedUnit": {"type": "object", "properties": _VOLUMES},
        "usedUnitContainer": {"type": "array", "maxItems": CONTAINERS_MAX, "items": _USED},
    },
}
_GRANT: Final = {
    "type": "object",
    "required": ["ratingGroup", "resultCode"],
    "properties": {
        "ratingGroup": _number(UINT32_MAX),
        "resultCode": {"type": "string"},
        "grantedUnit": {"type": "object", "properties": {"totalVolume": _VOLUME}},
        "validityTime": {"type": "integer", "description": "Seconds."},
        "volumeQuotaThreshold": _VOLUME,
        "triggers": {"type": "array", "items": {"type": "object"}},
        "finalUnitIndication": {"type": "object"},
    },
}
REQUEST: Final[Mapping[str, Any]] = {
    "title": "ChargingDataRequest",
    "description": "TS 32.291 table 6.1.6.2.1.1-1; attributes that are not here are passed over.",
    "type": "object",
    "required": [
        "nfConsumerIdentification",
        "invocationTimeStamp",
        "invocationSequenceNumber",
    ],
    "properties": {
        "subscriberIdentifier": _TEXT,
        "nfConsumerIdentification": {
            "type": "object",
            "required": ["nodeFunctionality"],
            "properties": {"nFFqdn": _TEXT, "nFName": _TEXT, "nodeFunctionality": _TEXT},
        },
        "invocationTimeStamp": {"type": "string", "format": "date-time"},
        "invocationSequenceNumber": _number(UINT32_MAX),
        "multipleUnitUsage": {"type": "array", "maxItems": GROUPS_MAX, "items": _USAGE},
    },
}
RESPONSE: Final[Mapping[str, Any]] = {
    "title": "ChargingDataResponse",
    "description": "TS 32.291 table 6.1.6.2.1.2-1.",
    "type": "object",
    "required": ["invocationTimeStamp", "invocationSequenceNumber"],
    "properties": {
        "invocationTimeStamp": {"type": "string", "format": "date-time"},
        "invocationSequenceNumber": _number(UINT32_MAX),
        "invocationResult": {"type": "object"},
        "sessionFailover": {"type": "string"},
        "multipleUnitInformation": {"type": "array", "items": _GRANT},
    },
}
ASKED: Final = {
    "subscriberIdentifier": "imsi-208950000000001",
    "nfConsumerIdentification": {"nFFqdn": "smf.visited.example", "nodeFunctionality": "SMF"},
    "invocationTimeStamp": "2026-01-05T10:00:00Z",
    "invocationSequenceNumber": 0,
    "multipleUnitUsage": [{"ratingGroup": 1, "requestedUnit": {"totalVolume": 10_485_760}}],
}
GRANTED: Final = {
    "invocationTimeStamp": "2026-01-05T10:00:00Z",
    "invocationSequenceNumber": 0,
    "invocationResult": {"failureHandling": "TERMINATE"},
    "sessionFailover": "FAILOVER_NOT_SUPPORTED",
    "multipleUnitInformation": [
        {
            "ratingGroup": 1,
            "resultCode": "SUCCESS",
            "grantedUnit": {"totalVolume": 10_485_760},
            "validityTime": 3_600,
            "volumeQuotaThreshold": 2_097_152,
        }
    ],
}
BODY: Final = Body(form=REQUEST, example=ASKED)
