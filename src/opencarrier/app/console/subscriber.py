"""Pages of a subscriber: how to get on, what was used and paid, what is left, a lost phone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

from fastapi import FastAPI, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection
from starlette.exceptions import HTTPException

from opencarrier.app.api import LIMIT, After, Cursor, Page
from opencarrier.app.bootstrap import Onchain
from opencarrier.app.console.catalogue import N_
from opencarrier.app.console.door import Door
from opencarrier.app.console.views.subscriber import subscriber_view
from opencarrier.app.console.views.subscriber_bill import BillView, bill_view
from opencarrier.app.console.views.subscriber_devices import DevicesView, devices_view
from opencarrier.app.console.views.subscriber_money import money_view
from opencarrier.app.console.views.subscriber_sessions import (
    ReceiptKey,
    ReceiptLine,
    SessionLine,
    SessionView,
    receipt_lines,
    session_lines,
    session_view,
)
from opencarrier.app.console.visitor import Visitor, visitor_of
from opencarrier.app.console.whose import acts_at
from opencarrier.identity.accounts.model import Role
from opencarrier.identity.cli import find_subscriber
from opencarrier.kernel.calendar import month_named, month_of
from opencarrier.kernel.clock import Window
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.sentences import Sentence
from opencarrier.spine.parties import PartyId, Subscriber

T = TypeVar("T")
SESSIONS: Final = Cursor("sessions", (int, str))
RECEIPTS: Final = Cursor("receipts", (int, str, int, str))
CHOICE_MAX: Final = 50
SHOWN: Final = 6
"""Sessions on the first page; the list has the others."""

ID_CHARACTERS: Final = 32
Month = Annotated[
    str, Query(max_length=7, description="`2026-11`; this month where none is named.")
]
AnyMonth = Annotated[
    str, Query(max_length=7, description="`2026-11`: of use that ended in that month (UTC).")
]

Who = Annotated[str, Query(max_length=64)]


class SubscriberDesk:
    """What pages, acts and API of subscribers share."""

    def __init__(self, place: Onchain, door: Door) -> None:
        self.place = place
        self.base = place.base
        self.door = door
        self.shell = door.shell

    def read(self, request: Request, party: str, look: Callable[[Connection, Subscriber], T]) -> T:
        """Look at what is a visitor's own; 404 for another's as for nobody's."""
        with self.base.store.read() as unit:
            return look(unit, self.mine(unit, visitor_of(request), party))

    def mine(self, unit: Connection, visitor: Visitor, party: str) -> Subscriber:
        """Return a subscriber whose account a visitor may see."""
        name = PartyId(party)
        if not acts_at(visitor, Role.SUBSCRIBER, name):
            raise HTTPException(404)
        found = self.base.identity.directory.subscriber(unit, name)
        if found is None:
            raise HTTPException(404)
        return found

    def named(self, who: str) -> PartyId | None:
        """Return the subscriber that an owner names by name or id."""
        with self.base.store.read() as unit:
            found = find_subscriber(self.base.identity, unit, who)
        return None if isinstance(found, Refusal) else found.party_id

    def missing(self, unit: Connection, subscriber: Subscriber) -> Sentence | None:
        """Say what is missing before a link to profiles can be made, None if all is there."""
        from opencarrier.app.enrolling import Enrolling

        home = self.base.identity.directory.operator(unit, subscriber.home)
        assert home is not None, "a subscriber without a home"
        return Enrolling(self.base).why_not(home)

    def devices(self, request: Request, party: str) -> DevicesView:
        """Return what lets a subscriber's devices on."""

        def view(unit: Connection, who: Subscriber) -> DevicesView:
            missing = self.missing(unit, who)
            return devices_view(self.base, unit, who, missing=str(missing or ""))

        return self.read(request, party, view)

    def sessions(
        self, request: Request, party: str, *, cursor: str, limit: int
    ) -> Page[SessionLine]:
        """Return a page of sessions, the newest first."""
        key = SESSIONS.read(cursor)
        before = None if key is None else (int(key[0]), _octets(str(key[1])))
        found = self.read(
            request,
            party,
            lambda unit, who: session_lines(
                self.place, unit, who.party_id, before=before, limit=limit + 1
            ),
        )
        return SESSIONS.page(found, limit, lambda line: (line.granted_us, line.session))

    def session(self, request: Request, party: str, session: str) -> SessionView:
        """Return one session; 404 for another's as for none."""
        key = _id(session)
        found = self.read(
            request,
            party,
            lambda unit, who: session_view(self.place, unit, who.party_id, key),
        )
        if found is None:
            raise HTTPException(404)
        return found

    def receipts(
        self, request: Request, party: str, *, cursor: str, limit: int, month: str = ""
    ) -> Page[ReceiptLine]:
        """Return a page of charges by session, the newest first; of a month if one is named."""
        key, window = receipt_key(cursor), month_asked(month) if month else None
        found, last = self.read(
            request,
            party,
            lambda unit, who: receipt_lines(
                self.place,
                unit,
                who.party_id,
                after=key,
                limit=limit,
                window=window,
            ),
        )
        return Page(items=found, next=None if last is None else RECEIPTS.write(last))

    def bill(self, request: Request, party: str, month: str) -> BillView:
        """Return the bill of a month; 422 for what is none."""
        window = month_asked(month) if month else month_of(self.base.clock.now_us())
        return self.read(request, party, lambda unit, who: bill_view(self.place, unit, who, window))


