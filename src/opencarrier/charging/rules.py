"""How a request's use is added up and its quotas are dealt out; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opencarrier.charging.model import ChargingSettings, GroupUsage
from opencarrier.charging.wire import unit_information
from opencarrier.kernel.money import INT64_MAX
from opencarrier.spine.usage import Counters


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What groups ask for now, by group, and what others keep of what they were granted."""

    kept: Mapping[int, int]
    asked: Mapping[int, int]

    @property
    def octets(self) -> int:
        """All that is to be held for."""
        return sum(self.kept.values()) + sum(self.asked.values())


def added(used: Counters, groups: Sequence[GroupUsage], *, session_time_s: int) -> Counters | None:
    """Add what groups used to a session's counters; None beyond 63 bits."""
    octets_in = used.octets_in + sum(group.used_in for group in groups)
    octets_out = used.octets_out + sum(group.used_out for group in groups)
    if octets_in + octets_out > INT64_MAX:
        return None
    return Counters(
        session_time_s=max(used.session_time_s, session_time_s),
        octets_in=octets_in,
        octets_out=octets_out,
    )


def reports_what_was_not_granted(grants: Mapping[int, int], groups: Sequence[GroupUsage]) -> bool:
    """Say whether a group reports use that never was granted a quota."""
    return any(g.rating_group not in grants and g.used_in + g.used_out for g in groups)


def wanted(
    grants: Mapping[int, int], groups: Sequence[GroupUsage], settings: ChargingSettings
) -> Wanted:
    """Say what is asked for; a group that reports gives its old quota back."""
    told = {group.rating_group for group in groups}
    asked = {
        group.rating_group: _slice(group.requested_octets, settings)
        for group in groups
        if group.requested_octets is not None and group.rating_group in settings.rating_groups
    }
    return Wanted(kept={g: o for g, o in grants.items() if g not in told}, asked=asked)


def _slice(requested: int, settings: ChargingSettings) -> int:
    return min(requested or settings.slice_octets, settings.slice_octets_max)


def dealt(what: Wanted, octets: int) -> dict[int, int]:
    """Deal what money covers: quotas kept come first, then groups by number."""
    found = {}
    for group, want in [*sorted(what.kept.items()), *sorted(what.asked.items())]:
        found[group] = min(want, octets)
        octets -= found[group]
    return found


def unit_answers(
    groups: Sequence[GroupUsage],
    what: Wanted,
    grants: Mapping[int, int],
    *,
    validity_s: int,
    settings: ChargingSettings,
) -> list[dict[str, Any]]:
    """Answer each group that asks: its quota, and that it is the last where money or time ends."""
    told = []
    for group in groups:
        if group.requested_octets is None:
            continue
        number = group.rating_group
        granted = grants.get(number, 0)
        known = number in settings.rating_groups
        told.append(
            unit_information(
                number,
                result=_result(known, granted, validity_s),
                granted=granted,
                validity_s=validity_s,
                is_final=known and granted < what.asked[number],
            )
        )
    return told


def _result(known: bool, granted: int, validity_s: int) -> str:
    """Name the result of a group (TS 32.291 clause 6.1.6.3.14)."""
    if not known:
        return "RATING_FAILED"
    if granted:
        return "SUCCESS"
    return "QUOTA_LIMIT_REACHED" if validity_s else "END_USER_SERVICE_DENIED"
