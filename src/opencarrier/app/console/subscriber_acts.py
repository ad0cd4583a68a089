"""What a subscriber does: a link for a device, a cap, money back, a lost phone, its data, the end.

Each act is written to the log in the transaction that does it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from opencarrier.app import refunding
from opencarrier.app.console.catalogue import N_
from opencarrier.app.console.origins import drop_session
from opencarrier.app.console.reading import form_of, minor_of
from opencarrier.app.console.refusals import why
from opencarrier.app.console.shell import NO_STORE
from opencarrier.app.console.subscriber import SubscriberDesk, drawn
from opencarrier.app.console.views.subscriber_devices import LinkView, LostView, put_out
from opencarrier.app.console.visitor import Visitor, visitor_of
from opencarrier.app.erasing import Erased, Erasing, ErasureReason
from opencarrier.identity.accounts.model import Role
from opencarrier.identity.model import Cause
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.sentences import Sentence
from opencarrier.rating.caps import SpendCap
from opencarrier.spine.parties import Subscriber

LINK_TTL_S: Final = 3_600
WORD: Final = "ERASE"
"""What a person types who wants to be erased."""

ERASURE_WORDS: Final = {
    ErasureReason.SESSION_RUNNING: N_("A session is going on. Get off the network, and try again."),
    ErasureReason.HOLD_OPEN: N_(
        "Money is on hold for a session without a price yet. Try again later."
    ),
    ErasureReason.CHANNEL_OPEN: N_("A payment channel is open. Have it closed first."),
    ErasureReason.PAYMENT_UNDER_WAY: N_("A payment is on its way. Try again in a few minutes."),
    ErasureReason.UNSETTLED: N_("Some use is not settled yet. Try again when its cycle is paid."),
    ErasureReason.IN_DISPUTE: N_("Some use is in dispute. It has to be settled first."),
    ErasureReason.MONEY_LEFT: N_("There is money left. Ask for it back, or give it up below."),
    ErasureReason.RETAINED: N_(
        "The law of your operator's country has it keep this for a while yet."
    ),
}


class Acts:
    """What forms and the API have done for a subscriber."""

    def __init__(self, desk: SubscriberDesk) -> None:
        self.desk = desk
        self.base = desk.base

    async def do(
        self,
        request: Request,
        party: str,
        what: str,
        work: Callable[[Connection, Subscriber], Any],
    ) -> Any:
        """Do something for one's own account and note it; a refusal is passed on, and changes
        nothing.
        """
        visitor = visitor_of(request)

        def within(unit: Connection) -> Any:
            who = self.desk.mine(unit, visitor, party)
            done = work(unit, who)
            if not isinstance(done, Refusal):
                self.note(unit, visitor, what, party)
            return done

        return await self.desk.door.write(within)

    def note(self, unit: Connection, visitor: Visitor, what: str, party: str) -> None:
        """Write to the log what was done."""
        self.base.accounts.audit.write(
            unit, what, who=visitor.account, about=party, came_from=visitor.came_from
        )

    async def cap(self, request: Request, party: str, cap_minor: int | None) -> Refusal | None:
        """Set a cap for each calendar month, or lift it."""

        def put(unit: Connection, who: Subscriber) -> Refusal | None:
            if cap_minor is None:
                self.base.subscribers.lift_cap(unit, who.party_id)
                return None
            cap = SpendCap(
                subscriber=who.party_id,
                home=who.home,
                asset=self.desk.place.manifest.asset,
                cap_minor=cap_minor,
                changed_us=self.base.clock.now_us(),
            )
            return self.base.subscribers.put_cap(unit, cap)

        what = "cap_lifted" if cap_minor is None else "cap_set"
        done: Refusal | None = await self.do(request, party, what, put)
        return done

    async def ask_back(
        self, request: Request, party: str, amount_minor: int, reference: str
    ) -> Refusal | None:
        """Set prepaid money aside to be paid back."""

        def ask(unit: Connection, who: Subscriber) -> Refusal | None:
            return refunding.ask_back(
                unit,
                self.desk.place.manifest.asset,
                who,
                amount_minor,
                reference=reference,
                at_us=self.base.clock.now_us(),
            )

        done: Refusal | None = await self.do(request, party, "refund_asked", ask)
        return done

    async def link(self, request: Request, party: str) -> LinkView | Refusal:
        """Make a link that gives one profile once; 409 where none can be made here."""
        from opencarrier.app.enrolling import Enrolling

        def make(unit: Connection, who: Subscriber) -> LinkView | Refusal:
            if self.desk.missing(unit, who):
                raise HTTPException(409, "no profiles are made here")
            made = Enrolling(self.base).open(unit, who.party_id, ttl_s=LINK_TTL_S, uses=1)
            if isinstance(made, Refusal):
                return made
            return LinkView(url=made[0], expires_us=made[1].expires_us, uses=made[1].uses_left)

        done: LinkView | Refusal = await self.do(request, party, "device_link_made", make)
        return done

    async def lost(self, request: Request, party: str) -> LostView:
        """End the sessions and let nobody on with what there is; sign other browsers out too."""
        visitor = visitor_of(request)

        def end(unit: Connection, who: Subscriber) -> LostView:
            if who.party_id in visitor.at(Role.SUBSCRIBER):
                sessions = self.base.accounts.sessions
                for one in sessions.of(unit, visitor.account):
                    if one.session != visitor.session:
                        sessions.end(unit, visitor.account, one.session)
            return put_out(self.base, unit, who)

        done: LostView = await self.do(request, party, "lost_phone", end)
        return done

    async def export(self, request: Request, party: str) -> dict[str, Any]:
        """Return all that is held about a subscriber."""
        await self.do(request, party, "data_exported", lambda unit, who: None)
        found = await run_in_threadpool(lambda: Erasing(self.base).export(party))
        if isinstance(found, Refusal):
            raise HTTPException(404)
        return found

    async def erase(self, request: Request, party: str, *, waive: bool) -> Erased | Refusal:
        """Erase a subscriber; what was done is noted under ids that are nobody's then."""
        visitor = visitor_of(request)
        self.desk.read(request, party, lambda unit, who: None)
        beside = partial(
            self.base.accounts.audit.write, what="erased", who=visitor.account, about=party
        )
        return await run_in_threadpool(
            partial(
                Erasing(self.base).erase, party, cause=Cause.REQUEST, waive=waive, beside=beside
            )
        )

    def is_gone(self, visitor: Visitor) -> bool:
        """Say whether a visitor's own account went with what was erased."""
        found = self.desk.door.read(
            lambda unit: self.base.accounts.book.find(unit, visitor.account)
        )
        return visitor.is_signed_in and isinstance(found, Refusal)