def month_asked(text: str) -> Window:
    """Read a month; 422 for what is none."""
    window = month_named(text)
    if window is None:
        raise HTTPException(422, "a month is written 2026-11")
    return window


def receipt_key(cursor: str) -> ReceiptKey | None:
    """Read where a list of receipts goes on; 422 for what was not written here."""
    key = RECEIPTS.read(cursor)
    if key is None:
        return None
    _octets(str(key[1])), _octets(str(key[3]))
    return key  # type: ignore[return-value] # the cursor has read its types


def subscriber_routes(app: FastAPI, desk: SubscriberDesk) -> None:
    """Add the pages."""
    _overview(app, desk)
    _use(app, desk)
    _account(app, desk)


def drawn(
    desk: SubscriberDesk, request: Request, party: str, tab: str, view: Any, **more: Any
) -> Response:
    """Draw a page of a subscriber, whose tabs lead to the others."""
    title = {
        "home": N_("Your account"),
        "sessions": N_("Sessions"),
        "bill": N_("Bill"),
        "connect": N_("Get connected"),
        "money": N_("Money"),
        "receipts": N_("Receipts"),
        "safety": N_("Safety"),
    }[tab]
    template = f"subscriber/{more.pop('template', tab)}.html"
    shared = {"section": "subscriber", "party": party, "tab": tab, **more}
    return desk.shell.page(request, template, view, title=title, **shared)


def _overview(app: FastAPI, desk: SubscriberDesk) -> None:
    @app.get("/subscriber", include_in_schema=False)
    def choose(request: Request, who: Who = "") -> Response:
        """Go to one's own account, or choose among several; an owner names whose."""
        visitor = visitor_of(request)
        mine = sorted(visitor.at(Role.SUBSCRIBER))
        named = desk.named(who) if who and visitor.is_owner else None
        if named is not None or (len(mine) == 1 and not visitor.is_owner):
            return RedirectResponse(f"/subscriber/{named or mine[0]}", status_code=303)
        return desk.shell.page(
            request,
            "subscriber/choose.html",
            mine[:CHOICE_MAX],
            title="Accounts",
            section="subscriber",
            unknown=bool(who),
        )

    @app.get("/subscriber/{party}", include_in_schema=False)
    def home(request: Request, party: str) -> Response:
        view = desk.read(request, party, lambda unit, who: subscriber_view(desk.place, unit, who))
        newest = desk.sessions(request, party, cursor="", limit=SHOWN)
        return drawn(desk, request, party, "home", view, newest=newest.items)

    @app.get("/subscriber/{party}/now", include_in_schema=False)
    def now(request: Request, party: str) -> Response:
        view = desk.read(request, party, lambda unit, who: subscriber_view(desk.place, unit, who))
        newest = desk.sessions(request, party, cursor="", limit=SHOWN)
        return desk.shell.fragment(
            request, "subscriber/now.html", view, party=party, newest=newest.items
        )


def _use(app: FastAPI, desk: SubscriberDesk) -> None:
    @app.get("/subscriber/{party}/sessions", include_in_schema=False)
    def sessions(request: Request, party: str, cursor: After = "") -> Response:
        view = desk.sessions(request, party, cursor=cursor, limit=LIMIT)
        return drawn(desk, request, party, "sessions", view, first=not cursor)

    @app.get("/subscriber/{party}/sessions/{session}", include_in_schema=False)
    def session(request: Request, party: str, session: str) -> Response:
        view = desk.session(request, party, session)
        return drawn(desk, request, party, "sessions", view, template="session")

    @app.get("/subscriber/{party}/receipts", include_in_schema=False)
    def receipts(
        request: Request, party: str, cursor: After = "", month: AnyMonth = ""
    ) -> Response:
        view = desk.receipts(request, party, cursor=cursor, limit=LIMIT, month=month)
        shown = month_asked(month) if month else None
        more = {"first": not cursor, "month": month, "shown": shown}
        return drawn(desk, request, party, "receipts", view, **more)

    @app.get("/subscriber/{party}/bill", include_in_schema=False)
    def bill(request: Request, party: str, month: Month = "") -> Response:
        return drawn(desk, request, party, "bill", desk.bill(request, party, month))


def _account(app: FastAPI, desk: SubscriberDesk) -> None:
    @app.get("/subscriber/{party}/connect", include_in_schema=False)
    def connect(request: Request, party: str) -> Response:
        view = desk.devices(request, party)
        missing = desk.read(request, party, desk.missing)
        shown = {"link": None, "qr": "", "platform": "", "missing": missing}
        return drawn(desk, request, party, "connect", view, **shown)

    @app.get("/subscriber/{party}/money", include_in_schema=False)
    def money(request: Request, party: str) -> Response:
        view = desk.read(request, party, lambda unit, who: money_view(desk.place, unit, who))
        return drawn(desk, request, party, "money", view)

    @app.get("/subscriber/{party}/safety", include_in_schema=False)
    def safety(request: Request, party: str) -> Response:
        view = desk.devices(request, party)
        return drawn(desk, request, party, "safety", view, done=None)


def _octets(text: str) -> bytes:
    """Read the hex digits of a cursor; 422 for what was not written here."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise HTTPException(422, "the cursor is none of this list") from None


def _id(text: str) -> bytes:
    """Read a session's id; 404 for what cannot be one."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(text) != ID_CHARACTERS or len(found) * 2 != ID_CHARACTERS or text != found.hex():
        raise HTTPException(404)
    return found
