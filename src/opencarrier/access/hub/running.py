"""Sessions whose accounting went to homes and that have not stopped: what a restart must end there.

An Accounting-On or -Off names no subscriber, so no home can be found for it, and a home could not
tell our access points from another network's (RFC 2866 section 5.1). Each session that was open is
therefore stopped for its home: as it was last reported, with the cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select

from opencarrier.access.hub.model import Relay
from opencarrier.access.hub.store import running
from opencarrier.access.wire.dictionary import AcctStatus, Type
from opencarrier.access.wire.radius import Attribute, integer, is_fitting, pack, unpack
from opencarrier.kernel.clock import SECOND_US
from opencarrier.spine.usage import Observation, Status

RUNNING_MAX: Final = 1_000_000
"""Sessions remembered; of more a restart tells nothing, and they end by the homes' own rules."""

KEPT_US: Final = 30 * 86_400 * SECOND_US
ADMIN_REBOOT: Final = 7
NAS_REBOOT: Final = 11
RESTARTS: Final = (Status.ON, Status.OFF)
_CAUSES: Final = {Status.OFF: ADMIN_REBOOT, Status.ON: NAS_REBOOT}
"""Acct-Terminate-Cause (RFC 2866 section 5.10): Off is told before, On after."""

_ANEW: Final = (Type.ACCT_STATUS_TYPE, Type.ACCT_TERMINATE_CAUSE, Type.VENDOR_SPECIFIC)
"""Vendors' attributes go too: what a node signed was of the report it came with."""


def note(
    unit: Connection,
    reports: Sequence[tuple[Relay, Observation]],
    *,
    running_max: int = RUNNING_MAX,
) -> None:
    """Remember each session as it was last reported, and forget those that stopped.

    What was not reported on for 30 days is forgotten too.
    """
    last = {relay.session: (relay, one) for relay, one in reports}
    if not last:
        return
    unit.execute(delete(running).where(running.c.session.in_(last)))
    oldest_us = max(one.event_us for _, one in reports) - KEPT_US
    unit.execute(delete(running).where(running.c.event_us < oldest_us))
    rows = [
        _row(relay, one)
        for relay, one in last.values()
        if one.status in (Status.START, Status.INTERIM)
    ]
    room = running_max - (unit.scalar(select(func.count()).select_from(running)) or 0)
    if rows[: max(0, room)]:
        unit.execute(insert(running), rows[: max(0, room)])


def stopped(unit: Connection, restart: Observation, *, at_us: int) -> list[Relay]:
    """Forget what ran at an access point before it restarted, and return the Stops of it.

    A session that was reported after the restart goes on.
    """
    before = (
        running.c.visited == restart.visited,
        running.c.nas_key == restart.nas_key,
        running.c.event_us <= restart.event_us,
    )
    found = unit.execute(select(running).where(*before).order_by(running.c.session)).all()
    unit.execute(delete(running).where(*before))
    cause = _CAUSES[restart.status]
    return [
        Relay(row.realm, row.session, tuple(_stop(unpack(row.attributes), cause)), at_us)
        for row in found
    ]


def _row(relay: Relay, one: Observation) -> dict[str, object]:
    return {
        "session": relay.session,
        "visited": one.visited,
        "nas_key": one.nas_key,
        "realm": relay.realm,
        "attributes": pack(relay.attributes),
        "event_us": one.event_us,
    }


def _stop(attributes: Sequence[Attribute], cause: int) -> list[Attribute]:
    """Make a Stop of a report; one that is full already says no cause."""
    kept = [one for one in attributes if one[0] not in _ANEW]
    stop = [integer(Type.ACCT_STATUS_TYPE, AcctStatus.STOP), *kept]
    caused = [*stop, integer(Type.ACCT_TERMINATE_CAUSE, cause)]
    return caused if is_fitting(caused) else stop
