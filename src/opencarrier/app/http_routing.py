"""Adverts over HTTP: whoever signed one posts it, whoever looks for access reads them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from opencarrier.app.advertising import chosen, listed, take
from opencarrier.app.api import operation
from opencarrier.app.bootstrap import Installation
from opencarrier.app.forms import market as forms
from opencarrier.app.problems import problem
from opencarrier.kernel.ids import to_hex
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.routing.document import OCTETS_MAX, is_place
from opencarrier.spine.parties import PartyId


def add_routes(app: FastAPI, base: Installation) -> None:
    """Add the routes of adverts; a seller's signature is what entitles to post."""
    router = APIRouter(prefix="/v1/adverts")

    @router.post(
        "",
        **operation(
            "routing",
            "Post an advert",
            example=forms.TAKEN,
            model=forms.AdvertTaken,
            body=forms.ADVERT_BODY,
            status=201,
            refuses={409: "No seller of ours signed it, or a newer one is there."},
        ),
    )
    async def post(request: Request) -> Response:
        """Take an advert its seller signed."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > OCTETS_MAX:
                return problem(413, "too large", f"an advert has {OCTETS_MAX} octets at most")
        return await run_in_threadpool(_take, base, bytes(body))

    @router.get(
        "/{place}",
        **operation(
            "routing",
            "Adverts at a place",
            example=forms.ADVERTS,
            model=forms.AdvertsAnswer,
            refuses={404: "No place is called so."},
        ),
    )
    def at_place(place: str, home: str = "", plan: str = "") -> Response:
        """Return the adverts at a place; with a home and a plan, who may serve, best first."""
        if not is_place(place):
            return problem(404, "unknown place", "lower-case letters, digits, dots, dashes")
        found: list[Any] = listed(base, place)
        told: dict[str, Any] = {"place": place, "adverts": found}
        if home and plan:
            told["ranked"] = chosen(base, place, PartyId(home), plan)
        return JSONResponse(told)

    app.include_router(router)


def _take(base: Installation, body: bytes) -> Response:
    try:
        taken = take(base, body.decode())
    except UnicodeDecodeError:
        return problem(400, "advert", "not text")
    except PeerError as error:
        return problem(400, error.reason, error.detail)
    if isinstance(taken, Refusal):
        return problem(409, taken.code, taken.detail)
    return JSONResponse({"advert": to_hex(taken.advert.hash)}, status_code=201)
