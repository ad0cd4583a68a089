"""What was answered to an Idempotency-Key, kept a day, so that a request sent again is done once.

A row stands before anything is done. Every unit that commits meanwhile says so in the row, in the
same transaction; so after a crash it is known whether anything was done, and nothing is doubled.

    begun      nothing was committed: the same request may still be done
    committed  something was, and the answer was lost
    answered   the same request gets the same answer

A route where the same content is the same thing needs no row before, only the answer after. An
answer is sealed under a key that needs the Idempotency-Key, which is kept nowhere: it may hold
what is shown once.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum, unique
from threading import Lock
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Row

from opencarrier.app.store import Store
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.encoding import encode
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.refusals import Reason, Refusal

SECRET_OCTETS: Final = 32
KEPT_S: Final = 24 * 3_600
KEYS_MAX: Final = 4_096
"""Keys of one holder in a day. A further one is refused, or takes the oldest's place where the
same content is the same thing anyway."""

ANSWER_OCTETS_MAX: Final = 256 << 10
"""A longer answer is not kept; that the request was done is."""

SWEPT_MAX: Final = 1_000

metadata = MetaData()

answers = Table(
    "app_answer",
    metadata,
    Column("asked", LargeBinary(32), primary_key=True),
    Column("holder", LargeBinary(32), nullable=False),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("at_us", BigInteger, nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("answer_sealed", LargeBinary, nullable=True),
    Column("about", LargeBinary(32), nullable=True, index=True),
    Index("ix_app_answer_holder_at_us", "holder", "at_us"),
)
"""`about` is the subscriber whose data an answer may have, hashed; it goes with that one's data."""


@unique
class State(StrEnum):
    """How far a request came."""

    BEGUN = "begun"
    COMMITTED = "committed"
    ANSWERED = "answered"


