"""The other installation's door: a signed message in, ours out; the signature is what entitles."""

from __future__ import annotations

from asyncio import Semaphore

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from opencarrier.app import disputing
from opencarrier.app.api import operation
from opencarrier.app.bootstrap import Installation
from opencarrier.app.exchanging import MEDIA, PATH, exchanges
from opencarrier.app.forms.market import SEALED
from opencarrier.app.problems import problem
from opencarrier.clearing.exchange.wire import OCTETS_MAX
from opencarrier.kernel.refusals import PeerError, Refusal

WAITING_MAX = 8
"""Messages that may wait for the database at once."""


def exchange_routes(app: FastAPI, base: Installation) -> None:
    """Add the routes of exchanges and disputes to an app."""
    places = Semaphore(WAITING_MAX)

    @app.post(
        PATH,
        response_class=Response,
        **operation(
            "exchange",
            "Swap signed messages",
            example=SEALED.example,
            model=SEALED.form,
            media=MEDIA,
            body=SEALED,
            refuses={
                404: "No exchange of ours is called so.",
                503: "As many messages wait as there may be.",
            },
        ),
    )
    async def exchange(request: Request) -> Response:
        """Take a message of a peer and answer with ours."""
        body = await _body(request)
        if body is None:
            return problem(413, "too large", f"a message has {OCTETS_MAX} octets at most")
        if places.locked():
            return problem(503, "busy", "come again")
        async with places:
            return await run_in_threadpool(_answer, base, body)

    @app.post(
        disputing.PATH,
        **operation(
            "exchange",
            "Move in a dispute",
            example=None,
            body=SEALED,
            status=204,
            refuses={
                409: "The move does not fit where the dispute stands.",
                503: "As many moves wait as there may be.",
            },
        ),
    )
    async def dispute(request: Request) -> Response:
        """Take a peer's move in a dispute."""
        body = await _body(request)
        if body is None:
            return problem(413, "too large", f"a move has {OCTETS_MAX} octets at most")
        if places.locked():
            return problem(503, "busy", "come again")
        async with places:
            return await run_in_threadpool(_take, base, body)


def _take(base: Installation, octets: bytes) -> Response:
    try:
        refusal = disputing.take(base, octets)
    except PeerError as error:
        return problem(400, error.reason, error.detail)
    if refusal is not None:
        return problem(409, refusal.code, refusal.detail)
    return Response(status_code=204)


def _answer(base: Installation, octets: bytes) -> Response:
    try:
        with base.store.write() as unit:
            reply = exchanges(base).answer(unit, octets)
    except PeerError as error:
        return problem(400, error.reason, error.detail)
    if isinstance(reply, Refusal):
        return problem(404, reply.code, reply.detail)
    return Response(reply, media_type=MEDIA)


async def _body(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > OCTETS_MAX:
            return None
    return bytes(body)
