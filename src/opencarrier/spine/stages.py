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
    RATED = 5
    SUSPENDED = 6
    WAITING = 7
    NETTED = 8
    IN_ROOT = 9
    SETTLED = 10
    CLAIMABLE = 11
    CLAIMED = 12


class StageReason(Reason):
    """Why a use stands at a stage, in the order of the stages.

    `refused`, `suspended` and `waiting` have the reason of the room that said no instead: the
    reader's, rating's (`SuspenseReason`), clearing's (`DeferralReason`).
    """

    REPORTED = 1
    NOT_CUT = 2
    SEEN_BEFORE = 3
    ONE_SIDED = 4
    CO_SIGNED = 5
    WHOLESALE = 6
    RETAIL = 7
    DUE_NEXT_CYCLE = 8
    TAKEN_BY_CYCLE = 9
    PAID_BY_CYCLE = 10
    LEAF_OF_CYCLE = 11
    ORDERED = 12
    SENT = 13
    FINAL = 14
    LOST = 15
    OWED_TO_HOST = 16
    ROOT_NOT_READY = 17
    ROOT_VETOED = 18
    PAID_TO_HOST = 19


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
