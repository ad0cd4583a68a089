"""What the network page shows, and what the API says of the same: one computation for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain
from opencarrier.app.views import (
    CycleLine,
    HostLine,
    OperatorLine,
    cycle_lines,
    host_lines,
    operator_lines,
)
from opencarrier.kernel.clock import SECOND_US

CYCLES_SHOWN = 12

STATES = {
    "open": ("wait", "under way"),
    "ordered": ("wait", "being paid"),
    "sent": ("wait", "being paid"),
    "final": ("good", "paid"),
    "lost": ("act", "settled otherwise"),
}
"""How a cycle's state is coloured and called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkView:
    """The network at an instant; amounts in minor units, lists newest first."""

    as_of_us: int
    cycle_due_us: int | None
    """When the open cycle ends, None where people close it."""

    cycles: Sequence[CycleLine]
    hosts: Sequence[HostLine]
    operators: Sequence[OperatorLine]
    story: Sequence[str]

    @property
    def paid_minor(self) -> int:
        """What the cycles shown have moved for good."""
        return sum(cycle.net_minor for cycle in self.cycles if cycle.state == "final")


def network_view(place: Onchain, unit: Connection, story: Sequence[str]) -> NetworkView:
    """Say how the network stands."""
    now_us = place.base.clock.now_us()
    return NetworkView(
        as_of_us=now_us,
        cycle_due_us=cycle_due_us(place.base.settings.cycle_s, now_us),
        cycles=tuple(reversed(cycle_lines(place, unit)))[:CYCLES_SHOWN],
        hosts=host_lines(place, unit),
        operators=operator_lines(place, unit),
        story=tuple(reversed(story)),
    )


def cycle_due_us(cycle_s: int, now_us: int) -> int | None:
    """Return the next whole multiple of a cycle's length, None where people close cycles."""
    length_us = cycle_s * SECOND_US
    return (now_us // length_us + 1) * length_us if length_us else None
