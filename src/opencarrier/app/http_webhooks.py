"""Webhooks over HTTP: endpoints of one's own party, their secrets, deliveries, replays."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final, TypeVar

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from opencarrier.app.api import INT64_MAX, LIMIT, After, Body, Limit, Page, operation
from opencarrier.app.console.reading import asked
from opencarrier.app.console.views.webhooks import (
    SAYS,
    DeliveryLine,
    EndpointLine,
    EndpointMade,
    EventLine,
    events_for,
)
from opencarrier.app.console.visitor import visitor_of
from opencarrier.app.hooking import WebhookDesk
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.notices import NoticeKind
from opencarrier.webhooks.model import (
    ENDPOINTS_MAX,
    EVENTS,
    OWN_ENDPOINTS_MAX,
    URL_CHARACTERS_MAX,
    HookReason,
)

T = TypeVar("T")

PATH: Final = "/v1/webhooks"

_LINE: Final = EndpointLine(
    endpoint="hook_0b7a2f5e4f5b4a539f8e6f6f4a3f7f10",
    party="op_41cd4c6b2aeb3dc800e9f7dfa2a1e9d8",
    name="Lumen Mobile",
    url="https://books.example/opencarrier",
    kinds=("cycle.settled",),
    made_us=1_767_603_600_000_000,
    former_secret_until_us=0,
    off="",
    failures=0,
    rests_until_us=0,
)
_NEW: Final = {"party": _LINE.party, "url": _LINE.url, "kinds": ["cycle.settled"]}
_MADE: Final = EndpointMade(endpoint=_LINE, secret="whsec_" + "A" * 43 + "=")
_DELIVERY: Final = DeliveryLine(
    number=7,
    message="msg_" + "5f" * 32,
    kind="cycle.settled",
    at_us=1_767_603_600_000_000,
    state="delivered",
    attempts=1,
    next_us=1_767_603_600_000_000,
    tried_us=1_767_603_601_000_000,
    status=204,
    reason="",
    answer="",
)
_EVENT: Final = EventLine(
    kind="cycle.settled",
    says=SAYS[NoticeKind.CYCLE_SETTLED],
    heard_by=("host", "installation", "operator"),
)
_ABSENT: Final = {404: "There is no such endpoint of yours."}


class NewEndpoint(BaseModel):
    """Where to hear of what: `party` empty for the whole installation, no kinds for all."""

    model_config = ConfigDict(extra="forbid")

    party: Annotated[str, Field(max_length=48)] = ""
    url: Annotated[str, Field(min_length=1, max_length=URL_CHARACTERS_MAX)]
    kinds: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=len(EVENTS))] = []


class Again(BaseModel):
    """What to send once more: one message, or all that happened since an instant."""

    model_config = ConfigDict(extra="forbid")

    message: Annotated[str, Field(max_length=68)] = ""
    since_us: Annotated[int, Field(ge=0, le=INT64_MAX)] | None = None


class Replayed(BaseModel):
    """How many messages are sent once more."""

    messages: int


def webhook_routes(app: FastAPI, desk: WebhookDesk) -> None:
    """Add the API of webhooks."""
    _endpoints(app, desk)
    _one(app, desk)
    _deliveries(app, desk)


def _endpoints(app: FastAPI, desk: WebhookDesk) -> None:
    page = Page(items=(_LINE,), next=None)

    @app.get(PATH, **operation("webhooks", "Endpoints of webhooks", example=page))
    def listed(request: Request, cursor: After = "", limit: Limit = LIMIT) -> Page[EndpointLine]:
        """List where one's machines hear what happens: an owner sees everybody's."""
        return desk.endpoints(visitor_of(request), cursor, limit)

    @app.get(PATH + "/events", **operation("webhooks", "What can be heard", example=[_EVENT]))
    def events(request: Request) -> tuple[EventLine, ...]:
        """List the kinds of messages that one's machines can hear, and what each tells."""
        return events_for(visitor_of(request))

    @app.post(
        PATH,
        **operation(
            "webhooks",
            "Register an endpoint",
            example=_MADE,
            status=201,
            refuses={
                404: "There is no such party of yours.",
                409: f"A party has {ENDPOINTS_MAX} endpoints at most, a subscriber "
                f"{OWN_ENDPOINTS_MAX}.",
            },
            body=Body(form=NewEndpoint, example=_NEW),
        ),
    )
    async def add(request: Request) -> EndpointMade:
        """Register an endpoint for a party; its secret is told this once."""
        new, visitor = await asked(request, NewEndpoint), visitor_of(request)
        return taken(await run_in_threadpool(desk.add, visitor, new.party, new.url, new.kinds))


