"""What an owner sees of all subscribers: a list by name, refunds that wait, and settling one."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from opencarrier.app import refunding
from opencarrier.app.api import LIMIT, After, Body, Limit, Page, operation
from opencarrier.app.console.catalogue import N_
from opencarrier.app.console.reading import asked, form_of, minor_of
from opencarrier.app.console.refusals import why
from opencarrier.app.console.subscriber import SubscriberDesk
from opencarrier.app.console.views.subscribers import (
    REFUND,
    REFUNDS,
    REFUNDS_EXAMPLE,
    SUBSCRIBERS,
    SUBSCRIBERS_EXAMPLE,
    RefundAsked,
    RefundLine,
    RefundView,
    SubscriberLine,
    refund_lines,
    subscriber_lines,
    waiting_minor,
)
from opencarrier.app.console.visitor import visitor_of
from opencarrier.app.problems import problem
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.sentences import Sentence
from opencarrier.spine.parties import PartyId

TAG: Final = "subscribers"
REFERENCE_CHARACTERS_MAX: Final = 64
Named = Annotated[str, Query(max_length=64, description="Names from here on, or that begin so.")]
Of = Annotated[str, Query(max_length=80, description="The subscriber's id.")]

NOT_SETTLED: Final = {
    "not_approved": N_("It waits until enough people have approved it."),
    "bad_amount": N_("An amount is more than nothing."),
    "exceeds_credits": N_("That is more than was asked back."),
}


class RefundDesk:
    """What an owner does about refunds."""

    def __init__(self, desk: SubscriberDesk) -> None:
        self.desk = desk
        self.base = desk.base
        self.asset = desk.place.manifest.asset

    def settle(self, request: Request, wish: RefundAsked, party: str) -> int | Refusal:
        """Book that a refund was paid out or is kept; return what still waits, minor units."""
        visitor = visitor_of(request)
        with self.base.store.write() as unit:
            who = self.desk.mine(unit, visitor, party)
            refusal = refunding.settle(
                self.base,
                unit,
                self.asset,
                who,
                wish.amount_minor,
                is_kept=wish.kept,
                reference=wish.reference,
                by=visitor.account,
            )
            self.base.accounts.audit.write(
                unit,
                "refund_kept" if wish.kept else "refund_paid",
                who=visitor.account,
                about=party,
                outcome="done" if refusal is None else refusal.code,
                came_from=visitor.came_from,
            )
            return refusal or waiting_minor(unit, self.asset, who.party_id)

    def view(self, request: Request, party: str) -> RefundView:
        """Return what a subscriber asked back."""
        visitor = visitor_of(request)
        with self.base.store.read() as unit:
            who = self.desk.mine(unit, visitor, party)
            found = self.base.identity.directory.party(unit, PartyId(party))
            assert found is not None, "a subscriber is a party"
            waits = waiting_minor(unit, self.asset, who.party_id)
        people = self.base.settings.approval_people
        return RefundView(
            party=party, name=found.name, asset=self.asset, asked_back_minor=waits, people=people
        )

    def subscribers(self, named: str, cursor: str, limit: int) -> Page[SubscriberLine]:
        """Return subscribers, ascending by name."""
        key = SUBSCRIBERS.read(cursor)
        with self.base.store.read() as unit:
            rows = subscriber_lines(
                self.base, unit, self.asset, named=named, key=key, limit=limit + 1
            )
        return SUBSCRIBERS.page(rows, limit, lambda row: (row.name,))

    def refunds(self, cursor: str, limit: int) -> Page[RefundLine]:
        """Return what was asked back and neither paid nor kept."""
        key = REFUNDS.read(cursor)
        with self.base.store.read() as unit:
            rows, last = refund_lines(self.base, unit, self.asset, key=key, limit=limit)
        return Page(items=rows, next=None if last is None else REFUNDS.write((last,)))


def subscribers_routes(app: FastAPI, desk: RefundDesk) -> None:
    """Add the lists, the form of a refund, and the same as JSON."""
    _pages(app, desk)
    _refund(app, desk)
    _api(app, desk)


def _pages(app: FastAPI, desk: RefundDesk) -> None:
    @app.get("/subscribers", include_in_schema=False)
    def subscribers(request: Request, named: Named = "", cursor: After = "") -> Response:
        view = desk.subscribers(named, cursor, LIMIT)
        return desk.desk.shell.page(
            request,
            "subscriber/list.html",
            view,
            title="Subscribers",
            section="subscriber",
            named=named,
            cursor=cursor,
        )

    @app.get("/subscribers/refunds", include_in_schema=False)
    def refunds(request: Request, cursor: After = "") -> Response:
        view = desk.refunds(cursor, LIMIT)
        return desk.desk.shell.page(
            request,
            "subscriber/refunds.html",
            view,
            title="Refunds",
            section="subscriber",
            cursor=cursor,
        )


def _refund(app: FastAPI, desk: RefundDesk) -> None:
    @app.get("/subscribers/refund", include_in_schema=False)
    def form(request: Request, party: Of = "") -> Response:
        return _drawn(desk, request, party)

    @app.post("/subscribers/refund", include_in_schema=False)
    async def settle(request: Request) -> Response:
        told = await form_of(request)
        party = told.get("party", "")[:80]
        wish = RefundAsked(
            amount_minor=minor_of(told.get("amount", "")),
            reference=_reference(told.get("reference", "")),
            kept=told.get("kept") == "yes",
        )
        if "sure" not in told:
            return await run_in_threadpool(lambda: _drawn(desk, request, party, wish=wish))
        done = await run_in_threadpool(desk.settle, request, wish, party)
        refused = isinstance(done, Refusal)
        says = why(done, NOT_SETTLED) if isinstance(done, Refusal) else None
        return await run_in_threadpool(
            lambda: _drawn(desk, request, party, done=None if refused else wish, refused=says)
        )


def _drawn(
    desk: RefundDesk,
    request: Request,
    party: str,
    *,
    wish: RefundAsked | None = None,
    done: RefundAsked | None = None,
    refused: Sentence | None = None,
) -> Response:
    return desk.desk.shell.page(
        request,
        "subscriber/refund.html",
        desk.view(request, party),
        title="Refund",
        section="subscriber",
        wish=wish,
        done=done,
        refused=refused,
    )


def _api(app: FastAPI, desk: RefundDesk) -> None:
    @app.get(
        "/v1/subscribers",
        **operation(TAG, "All subscribers", example=SUBSCRIBERS_EXAMPLE),
    )
    def subscribers(
        request: Request, named: Named = "", cursor: After = "", limit: Limit = LIMIT
    ) -> Page[SubscriberLine]:
        """List subscribers, ascending by name, with what each asked back, in minor units."""
        return desk.subscribers(named, cursor, limit)

    @app.get("/v1/refunds", **operation(TAG, "Refunds that wait", example=REFUNDS_EXAMPLE))
    def refunds(request: Request, cursor: After = "", limit: Limit = LIMIT) -> Page[RefundLine]:
        """List what was asked back and neither paid out nor kept, by id, in minor units.

        A page looks through 1,000 accounts at most: it may have fewer items and go on.
        """
        return desk.refunds(cursor, limit)

    @app.post(
        "/v1/subscribers/{party}/refunds/settle",
        **operation(
            TAG,
            "Settle a refund",
            example=REFUND,
            refuses={409: "Why nothing was booked, or who has to approve it."},
            model=RefundView,
            body=Body(form=RefundAsked, example=RefundAsked(amount_minor=1, reference="bank-17")),
        ),
    )
    async def settle(request: Request, party: str) -> Any:
        """Book that a refund was paid out, or is kept to be used again; the same reference once."""
        wish = await asked(request, RefundAsked)
        _reference(wish.reference)
        done = await run_in_threadpool(desk.settle, request, wish, party)
        if isinstance(done, Refusal):
            return problem(409, done.code, done.detail or str(why(done, NOT_SETTLED)))
        return await run_in_threadpool(desk.view, request, party)


def _reference(text: str) -> str:
    if not 0 < len(text) <= REFERENCE_CHARACTERS_MAX:
        raise HTTPException(422, "a reference has 1 to 64 characters")
    return text
