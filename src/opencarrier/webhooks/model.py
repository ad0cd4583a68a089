"""Endpoints, messages and deliveries. Data only."""

from __future__ import annotations

from collections.abc import Mapping
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

URL_CHARACTERS_MAX: Final = 1_024
ENDPOINTS_MAX: Final = 16
"""Of one party; a subscriber has `OWN_ENDPOINTS_MAX`."""

OWN_ENDPOINTS_MAX: Final = 4

WAITING_MAX: Final = 10_000
"""Messages that wait for one endpoint; what comes then is parked at once."""

REPLAYED_MAX: Final = 10_000
ANSWER_OCTETS_MAX: Final = 512
GONE_STATUS: Final = 410
"""The answer of who wants nothing any more (RFC 9110)."""

SECRET_OCTETS: Final = 32
OVERLAP_S: Final = 24 * 3_600
"""How long after a rotation messages are signed by the former secret, too."""

KEPT_S: Final = 30 * 86_400
DELAYS_S: Final = (5, 30, 300, 1_800, 7_200, 18_000, 36_000, 36_000)
"""Until the next attempt, after the first failed, the second, and so on; then it is parked."""

PAUSE_S_MAX: Final = 300
"""How long an endpoint rests as a whole after it failed often."""


@unique
class Audience(StrEnum):
    """Whose machines hear something: by their party's id."""

    INSTALLATION = "installation"
    OPERATOR = "operator"
    HOST = "host"
    SUBSCRIBER = "subscriber"

    @classmethod
    def of(cls, party: PartyId) -> Audience:
        """Return what a party is."""
        found = (one for one, prefix in _PREFIXES.items() if party.startswith(prefix))
        return next(found, cls.INSTALLATION)

    @property
    def prefix(self) -> str:
        """What ids of such parties begin with."""
        return _PREFIXES.get(self, "")


_PREFIXES: Final = {
    Audience.OPERATOR: "op_",
    Audience.HOST: "host_",
    Audience.SUBSCRIBER: "sub_",
}

_BUSINESS: Final = frozenset({Audience.INSTALLATION, Audience.OPERATOR})
_PAID: Final = frozenset({*_BUSINESS, Audience.HOST})
_OWN: Final = frozenset({Audience.SUBSCRIBER})

EVENTS: Final[Mapping[str, frozenset[Audience]]] = {
    NoticeKind.APPROVAL_WANTED: _BUSINESS,
    NoticeKind.CYCLE_SETTLED: _PAID,
    NoticeKind.DEPOSIT_FINAL: _BUSINESS,
    NoticeKind.DISPUTE_ANSWERED: _BUSINESS,
    NoticeKind.DISPUTE_OPENED: _BUSINESS,
    NoticeKind.ERASURE_DONE: _OWN,
    NoticeKind.NODE_ALIVE: _PAID,
    NoticeKind.NODE_SILENT: _PAID,
    NoticeKind.PAYMENT_RECEIVED: frozenset({Audience.INSTALLATION, *_OWN}),
    NoticeKind.RECEIPT_READY: _OWN,
    NoticeKind.REFUND_KEPT: _OWN,
    NoticeKind.REFUND_PAID: _OWN,
    NoticeKind.SPEND_REACHED: _OWN,
    NoticeKind.STATEMENT_READY: _BUSINESS,
    NoticeKind.WITHDRAWAL_FINAL: _PAID,
}
"""Every kind of message, and whose machines may hear it."""


@unique
class Off(StrEnum):
    """Why nothing is sent to an endpoint; `ON` where something is."""

    ON = ""
    GONE = "gone"
    ASKED = "asked"


@unique
class Obstacle(StrEnum):
    """What is in the way of a delivery, as pages and API say it."""

    ADDRESS = "address_not_allowed"
    NAME = "name_unknown"
    UNREACHED = "not_connected"
    NO_ANSWER = "no_answer"
    EXPIRED = "certificate_expired"
    OTHER_NAME = "certificate_of_another_name"
    UNTRUSTED = "certificate_not_trusted"
    TLS = "tls_failed"
    NOT_HTTP = "not_http"
    CROWDED = "too_many_wait"
    REDIRECTED = "redirected"
    GONE = "gone"
    REFUSED = "refused"


@unique
class DeliveryState(StrEnum):
    """Where a message for an endpoint stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    PARKED = "parked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a party hears: of what (nothing: of all), since when, and how it went last.

    `secret` numbers its secrets; the one before signs, too, until `former_until_us`. `failures`
    were in a row.
    """

    endpoint: str
    party: PartyId
    url: str
    kinds: tuple[str, ...]
    made_us: int
    secret: int
    former_until_us: int
    off: Off
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

    `status` is zero where no answer came; `answer` is then an `Obstacle`, a colon and details.
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

    @property
    def obstacle(self) -> Obstacle | None:
        """What was in the way last, None where nothing was or it was not tried yet."""
        if not self.status and self.answer:
            return Obstacle(self.answer.partition(":")[0])
        if not self.status or 200 <= self.status < 300:
            return None
        if self.status == GONE_STATUS:
            return Obstacle.GONE
        return Obstacle.REDIRECTED if 300 <= self.status < 400 else Obstacle.REFUSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an attempt: the status, or zero and what was in the way."""

    status: int
    answer: str = ""

    @classmethod
    def failed(cls, obstacle: Obstacle, detail: str = "") -> Outcome:
        """Return that of an attempt without an answer."""
        return cls(status=0, answer=f"{obstacle}: {detail}"[:ANSWER_OCTETS_MAX])

    @property
    def heard(self) -> bool:
        """Whether the endpoint has it."""
        return 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether it wants nothing any more (410)."""
        return self.status == GONE_STATUS


@unique
class HookReason(Reason):
    """Why an endpoint is not what was asked; of several, the lowest is the one given."""

    INVALID_URL = 1
    NOT_HTTPS = 2
    UNKNOWN_KIND = 3
    UNKNOWN_ENDPOINT = 10
    UNKNOWN_MESSAGE = 11
    TOO_MANY = 20
