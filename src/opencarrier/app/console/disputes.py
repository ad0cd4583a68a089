"""Pages and routes of an operator's disputes: a list, one with its evidence and steps, moves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Final

from fastapi import FastAPI, Path, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from opencarrier.app import disputing
from opencarrier.app.api import LIMIT, After, Body, Limit, Page, operation
from opencarrier.app.console.catalogue import N_
from opencarrier.app.console.operator import OperatorDesk, Party
from opencarrier.app.console.reading import form_of, json_of, minor_of
from opencarrier.app.console.refusals import why
from opencarrier.app.console.views.disputes import (
    DisputeRow,
    DisputeView,
    dispute_view,
    disputes_view,
)
from opencarrier.app.console.visitor import visitor_of
from opencarrier.app.console.whose import acts_at
from opencarrier.app.forms.operators import DISPUTE, DISPUTE_ROW, MOVE, MoveAsked
from opencarrier.app.problems import problem
from opencarrier.clearing.disputes.rules import MoveKind
from opencarrier.clearing.disputes.service import DisputeRefusal
from opencarrier.identity.accounts.model import Role
from opencarrier.kernel.ids import Id, from_hex
from opencarrier.kernel.money import INT64_MAX
from opencarrier.kernel.refusals import PeerError, Refusal

Exchange = Annotated[
    str, Path(pattern=r"^0x[0-9a-f]{64}$", description="The exchange's id, 0x and 64 digits.")
]
Usage = Annotated[
    str, Path(pattern=r"^0x[0-9a-f]{64}$", description="The usage's id, 0x and 64 digits.")
]
KINDS: Final = {kind.name.lower(): kind for kind in MoveKind}
REFUSED: Final[Mapping[str, str]] = {
    "short_of_collateral": N_("The free deposit does not cover what has to be held for this."),
    "agreed_since": N_("A later statement agrees on this use: there is nothing left to dispute."),
    "wrong_stage": N_("The dispute has gone on meanwhile: look at it again."),
    "too_much": N_("This is more than what is disputed."),
    "too_many_moves": N_("There were more steps in this dispute than there may be."),
    "not_yours_to_move": N_("This step is the other side's."),
}


def dispute_routes(app: FastAPI, desk: OperatorDesk) -> None:
    """Add the pages, the same as JSON, and the moves."""
    _reading(app, desk)
    _moving(app, desk)


def _reading(app: FastAPI, desk: OperatorDesk) -> None:
    def listed(request: Request, party: str, cursor: str, limit: int) -> Page[DisputeRow]:
        found = desk.of(request, party)
        return desk.read(
            lambda unit: disputes_view(desk.base, unit, found, cursor=cursor, limit=limit)
        )

    @app.get("/operator/{party}/disputes", include_in_schema=False)
    def pages(request: Request, party: Party, cursor: After = "") -> Response:
        found = listed(request, party, cursor, LIMIT)
        return desk.page(request, "disputes", found, "Disputes", operator=desk.of(request, party))

    @app.get("/operator/{party}/disputes/{exchange}/{usage}", include_in_schema=False)
    def page(request: Request, party: Party, exchange: Exchange, usage: Usage) -> Response:
        return desk.page(request, "dispute", _one(desk, request, party, exchange, usage), "Dispute")

    @app.get(
        "/v1/operators/{party}/disputes",
        **operation(
            "operators", "Disputes of an operator", example=Page(items=[DISPUTE_ROW], next=None)
        ),
    )
    def disputes(
        request: Request, party: Party, cursor: After = "", limit: Limit = LIMIT
    ) -> Page[DisputeRow]:
        """List the disputes that were opened with an operator, by id."""
        return listed(request, party, cursor, limit)

    @app.get(
        "/v1/operators/{party}/disputes/{exchange}/{usage}",
        **operation("operators", "One dispute of an operator", example=DISPUTE),
    )
    def told(request: Request, party: Party, exchange: Exchange, usage: Usage) -> DisputeView:
        """Say where a dispute stands: what each side has, who did what, until when it waits.

        A difference that nobody disputed yet is `unopened`. Amounts are minor units.
        """
        return _one(desk, request, party, exchange, usage)


def _moving(app: FastAPI, desk: OperatorDesk) -> None:
    @app.post("/operator/{party}/disputes/{exchange}/{usage}", include_in_schema=False)
    async def page(request: Request, party: Party, exchange: Exchange, usage: Usage) -> Response:
        form = await form_of(request)
        amount = minor_of(form.get("amount", "").strip() or "0")
        asked = (form.get("kind", ""), amount, form.get("digest", "").strip())
        done = await run_in_threadpool(_made, desk, request, (party, exchange, usage), asked)
        back = f"/operator/{party}/disputes/{exchange}/{usage}"
        if isinstance(done, Refusal):
            return desk.shell.refused(request, why(done, REFUSED), back, section="operator")
        return RedirectResponse(back, status_code=303)

    @app.post(
        "/v1/operators/{party}/disputes/{exchange}/{usage}/moves",
        **operation(
            "operators",
            "Make a move in a dispute",
            example=DISPUTE,
            model=DisputeView,
            body=Body(form=MoveAsked, example=MOVE),
            refuses={409: "The move is not the visitor's to make, or not now."},
        ),
    )
    async def moved(request: Request, party: Party, exchange: Exchange, usage: Usage) -> Response:
        """Open, answer, agree or name evidence as an operator; the other side is told by itself.

        The same move again is the same. `amount_minor` goes with `agree`, `digest` (SHA-256 of a
        document) with `evidence`.
        """
        told = await json_of(request)
        amount = told.get("amount_minor", 0)
        if type(amount) is not int or not 0 <= amount <= INT64_MAX:
            raise HTTPException(422, "amount_minor is a whole number from 0 on")
        asked = (str(told.get("kind", "")), amount, str(told.get("digest", "")))
        done = await run_in_threadpool(_made, desk, request, (party, exchange, usage), asked)
        if isinstance(done, Refusal):
            return problem(409, done.code, done.detail)
        view = await run_in_threadpool(_one, desk, request, party, exchange, usage)
        return JSONResponse(jsonable_encoder(view))


def _one(
    desk: OperatorDesk, request: Request, party: str, exchange: str, usage: str
) -> DisputeView:
    found = desk.of(request, party)
    acts = acts_at(visitor_of(request), Role.OPERATOR, found.party_id)
    place = Id(from_hex(exchange)), Id(from_hex(usage))
    view = desk.read(lambda unit: dispute_view(desk.base, unit, found, place, acts=acts))
    if view is None:
        raise HTTPException(404)
    return view


def _made(
    desk: OperatorDesk, request: Request, place: tuple[str, str, str], asked: tuple[str, int, str]
) -> Refusal | None:
    """Make our side's move, noted with who made it; it is delivered with the next round."""
    party, exchange, usage = place
    desk.of(request, party, acts=True)
    view = _one(desk, request, party, exchange, usage)
    kind, digest = KINDS.get(asked[0]), _digest(asked[2])
    if kind is None or bool(digest) is not (kind is MoveKind.EVIDENCE):
        raise HTTPException(422, "a move is open, accept, contest, agree, or evidence and a digest")
    amount_minor = asked[1] if kind is MoveKind.AGREE else 0
    if asked[0] not in view.may:
        return Refusal(DisputeRefusal.WRONG_STAGE, view.stage)
    ids, visitor = (Id(from_hex(exchange)), Id(from_hex(usage))), visitor_of(request)
    beside = partial(
        desk.base.accounts.audit.write,
        what="dispute_moved",
        who=visitor.account,
        about=f"{view.dispute} {asked[0]}",
        came_from=visitor.came_from,
    )
    try:
        made = disputing.make(
            desk.base, *ids, kind, amount_minor=amount_minor, digest=digest, beside=beside
        )
    except PeerError as error:
        raise HTTPException(409, str(error)) from None
    return made if isinstance(made, Refusal) else None


def _digest(text: str) -> bytes:
    if not text:
        return b""
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", text):
        raise HTTPException(422, "evidence is named by its SHA-256, 64 hex digits")
    return bytes.fromhex(text.removeprefix("0x"))
