"""Sponsored actions over HTTP: whoever holds signed calls submits them; the hub pays the gas.

The signature in a call is what entitles, so no token is asked. `POST /v1/relay` takes
`{"calls": [{"to": "0x...", "data": "0x..."}]}` and an `Idempotency-Key`, and answers 202 with the
action's id; `GET /v1/relay/{id}` says where it stands.
"""

from __future__ import annotations

import json
from asyncio import Semaphore
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from opencarrier.app.api import Body, operation
from opencarrier.app.bootstrap import Onchain
from opencarrier.app.errands import Errands
from opencarrier.app.forms import settling
from opencarrier.app.problems import problem
from opencarrier.chain.codec import read_address, read_data
from opencarrier.chain.errors import ChainError
from opencarrier.chain.model import Call
from opencarrier.chain.relay_rules import Relay
from opencarrier.chain.sponsored import DATA_OCTETS_MAX, STEPS_MAX, RelayRefusal
from opencarrier.kernel.ids import from_hex, to_hex
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.receipts.form import check_nesting

BODY_OCTETS_MAX = 2 * STEPS_MAX * DATA_OCTETS_MAX + 4_096
WAITING_MAX = 8
"""Submissions that may wait for the chain at once."""

_STATUS = {
    RelayRefusal.MALFORMED: 400,
    RelayRefusal.QUEUE_FULL: 503,
    RelayRefusal.ABOVE_PAYER_CAP: 429,
}
REFUSED_STATUS = 422


def add_routes(app: FastAPI, place: Onchain) -> None:
    """Add the relayer's routes to an app."""
    places = Semaphore(WAITING_MAX)

    @app.post(
        "/v1/relay",
        **operation(
            "relay",
            "Submit signed calls",
            example=settling.RELAYED,
            model=settling.RelayAnswer,
            body=Body(form=settling.RelayRequest, example=settling.RELAY_REQUEST),
            status=202,
            refuses={
                415: "The body is no application/json.",
                422: "No such calls are sponsored: `type` says why.",
                429: "This payer had its share of the day.",
                503: "The chain does not answer, or as many wait as there may be.",
            },
        ),
    )
    async def submit(request: Request, idempotency_key: Annotated[str, Header()] = "") -> Response:
        """Submit signed calls to be sent at the hub's expense."""
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != "application/json":
            return problem(415, "another media type", "a request is application/json")
        body = await _body(request)
        if body is None:
            return problem(413, "too large", f"a request has {BODY_OCTETS_MAX} octets at most")
        try:
            calls = read_calls(body)
        except PeerError as error:
            return problem(400, error.reason, error.detail)
        if places.locked():
            return problem(503, "busy", "come again")
        async with places:
            return await run_in_threadpool(_submit, place, calls, idempotency_key)

    @app.get(
        "/v1/relay/{relay_id}",
        **operation(
            "relay",
            "Where a sponsored action stands",
            example=settling.RELAYED,
            model=settling.RelayAnswer,
            refuses={404: "No action is called so.", 422: "That is no action's id."},
        ),
    )
    def find(relay_id: str) -> Response:
        """Say where a sponsored action stands."""
        try:
            identifier = from_hex(relay_id)
        except ValueError as error:
            return problem(422, "not an action's id", str(error))
        with place.base.store.read() as unit:
            found = place.relayer.find(unit, identifier)
        if found is None:
            return problem(404, "not found", relay_id)
        return JSONResponse(told(found))


def read_calls(body: bytes) -> list[Call]:
    """Read the body of a submission; `PeerError` says which part is wrong."""
    try:
        text = body.decode()
        check_nesting(text)
        asked: Any = json.loads(text)
    except ValueError as error:
        raise PeerError("not_json", str(error)[:200]) from None
    if not isinstance(asked, dict) or set(asked) != {"calls"} or type(asked["calls"]) is not list:
        raise PeerError("form", "a submission is an object with `calls`, an array")
    if len(asked["calls"]) > STEPS_MAX:
        raise PeerError("form", f"an action has 1 to {STEPS_MAX} calls")
    return [_call(call) for call in asked["calls"]]


def told(relay: Relay) -> dict[str, Any]:
    """Put an action in JSON's terms."""
    return {
        "relay_id": to_hex(relay.relay_id),
        "payer": relay.action.payer,
        "state": relay.state.value,
        "step": relay.position + 1,
        "steps": len(relay.action.steps),
        "reason": relay.reason,
    }


def _call(value: Any) -> Call:
    if not isinstance(value, dict) or set(value) != {"to", "data"}:
        raise PeerError("form", "a call is an object with `to` and `data`")
    try:
        return Call(to=read_address(value["to"]), data=read_data(value["data"]))
    except ValueError as error:
        raise PeerError("form", str(error)[:200]) from None


def _submit(place: Onchain, calls: list[Call], key: str) -> Response:
    try:
        taken = Errands(place).relay(calls, key=key)
    except ChainError as error:
        return problem(503, "the chain does not answer", str(error))
    if isinstance(taken, Refusal):
        assert isinstance(taken.reason, RelayRefusal)
        status = _STATUS.get(taken.reason, REFUSED_STATUS)
        return problem(status, taken.code, taken.detail or taken.code)
    location = {"Location": f"/v1/relay/{to_hex(taken.relay_id)}"}
    return JSONResponse(told(taken), status_code=202, headers=location)


async def _body(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_OCTETS_MAX:
            return None
    return bytes(body)
