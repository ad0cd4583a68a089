"""Meter statements: what a node's meter showed, hash-chained per session and signed by the node.

A statement is about the numbers of one Accounting-Request, so the packet carries no more of it
than its place in the chain (`Meter-Chain`) and the signature (`Meter-Signature`); whoever gets the
packet builds the statement again from the packet's own attributes. What changes a number on the
way breaks the signature. Two statements of one place are a fork: the node said two things.

The attributes stand under an enterprise number that RFC 5612 keeps for examples, until one is
registered; it is a setting of neither side, so that both always mean the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Final

from opencarrier.access.agent.counters import WORD, Flag
from opencarrier.access.wire.dictionary import Code, Type
from opencarrier.access.wire.radius import AUTHENTICATOR_OCTETS, Attribute, Packet, vendor
from opencarrier.kernel.ids import ID_OCTETS, Id, derive
from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import (
    SIGNATURE_OCTETS,
    Address,
    Signature,
    Signer,
    recover,
)

ENTERPRISE: Final = 32473
METER_CHAIN: Final = 1
METER_SIGNATURE: Final = 2
VERSION: Final = 1
CHAIN_OCTETS: Final = 1 + 4 + 2 + 4 + ID_OCTETS
SEQUENCE_MAX: Final = WORD - 1
BEGINNING: Final = Id(bytes(ID_OCTETS))
"""What the first statement of a session has for its forerunner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a node's meter showed of a session at one instant.

    `class_digest` binds it to what the home granted; `previous` is the head before it. Name and
    `started_s` tell the chain, for access points use an Acct-Session-Id again.
    """

    nas_identifier: str
    acct_session_id: str
    started_s: int
    class_digest: Id
    sequence: int
    previous: Id
    status: int
    event_s: int
    session_time_s: int
    octets_in: int
    octets_out: int
    flags: Flag

    @property
    def chain(self) -> tuple[str, str, int]:
        """Which session it is of."""
        return self.nas_identifier, self.acct_session_id, self.started_s

    @property
    def head(self) -> Id:
        """The digest that is signed and that the next statement names."""
        return derive(
            "access/meter-statement",
            VERSION,
            self.nas_identifier,
            self.acct_session_id,
            self.started_s,
            self.class_digest,
            self.sequence,
            self.previous,
            self.status,
            self.event_s,
            self.session_time_s,
            self.octets_in,
            self.octets_out,
            int(self.flags),
        )


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement and its signature; the signature names the node's key."""

    statement: Statement
    signature: Signature

    def attributes(self) -> list[Attribute]:
        """The two attributes that go out beside the numbers."""
        told = self.statement
        chain = (
            bytes((VERSION,))
            + told.sequence.to_bytes(4, "big")
            + int(told.flags).to_bytes(2, "big")
            + told.started_s.to_bytes(4, "big")
            + told.previous
        )
        return [
            vendor(ENTERPRISE, METER_CHAIN, chain),
            vendor(ENTERPRISE, METER_SIGNATURE, self.signature.octets),
        ]


def sign(statement: Statement, signer: Signer) -> Signed:
    """Sign a statement."""
    return Signed(statement, signer.sign(statement.head))


def class_digest(classes: Iterable[bytes]) -> Id:
    """Return what stands for all Class attributes of a packet, in their order."""
    return derive("access/class", list(classes))


def may_state(packet: Packet) -> bool:
    """Say whether a packet holds attributes that statements are made of: most hold none."""
    head = ENTERPRISE.to_bytes(4, "big")
    return any(value.startswith(head) for value in packet.all(Type.VENDOR_SPECIFIC))


def statement_of(packet: Packet) -> Signed | None:
    """Read the statement an Accounting-Request carries, None where it has none.

    The signature's key is the one that made it; whether that is the node's key is for the caller.
    `PeerError` where an attribute is malformed or nobody's signature fits.
    """
    ours = dict(packet.vendor(ENTERPRISE))
    chain, signature = ours.get(METER_CHAIN), ours.get(METER_SIGNATURE)
    if chain is None or signature is None:
        return None
    if len(chain) != CHAIN_OCTETS or chain[0] != VERSION or len(signature) != SIGNATURE_OCTETS:
        raise PeerError("meter_statement", f"{len(chain)} and {len(signature)} octets")
    statement = statement_for(
        packet.attributes,
        sequence=int.from_bytes(chain[1:5], "big"),
        previous=Id(chain[11:]),
        flags=_flags(int.from_bytes(chain[5:7], "big")),
        started_s=int.from_bytes(chain[7:11], "big"),
    )
    kid = recover(statement.head, signature)
    if kid is None:
        raise PeerError("meter_signature")
    return Signed(statement, Signature(kid, signature))


