"""Links by which a subscriber's devices get their profiles: one-time tokens, hashed at rest.

A token has 256 bits, so its plain hash tells nothing of it. Unknown, expired and used up are one
answer: who guesses learns nothing.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection, delete, func, insert, select, update

from opencarrier.identity import store
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.spine.parties import PartyId

TOKEN_OCTETS = 32
TTL_S_MAX = 30 * 86_400
USES_MAX = 20
OPEN_MAX = 8
"""Of one subscriber's links that are neither used up nor over."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class EnrolmentReason(Reason):
    """Why a link is not made or leads nowhere."""

    INVALID_TERMS = 1
    UNKNOWN_SUBSCRIBER = 2
    TOO_MANY = 3
    UNKNOWN_TOKEN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """Whose link it is, until when, and how many credentials it still gives."""

    subscriber: PartyId
    expires_us: int
    uses_left: int


class Enrolments:
    """Makes, finds and uses up links; each call stands in the caller's unit."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy

    def open(
        self, unit: Connection, subscriber: PartyId, *, ttl_s: int, uses: int
    ) -> tuple[str, Enrolment] | Refusal:
        """Return a token and what it gives; the token itself is kept nowhere."""
        if not (0 < ttl_s <= TTL_S_MAX and 0 < uses <= USES_MAX):
            return Refusal(
                EnrolmentReason.INVALID_TERMS, f"at most {TTL_S_MAX} s and {USES_MAX} uses"
            )
        if store.subscriber(unit, subscriber) is None:
            return Refusal(EnrolmentReason.UNKNOWN_SUBSCRIBER, subscriber)
        now_us = self._clock.now_us()
        table = store.enrolments
        over = (table.c.expires_us <= now_us) | (table.c.uses_left == 0)
        unit.execute(delete(table).where(over))
        mine = select(func.count()).where(table.c.subscriber == subscriber)
        if (unit.scalar(mine) or 0) >= OPEN_MAX:
            return Refusal(EnrolmentReason.TOO_MANY, f"{OPEN_MAX} links are open")
        token = urlsafe_b64encode(self._entropy.octets("enrolment", TOKEN_OCTETS)).decode()[:43]
        made = Enrolment(
            subscriber=subscriber, expires_us=now_us + ttl_s * SECOND_US, uses_left=uses
        )
        unit.execute(
            insert(table).values(
                token_sha256=_digest(token),
                subscriber=subscriber,
                expires_us=made.expires_us,
                uses_left=uses,
            )
        )
        return token, made

    def close(self, unit: Connection, subscriber: PartyId) -> None:
        """Let every link of a subscriber give nothing more."""
        table = store.enrolments
        unit.execute(delete(table).where(table.c.subscriber == subscriber))

    def find(self, unit: Connection, token: str) -> Enrolment | Refusal:
        """Return what a token still gives; looking uses nothing up."""
        table = store.enrolments
        found = None
        if _TOKEN.fullmatch(token):
            chosen = select(table).where(table.c.token_sha256 == _digest(token))
            found = unit.execute(chosen).one_or_none()
        if found is None or found.uses_left == 0 or found.expires_us <= self._clock.now_us():
            return Refusal(EnrolmentReason.UNKNOWN_TOKEN, "this link gives nothing (any more)")
        return Enrolment(
            subscriber=PartyId(found.subscriber),
            expires_us=found.expires_us,
            uses_left=found.uses_left,
        )

    def use(self, unit: Connection, token: str) -> Enrolment | Refusal:
        """Use a token up by one; of two at once for the last use, one is refused."""
        found = self.find(unit, token)
        if isinstance(found, Refusal):
            return found
        table = store.enrolments
        taken = unit.execute(
            update(table)
            .where(table.c.token_sha256 == _digest(token), table.c.uses_left == found.uses_left)
            .values(uses_left=found.uses_left - 1)
        )
        if taken.rowcount != 1:
            return Refusal(EnrolmentReason.UNKNOWN_TOKEN, "this link gives nothing (any more)")
        return found


def _digest(token: str) -> bytes:
    return sha256(b"opencarrier enrolment " + token.encode()).digest()
