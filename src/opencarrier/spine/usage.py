"""What was used: observations as they arrive, and the one usage a session yields in a cycle."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from opencarrier.kernel.ids import Id
from opencarrier.kernel.quantity import Quantities
from opencarrier.spine.parties import PartyId


class Status(IntEnum):
    """Acct-Status-Type (RFC 2866 section 5.1)."""

    START = 1
    STOP = 2
    INTERIM = 3
    ON = 7
    OFF = 8


class Rung(IntEnum):
    """How far the evidence carries (the finality ladder); the higher, the sooner it is paid."""

    ONE_SIDED = 1
    CO_SIGNED = 2


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Counters:
    """A session's cumulative counters: seconds, and octets with the gigawords joined."""

    session_time_s: int
    octets_in: int
    octets_out: int


ZERO = Counters(session_time_s=0, octets_in=0, octets_out=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One accounting packet as a fact; `counters` are None for On and Off, and where it has none.

    `authorisation_id` is None where the access point dropped Class: the session id is then weak.
    `home` is None where nothing names it; such use goes to suspense, it is never dropped.
    `source` is evidence, not identity: where the bytes came from (`udp:`, `pcap:NAME@OFFSET`).
    """

    status: Status
    home: PartyId | None
    visited: PartyId
    nas_key: str
    node_id: str | None
    authorisation_id: bytes | None
    acct_session_id: str
    counters: Counters | None
    subject: str
    event_us: int
    terminate_cause: int | None
    reporter: PartyId
    source: str
    packet_digest: bytes


@dataclass(frozen=True, slots=True)
class Sought:
    """A session to look for among reports: its authorisation, its node, its name if known.

    Where it was never reported on it began at `since_us`.
    """

    authorisation_id: bytes
    nas_key: str
    acct_session_id: str
    since_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A part of a session that is about to be cut: whose it is, where, and between which instants.

    It began at `start_us` (the end of what was cut before) and was last seen at `end_us`.
    """

    session_id: Id
    authorisation_id: bytes | None
    home: PartyId
    visited: PartyId
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a session used between two cuts: the difference of two cumulative counters.

    `weak` says the session id was made without the home's authorisation. `closed_by` is `stop`,
    `rule` (a lost Stop, a restarted access point) or empty while the session goes on.
    """

    usage_id: Id
    session_id: Id
    authorisation_id: bytes | None
    home: PartyId | None
    visited: PartyId
    node_id: str | None
    subject: str
    counters_from: Counters
    counters_to: Counters
    start_us: int
    end_us: int
    weak: bool
    closed_by: str
    rung: Rung

    def __post_init__(self) -> None:
        assert self.start_us <= self.end_us
        for name in ("session_time_s", "octets_in", "octets_out"):
            assert getattr(self.counters_from, name) <= getattr(self.counters_to, name), name

    @property
    def quantities(self) -> Quantities:
        """The used amounts by unit."""
        before, after = self.counters_from, self.counters_to
        return Quantities.of(
            {
                "octets_in": after.octets_in - before.octets_in,
                "octets_out": after.octets_out - before.octets_out,
                "duration_s": after.session_time_s - before.session_time_s,
            }
        )