def statement_for(
    attributes: Sequence[Attribute], *, sequence: int, previous: Id, flags: Flag, started_s: int
) -> Statement:
    """Return the statement about the numbers in an Accounting-Request's attributes."""
    packet = Packet(Code.ACCOUNTING_REQUEST, 0, bytes(AUTHENTICATOR_OCTETS), tuple(attributes))

    def number(kind: Type) -> int:
        return packet.integer(kind) or 0

    return Statement(
        nas_identifier=packet.text(Type.NAS_IDENTIFIER) or "",
        acct_session_id=packet.text(Type.ACCT_SESSION_ID) or "",
        started_s=started_s,
        class_digest=class_digest(packet.all(Type.CLASS)),
        sequence=sequence,
        previous=previous,
        status=number(Type.ACCT_STATUS_TYPE),
        event_s=number(Type.EVENT_TIMESTAMP),
        session_time_s=number(Type.ACCT_SESSION_TIME),
        octets_in=number(Type.ACCT_INPUT_GIGAWORDS) * WORD + number(Type.ACCT_INPUT_OCTETS),
        octets_out=number(Type.ACCT_OUTPUT_GIGAWORDS) * WORD + number(Type.ACCT_OUTPUT_OCTETS),
        flags=flags,
    )


def _flags(value: int) -> Flag:
    if value & ~sum(Flag):
        raise PeerError("meter_flags", f"{value:#x}")
    return Flag(value)


class Flaw(IntEnum):
    """What is wrong with a chain, the gravest first."""

    FORGED = 1
    FORK = 2
    BROKEN = 3
    FALLS = 4
    GAP = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """A flaw, and the place in the chain where it shows."""

    flaw: Flaw
    sequence: int


def judge(chain: Sequence[Signed], kids: Collection[Address]) -> list[Finding]:
    """Judge the statements of one session by its node's keys, in any order; empty is a whole chain.

    The same statement twice is one. A gap is no lie: a later statement says all an earlier did.
    """
    findings = [
        Finding(Flaw.FORGED, one.statement.sequence)
        for one in chain
        if recover(one.statement.head, one.signature.octets) not in kids
    ]
    return sorted([*findings, *flaws(chain)], key=lambda found: (found.flaw, found.sequence))


def flaws(chain: Sequence[Signed]) -> list[Finding]:
    """Return what is wrong with a chain whose signatures were checked when it was taken."""
    by_place: dict[int, dict[Id, Statement]] = {}
    for one in chain:
        by_place.setdefault(one.statement.sequence, {})[one.statement.head] = one.statement
    forks = [Finding(Flaw.FORK, place) for place, told in by_place.items() if len(told) > 1]
    line = [min(by_place[place].items())[1] for place in sorted(by_place)]
    return sorted([*forks, *_along(line)], key=lambda found: (found.flaw, found.sequence))


def _along(line: Sequence[Statement]) -> list[Finding]:
    findings: list[Finding] = []
    if line and line[0].sequence == 0 and line[0].previous != BEGINNING:
        findings.append(Finding(Flaw.BROKEN, 0))
    if line and line[0].sequence > 0:
        findings.append(Finding(Flaw.GAP, line[0].sequence))
    for before, after in pairwise(line):
        if after.sequence > before.sequence + 1:
            findings.append(Finding(Flaw.GAP, after.sequence))
        elif after.previous != before.head:
            findings.append(Finding(Flaw.BROKEN, after.sequence))
        if not _same_session(before, after):
            findings.append(Finding(Flaw.BROKEN, after.sequence))
        if _falls(before, after):
            findings.append(Finding(Flaw.FALLS, after.sequence))
    return findings


def _falls(before: Statement, after: Statement) -> bool:
    return (
        after.session_time_s < before.session_time_s
        or after.octets_in < before.octets_in
        or after.octets_out < before.octets_out
    )


def _same_session(before: Statement, after: Statement) -> bool:
    return before.chain == after.chain
