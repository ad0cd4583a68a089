"""Nchf_ConvergedCharging over HTTP (3GPP TS 32.291 clause 6.1), for consumers with our token."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from opencarrier.access.cui import chargeable_user_identity
from opencarrier.app.api import operation
from opencarrier.app.bootstrap import Installation
from opencarrier.app.forms import charging as forms
from opencarrier.app.problems import problem
from opencarrier.charging.model import Answer, ChargingReason, ChargingRequest, ChargingSettings
from opencarrier.charging.service import ChargingService, Ports
from opencarrier.charging.wire import BODY_OCTETS_MAX, read_request
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.refusals import PeerError, Refusal

TAG: Final = "Nchf_ConvergedCharging"
BASE: Final = "/nchf-convergedcharging/v3"

_PROBLEMS: Final = {
    ChargingReason.UNKNOWN_SESSION: (404, "CONTEXT_NOT_FOUND"),
    ChargingReason.OUT_OF_SEQUENCE: (400, "CHARGING_FAILED"),
    ChargingReason.NOT_GRANTED: (400, "CHARGING_FAILED"),
    ChargingReason.BEYOND_RANGE: (400, "CHARGING_FAILED"),
    ChargingReason.UNKNOWN_CONSUMER: (403, "CHARGING_NOT_APPLICABLE"),
    ChargingReason.UNKNOWN_USER: (404, "USER_UNKNOWN"),
    ChargingReason.NOT_PREPAID: (403, "CHARGING_NOT_APPLICABLE"),
    ChargingReason.OUT_OF_MONEY: (403, "QUOTA_LIMIT_REACHED"),
    ChargingReason.DENIED: (403, "END_USER_REQUEST_DENIED"),
}
"""Causes of TS 32.291 table 6.1.7.3-1, and TS 29.500's for a session that is not there."""

Act = Callable[[ChargingRequest], Answer | Refusal]


def charging_service(
    base: Installation, settings: ChargingSettings | None = None
) -> ChargingService:
    """Make the charging of an installation."""
    key = base.access_keys().cui_key
    ports = Ports(
        directory=base.identity.directory,
        policy=base.rating,
        credit=base.rating,
        sink=base.usage,
        entropy=base.entropy,
        pseudonym=partial(chargeable_user_identity, key),
    )
    return ChargingService(ports, settings)


def add_routes(app: FastAPI, base: Installation, allowed: Callable[[str], bool]) -> None:
    """Add the three operations; `allowed` judges the Authorization header."""
    app.include_router(_Desk(base, allowed).router())


class _Desk:
    """Takes requests apart, does each in one transaction, and says what came of it."""

    def __init__(self, base: Installation, allowed: Callable[[str], bool]) -> None:
        self._base = base
        self._allowed = allowed
        self._service = charging_service(base)

    def router(self) -> APIRouter:
        """Return the routes of the resource `chargingdata`."""
        router = APIRouter(prefix=BASE)
        created, updated, released = _declared()
        router.add_api_route("/chargingdata", self.create, methods=["POST"], **created)
        path = "/chargingdata/{reference}"
        router.add_api_route(f"{path}/update", self.update, methods=["POST"], **updated)
        router.add_api_route(f"{path}/release", self.release, methods=["POST"], **released)
        return router

    async def create(self, request: Request) -> Response:
        """Open a charging session and grant its first quotas."""
        answer = await self._do(request, self._create)
        if isinstance(answer, Response):
            return answer
        location = f"{request.base_url}{BASE[1:]}/chargingdata/{answer.reference}"
        return _told(answer, 201, {"Location": location})

    async def update(self, reference: str, request: Request) -> Response:
        """Take what was used and grant what is asked for next."""
        answer = await self._do(request, partial(self._update, reference))
        return answer if isinstance(answer, Response) else _told(answer, 200, {})

    async def release(self, reference: str, request: Request) -> Response:
        """Take the last of what was used and end the session."""
        answer = await self._do(request, partial(self._release, reference))
        return answer if isinstance(answer, Response) else Response(status_code=204)

    def _create(self, asked: ChargingRequest) -> Answer | Refusal:
        with self._base.store.write() as unit:
            return self._service.create(unit, asked, at_us=self._base.clock.now_us())

    def _update(self, reference: str, asked: ChargingRequest) -> Answer | Refusal:
        with self._base.store.write() as unit:
            at_us = self._base.clock.now_us()
            return self._service.update(unit, reference, asked, at_us=at_us)

    def _release(self, reference: str, asked: ChargingRequest) -> Answer | Refusal:
        with self._base.store.write() as unit:
            at_us = self._base.clock.now_us()
            return self._service.release(unit, reference, asked, at_us=at_us)

    async def _do(self, request: Request, act: Act) -> Answer | Response:
        if not self._allowed(request.headers.get("authorization", "")):
            return _problem(401, "UNAUTHORIZED", "a token of this installation is needed")
        body = await _body(request)
        if body is None:
            return _problem(413, "PAYLOAD_TOO_LARGE", f"over {BODY_OCTETS_MAX} octets")
        try:
            asked = read_request(body)
        except PeerError as error:
            return _problem(400, error.reason.upper(), error.detail)
        answer = await run_in_threadpool(act, asked)
        crashpoint("charging.committed")
        if isinstance(answer, Refusal):
            reason = answer.reason
            assert isinstance(reason, ChargingReason)
            return _problem(*_PROBLEMS[reason], str(answer))
        return answer


def _declared() -> Iterator[dict[str, Any]]:
    """Declare create, update and release."""
    whys = {
        401: "No token of this installation was shown.",
        403: "Charging does not apply: no consumer of ours, not prepaid, or out of money.",
        404: "No user or no charging session is called so.",
    }
    operations = (
        ("Open a charging session", 201, forms.GRANTED),
        ("Report use and ask for more", 200, forms.GRANTED),
        ("End a charging session", 204, None),
    )
    for summary, status, example in operations:
        yield operation(
            TAG,
            summary,
            example=example,
            model=None if example is None else forms.RESPONSE,
            body=forms.BODY,
            status=status,
            refuses=whys,
        )


async def _body(request: Request) -> bytes | None:
    """Read a body, None once it is longer than any request of ours."""
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > BODY_OCTETS_MAX:
            return None
    return bytes(found)


def _told(answer: Answer, status: int, headers: dict[str, str]) -> Response:
    return JSONResponse(json.loads(answer.body), status_code=status, headers=headers)


def _problem(status: int, cause: str, detail: str) -> JSONResponse:
    """Answer with ProblemDetails (TS 29.571 clause 5.2.4.1)."""
    return problem(status, cause.lower().replace("_", " "), detail, cause=cause)
