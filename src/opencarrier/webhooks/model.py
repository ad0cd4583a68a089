"""Endpoints, messages and deliveries. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from opencarrier.kernel.refusals import Reason
from opencarrier.spine.notices import NoticeKind
from opencarrier.spine.parties import PartyId

INSTALLATION: Final = PartyId("")
"""Whose endpoints hear everything that happens here: the owner's."""

PING: Final = "ping"
"""What is sent to see whether an endpoint hears."""

KINDS: Final = tuple(sorted(kind.value for kind in NoticeKind))

URL_CHARACTERS_MAX: Final = 1_024
ENDPOINTS_MAX: Final = 16
"""Of one party."""

WAITING_MAX: Final = 10_000
"""Messages that wait for one endpoint; what comes then is parked at once."""

REPLAYED_MAX: Final = 10_000
ANSWER_OCTETS_MAX: Final = 512
SECRET_OCTETS: Final = 32
OVERLAP_S: Final = 24 * 3_600
"""How long after a rotation messages are signed by the former secret, too."""

KEPT_S: Final = 30 * 86_400
DELAYS_S: Final = (5, 30, 300, 1_800, 7_200, 18_000, 36_000, 36_000)
"""Until the next attempt, after the first failed, the second, and so on; then it is parked."""

PAUSE_S_MAX: Final = 300
"""How long an endpoint rests as a whole after it failed often."""


@unique
class DeliveryState(StrEnum):
    """Where a message for an endpoint stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    PARKED = "parked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a party hears: of what (nothing: of all), since when, and how it went last.

    `secret` numbers its secrets; the one before signs, too, until `former_until_us`. `off` says
    why nothing is sent, empty while something is. `failures` were in a row.
    """

    endpoint: str
    party: PartyId
    url: str
    kinds: tuple[str, ...]
    made_us: int
    secret: int
    former_until_us: int
    off: str
    failures: int
    rests_until_us: int

    def wants(self, kind: str) -> bool:
        """Say whether it hears of a kind."""
        return not self.kinds or kind in self.kinds or kind == PING


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is sent: the same octets at every attempt, under one id (webhook-id)."""

    message: str
    kind: str
    body: bytes
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message for an endpoint: how often it was tried, when next, and what was answered last.

    `status` is zero where no answer came; `answer` says then why.
    """

    number: int
    endpoint: str
    message: str
    kind: str
    at_us: int
    state: DeliveryState
    attempts: int
    next_us: int
    tried_us: int
    status: int
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an attempt: the status, or zero and why there is none."""

    status: int
    answer: str = ""

    @property
    def heard(self) -> bool:
        """Whether the endpoint has it."""
        return 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether it wants nothing any more (410)."""
        return self.status == 410


@unique
class HookReason(Reason):
    """Why an endpoint is not what was asked; of several, the lowest is the one given."""

    INVALID_URL = 1
    NOT_HTTPS = 2
    UNKNOWN_KIND = 3
    UNKNOWN_ENDPOINT = 10
    UNKNOWN_MESSAGE = 11
    TOO_MANY = 20
