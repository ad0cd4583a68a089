"""Nodes' statements as evidence of the visited side: taken with the accounting they came in.

A statement counts where its key is one of its node's own. One that contradicts another of the same
place is kept beside it: that is the fork, and a session with one has no evidence from its node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, select, update

from opencarrier.access.agent.counters import Flag
from opencarrier.access.agent.statement import (
    Finding,
    Flaw,
    Signed,
    Statement,
    class_digest,
    flaws,
)
from opencarrier.access.meters.tables import ERASED, NODE_KEYS, STATEMENTS
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.kernel.signatures import Address, Signature, verify
from opencarrier.spine.people import Held, Person, batches
from opencarrier.spine.usage import Counters

KEYS_PER_NODE_MAX = 64
UNGRANTED = class_digest(())
"""Of a report without any Class: of no grant, so of everybody's."""

CHAIN_MAX = 100_000
"""Statements of one chain that are looked at; a day of one a second is fewer."""


class MeterReason(Reason):
    """Why a statement or a key is not taken, in order of precedence."""

    SIGNATURE = 1
    UNKNOWN_KEY = 2
    OTHER_NODE = 3
    KEY_NOT_VALID_THEN = 4
    KEY_OF_ANOTHER_NODE = 5
    TOO_MANY_KEYS = 6
    ERASED = 7


class Taken(IntEnum):
    """What became of a statement."""

    NEW = 1
    KNOWN = 2
    FORK = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterEvidence:
    """What a session's node signed for: the statement that shows as much as was used, or more."""

    kid: Address
    head: Id


IsErased = Callable[[Connection, bytes], bool]
"""Says whether an authorisation was an erased subscriber's."""


