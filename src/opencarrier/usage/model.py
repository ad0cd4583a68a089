"""The types of the room: what a stream of readings reduces to, and what a reader hands over."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import IntFlag
from typing import NamedTuple, Protocol

from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id
from opencarrier.spine.parties import Node, PartyId
from opencarrier.spine.usage import ZERO, Counters, Observation, Status

SILENCE_US = 3_600 * SECOND_US
"""A session not heard of for this long is closed by rule: one hour, unless the caller says."""


class Stream(NamedTuple):
    """What an access point calls one accounting session.

    RFC 2866 section 5.5 makes the name unique between two restarts of the access point only, so a
    stream may hold several sessions, one after the other.
    """

    visited: PartyId
    nas_key: str
    acct_session_id: str


class Anomaly(IntFlag):
    """What a session's readings show that an honest, whole meter would not."""

    NONE = 0
    OCTETS_FELL = 1
    SESSION_TIME_FELL = 2
    WRAPPED = 4
    MORE_AFTER_STOP = 8
    HOMES_DIFFER = 16


class Reading(NamedTuple):
    """What the rules read of an observation; absent texts are empty, absent counters zero."""

    event_us: int
    status: int
    session_time_s: int
    octets_in: int
    octets_out: int
    authorisation_id: bytes
    home: str
    node_id: str
    subject: str

    @classmethod
    def of(cls, observation: Observation) -> Reading:
        """Read an observation."""
        counters = observation.counters or ZERO
        return cls(
            event_us=observation.event_us,
            status=int(observation.status),
            session_time_s=counters.session_time_s,
            octets_in=counters.octets_in,
            octets_out=counters.octets_out,
            authorisation_id=observation.authorisation_id or b"",
            home=observation.home or "",
            node_id=observation.node_id or "",
            subject=observation.subject,
        )

    @property
    def birth_us(self) -> int:
        """When the session began, as this reading has it: its event less its session time."""
        if self.status == Status.START:
            return self.event_us
        return self.event_us - self.session_time_s * SECOND_US

    @property
    def top(self) -> tuple[int, int, int]:
        """What readings of one meter ascend by, whatever the clocks say."""
        return self.session_time_s, self.octets_in, self.octets_out

    @property
    def counters(self) -> Counters:
        """The cumulative counters read."""
        return Counters(
            session_time_s=self.session_time_s,
            octets_in=self.octets_in,
            octets_out=self.octets_out,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session as its readings so far have it.

    `birth_us` is when its meter began, `start_us` when this session took the meter over (the
    same, unless an earlier authorisation used the meter first; `turn` counts them), at `base`.
    `counters` are the highest seen, reached at `end_us`; `settled` those of the last cut, up to
    `settled_us`.
    `last_us` is the newest event. `usages` counts the usages cut from it; from the first on its
    identity stands.
    """

    session_id: Id
    stream: Stream
    authorisation_id: bytes | None
    home: PartyId | None
    node_id: str | None
    subject: str
    epoch_us: int
    birth_us: int
    turn: int
    start_us: int
    end_us: int
    last_us: int
    base: Counters
    counters: Counters
    settled: Counters
    settled_us: int
    stopped: bool
    closed_by: str
    anomalies: Anomaly
    usages: int

    @property
    def weak(self) -> bool:
        """Whether the session id was made without the home's authorisation."""
        return self.authorisation_id is None

    @property
    def total(self) -> Counters:
        """What the session used in all."""
        return Counters(
            session_time_s=self.counters.session_time_s - self.base.session_time_s,
            octets_in=self.counters.octets_in - self.base.octets_in,
            octets_out=self.counters.octets_out - self.base.octets_out,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How much the room holds: sessions still open, observations kept, usages cut.

    `estimated` where more waits for a cut than was read: observations are counted by their numbers
    (PostgreSQL leaves out those of copies), and sessions as far as was read.
    """

    sessions: int
    sessions_open: int
    observations: int
    observations_pending: int
    usages: int
    cuts: int
    estimated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How a recorded packet came: at which node, when, out of what file.

    With a `secret` its Request Authenticator is checked; without one it is unverified evidence.
    """

    node: Node
    at_us: int
    source: str
    secret: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """An Accounting-Request as an observation; `realm` may name the home where Class does not."""

    observation: Observation
    realm: str | None
    nas_identifier: str | None


class AccountingDecoder(Protocol):
    """Whoever reads RADIUS octets, the same way for the wire and for files (answers: `access`)."""

    def decode(self, packet: bytes, arrival: Arrival) -> Decoded | None:
        """Read an Accounting-Request; None for a packet of another code.

        Raises `PeerError` for a malformed packet, or one whose authenticator the secret refutes;
        no other exception.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRecord:
    """A record of a file that was not taken, where it starts, and why."""

    file: str
    offset: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What files held, in terms of what a cut will see.

    `usage_new` counts sessions that now show more than before, `usage_duplicate` those that do
    not. Octets are the sessions' totals as the files and what was known before give them.
    `refused` lists the first ones, `refused_count` counts all.
    """

    files: int
    packets: int
    observations_new: int
    sessions: int
    usage_new: int
    usage_duplicate: int
    refused: tuple[RefusedRecord, ...]
    refused_count: int
    octets_in: int
    octets_out: int
    duration_s: int
    verified: bool

    def as_mapping(self) -> dict[str, object]:
        """Return the report with stable keys, for JSON."""
        return asdict(self)
