"""Local times as roaming files write them, and their offset from UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import PeerError

OFFSET_MAX_MIN: Final = 14 * 60

_OFFSET = re.compile(r"([+-])([01]\d)([0-5]\d)")


def offset_min(text: str) -> int:
    """Read an offset from UTC, `+hhmm` or `-hhmm`, as minutes; raises `PeerError`: `offset`."""
    match = _OFFSET.fullmatch(text)
    minutes = int(match[2]) * 60 + int(match[3]) if match is not None else OFFSET_MAX_MIN + 1
    if match is None or minutes > OFFSET_MAX_MIN:
        raise PeerError("offset")
    return minutes if match[1] == "+" else -minutes


def utc_us(local: str, offset: int) -> int:
    """Return UTC microseconds of `CCYYMMDDhhmmss` at an offset in minutes.

    Raises `PeerError`: `time` where there is no such time, or it is before 1970.
    """
    if len(local) != 14 or not (local.isascii() and local.isdecimal()):
        raise PeerError("time")
    minute, second = int(local[10:12]), int(local[12:])
    if minute > 59 or second > 59:
        raise PeerError("time")
    found = _hour_s(local[:10]) + (minute - offset) * 60 + second
    if found < 0:
        raise PeerError("time")
    return found * SECOND_US


def local_text(time_us: int, offset: int) -> str:
    """Write UTC microseconds as a local time, whole seconds."""
    at = datetime.fromtimestamp(time_us // SECOND_US + offset * 60, tz=UTC)
    return at.strftime("%Y%m%d%H%M%S")


def offset_text(offset: int) -> str:
    """Write an offset in minutes as `+hhmm` or `-hhmm`."""
    hours, minutes = divmod(abs(offset), 60)
    return f"{'-' if offset < 0 else '+'}{hours:02}{minutes:02}"


@lru_cache(maxsize=2_048)
def _hour_s(hour: str) -> int:
    try:
        at = datetime(int(hour[:4]), int(hour[4:6]), int(hour[6:8]), int(hour[8:]), tzinfo=UTC)
    except ValueError as error:
        raise PeerError("time") from error
    return int(at.timestamp())
