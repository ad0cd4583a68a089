"""Where money stands: the stages a use passes through, in order, and why it stands there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import Reason


class Stage(IntEnum):
    """What has happened to a use, in the order in which it happens."""

    RECEIVED = 1
    DUPLICATE = 2
    REFUSED = 3
    MATCHED = 4
    REPLACED = 5
    RATED = 6
    SUSPENDED = 7
    ADJUSTED = 8
    WAITING = 9
    NETTED = 10
    IN_ROOT = 11
    SETTLED = 12
    CLAIMABLE = 13
    CLAIMED = 14


class StageReason(Reason):
    """Why a use stands at a stage, in the order of the stages.

    `refused`, `suspended` and `waiting` have the reason of the room that said no instead: the
    reader's, rating's (`SuspenseReason`), clearing's (`DeferralReason`). A month's `matched` has
    the outcome's, its `adjusted` the deal's verdict.
    """

    REPORTED = 1
    NOT_CUT = 2
    SEEN_BEFORE = 3
    ONE_SIDED = 4
    CO_SIGNED = 5
    BY_CORRECTION = 6
    BY_VOID = 7
    WHOLESALE = 8
    RETAIL = 9
    SETTLEMENT_FREE = 10
    DUE_NEXT_CYCLE = 11
    TAKEN_BY_CYCLE = 12
    PAID_BY_CYCLE = 13
    LEAF_OF_CYCLE = 14
    BOOKED = 15
    ORDERED = 16
    SENT = 17
    FINAL = 18
    LOST = 19
    OWED_TO_HOST = 20
    ROOT_NOT_READY = 21
    ROOT_VETOED = 22
    PAID_TO_HOST = 23


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happened to a use: the stage, the reason's code, when, and what it says.

    `about` is what it happened to: a usage, a session or a cycle, None for a record of a file
    that became nothing. `at_us` is None where the room keeps no time of it. Amounts among the
    facts are in minor units; a fact names no person.
    """

    stage: Stage
    reason: str
    about: Id | None
    at_us: int | None = None
    facts: Mapping[str, int | str | None] = field(default_factory=dict)
