"""Whether small differences lean one way: each is within tolerance, their sum should be nothing.

Watched for each pair of operators and each node. A difference is the claim less the counterpart's
word in millionths of the larger, of octets or, where there are none, of seconds.

The rule: with n differences d and the allowance a, S = sum(d - a) > 0 and
S^2 > 32 x sum((d - a)^2).
Where honest differences are as likely to fall on either side of a, that happens by chance with a
probability of at most e^-16, about one in nine million looks, whatever their sizes (Hoeffding 1963,
theorem 2, over the signs). A constant lean is seen from the 33rd session on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from opencarrier.spine.parties import PartyId
from opencarrier.usage.matching import PPM, Amounts, Match, Outcome

ALARM: Final = 32
"""S^2 / V above which a lean is no chance: e^(-32 / 2)."""

ALLOWANCE_PPM: Final = 5_000
"""Meters at different layers are honestly apart by a few thousandths."""


class Lean(IntEnum):
    """Which side's word is steadily the higher one."""

    NONE = 0
    CLAIM_HIGH = 1
    COUNTERPART_HIGH = 2


class Watched(NamedTuple):
    """What is watched: a pair, where `node` is None, or a node of the visited operator."""

    visited: PartyId
    home: PartyId | None
    node: str | None


@dataclass(frozen=True, slots=True)
class Differences:
    """How many, their sum and the sum of their squares, in millionths; exact and additive."""

    count: int = 0
    total_ppm: int = 0
    squares: int = 0

    def __add__(self, other: Differences) -> Differences:
        """Put two parts together: the order of sessions and how they are split do not matter."""
        return Differences(
            self.count + other.count,
            self.total_ppm + other.total_ppm,
            self.squares + other.squares,
        )


def difference_ppm(claimed: Amounts, other: Amounts) -> int:
    """Return the claim less the other in millionths of the larger, rounded towards zero."""
    mine, theirs = claimed.octets_in + claimed.octets_out, other.octets_in + other.octets_out
    if not mine and not theirs:
        mine, theirs = claimed.duration_s, other.duration_s
    larger = max(mine, theirs)
    size = abs(mine - theirs) * PPM // larger if larger else 0
    return size if mine >= theirs else -size


def watch(matches: Iterable[Match]) -> dict[Watched, Differences]:
    """Sum the differences of what matched, exactly or within tolerance, by pair and by node."""
    sums: defaultdict[Watched, Differences] = defaultdict(Differences)
    for match in matches:
        if match.outcome in (Outcome.MATCHED, Outcome.WITHIN_TOLERANCE):
            value = difference_ppm(match.claimed, match.other)
            one = Differences(1, value, value * value)
            sums[Watched(match.key.visited, match.key.home, None)] += one
            if match.node is not None:
                sums[Watched(match.key.visited, None, match.node)] += one
    return dict(sums)


def lean(seen: Differences, allowance_ppm: int = ALLOWANCE_PPM) -> Lean:
    """Say which way differences lean beyond chance and the allowance."""
    for sign, way in ((1, Lean.CLAIM_HIGH), (-1, Lean.COUNTERPART_HIGH)):
        total = sign * seen.total_ppm
        beyond = total - seen.count * allowance_ppm
        spread = seen.squares - 2 * allowance_ppm * total + seen.count * allowance_ppm**2
        if beyond > 0 and beyond**2 > ALARM * spread:
            return way
    return Lean.NONE
