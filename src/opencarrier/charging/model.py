"""What converged charging speaks of: requests, sessions with their quotas, answers, refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import Reason
from opencarrier.spine.usage import Counters


class ChargingReason(Reason):
    """Why a charging request is refused; of several that apply, the lowest is given."""

    UNKNOWN_SESSION = 1
    OUT_OF_SEQUENCE = 2
    NOT_GRANTED = 3
    BEYOND_RANGE = 4
    UNKNOWN_CONSUMER = 5
    UNKNOWN_USER = 6
    NOT_PREPAID = 7
    OUT_OF_MONEY = 8
    DENIED = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupUsage:
    """What a request says of one rating group: used since the last report, and what is wanted.

    `requested_octets` is None where no quota is asked for, 0 where the size is left to us.
    """

    rating_group: int
    requested_octets: int | None
    used_in: int
    used_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargingRequest:
    """A ChargingDataRequest as it was read; `digest` is of all but the retransmission flag."""

    subscriber: str
    consumers: tuple[str, ...]
    sequence: int
    time_us: int
    groups: tuple[GroupUsage, ...]
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargingSession:
    """A charging session: whose, where, what was used so far, what each group may still use.

    `answer` is what was said to the request `last_digest`, number `last_sequence`: the same one
    again has the same answer.
    """

    reference: str
    session_id: Id
    authorisation_id: bytes
    node_id: str
    subject: str
    created_us: int
    expires_us: int
    used: Counters
    grants: Mapping[int, int]
    last_sequence: int
    last_digest: bytes
    answer: str
    released: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargingSettings:
    """Which rating groups a plan's price covers, and how much is granted at a time."""

    rating_groups: frozenset[int] = frozenset({1})
    slice_octets: int = 10 << 20
    slice_octets_max: int = 1 << 30
    validity_s: int = 3_600


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with: the session's reference and the ChargingDataResponse."""

    reference: str
    body: str
