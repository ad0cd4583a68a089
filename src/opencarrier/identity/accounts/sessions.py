"""Sessions of browsers and the one-time links that begin them: tokens, hashed at rest."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select, update

from opencarrier.identity.accounts import store, tokens
from opencarrier.identity.accounts.model import (
    INVITATION_S,
    LINKS_MAX,
    SEEN_EVERY_S,
    SESSION_IDLE_S,
    SESSION_S,
    SESSIONS_MAX,
    AccountId,
    AccountReason,
    Session,
)
from opencarrier.kernel.clock import SECOND_US, Clock
from opencarrier.kernel.entropy import Entropy
from opencarrier.kernel.refusals import Refusal


class Sessions:
    """Begins, finds, lists and ends sessions; each call stands in the caller's unit."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy

    def begin(
        self, unit: Connection, account: AccountId, *, key: str, came_from: str
    ) -> tuple[str, Session]:
        """Return a new token and its session; with `SESSIONS_MAX` the longest unused one ends."""
        self._forget(unit, account)
        held = store.sessions_of(unit, account)
        for one in held[: max(0, len(held) + 1 - SESSIONS_MAX)]:
            unit.execute(delete(store.sessions).where(store.sessions.c.session == one.session))
        token, now_us = tokens.fresh(self._entropy, "session"), self._clock.now_us()
        made = Session(
            session=f"sess_{self._entropy.octets('session-id', 8).hex()}",
            account=account,
            key=key,
            made_us=now_us,
            seen_us=now_us,
            came_from=came_from,
        )
        unit.execute(
            insert(store.sessions).values(
                session=made.session,
                token_sha256=tokens.digest("session", token),
                account=account,
                key=key,
                made_us=now_us,
                seen_us=now_us,
                came_from=came_from,
            )
        )
        return token, made

    def find(self, unit: Connection, token: str) -> Session | None:
        """Return the session of a token while it lives; it is only read."""
        digest = tokens.digest("session", token)
        if digest is None:
            return None
        query = select(store.sessions).where(store.sessions.c.token_sha256 == digest)
        row = unit.execute(query).one_or_none()
        found = None if row is None else store.read_session(row)
        return found if found is not None and self._lives(found) else None

    def is_stale(self, found: Session) -> bool:
        """Say whether it should be noted that a session was used."""
        return self._clock.now_us() - found.seen_us >= SEEN_EVERY_S * SECOND_US

    def seen(self, unit: Connection, found: Session) -> None:
        """Note that a session was used."""
        mine = store.sessions.c.session == found.session
        unit.execute(update(store.sessions).where(mine).values(seen_us=self._clock.now_us()))

    def of(self, unit: Connection, account: AccountId) -> Sequence[Session]:
        """Return an account's living sessions, the longest unused first."""
        return [one for one in store.sessions_of(unit, account) if self._lives(one)]

    def end(self, unit: Connection, account: AccountId, session: str) -> Refusal | None:
        """End one of an account's sessions; somebody else's is unknown."""
        mine = (store.sessions.c.account == account) & (store.sessions.c.session == session)
        ended = unit.execute(delete(store.sessions).where(mine)).rowcount
        return None if ended else Refusal(AccountReason.UNKNOWN_SESSION)

    def end_all(self, unit: Connection, account: AccountId) -> None:
        """End every session of an account."""
        unit.execute(delete(store.sessions).where(store.sessions.c.account == account))

    def _lives(self, found: Session) -> bool:
        now_us = self._clock.now_us()
        idle = now_us - found.seen_us >= SESSION_IDLE_S * SECOND_US
        return not idle and now_us - found.made_us < SESSION_S * SECOND_US

    def _forget(self, unit: Connection, account: AccountId) -> None:
        for one in store.sessions_of(unit, account):
            if not self._lives(one):
                unit.execute(delete(store.sessions).where(store.sessions.c.session == one.session))


class Links:
    """Makes links that sign in once, and uses them up."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy

    def open(self, unit: Connection, account: AccountId, *, ttl_s: int) -> str | Refusal:
        """Return a token that signs in to an account once; it is kept nowhere."""
        if not 0 < ttl_s <= INVITATION_S:
            return Refusal(AccountReason.INVALID_TERMS, f"1 to {INVITATION_S} s")
        if store.account(unit, account) is None:
            return Refusal(AccountReason.UNKNOWN_ACCOUNT)
        table, now_us = store.links, self._clock.now_us()
        unit.execute(delete(table).where(table.c.expires_us <= now_us))
        mine = select(func.count()).where(table.c.account == account)
        if (unit.scalar(mine) or 0) >= LINKS_MAX:
            return Refusal(AccountReason.TOO_MANY, f"{LINKS_MAX} links are open")
        token = tokens.fresh(self._entropy, "link")
        row = {"token_sha256": tokens.digest("link", token), "account": account}
        unit.execute(insert(table).values(**row, expires_us=now_us + ttl_s * SECOND_US))
        return token

    def look(self, unit: Connection, token: str) -> AccountId | Refusal:
        """Return whom a link would sign in as; looking uses nothing up."""
        digest = tokens.digest("link", token)
        table = store.links
        row = None
        if digest is not None:
            row = unit.execute(select(table).where(table.c.token_sha256 == digest)).one_or_none()
        if row is None or row.expires_us <= self._clock.now_us():
            return Refusal(AccountReason.UNKNOWN_LINK, "this link leads nowhere (any more)")
        return AccountId(row.account)

    def use(self, unit: Connection, token: str) -> AccountId | Refusal:
        """Use a link up; of two at once, one is refused."""
        found = self.look(unit, token)
        if isinstance(found, Refusal):
            return found
        digest = tokens.digest("link", token)
        taken = unit.execute(delete(store.links).where(store.links.c.token_sha256 == digest))
        if taken.rowcount != 1:
            return Refusal(AccountReason.UNKNOWN_LINK, "this link leads nowhere (any more)")
        return found