class MeterBook:
    """Keys of nodes, and the statements they signed."""

    def __init__(self, is_erased: IsErased | None = None) -> None:
        self._is_erased = is_erased or (lambda _unit, _authorisation_id: False)

    def add_key(
        self, unit: Connection, node_id: str, kid: Address, *, at_us: int
    ) -> Refusal | None:
        """Let a key sign for a node from an instant on; the same again changes nothing."""
        row = unit.execute(select(NODE_KEYS).where(NODE_KEYS.c.kid == kid)).first()
        if row is not None:
            same = row.node_id == node_id
            return None if same else Refusal(MeterReason.KEY_OF_ANOTHER_NODE, row.node_id)
        mine = select(func.count()).where(NODE_KEYS.c.node_id == node_id)
        if unit.execute(mine).scalar_one() >= KEYS_PER_NODE_MAX:
            return Refusal(MeterReason.TOO_MANY_KEYS, f"{KEYS_PER_NODE_MAX} at most")
        unit.execute(insert(NODE_KEYS).values(kid=kid, node_id=node_id, added_us=at_us))
        return None

    def end_key(self, unit: Connection, kid: Address, *, at_us: int) -> Refusal | None:
        """Let a key sign no more from an instant on; an end once written stays."""
        done = unit.execute(
            update(NODE_KEYS)
            .where(NODE_KEYS.c.kid == kid)
            .values(ended_us=func.coalesce(NODE_KEYS.c.ended_us, at_us))
        )
        return None if done.rowcount else Refusal(MeterReason.UNKNOWN_KEY, kid)

    def take(
        self,
        unit: Connection,
        signed: Signed,
        *,
        node_id: str,
        authorisation_id: bytes | None,
        at_us: int,
    ) -> Taken | Refusal:
        """Keep a statement of a node; `authorisation_id` is what its report's Class opened to."""
        refusal = self._unfit(unit, signed, node_id)
        if refusal is not None:
            return refusal
        told = signed.statement
        if self._was_erased(unit, told.class_digest):
            return Refusal(MeterReason.ERASED)
        if authorisation_id is not None:
            if self._is_erased(unit, authorisation_id):
                return Refusal(MeterReason.ERASED)
            self._authorise(unit, told, authorisation_id)
        place = and_(_of_chain(told.chain), STATEMENTS.c.sequence == told.sequence)
        heads = set(unit.scalars(select(STATEMENTS.c.head).where(place)))
        if told.head in heads:
            return Taken.KNOWN
        unit.execute(insert(STATEMENTS).values(_values(signed, node_id, authorisation_id, at_us)))
        return Taken.FORK if heads else Taken.NEW

    def authorisation_of(self, unit: Connection, told: Statement) -> bytes | None:
        """Return the authorisation of a chain's statements, None where none has come of it."""
        row = unit.execute(
            select(STATEMENTS.c.authorisation_id)
            .where(_of_chain(told.chain), STATEMENTS.c.class_digest == told.class_digest)
            .limit(1)
        ).first()
        return row[0] if row else None

    def chains(
        self, unit: Connection, acct_session_id: str | None = None
    ) -> Iterator[tuple[str, Sequence[Signed]]]:
        """Yield each chain in its order, with its node; those of one Acct-Session-Id, or all."""
        columns = (
            STATEMENTS.c.node_id,
            STATEMENTS.c.nas_identifier,
            STATEMENTS.c.acct_session_id,
            STATEMENTS.c.started_s,
        )
        wanted = select(*columns).distinct().order_by(*columns)
        if acct_session_id is not None:
            wanted = wanted.where(STATEMENTS.c.acct_session_id == acct_session_id)
        for row in unit.execute(wanted).all():
            chain = (row.nas_identifier, row.acct_session_id, row.started_s)
            yield row.node_id, self._chain(unit, _of_chain(chain))

    def forks(self, unit: Connection) -> Iterator[tuple[str, Statement, Finding]]:
        """Yield what is wrong with the chains that are kept, with a statement of each; no gaps."""
        for node_id, chain in self.chains(unit):
            for finding in flaws(chain):
                if finding.flaw is not Flaw.GAP:
                    yield node_id, chain[0].statement, finding

    def evidence(
        self,
        unit: Connection,
        *,
        nas_identifier: str,
        acct_session_id: str,
        authorisation_id: bytes,
        used: Counters,
    ) -> MeterEvidence | None:
        """Return what a node signed for of a session's use; None where it did not, or forked.

        The first statement that shows at least what was used is the evidence.
        """
        mine = and_(
            STATEMENTS.c.nas_identifier == nas_identifier,
            STATEMENTS.c.acct_session_id == acct_session_id,
            STATEMENTS.c.authorisation_id == authorisation_id,
        )
        starts = unit.scalars(select(STATEMENTS.c.started_s).where(mine).distinct()).all()
        if len(starts) != 1:
            return None
        chain = self._chain(unit, _of_chain((nas_identifier, acct_session_id, starts[0])))
        if any(one.flaw is not Flaw.GAP for one in flaws(chain)):
            return None
        for signed in chain:
            if _shows(signed.statement, used):
                return MeterEvidence(kid=signed.signature.kid, head=signed.statement.head)
        return None

    def held(self, unit: Connection, person: Person) -> Held:
        """Return the statements of a person's sessions (port `PersonalData`)."""
        rows = [
            dict(row)
            for some in batches(person.authorisations)
            for row in unit.execute(
                select(STATEMENTS).where(STATEMENTS.c.authorisation_id.in_(some))
            ).mappings()
        ]
        return {STATEMENTS.name: rows}

    def erase(self, unit: Connection, person: Person) -> None:
        """Delete the statements of a person's sessions, for good (port `PersonalData`).

        Statements of the same grants that are learned later, from a node or a file, are refused.
        """
        for some in batches(person.authorisations):
            mine = STATEMENTS.c.authorisation_id.in_(some)
            digests = set(unit.scalars(select(STATEMENTS.c.class_digest).where(mine).distinct()))
            unit.execute(delete(STATEMENTS).where(mine))
            for digest in digests - {UNGRANTED}:
                if not self._was_erased(unit, digest):
                    unit.execute(insert(ERASED).values(class_digest=digest))

    def _was_erased(self, unit: Connection, digest: bytes) -> bool:
        query = select(ERASED.c.class_digest).where(ERASED.c.class_digest == digest)
        return unit.execute(query).first() is not None

    def _authorise(self, unit: Connection, told: Statement, authorisation_id: bytes) -> None:
        """Give what was learned of a chain before its accounting came the authorisation of it."""
        unit.execute(
            update(STATEMENTS)
            .where(
                _of_chain(told.chain),
                STATEMENTS.c.class_digest == told.class_digest,
                STATEMENTS.c.authorisation_id.is_(None),
            )
            .values(authorisation_id=authorisation_id)
        )

    def _unfit(self, unit: Connection, signed: Signed, node_id: str) -> Refusal | None:
        kid = signed.signature.kid
        if not verify(signed.statement.head, signed.signature):
            return Refusal(MeterReason.SIGNATURE)
        key = unit.execute(select(NODE_KEYS).where(NODE_KEYS.c.kid == kid)).first()
        if key is None:
            return Refusal(MeterReason.UNKNOWN_KEY, kid)
        if key.node_id != node_id:
            return Refusal(MeterReason.OTHER_NODE, key.node_id)
        event_us = signed.statement.event_s * SECOND_US
        if key.ended_us is not None and event_us >= key.ended_us:
            return Refusal(MeterReason.KEY_NOT_VALID_THEN, kid)
        return None

    def _chain(self, unit: Connection, condition: ColumnElement[bool]) -> list[Signed]:
        rows = unit.execute(
            select(STATEMENTS)
            .where(condition)
            .order_by(STATEMENTS.c.sequence, STATEMENTS.c.received_us)
            .limit(CHAIN_MAX)
        )
        return [_signed(row) for row in rows]


