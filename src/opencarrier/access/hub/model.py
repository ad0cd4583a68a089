"""Limits of passing on, what is kept to be passed on later, and what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256

from opencarrier.access.wire.radius import Attribute
from opencarrier.kernel.clock import SECOND_US


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSettings:
    """How much may be on its way, and how long what cannot be delivered is kept."""

    in_work_max: int = 2_048
    discovered_max: int = 256
    discovered_idle_s: float = 900.0
    patience_s: float = 5.0
    stop_s: float = 2.0
    outbox_rows_max: int = 1_000_000
    outbox_window: int = 64
    outbox_realms_max: int = 256
    outbox_age_max_s: int = 30 * 86_400
    backoff_max_s: int = 60


@dataclass(frozen=True, slots=True)
class Relay:
    """An Accounting-Request for a realm's home, acknowledged here and owed to it.

    Those of one `session` are delivered in the order they were kept.
    """

    realm: str
    session: bytes
    attributes: tuple[Attribute, ...]
    at_us: int


@dataclass(slots=True)
class HubMetrics:
    """Counters since the start, by reason, and by server and outcome; they only rise."""

    passed_on: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    delivered: int = 0
    given_up: int = 0


def session_of(*names: str) -> bytes:
    """Return what the accounting of one session has in common: operator, NAS and session."""
    return sha256("\x00".join(names).encode()).digest()


def backoff_us(attempts: int, settings: HubSettings) -> int:
    """Return how long to wait after so many attempts: 1, 2, 4 seconds, up to the limit."""
    return int(min(1 << min(attempts, 16), settings.backoff_max_s)) * SECOND_US
