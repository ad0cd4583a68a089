"""What the agent knows of a station's session, and what a packet changes of it: pure rules."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

from opencarrier.access.agent.counters import (
    ZERO,
    Counter,
    Flag,
    PortMeter,
    PortReading,
    flowable,
)
from opencarrier.access.agent.statement import BEGINNING
from opencarrier.access.wire.dictionary import AcctStatus, Type
from opencarrier.access.wire.radius import Packet
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError

NUL: Final = b"\x00"
"""A Chargeable-User-Identity that only asks for one (RFC 4372 section 2.1)."""

STARTS_TOLERANCE_S = 120
"""How far two packets of one session may differ on when it began."""

RECENT_MAX = 8
DIGEST_OCTETS = 12
_HEX: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What an Access-Accept gave a station for its session; `user_name` is the asker's if none."""

    classes: tuple[bytes, ...] = ()
    cui: bytes = b""
    user_name: bytes = b""
    assigned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What an accounting packet shows of a session."""

    status: AcctStatus
    acct_session_id: str
    station: str
    event_us: int
    session_time_s: int | None
    octets_in: int | None
    octets_out: int | None

    @property
    def counts(self) -> bool:
        """Whether the access point reports octets at all."""
        return self.octets_in is not None or self.octets_out is not None

    @property
    def digest(self) -> bytes:
        """What is the same when a packet is sent again with another Acct-Delay-Time."""
        shown = (self.acct_session_id, self.status, self.session_time_s)
        octets = (self.octets_in, self.octets_out)
        return sha256(repr((shown, octets)).encode()).digest()[:DIGEST_OCTETS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session as it is reported: its counters in all, its place in the chain of statements.

    `acct_session_id` is the first the access point gave it, `called` what it calls it now.
    """

    access_point: str
    acct_session_id: str
    station: str
    started_us: int
    heard_us: int
    accepted: Accepted
    time: Counter = ZERO
    octets_in: Counter = ZERO
    octets_out: Counter = ZERO
    port: PortMeter | None = None
    told_in: int = 0
    told_out: int = 0
    sequence: int = 0
    previous: Id = BEGINNING
    recent: tuple[bytes, ...] = field(default=())
    called: str = ""
    closed: bool = False


def station_of(packet: Packet) -> str:
    """Return Calling-Station-Id in one writing: a MAC as 12 hex digits, others as they come."""
    told = (packet.text(Type.CALLING_STATION_ID) or "").strip().lower()
    digits = "".join(character for character in told if character not in "-:.")
    return digits if len(digits) == 12 and set(digits) <= _HEX else told


def begin(seen: Seen, access_point: str, accepted: Accepted) -> tuple[Session, Flag]:
    """Begin a session with its first packet; one that is no Start began before it was noticed."""
    late = seen.status is not AcctStatus.START
    session = Session(
        access_point=access_point,
        acct_session_id=seen.acct_session_id,
        station=seen.station,
        started_us=_start_us(seen),
        heard_us=seen.event_us,
        accepted=accepted,
    )
    return session, Flag.BEGUN_LATE if late else Flag.NONE


def _start_us(seen: Seen) -> int:
    return seen.event_us - (seen.session_time_s or 0) * SECOND_US


def begun_after(session: Session, former: Session) -> Session:
    """Begin in a later second than a session of the same name: by both their chains are told.

    The last that was said of the former is remembered: sent again, it tells nothing of this one.
    """
    next_us = (former.started_us // SECOND_US + 1) * SECOND_US
    started_us = max(session.started_us, next_us)
    return replace(session, started_us=started_us, recent=tuple(map(_before, former.recent[-1:])))


def _before(digest: bytes) -> bytes:
    return sha256(b"before " + digest).digest()[:DIGEST_OCTETS]


def continues(session: Session, seen: Seen) -> bool:
    """Say whether a packet with an unknown Acct-Session-Id belongs to a station's open session.

    Some access points change it under way. A Start begins a session; anything else belongs to the
    open one when it says the same beginning.
    """
    if session.closed or seen.status is AcctStatus.START or seen.session_time_s is None:
        return False
    apart_us = abs(_start_us(seen) - session.started_us)
    return apart_us <= STARTS_TOLERANCE_S * SECOND_US


def begins_anew(session: Session, seen: Seen) -> bool:
    """Say whether a Start is another session that got a known Acct-Session-Id again."""
    if seen.status is not AcctStatus.START:
        return False
    late_us = seen.event_us - session.started_us
    return session.closed or late_us > STARTS_TOLERANCE_S * SECOND_US


def is_old(session: Session, seen: Seen) -> bool:
    """Say whether a packet tells nothing new: sent again, overtaken, or after the Stop."""
    if seen.digest in session.recent or session.closed:
        return True
    if seen.event_us < session.started_us and _before(seen.digest) in session.recent:
        return True
    behind = (seen.session_time_s or 0) < session.time.last
    return behind and seen.event_us <= session.heard_us


def account(
    session: Session, seen: Seen, reading: PortReading | None, *, octets_per_s: int
) -> tuple[Session, Flag]:
    """Take a packet and what the kernel shows, and return the session and what was done to it.

    An access point that restarts its octets restarts its Acct-Session-Time too; where that goes on,
    octets that fell have wrapped. With a reading, and without counters of the access point's own,
    the kernel's are told. What was told before is never gone below.
    """
    flags = Flag.NONE
    anew = seen.session_time_s is not None and seen.session_time_s < session.time.last
    goes_on = (seen.session_time_s or 0) > session.time.last
    most = flowable(octets_per_s, seen.event_us - session.heard_us) if goes_on else 0
    time, _ = session.time.risen(seen.session_time_s or session.time.last, most=0)
    octets_in, first = _risen(session.octets_in, seen.octets_in, most, anew=anew)
    octets_out, second = _risen(session.octets_out, seen.octets_out, most, anew=anew)
    port, third = _read(session.port, reading)
    told = (octets_in.total, octets_out.total)
    if not seen.counts and port is not None:
        told, flags = (port.octets_in.total, port.octets_out.total), Flag.KERNEL | third
    else:
        flags = first | second
    moved = replace(
        session,
        heard_us=max(session.heard_us, seen.event_us),
        time=time,
        octets_in=octets_in,
        octets_out=octets_out,
        port=port,
        told_in=max(session.told_in, told[0]),
        told_out=max(session.told_out, told[1]),
        recent=(*session.recent, seen.digest)[-RECENT_MAX:],
        called=seen.acct_session_id,
        closed=seen.status is AcctStatus.STOP,
    )
    if max(moved.told_in, moved.told_out) > INT64_MAX:
        raise PeerError("counter_range")
    return moved, flags


def _risen(counter: Counter, shown: int | None, most: int, *, anew: bool) -> tuple[Counter, Flag]:
    if shown is None:
        return counter, Flag.NONE
    if anew:
        return Counter(shown, counter.total + shown), Flag.BEGAN_AGAIN
    return counter.risen(shown, most)


def _read(port: PortMeter | None, reading: PortReading | None) -> tuple[PortMeter | None, Flag]:
    if reading is None:
        return port, Flag.NONE if port is None else Flag.PORT_LOST
    if port is None:
        return PortMeter.from_reading(reading), Flag.NONE
    return port.read(reading)
