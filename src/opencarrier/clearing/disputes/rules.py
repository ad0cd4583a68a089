"""A dispute as a set of signed moves, and what it has come to at an instant. Pure.

    open --accept, silence--> the creditor gets the difference
         --contest--> decided by what both sign, or, when time is over, by what both signed last:
                      the statement, without the difference, and the opener loses its bond

The order in which moves arrive, and copies, change nothing. The undisputed part is the statement's
and waits for no dispute. An outcome is entries of the next exchange that correct the usage.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from opencarrier.clearing.exchange.model import PPM, Entry
from opencarrier.clearing.exchange.statement import Cause
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.signatures import Address

ANSWER_US: Final = 7 * 86_400 * SECOND_US
DECIDE_US: Final = 14 * 86_400 * SECOND_US
BOND_PPM: Final = 50_000


class MoveKind(IntEnum):
    """What a party does."""

    OPEN = 1
    EVIDENCE = 2
    ACCEPT = 3
    CONTEST = 4
    AGREE = 5


class Stage(IntEnum):
    """How far a dispute is."""

    UNOPENED = 0
    OPEN = 1
    CONTESTED = 2
    SETTLED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a co-signed statement leaves disputed of one usage, and what the two differ in."""

    exchange_id: Id
    usage_id: Id
    creditor: Address
    debtor: Address
    disputed_minor: int
    cause: Cause = Cause.USE

    def __post_init__(self) -> None:
        assert self.disputed_minor > 0, "nothing is disputed"

    @property
    def dispute_id(self) -> Id:
        """Name the dispute: a statement's usage has one."""
        return derive("dispute", self.exchange_id, self.usage_id)

    @property
    def bond_minor(self) -> int:
        """What the opener stands to lose: a part of the difference, rounded up."""
        return -(-self.disputed_minor * BOND_PPM // PPM)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Move:
    """What a party signed: `amount_minor` is of an agreement, `digest` names evidence."""

    at_us: int
    kind: MoveKind
    party: Address
    amount_minor: int = 0
    digest: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Where a dispute stands: until when it waits, or what it came to and when."""

    stage: Stage
    until_us: int | None = None
    settled_us: int | None = None
    award_minor: int = 0
    forfeit_minor: int = 0


def judge(case: Case, moves: Iterable[Move], *, now_us: int) -> Outcome:
    """Return where a dispute stands; deadlines are exclusive: at its instant time is over."""
    known = sorted(set(moves))
    opened = _first(known, MoveKind.OPEN, case.creditor, 0, now_us + 1)
    if opened is None:
        return Outcome(stage=Stage.UNOPENED)
    answer_by = opened.at_us + ANSWER_US
    answers = [
        found
        for kind in (MoveKind.ACCEPT, MoveKind.CONTEST)
        if (found := _first(known, kind, case.debtor, opened.at_us, min(answer_by, now_us + 1)))
    ]
    answer = min(answers, default=None)
    contested = answer is not None and answer.kind is MoveKind.CONTEST
    over_us = answer_by if answer is None else answer.at_us
    end = over_us + DECIDE_US if contested else over_us
    agreed = _agreement(case, known, opened.at_us, min(end, now_us + 1))
    if agreed is not None:
        return _settled(agreed.at_us, agreed.amount_minor)
    if now_us < end:
        stage = Stage.CONTESTED if contested else Stage.OPEN
        return Outcome(stage=stage, until_us=end)
    if contested:
        return _settled(end, 0, case.bond_minor)
    return _settled(end, case.disputed_minor)


def corrections(case: Case, outcome: Outcome) -> tuple[Entry, ...]:
    """Return the next exchange's entries: what was awarded, and a bond that was lost."""
    if outcome.settled_us is None:
        return ()
    owed = (
        ("award", case.debtor, outcome.award_minor),
        ("bond", case.creditor, outcome.forfeit_minor),
    )
    return tuple(
        Entry(
            usage_id=derive(f"dispute/{what}", case.dispute_id),
            debtor=debtor,
            end_us=outcome.settled_us,
            amount_minor=amount,
            corrects=case.usage_id,
        )
        for what, debtor, amount in owed
        if amount
    )


def _settled(at_us: int, award_minor: int, forfeit_minor: int = 0) -> Outcome:
    return Outcome(
        stage=Stage.SETTLED,
        settled_us=at_us,
        award_minor=award_minor,
        forfeit_minor=forfeit_minor,
    )


def _first(
    moves: Sequence[Move], kind: MoveKind, party: Address, from_us: int, to_us: int
) -> Move | None:
    """Return a party's earliest move of a kind within a half-open time."""
    fitting = (m for m in moves if m.kind is kind and m.party == party)
    return next((move for move in fitting if from_us <= move.at_us < to_us), None)


def _agreement(case: Case, moves: Sequence[Move], from_us: int, to_us: int) -> Move | None:
    """Return the earliest amount that both signed; the later of both moves makes it."""
    signed: set[tuple[Address, int]] = set()
    for move in moves:
        fits = move.kind is MoveKind.AGREE and from_us <= move.at_us < to_us
        if not fits or not 0 <= move.amount_minor <= case.disputed_minor:
            continue
        signed.add((move.party, move.amount_minor))
        if all((party, move.amount_minor) in signed for party in (case.creditor, case.debtor)):
            return move
    return None
