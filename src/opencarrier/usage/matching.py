"""Two sides of one session become one outcome: what is paid, what is disputed, on which rung. Pure.

The visited operator claims; its counterpart is what the device signed or, without that, the home's
own meter. Evidence has an origin: whoever passes on the visited operator's accounting tells of the
visited meter, so its copies are no second side. `matched.sql` says the same to DuckDB.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from opencarrier.kernel.ids import Id
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Evidence, RecordKind, Service, Side
from opencarrier.spine.usage import Rung
from opencarrier.usage.record import UsageRecord

PPM: Final = 1_000_000


class Outcome(IntEnum):
    """What two sides of a session come to."""

    MATCHED = 1
    WITHIN_TOLERANCE = 2
    MISMATCH = 3
    ONE_SIDED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far two meters may be apart: of the larger in millionths, and seconds on top.

    The defaults are those of the WBA's conformance tests. Units (messages, events) have none.
    """

    volume_ppm: int = 30_000
    duration_ppm: int = 50_000
    duration_s: int = 10

    def __post_init__(self) -> None:
        assert 0 <= self.volume_ppm <= PPM
        assert 0 <= self.duration_ppm <= PPM
        assert 0 <= self.duration_s < 1 << 31


DEFAULT: Final = Tolerance()


class Amounts(NamedTuple):
    """What a session used, as one side has it."""

    octets_in: int = 0
    octets_out: int = 0
    duration_s: int = 0
    units: int = 0


NOTHING: Final = Amounts()


class SessionKey(NamedTuple):
    """What sides must agree on to speak of the same thing."""

    visited: PartyId
    home: PartyId | None
    session_id: Id
    service: Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A session's outcome and its consequence in quantities.

    `paid` is due at `rung`: the undisputed part of a mismatch, all of any other claim but what a
    tolerance waives. `disputed` is what the claim has above it in a mismatch. `counterpart` is
    whose word stood against the claim, and `other` what it said.
    """

    key: SessionKey
    node: str | None
    outcome: Outcome
    rung: Rung
    counterpart: Side | None
    claimed: Amounts
    other: Amounts
    paid: Amounts
    disputed: Amounts


Tolerances = Mapping[tuple[PartyId, PartyId | None], Tolerance]
"""What agreements say, by visited and home operator; `DEFAULT` where they say nothing."""


def match(records: Iterable[UsageRecord], tolerances: Tolerances | None = None) -> list[Match]:
    """Match all records, in whatever order and however often they come; ascending by session."""
    sessions: defaultdict[SessionKey, list[UsageRecord]] = defaultdict(list)
    for record in records:
        if is_evidence(record):
            sessions[key_of(record)].append(record)
    agreed = tolerances or {}
    return [
        _match(key, sessions[key], agreed.get((key.visited, key.home), DEFAULT))
        for key in sorted(sessions, key=_order)
    ]


def key_of(record: UsageRecord) -> SessionKey:
    """Return the session that a record tells of."""
    return SessionKey(record.visited, record.home, record.session_id, record.service)


def is_evidence(record: UsageRecord) -> bool:
    """Say whether a record counts for its side: the home alone tells its meter, a device signs."""
    if record.side is Side.HOME:
        return record.reporter == record.home
    return record.side is Side.VISITED or Evidence.ACKNOWLEDGED in record.evidence


def is_own(record: UsageRecord) -> bool:
    """Say whether the meter's owner reports, not somebody who was sent a copy."""
    return record.side is not Side.VISITED or record.reporter == record.visited


def judge(claimed: Amounts, other: Amounts, tolerance: Tolerance) -> Outcome:
    """Compare two sides; exactly at a tolerance is within it."""
    if claimed == other:
        return Outcome.MATCHED
    near = _volumes_near(claimed, other, tolerance) and _durations_near(claimed, other, tolerance)
    return Outcome.WITHIN_TOLERANCE if near and claimed.units == other.units else Outcome.MISMATCH


def _volumes_near(one: Amounts, two: Amounts, tolerance: Tolerance) -> bool:
    """Both directions' differences count: what moved from one to the other is no agreement."""
    apart = abs(one.octets_in - two.octets_in) + abs(one.octets_out - two.octets_out)
    larger = max(one.octets_in + one.octets_out, two.octets_in + two.octets_out)
    return apart * PPM <= larger * tolerance.volume_ppm


def _durations_near(one: Amounts, two: Amounts, tolerance: Tolerance) -> bool:
    apart = abs(one.duration_s - two.duration_s) - tolerance.duration_s
    return apart * PPM <= max(one.duration_s, two.duration_s) * tolerance.duration_ppm


def lower(one: Amounts, two: Amounts) -> Amounts:
    """Return the lower of each amount: what both sides say was used at least."""
    return Amounts(*map(min, one, two))


def _match(key: SessionKey, records: Sequence[UsageRecord], tolerance: Tolerance) -> Match:
    meters = _meters(records)
    claimed = meters.get(Side.VISITED)
    counterpart = Side.DEVICE if Side.DEVICE in meters else Side.HOME
    other = meters.get(counterpart)
    outcome, paid = Outcome.ONE_SIDED, claimed or NOTHING
    if claimed is not None and other is not None:
        outcome, paid = judge(claimed, other, tolerance), lower(claimed, other)
    excess = Amounts(*(c - p for c, p in zip(claimed or NOTHING, paid, strict=True)))
    nodes = [r.node for r in records if r.side is Side.VISITED and r.node is not None]
    return Match(
        key=key,
        node=min(nodes, default=None),
        outcome=outcome,
        rung=Rung.ONE_SIDED if outcome is Outcome.ONE_SIDED else Rung.CO_SIGNED,
        counterpart=None if other is None else counterpart,
        claimed=claimed or NOTHING,
        other=other or NOTHING,
        paid=paid,
        disputed=excess if outcome is Outcome.MISMATCH else NOTHING,
    )


def _meters(records: Sequence[UsageRecord]) -> dict[Side, Amounts]:
    """Sum each side's usages; where the owner of a meter reports, copies of others do not count."""
    sides: defaultdict[Side, dict[bool, list[UsageRecord]]] = defaultdict(dict)
    for record in records:
        sides[record.side].setdefault(is_own(record), []).append(record)
    return {side: _sum(reports.get(True) or reports[False]) for side, reports in sides.items()}


def _sum(reports: Sequence[UsageRecord]) -> Amounts:
    """Add up what counts, each usage once: of unequal copies the lower amounts."""
    usages: dict[Id, Amounts] = {}
    for record in standing(reports):
        said = Amounts(record.octets_in, record.octets_out, record.duration_s, record.units)
        usages[record.usage_id] = lower(said, usages.get(record.usage_id, said))
    return Amounts(*map(sum, zip(*usages.values(), strict=True))) if usages else NOTHING


def standing(reports: Sequence[UsageRecord]) -> Iterator[UsageRecord]:
    """Leave what counts: no void, and nothing that a correction or a void names.

    Of several that name one record it is the one with the highest sequence, then id.
    """
    last: dict[Id, tuple[int, Id]] = {}
    for record in reports:
        if record.corrects is not None:
            place = (record.sequence, record.usage_id)
            last[record.corrects] = max(place, last.get(record.corrects, place))
    for record in reports:
        replaced = record.usage_id in last
        outdone = record.corrects is not None and (
            (record.sequence, record.usage_id) != last[record.corrects]
        )
        if record.kind is not RecordKind.VOID and not replaced and not outdone:
            yield record


def _order(key: SessionKey) -> tuple[str, bool, str, Id, int]:
    return key.visited, key.home is not None, key.home or "", key.session_id, key.service