def act_routes(app: FastAPI, acts: Acts) -> None:
    """Add what forms send."""
    _money_forms(app, acts)
    _device_forms(app, acts)
    _data_forms(app, acts)


def _money_forms(app: FastAPI, acts: Acts) -> None:
    @app.post("/subscriber/{party}/cap", include_in_schema=False)
    async def cap(request: Request, party: str) -> Response:
        form = await form_of(request)
        cap_minor = None if "lift" in form else minor_of(form.get("amount", ""))
        return _back(acts, request, party, await acts.cap(request, party, cap_minor))

    @app.post("/subscriber/{party}/refund", include_in_schema=False)
    async def refund(request: Request, party: str) -> Response:
        form = await form_of(request)
        amount_minor = minor_of(form.get("amount", ""))
        done = await acts.ask_back(request, party, amount_minor, form.get("once", ""))
        return _back(acts, request, party, done)


def _device_forms(app: FastAPI, acts: Acts) -> None:
    desk = acts.desk

    @app.post("/subscriber/{party}/connect", include_in_schema=False)
    async def connect(request: Request, party: str) -> Response:
        """Show a new link once, as a code to point a phone at."""
        from opencarrier.app.http_enrol import of_this_machine, platform_of, qr_code

        made = await acts.link(request, party)
        if isinstance(made, Refusal):
            return _told(
                acts, request, party, "connect", N_("Too many links are open: use one first.")
            )
        view = desk.devices(request, party)
        platform = platform_of(request.headers.get("user-agent", ""))
        return drawn(
            desk,
            request,
            party,
            "connect",
            view,
            link=made,
            qr=qr_code(made.url),
            near=of_this_machine(made.url),
            platform=platform,
        )

    @app.post("/subscriber/{party}/lost", include_in_schema=False)
    async def lost(request: Request, party: str) -> Response:
        form = await form_of(request)
        desk.read(request, party, lambda unit, who: None)
        if form.get("sure") != "yes":
            words = N_("Nothing was changed: tick the box to say that you are sure.")
            return _told(acts, request, party, "safety", words)
        done = await acts.lost(request, party)
        return drawn(desk, request, party, "safety", desk.devices(request, party), done=done)


def _data_forms(app: FastAPI, acts: Acts) -> None:
    desk = acts.desk

    @app.post("/subscriber/{party}/export", include_in_schema=False)
    async def export(request: Request, party: str) -> Response:
        found = await acts.export(request, party)
        name = {"Content-Disposition": f'attachment; filename="{party}.json"'}
        text = json.dumps(found, indent=1)
        return Response(text, media_type="application/json", headers={**NO_STORE, **name})

    @app.post("/subscriber/{party}/erase", include_in_schema=False)
    async def erase(request: Request, party: str) -> Response:
        form = await form_of(request)
        desk.read(request, party, lambda unit, who: None)
        if form.get("word", "").strip() != WORD:
            words = N_("Nothing was erased: type ERASE in capitals to say that you are sure.")
            return _told(acts, request, party, "safety", words)
        done = await acts.erase(request, party, waive=form.get("waive") == "yes")
        if isinstance(done, Refusal):
            return _told(acts, request, party, "safety", why(done, ERASURE_WORDS))
        return _gone(acts, request)


def _back(acts: Acts, request: Request, party: str, refusal: Refusal | None) -> Response:
    if refusal is None:
        return RedirectResponse(f"/subscriber/{party}/money", status_code=303)
    words = N_("Nothing was changed: there is not that much, or the amount is out of range.")
    return _told(acts, request, party, "money", words)


def _told(acts: Acts, request: Request, party: str, tab: str, says: str | Sentence) -> Response:
    """Say on a page of its own why nothing was changed."""
    back = f"/subscriber/{party}/{tab}"
    return acts.desk.shell.refused(request, says, back, section="subscriber")


def _gone(acts: Acts, request: Request) -> Response:
    """Say good-bye; whoever had nothing else here is signed out, for the account is gone."""
    visitor, origin = visitor_of(request), acts.desk.door.origins.of(request)
    is_gone = acts.is_gone(visitor)
    if is_gone:
        request.state.visitor = Visitor(locale=visitor.locale)
    answer = acts.desk.shell.page(
        request, "subscriber/gone.html", None, title="Erased", section="subscriber"
    )
    if is_gone and origin is not None:
        drop_session(answer, origin)
    return answer
