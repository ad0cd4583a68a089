"""The door of every route: who asks, whether it may, and whether its own browser meant to."""

from __future__ import annotations

import hmac
import time
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote

from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from opencarrier.app.console.errors import SharedError, wants_page
from opencarrier.app.console.guests import GuestBook
from opencarrier.app.console.origins import Origins, cookie_name
from opencarrier.app.console.reading import form_of
from opencarrier.app.console.rights import RIGHTS, SHARED
from opencarrier.app.console.visitor import Visitor, locale_of
from opencarrier.app.store import Store
from opencarrier.identity.accounts.attempts import Attempts
from opencarrier.identity.accounts.model import SEEN_EVERY_S, Grant, Role, Session
from opencarrier.identity.accounts.rules import coarse
from opencarrier.identity.accounts.service import Accounts
from opencarrier.kernel.refusals import Refusal

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS = frozenset({"same-origin", "none"})
_FORM = "application/x-www-form-urlencoded"
TRIED_MAX = 4_096
"""Sessions of which it is remembered when they were noted last."""


class TurnedAwayError(Exception):
    """Ends a request with an answer that is no error of ours."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class Seen:
    """Notes that sessions are used: a try a minute for each, and no page fails for one."""

    def __init__(
        self, accounts: Accounts, store: Store, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._accounts = accounts
        self._store = store
        self._monotonic = monotonic
        self._tried: OrderedDict[str, float] = OrderedDict()

    def note(self, session: Session) -> None:
        """Note it where that is due; where the database is not to be had, the next time."""
        if not self._accounts.sessions.is_stale(session) or not self._is_due(session.session):
            return
        with suppress(SQLAlchemyError), self._store.write() as unit:
            self._accounts.sessions.seen(unit, session)

    def _is_due(self, session: str) -> bool:
        now_s = self._monotonic()
        if now_s < self._tried.get(session, -SEEN_EVERY_S) + SEEN_EVERY_S:
            return False
        self._tried[session] = now_s
        while len(self._tried) > TRIED_MAX:
            self._tried.popitem(last=False)
        return True


class Guard:
    """A dependency of every route of the app."""

    def __init__(
        self,
        accounts: Accounts,
        store: Store,
        origins: Origins,
        guests: GuestBook,
        *,
        token: str,
    ) -> None:
        self._accounts = accounts
        self._store = store
        self._origins = origins
        self._guests = guests
        self._bearer = f"Bearer {token}".encode()
        self._seen = Seen(accounts, store)

    async def __call__(self, request: Request) -> None:
        """Let a request through to its route, with its visitor, or end it."""
        name = f"{request.method} {request.scope['route'].path}"
        right = RIGHTS.get(name)
        if right is None:
            raise HTTPException(404)
        if "\x00" in request.url.path or "%00" in request.url.query:
            raise HTTPException(400, "no name has a zero octet, and PostgreSQL takes none")
        if right.tried:
            _pass(self._accounts.addresses, _came_from(request))
        visitor = await self.know(request)
        if not right.allows(visitor):
            raise _turned_away(request, visitor)
        if request.method not in _SAFE and (right.browser or visitor.session):
            await self._check_meant(request, visitor)
            if visitor.is_signed_in:
                _pass(self._accounts.acts, visitor.account)
        if visitor.is_guest and name in SHARED:
            raise SharedError()

    async def know(self, request: Request) -> Visitor:
        """Find out who asks, and leave it with the request."""
        visitor = await self._visitor(request)
        request.state.visitor = visitor
        return visitor

    async def _visitor(self, request: Request) -> Visitor:
        bearer = request.headers.get("authorization", "").encode()
        if bearer and hmac.compare_digest(bearer, self._bearer):
            return Visitor(grants=frozenset({Grant(Role.OWNER)}), locale=locale_of(request))
        origin = self._origins.of(request)
        token = request.cookies.get(cookie_name(origin), "") if origin is not None else ""
        found = await run_in_threadpool(self._signed_in, request, token) if token else None
        return found or Visitor(locale=locale_of(request), came_from=_came_from(request))

    def _signed_in(self, request: Request, token: str) -> Visitor | None:
        accounts = self._accounts
        with self._store.read() as unit:
            session = accounts.sessions.find(unit, token)
            if session is None or self._guests.is_over(session.account):
                return None
            account = accounts.book.find(unit, session.account)
        assert not isinstance(account, Refusal), "a session is of an account"
        self._seen.note(session)
        return Visitor(
            account=account.account,
            name=account.name,
            grants=account.grants,
            locale=locale_of(request),
            session=session.session,
            csrf=csrf_of(token),
            came_from=_came_from(request),
            is_guest=self._guests.has(account.account),
        )

    async def _check_meant(self, request: Request, visitor: Visitor) -> None:
        """Refuse what another site made a browser send: by origin, and by what it cannot read."""
        origin = self._origins.of(request)
        sent = request.headers.get("origin")
        site = request.headers.get("sec-fetch-site", "same-origin")
        if origin is None or sent != str(origin) or site not in _OURS:
            raise HTTPException(403, "sent from another site")
        if not visitor.session:
            return
        shown = request.headers.get("x-csrf-token", "")
        if not shown and request.headers.get("content-type", "").startswith(_FORM):
            shown = (await form_of(request)).get("csrf", "")
        if not hmac.compare_digest(shown.encode(), visitor.csrf.encode()):
            raise HTTPException(403, "the page is too old")


def _pass(attempts: Attempts, who: str) -> None:
    """Count what somebody does, and end it where that is too often."""
    wait_s = attempts.retry_after_s(who)
    if wait_s:
        raise HTTPException(429, "too many attempts", {"Retry-After": str(wait_s)})


def csrf_of(token: str) -> str:
    """Return what a session's forms carry: it follows from the token, which no script reads."""
    made = hmac.digest(token.encode(), b"opencarrier csrf", "sha256")
    return urlsafe_b64encode(made).decode()[:43]


def guard_routes(app: FastAPI) -> None:
    """Answer those who were turned away."""

    @app.exception_handler(TurnedAwayError)
    async def turned_away(_: Request, error: TurnedAwayError) -> Response:
        return error.response


def _turned_away(request: Request, visitor: Visitor) -> Exception:
    """Ask whoever is nobody to sign in; for everybody else there is nothing here."""
    if visitor.is_signed_in or visitor.grants:
        return HTTPException(404)
    if request.method == "GET" and wants_page(request):
        wanted = quote(request.url.path)
        return TurnedAwayError(RedirectResponse(f"/sign-in?next={wanted}", status_code=303))
    return HTTPException(401, "sign in, or show this installation's token", _BEARER)


_BEARER = {"WWW-Authenticate": "Bearer"}


def _came_from(request: Request) -> str:
    return coarse(request.client.host) if request.client is not None else ""