def _of_chain(chain: tuple[str, str, int]) -> ColumnElement[bool]:
    nas_identifier, acct_session_id, started_s = chain
    return and_(
        STATEMENTS.c.nas_identifier == nas_identifier,
        STATEMENTS.c.acct_session_id == acct_session_id,
        STATEMENTS.c.started_s == started_s,
    )


def _shows(told: Statement, used: Counters) -> bool:
    return (
        told.session_time_s >= used.session_time_s
        and told.octets_in >= used.octets_in
        and told.octets_out >= used.octets_out
    )


def _values(
    signed: Signed, node_id: str, authorisation_id: bytes | None, at_us: int
) -> dict[str, Any]:
    told = signed.statement
    return {
        "head": told.head,
        "node_id": node_id,
        "authorisation_id": authorisation_id,
        "kid": signed.signature.kid,
        "signature": signed.signature.octets,
        "nas_identifier": told.nas_identifier,
        "acct_session_id": told.acct_session_id,
        "started_s": told.started_s,
        "class_digest": told.class_digest,
        "sequence": told.sequence,
        "previous": told.previous,
        "status": told.status,
        "event_s": told.event_s,
        "session_time_s": told.session_time_s,
        "octets_in": told.octets_in,
        "octets_out": told.octets_out,
        "flags": int(told.flags),
        "received_us": at_us,
    }


def _signed(row: Row[Any]) -> Signed:
    statement = Statement(
        nas_identifier=row.nas_identifier,
        acct_session_id=row.acct_session_id,
        started_s=row.started_s,
        class_digest=Id(row.class_digest),
        sequence=row.sequence,
        previous=Id(row.previous),
        status=row.status,
        event_s=row.event_s,
        session_time_s=row.session_time_s,
        octets_in=row.octets_in,
        octets_out=row.octets_out,
        flags=Flag(row.flags),
    )
    return Signed(statement, Signature(Address(row.kid), row.signature))
