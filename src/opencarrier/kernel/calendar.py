"""Calendar months in UTC: what a bill and a cap are about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from opencarrier.kernel.clock import Window

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LAST_US: Final = (datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND


def month_of(at_us: int) -> Window:
    """Return the month an instant lies in; what no calendar knows is in the first or the last."""
    at = _EPOCH + timedelta(microseconds=min(max(at_us, 0), _LAST_US))
    begin = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    after = (begin + timedelta(days=31)).replace(day=1)
    return Window((begin - _EPOCH) // _MICROSECOND, (after - _EPOCH) // _MICROSECOND)


def month_name(at_us: int) -> str:
    """Write the month of an instant as ISO 8601 does: `2026-11`."""
    begin = _EPOCH + timedelta(microseconds=month_of(at_us).start_us)
    return f"{begin.year:04}-{begin.month:02}"


def month_named(text: str) -> Window | None:
    """Read `2026-11`; None for what is no month from 1970 to 9998."""
    year, dash, month = text.partition("-")
    if not (dash and text.isascii() and year.isdigit() and month.isdigit()):
        return None
    if not (len(year) == 4 and len(month) == 2 and 1970 <= int(year) <= 9998):
        return None
    if not 1 <= int(month) <= 12:
        return None
    begin = datetime(int(year), int(month), 1, tzinfo=UTC)
    return month_of((begin - _EPOCH) // _MICROSECOND)
