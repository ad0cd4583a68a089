"""How the agent's facts become octets and back: the canonical encoding, read strictly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from opencarrier.access.agent.counters import Counter, Flag, PortMeter
from opencarrier.access.agent.holders import Entry, Outcome, Request
from opencarrier.access.agent.sessions import Accepted, Session
from opencarrier.access.agent.statement import Signed, Statement
from opencarrier.kernel.decoding import decode
from opencarrier.kernel.encoding import Value, encode
from opencarrier.kernel.ids import Id
from opencarrier.kernel.signatures import Address, Signature


def accepted_octets(accepted: Accepted) -> bytes:
    """Write what a station was accepted with."""
    return encode(_accepted(accepted))


def read_accepted(octets: bytes) -> Accepted:
    """Read it back."""
    return _read_accepted(_list(octets))


def session_octets(session: Session) -> bytes:
    """Write a session."""
    port = session.port
    return encode(
        [
            session.access_point,
            session.acct_session_id,
            session.station,
            session.started_us,
            session.heard_us,
            _accepted(session.accepted),
            *map(_counter, (session.time, session.octets_in, session.octets_out)),
            None
            if port is None
            else [port.interface, _counter(port.octets_in), _counter(port.octets_out)],
            session.told_in,
            session.told_out,
            session.sequence,
            session.previous,
            list(session.recent),
            session.called,
            session.closed,
        ]
    )


def read_session(octets: bytes) -> Session:
    """Read it back."""
    point, name, station, started_us, heard_us, accepted, *counted = _list(octets)
    time, octets_in, octets_out, port, told_in, told_out, *place = counted
    sequence, previous, recent, called, closed = place
    return Session(
        access_point=point,
        acct_session_id=name,
        station=station,
        started_us=started_us,
        heard_us=heard_us,
        accepted=_read_accepted(accepted),
        time=Counter(*time),
        octets_in=Counter(*octets_in),
        octets_out=Counter(*octets_out),
        port=None if port is None else _read_port(*port),
        told_in=told_in,
        told_out=told_out,
        sequence=sequence,
        previous=Id(previous),
        recent=tuple(recent),
        called=called,
        closed=closed,
    )


def signed_octets(signed: Signed) -> bytes:
    """Write a signed statement."""
    told = signed.statement
    return encode(
        [
            told.nas_identifier,
            told.acct_session_id,
            told.started_s,
            told.class_digest,
            told.sequence,
            told.previous,
            told.status,
            told.event_s,
            told.session_time_s,
            told.octets_in,
            told.octets_out,
            int(told.flags),
            signed.signature.kid,
            signed.signature.octets,
        ]
    )


def read_signed(octets: bytes) -> Signed:
    """Read it back."""
    node, name, started_s, classes, sequence, previous, *rest = _list(octets)
    status, event_s, session_time_s, octets_in, octets_out, flags, kid, signature = rest
    statement = Statement(
        nas_identifier=node,
        acct_session_id=name,
        started_s=started_s,
        class_digest=Id(classes),
        sequence=sequence,
        previous=Id(previous),
        status=status,
        event_s=event_s,
        session_time_s=session_time_s,
        octets_in=octets_in,
        octets_out=octets_out,
        flags=Flag(flags),
    )
    return Signed(statement, Signature(Address(kid), signature))


def entry_octets(entry: Entry) -> bytes:
    """Write a line of the log of requests."""
    asked = entry.request
    request = [asked.node, asked.address, asked.port, asked.at_us, asked.purpose, asked.written_us]
    return encode(
        [
            entry.number,
            entry.previous,
            entry.at_us,
            request,
            list(entry.signers),
            int(entry.outcome),
            entry.reason,
            entry.found,
        ]
    )


def read_entry(octets: bytes) -> Entry:
    """Read it back."""
    number, previous, at_us, asked, signers, outcome, reason, found = _list(octets)
    node, address, port, asked_us, purpose, written_us = asked
    return Entry(
        number=number,
        previous=Id(previous),
        at_us=at_us,
        request=Request(
            node=node,
            address=address,
            port=port,
            at_us=asked_us,
            purpose=purpose,
            written_us=written_us,
        ),
        signers=tuple(signers),
        outcome=Outcome(outcome),
        reason=reason,
        found=found,
    )


def _accepted(accepted: Accepted) -> Value:
    return [list(accepted.classes), accepted.cui, accepted.user_name, accepted.assigned]


def _read_accepted(value: Sequence[Any]) -> Accepted:
    classes, cui, user_name, assigned = value
    return Accepted(classes=tuple(classes), cui=cui, user_name=user_name, assigned=assigned)


def _counter(counter: Counter) -> Value:
    return [counter.last, counter.total]


def _read_port(interface: int, octets_in: Sequence[int], octets_out: Sequence[int]) -> PortMeter:
    return PortMeter(
        interface=interface, octets_in=Counter(*octets_in), octets_out=Counter(*octets_out)
    )


def _list(octets: bytes) -> list[Any]:
    return cast("list[Any]", decode(octets))