@unique
class KeyReason(Reason):
    """Why a request under a key is not done; of several, the lowest is the one given."""

    KEY_OF_ANOTHER = 1
    STILL_RUNNING = 2
    OUTCOME_UNKNOWN = 3
    ANSWER_NOT_KEPT = 4
    TOO_MANY_KEYS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a request was answered: the status, the headers that matter, the octets."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A request under a key: who asks, which route, and what it says.

    `holder` is who the keys are counted for, `about` the subscriber that is asked about, if any.
    `repeatable`: the same content is the same thing, so it may be done again.
    """

    holder: str
    who: str
    route: str
    key: str = field(repr=False)
    fingerprint: bytes
    repeatable: bool
    about: str = ""

    @property
    def asked(self) -> Id:
        """What its row is found by."""
        return derive("asked", self.who, self.route, self.key)

    @property
    def holder_digest(self) -> Id:
        """What its holder is counted by."""
        return _holder_digest(self.holder)


class Answers:
    """Keeps the answers of one database, of which this process is the only one that serves."""

    def __init__(self, store: Store, clock: Clock, secret: bytes) -> None:
        assert len(secret) == SECRET_OCTETS
        self._store = store
        self._clock = clock
        self._secret = secret
        self._running: dict[Id, bytes] = {}
        self._lock = Lock()

    def begin(self, asking: Asking) -> Answer | Refusal | None:
        """Return what is known of a request, or None: it is to be done, and then `keep` or `end`.

        Of two at once one is done and the other refused. What committed and does not run any more
        is lost, so that is said only once nobody runs it.
        """
        with self._store.read() as unit:
            known = self._known(unit, asking)
        lost = isinstance(known, Refusal) and known.reason is KeyReason.OUTCOME_UNKNOWN
        if known is not None and not lost:
            return known
        refusal = self._enter(asking)
        if refusal is not None:
            return refusal
        try:
            known = self._claimed(asking)
        except BaseException:
            self._leave(asking)
            raise
        if known is not None:
            self._leave(asking)
        return known

    def commit_beside(self, unit: Connection, asking: Asking) -> None:
        """Note in a unit that it commits something of a request that runs."""
        chosen = (answers.c.asked == asking.asked, answers.c.state == State.BEGUN)
        unit.execute(update(answers).where(*chosen).values(state=State.COMMITTED))

    def keep(self, asking: Asking, answer: Answer) -> None:
        """Keep an answer, for a day."""
        told = self._sealed(asking, answer) if len(answer.body) <= ANSWER_OCTETS_MAX else None
        values = {"state": State.ANSWERED, "answer_sealed": told}
        try:
            with self._store.write() as unit:
                if asking.repeatable:
                    self._make_room(unit, asking)
                    self._put(unit, asking, **values)
                else:
                    row = answers.c.asked == asking.asked
                    unit.execute(update(answers).where(row).values(**values))
        finally:
            self._leave(asking)

    def end(self, asking: Asking, *, undone: bool = False) -> None:
        """End a request without an answer to keep; what had no effect is as if never asked.

        `undone`: the route itself said that it may be asked again.
        """
        chosen = answers.c.asked == asking.asked
        if not undone:
            chosen &= answers.c.state == State.BEGUN
        try:
            if not asking.repeatable:
                with self._store.write() as unit:
                    unit.execute(delete(answers).where(chosen))
        finally:
            self._leave(asking)

    def _enter(self, asking: Asking) -> Refusal | None:
        with self._lock:
            running = self._running.get(asking.asked)
            if running is None:
                self._running[asking.asked] = asking.fingerprint
                return None
        same = running == asking.fingerprint
        return Refusal(KeyReason.STILL_RUNNING if same else KeyReason.KEY_OF_ANOTHER)

    def _leave(self, asking: Asking) -> None:
        with self._lock:
            self._running.pop(asking.asked, None)

    def _claimed(self, asking: Asking) -> Answer | Refusal | None:
        """Look once more now that nobody else runs it, and let its row stand before it is done."""
        if asking.repeatable:
            with self._store.read() as unit:
                return self._known(unit, asking)
        with self._store.write() as unit:
            known = self._known(unit, asking)
            if known is not None:
                return known
            if self._is_full(unit, asking):
                return Refusal(KeyReason.TOO_MANY_KEYS, f"at most {KEYS_MAX} in a day")
            self._put(unit, asking, state=State.BEGUN, answer_sealed=None)
        return None

    def _known(self, unit: Connection, asking: Asking) -> Answer | Refusal | None:
        chosen = (answers.c.asked == asking.asked, answers.c.at_us > self._since_us())
        row = unit.execute(select(answers).where(*chosen)).one_or_none()
        if row is None:
            return None
        if row.fingerprint != asking.fingerprint:
            return Refusal(KeyReason.KEY_OF_ANOTHER)
        if row.state == State.ANSWERED:
            return self._opened(asking, row)
        if row.state == State.COMMITTED:
            return Refusal(KeyReason.OUTCOME_UNKNOWN)
        return None

    def _opened(self, asking: Asking, row: Row[Any]) -> Answer | Refusal:
        if row.answer_sealed is None:
            return Refusal(KeyReason.ANSWER_NOT_KEPT)
        told = json.loads(self._cipher(asking).decrypt(row.answer_sealed, None))
        headers = tuple((name, value) for name, value in told["headers"])
        return Answer(status=told["status"], headers=headers, body=b64decode(told["body"]))

    def _sealed(self, asking: Asking, answer: Answer) -> bytes:
        told = {
            "status": answer.status,
            "headers": answer.headers,
            "body": b64encode(answer.body).decode(),
        }
        return self._cipher(asking).encrypt(json.dumps(told).encode(), None)

    def _cipher(self, asking: Asking) -> AESSIV:
        named = encode([asking.who, asking.route, asking.key])
        return AESSIV(hmac.digest(self._secret, named, "sha512"))

    def _put(self, unit: Connection, asking: Asking, **values: Any) -> None:
        """Write a row in the place of one that is over, or that a crash left with nothing done."""
        unit.execute(delete(answers).where(answers.c.asked == asking.asked))
        unit.execute(
            insert(answers).values(
                asked=asking.asked,
                holder=asking.holder_digest,
                fingerprint=asking.fingerprint,
                about=_about_digest(asking.about) if asking.about else None,
                at_us=self._clock.now_us(),
                **values,
            )
        )

    def _is_full(self, unit: Connection, asking: Asking) -> bool:
        return len(self._oldest(unit, asking, KEYS_MAX)) == KEYS_MAX

    def _make_room(self, unit: Connection, asking: Asking) -> None:
        if self._is_full(unit, asking):
            oldest = self._oldest(unit, asking, 1)
            unit.execute(delete(answers).where(answers.c.asked.in_(oldest)))

    def _oldest(self, unit: Connection, asking: Asking, limit: int) -> list[bytes]:
        mine = select(answers.c.asked).where(answers.c.holder == asking.holder_digest)
        return list(unit.execute(mine.order_by(answers.c.at_us).limit(limit)).scalars())

    def _since_us(self) -> int:
        return self._clock.now_us() - KEPT_S * SECOND_US


def forget(unit: Connection, about: str, holders: Sequence[str]) -> None:
    """Forget what was answered about a subscriber, and to accounts that went with it.

    What has committed something and still runs is not kept any more; what has not, such as the
    request that erases, goes on.
    """
    theirs = answers.c.holder.in_([_holder_digest(holder) for holder in holders])
    chosen = (answers.c.about == _about_digest(about)) | theirs
    unit.execute(delete(answers).where(chosen, answers.c.state != State.BEGUN))


def _holder_digest(holder: str) -> Id:
    return derive("asked/holder", holder)


def _about_digest(about: str) -> Id:
    return derive("asked/about", about)


def sweep(unit: Connection, now_us: int) -> int:
    """Forget the answers of more than a day ago, `SWEPT_MAX` at a time; return how many."""
    over = answers.c.at_us <= now_us - KEPT_S * SECOND_US
    some = select(answers.c.asked).where(over).order_by(answers.c.at_us).limit(SWEPT_MAX)
    return unit.execute(delete(answers).where(answers.c.asked.in_(some))).rowcount
