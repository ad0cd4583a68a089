"""ChargingDataRequest and ChargingDataResponse (TS 32.291 clause 6.1.6), read strictly.

What is wrong is a `PeerError` whose reason is the cause of TS 29.500 table 5.2.7.2-1 in lower case,
its detail the attribute.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from opencarrier.charging.model import ChargingRequest, GroupUsage
from opencarrier.kernel.refusals import PeerError

BODY_OCTETS_MAX: Final = 65_536
GROUPS_MAX: Final = 64
CONTAINERS_MAX: Final = 256
UINT32_MAX: Final = (1 << 32) - 1
UINT64_MAX: Final = (1 << 64) - 1
TEXT_MAX: Final = 255

MISSING = "mandatory_ie_missing"
INCORRECT = "mandatory_ie_incorrect"
OPTIONAL = "optional_ie_incorrect"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def read_request(body: bytes) -> ChargingRequest:
    """Read a ChargingDataRequest; attributes that charging does not need are passed over."""
    told = _object(body)
    if told.get("oneTimeEvent"):
        raise PeerError(OPTIONAL, "oneTimeEvent: sessions only")
    consumer = _mandatory(told, "nfConsumerIdentification", dict)
    _mandatory(consumer, "nodeFunctionality", str)
    names = [_text(consumer, name) for name in ("nFFqdn", "nFName")]
    return ChargingRequest(
        subscriber=_text(told, "subscriberIdentifier"),
        consumers=tuple(name for name in names if name),
        sequence=_mandatory_number(told, "invocationSequenceNumber", UINT32_MAX),
        time_us=_time_us(_mandatory(told, "invocationTimeStamp", str)),
        groups=_groups(_list(told, "multipleUnitUsage", GROUPS_MAX)),
        digest=_digest(told),
    )


def write_response(*, at_us: int, sequence: int, groups: Sequence[dict[str, Any]]) -> str:
    """Write a ChargingDataResponse."""
    told: dict[str, Any] = {
        "invocationTimeStamp": _stamp(at_us),
        "invocationSequenceNumber": sequence,
        "invocationResult": {"failureHandling": "TERMINATE"},
        "sessionFailover": "FAILOVER_NOT_SUPPORTED",
    }
    if groups:
        told["multipleUnitInformation"] = list(groups)
    return json.dumps(told)


def unit_information(
    rating_group: int, *, result: str, granted: int, validity_s: int, is_final: bool
) -> dict[str, Any]:
    """Write a MultipleUnitInformation: what is granted, for how long, and whether it is the last.

    A quota is reported again when four fifths of it are used.
    """
    told: dict[str, Any] = {"ratingGroup": rating_group, "resultCode": result}
    if granted:
        told["grantedUnit"] = {"totalVolume": granted}
        told["validityTime"] = validity_s
        told["volumeQuotaThreshold"] = granted // 5
        told["triggers"] = [
            {"triggerType": name, "triggerCategory": "IMMEDIATE_REPORT"}
            for name in ("QUOTA_THRESHOLD", "QUOTA_EXHAUSTED", "VALIDITY_TIME")
        ]
    if is_final:
        told["finalUnitIndication"] = {"finalUnitAction": "TERMINATE"}
    return told


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > BODY_OCTETS_MAX:
        raise PeerError("invalid_msg_format", f"over {BODY_OCTETS_MAX} octets")
    try:
        told = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise PeerError("invalid_msg_format", str(error)[:TEXT_MAX]) from None
    if not isinstance(told, dict):
        raise PeerError("invalid_msg_format", "an object is expected")
    return told


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _digest(told: dict[str, Any]) -> bytes:
    kept = {name: value for name, value in told.items() if name != "retransmissionIndicator"}
    return sha256(json.dumps(kept, sort_keys=True).encode()).digest()


def _groups(items: list[Any]) -> tuple[GroupUsage, ...]:
    found = tuple(_group(item) for item in items)
    if len({group.rating_group for group in found}) < len(found):
        raise PeerError(OPTIONAL, "ratingGroup: one twice")
    return found


def _group(item: Any) -> GroupUsage:
    told = _dict(item, "multipleUnitUsage")
    used = [_used(container) for container in _list(told, "usedUnitContainer", CONTAINERS_MAX)]
    return GroupUsage(
        rating_group=_mandatory_number(told, "ratingGroup", UINT32_MAX),
        requested_octets=_requested(told),
        used_in=sum(octets_in for octets_in, _ in used),
        used_out=sum(octets_out for _, octets_out in used),
    )


def _requested(told: dict[str, Any]) -> int | None:
    if "requestedUnit" not in told:
        return None
    wanted = _dict(told["requestedUnit"], "requestedUnit")
    total = _number(wanted, "totalVolume", UINT64_MAX)
    if total is not None:
        return total
    up, down = (_number(wanted, f"{way}linkVolume", UINT64_MAX) for way in ("up", "down"))
    return (up or 0) + (down or 0)


def _used(item: Any) -> tuple[int, int]:
    """Return the octets up and down of a container; a total alone is counted as down."""
    told = _dict(item, "usedUnitContainer")
    _mandatory_number(told, "localSequenceNumber", UINT32_MAX)
    total = _number(told, "totalVolume", UINT64_MAX)
    up = _number(told, "uplinkVolume", UINT64_MAX)
    down = _number(told, "downlinkVolume", UINT64_MAX)
    if up is None and down is None:
        return 0, total or 0
    if total is not None and total != (up or 0) + (down or 0):
        raise PeerError(OPTIONAL, "totalVolume: not the sum of both ways")
    return up or 0, down or 0


def _mandatory(told: dict[str, Any], name: str, kind: type) -> Any:
    if name not in told:
        raise PeerError(MISSING, name)
    if not isinstance(told[name], kind):
        raise PeerError(INCORRECT, name)
    return told[name]


def _mandatory_number(told: dict[str, Any], name: str, most: int) -> int:
    if name not in told:
        raise PeerError(MISSING, name)
    if not _is_number(told[name], most):
        raise PeerError(INCORRECT, name)
    return int(told[name])


def _number(told: dict[str, Any], name: str, most: int) -> int | None:
    if name not in told:
        return None
    if not _is_number(told[name], most):
        raise PeerError(OPTIONAL, name)
    return int(told[name])


def _is_number(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _list(told: dict[str, Any], name: str, most: int) -> list[Any]:
    found = told.get(name, [])
    if not isinstance(found, list) or len(found) > most:
        raise PeerError(OPTIONAL, f"{name}: a list of at most {most}")
    return found


def _dict(item: Any, name: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise PeerError(OPTIONAL, name)
    return item


def _text(told: dict[str, Any], name: str) -> str:
    found = told.get(name, "")
    if not isinstance(found, str) or len(found) > TEXT_MAX:
        raise PeerError(OPTIONAL, name)
    return found


def _time_us(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise ValueError("no offset")
        return (at - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        raise PeerError(INCORRECT, "invocationTimeStamp") from None


def _stamp(at_us: int) -> str:
    return (_EPOCH + at_us * _MICROSECOND).isoformat().replace("+00:00", "Z")
