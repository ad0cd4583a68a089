"""How far use can outrun the money that is held for it: the rule, pure.

A hold covers rate x (timeout + grace) at the plan's price, whatever interims arrive or are lost, as
long as the access point ends the session in time. The rate is the plan's cap where the network
keeps to it; where nobody here can know that (an operator's node that is not registered here), it
is the rate a line may have, and the session is short so that little is held.

A network that should keep to the cap and does not is found out by what it reports: where the rest
of the hold may not last to the next report, its session is slowed and ended. Beyond the hold then
goes at most what its line carries until it acts (`Watched.beyond_octets`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FOREIGN_LINE_OCTETS_PER_S: Final = 12_500_000
"""100 Mbit/s: what a network that is not ours is held to carry at most."""

FOREIGN_SESSION_S: Final = 300
THROTTLED_OCTETS_PER_S: Final = 8_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureSettings:
    """How a session is held for where its network may not keep to a rate cap.

    There it lasts at most `foreign_session_s` before it is held for again. `free_plan` names the
    plan that whoever has no money left is served on, if its home has one in force.
    """

    foreign_line_octets_per_s: int = FOREIGN_LINE_OCTETS_PER_S
    foreign_session_s: int = FOREIGN_SESSION_S
    free_plan: str = ""


DEFAULT_EXPOSURE: Final = ExposureSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A running session, as far as its money goes: at which rate what is held was counted."""

    octets_per_s: int
    session_timeout_s: int
    interim_interval_s: int
    grace_s: int

    @property
    def held_octets(self) -> int:
        """What the hold covers."""
        return self.octets_per_s * (self.session_timeout_s + self.grace_s)

    @property
    def unsuspicious_octets(self) -> int:
        """What may be reported at any time: the hold outlasts an interval and its grace."""
        return max(0, self.held_octets - self._until_next(self.interim_interval_s))

    def money_ends(self, octets: int, left_s: int) -> bool:
        """Say whether the money may not last to the next report, or to the end if that is sooner.

        It does wherever the network keeps to the rate: octets <= rate x elapsed. What has come to
        its end needs no order.
        """
        next_s = min(self.interim_interval_s, left_s)
        return left_s > 0 and octets + self._until_next(next_s) > self.held_octets

    def beyond_octets(self, *, line_octets_per_s: int, lost: int, acts_s: int) -> int:
        """Return the most that is used beyond the hold, in octets.

        `lost` reports in a row do not arrive, and the network acts `acts_s` after it is told.
        Nothing goes beyond the hold of a network that keeps to the rate, however many are lost.
        """
        whole_s = self.session_timeout_s + self.grace_s
        blind_s = (lost + 1) * self.interim_interval_s + self.grace_s + acts_s
        excess = max(0, line_octets_per_s - self.octets_per_s)
        return min(excess * whole_s, line_octets_per_s * blind_s)

    def _until_next(self, next_s: int) -> int:
        return self.octets_per_s * (next_s + self.grace_s)
