"""A receipt, and the page that checks it in the browser alone."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from opencarrier.app.api import operation
from opencarrier.app.bootstrap import Onchain
from opencarrier.app.console.security import policy
from opencarrier.app.console.shell import Shell
from opencarrier.app.console.views.receipt import Checking, Receipts, checking
from opencarrier.app.console.visitor import visitor_of
from opencarrier.app.forms.settling import RECEIPT, RECEIPT_SCHEMA
from opencarrier.app.problems import problem
from opencarrier.identity.accounts.model import Role
from opencarrier.kernel.ids import Id, from_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.receipts.issue import AUDIENCES

STEPS = (
    "chain",
    "code",
    "form",
    "usage",
    "rating",
    "stake",
    "signature",
    "settlement",
    "record",
    "finality",
    "choice",
)
"""What is checked, in the order in which it is; the names are those of `opencarrier verify`."""

RECEIPTS_MAX = 1_000
"""Files that a page checks at once."""

Audience = Annotated[str, Query(max_length=16)]


def receipt_routes(app: FastAPI, shell: Shell, place: Onchain) -> None:
    """Add the page, for a receipt of ours or a file at hand, and the file itself."""
    receipts, tools = Receipts(place), checking(place)
    _pages(app, shell, place, receipts, tools)

    @app.get(
        "/v1/receipts/{usage_id}",
        **operation(
            "settlement",
            "A usage's receipt",
            example=RECEIPT,
            model=RECEIPT_SCHEMA,
            refuses={
                409: "The usage is not settled yet.",
                422: "No usage is called so, or no audience.",
            },
        ),
    )
    def receipt(request: Request, usage_id: str, audience: Audience = "host") -> Response:
        """Write a settled usage's receipt with what its holder may see of it."""
        if audience not in AUDIENCES:
            return problem(422, "unknown audience", audience)
        try:
            identifier = from_hex(usage_id)
        except ValueError as error:
            return problem(422, "not a usage id", str(error))
        with place.base.store.read() as unit:
            text = receipts.text(unit, visitor_of(request), identifier, audience)
        if text is None:
            raise HTTPException(404)
        if isinstance(text, Refusal):
            return problem(409, text.code, text.detail)
        return Response(text, media_type="application/json")


def _pages(app: FastAPI, shell: Shell, place: Onchain, receipts: Receipts, tools: Checking) -> None:
    headers = {"Content-Security-Policy": policy(tools.asks)}

    @app.get("/receipt", include_in_schema=False)
    def empty(request: Request) -> Response:
        page = _page(request, shell, tools, None)
        page.headers.update(headers)
        return page

    @app.get("/receipt/{usage_id}", include_in_schema=False)
    def page(request: Request, usage_id: str) -> Response:
        with place.base.store.read() as unit:
            view = receipts.view(unit, visitor_of(request), _id(usage_id))
        if view is None:
            raise HTTPException(404)
        found = _page(request, shell, tools, view, usage_id=usage_id)
        found.headers.update(headers)
        return found


def _page(
    request: Request, shell: Shell, tools: Checking, view: object, usage_id: str = ""
) -> Response:
    waits = view if isinstance(view, Refusal) else None
    found = "subscriber" if visitor_of(request).has(Role.SUBSCRIBER) else "trace"
    return shell.page(
        request,
        "receipt/page.html",
        None if waits else view,
        title="Receipt",
        section=found if usage_id else "receipt",
        tools=tools,
        waits=waits,
        usage_id=usage_id,
        steps=STEPS,
        receipts_max=RECEIPTS_MAX,
    )


def _id(text: str) -> Id:
    try:
        return from_hex(text)
    except ValueError:
        raise HTTPException(404) from None