def _one(app: FastAPI, desk: WebhookDesk) -> None:
    @app.get(
        PATH + "/{endpoint}",
        **operation("webhooks", "One endpoint", example=_LINE, refuses=_ABSENT),
    )
    def told(request: Request, endpoint: str) -> EndpointLine:
        """Say of what an endpoint hears, and how it stands."""
        return taken(desk.endpoint(visitor_of(request), endpoint))

    @app.post(
        PATH + "/{endpoint}/rotate",
        **operation("webhooks", "Give it a fresh secret", example=_MADE, refuses=_ABSENT),
    )
    def rotate(request: Request, endpoint: str) -> EndpointMade:
        """Give an endpoint a fresh secret; the former one signs beside it for 24 hours."""
        return taken(desk.rotate(visitor_of(request), endpoint))

    @app.post(
        PATH + "/{endpoint}/resume",
        **operation("webhooks", "Send to it again", example=_LINE, refuses=_ABSENT),
    )
    def resume(request: Request, endpoint: str) -> EndpointLine:
        """Send to an endpoint again that failed or said it was gone."""
        return taken(desk.resume(visitor_of(request), endpoint))

    @app.post(
        PATH + "/{endpoint}/pause",
        **operation("webhooks", "Send nothing to it", example=_LINE, refuses=_ABSENT),
    )
    def pause(request: Request, endpoint: str) -> EndpointLine:
        """Send nothing to an endpoint, and keep nothing for it, until it is resumed."""
        return taken(desk.pause(visitor_of(request), endpoint))

    @app.post(
        PATH + "/{endpoint}/remove",
        **operation("webhooks", "Forget it", example=None, status=204, refuses=_ABSENT),
    )
    def remove(request: Request, endpoint: str) -> None:
        """Forget an endpoint, its secrets and what was sent there."""
        taken(desk.remove(visitor_of(request), endpoint))


def _deliveries(app: FastAPI, desk: WebhookDesk) -> None:
    page = Page(items=(_DELIVERY,), next=None)

    @app.get(
        PATH + "/{endpoint}/deliveries",
        **operation("webhooks", "What was sent to it", example=page, refuses=_ABSENT),
    )
    def deliveries(
        request: Request, endpoint: str, cursor: After = "", limit: Limit = LIMIT
    ) -> Page[DeliveryLine]:
        """List what was sent to an endpoint and what it answered, newest first."""
        return taken(desk.deliveries(visitor_of(request), endpoint, cursor, limit)).deliveries

    @app.post(
        PATH + "/{endpoint}/ping",
        **operation("webhooks", "Try it", example=_DELIVERY, status=202, refuses=_ABSENT),
    )
    def ping(request: Request, endpoint: str) -> DeliveryLine:
        """Send a `ping` to an endpoint, to see whether it hears."""
        return taken(desk.ping(visitor_of(request), endpoint))

    @app.post(
        PATH + "/{endpoint}/replay",
        **operation(
            "webhooks",
            "Send again what was sent",
            example=Replayed(messages=3),
            status=202,
            refuses={404: "There is no such endpoint or message of yours."},
            body=Body(form=Again, example={"since_us": 1_767_603_600_000_000}),
        ),
    )
    async def replay(request: Request, endpoint: str) -> Replayed:
        """Send one message, or all since an instant (up to 10,000), once more, under its id."""
        again, visitor = await asked(request, Again), visitor_of(request)
        if bool(again.message) == (again.since_us is not None):
            raise HTTPException(422, "say either a message or since_us")
        work = partial(desk.replay, message=again.message, since_us=again.since_us)
        return Replayed(messages=taken(await run_in_threadpool(work, visitor, endpoint)))


_STATUS: Final = {
    HookReason.UNKNOWN_ENDPOINT: 404,
    HookReason.UNKNOWN_MESSAGE: 404,
    HookReason.TOO_MANY: 409,
}


def taken(outcome: T | Refusal) -> T:
    """Return what was done; else end the request with why it was not: `HTTPException`."""
    if not isinstance(outcome, Refusal):
        return outcome
    assert isinstance(outcome.reason, HookReason)
    status = _STATUS.get(outcome.reason, 422)
    if status == 404:
        raise HTTPException(404)
    raise HTTPException(status, str(outcome))
