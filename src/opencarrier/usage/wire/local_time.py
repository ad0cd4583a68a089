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
_LOCAL = re.compile(r"\d{14}", re.ASCII)


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
    if not _LOCAL.fullmatch(local):
        raise PeerError("time")
    hour, minute, second = int(local[8:10]), int(local[10:12]), int(local[12:14])
    if hour > 23 or minute > 59 or second > 59:
        raise PeerError("time")
    found = _day_s(local[:8]) + hour * 3600 + (minute - offset) * 60 + second
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


@lru_cache(maxsize=512)
def _day_s(day: str) -> int:
    try:
        at = datetime(int(day[:4]), int(day[4:6]), int(day[6:8]), tzinfo=UTC)
    except ValueError as error:
        raise PeerError("time") from error
    return int(at.timestamp())
