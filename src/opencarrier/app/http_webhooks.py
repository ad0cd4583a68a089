"""Webhooks over HTTP: endpoints of one's own party, their secrets, deliveries, replays."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Final, TypeVar

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from opencarrier.app.api import INT64_MAX, LIMIT, After, Body, Cursor, Limit, Page, operation
from opencarrier.app.bootstrap import Installation
from opencarrier.app.console.reading import asked
from opencarrier.app.console.views.webhooks import (
    ROLES,
    DeliveryLine,
    EndpointLine,
    EndpointMade,
    delivery_line,
    endpoint_line,
    parties_of,
)
from opencarrier.app.console.visitor import Visitor, visitor_of
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import PartyId
from opencarrier.webhooks.model import (
    ENDPOINTS_MAX,
    INSTALLATION,
    KINDS,
    URL_CHARACTERS_MAX,
    Endpoint,
    HookReason,
)
from opencarrier.webhooks.service import Shown

T = TypeVar("T")

PATH: Final = "/v1/webhooks"
ENDPOINTS: Final = Cursor("webhooks", (str, int, str))
DELIVERIES: Final = Cursor("webhook deliveries", (int,))

_LINE: Final = EndpointLine(
    endpoint="hook_0b7a2f5e4f5b4a539f8e6f6f4a3f7f10",
    party="op_41cd4c6b2aeb3dc800e9f7dfa2a1e9d8",
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
    answer="",
)
_ABSENT: Final = {404: "There is no such endpoint of yours."}


class NewEndpoint(BaseModel):
    """Where to hear of what: `party` empty for the whole installation, no kinds for all."""

    model_config = ConfigDict(extra="forbid")

    party: Annotated[str, Field(max_length=48)] = ""
    url: Annotated[str, Field(min_length=1, max_length=URL_CHARACTERS_MAX)]
    kinds: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=len(KINDS))] = []


class Again(BaseModel):
    """What to send once more: one message, or all that happened since an instant."""

    model_config = ConfigDict(extra="forbid")

    message: Annotated[str, Field(max_length=68)] = ""
    since_us: Annotated[int, Field(ge=0, le=INT64_MAX)] | None = None


class Replayed(BaseModel):
    """How many messages are sent once more."""

    messages: int


class WebhookDesk:
    """What API and pages do, each in a unit of its own, with its line in the log."""

    def __init__(self, base: Installation) -> None:
        self.base = base
        self._hooks = base.webhooks

    def add(self, visitor: Visitor, party: str, url: str, kinds: list[str]) -> Shown | Refusal:
        """Register an endpoint for a party of the visitor's."""
        owner = PartyId(party)
        may = visitor.is_owner if owner == INSTALLATION else owner in visitor.at(*ROLES)
        if not may:
            return Refusal(HookReason.UNKNOWN_ENDPOINT)
        plain = bool(self.base.settings.webhook_networks)
        with self.base.store.write() as unit:
            made = self._hooks.add(unit, owner, url, kinds, plain=plain)
            if not isinstance(made, Refusal):
                self._note(unit, visitor, "webhook_added", made.endpoint)
        return made

    def endpoints(self, visitor: Visitor) -> list[Endpoint]:
        """Return the endpoints that a visitor sees."""
        with self.base.store.read() as unit:
            return list(self._hooks.endpoints(unit, parties_of(visitor)))

    def change(
        self, visitor: Visitor, name: str, what: str, act: Callable[[Connection, Endpoint], T]
    ) -> T | Refusal:
        """Do something with an endpoint of the visitor's; others' are unknown."""
        with self.base.store.write() as unit:
            found = self._hooks.find(unit, name, parties_of(visitor))
            if isinstance(found, Refusal):
                return found
            done = act(unit, found)
            if not isinstance(done, Refusal):
                self._note(unit, visitor, what, found)
            return done

    def deliveries(
        self, visitor: Visitor, name: str, before: int | None, limit: int
    ) -> tuple[Endpoint, list[DeliveryLine]] | Refusal:
        """Return an endpoint of the visitor's, and its deliveries, newest first."""
        with self.base.store.read() as unit:
            found = self._hooks.find(unit, name, parties_of(visitor))
            if isinstance(found, Refusal):
                return found
            rows = self._hooks.deliveries(unit, found, before=before, limit=limit)
            return found, [delivery_line(row) for row in rows]

    def rotate(self, visitor: Visitor, name: str) -> Shown | Refusal:
        """Give an endpoint a fresh secret."""
        return self.change(visitor, name, "webhook_rotated", self._hooks.rotate)

    def resume(self, visitor: Visitor, name: str) -> Endpoint | Refusal:
        """Send to an endpoint again."""
        return self.change(visitor, name, "webhook_resumed", self._hooks.resume)

    def remove(self, visitor: Visitor, name: str) -> Refusal | None:
        """Forget an endpoint."""
        return self.change(visitor, name, "webhook_removed", self._hooks.remove)

    def ping(self, visitor: Visitor, name: str) -> DeliveryLine | Refusal:
        """Send something to an endpoint, to see whether it hears."""

        def sent(unit: Connection, found: Endpoint) -> DeliveryLine:
            self._hooks.ping(unit, found)
            (newest,) = self._hooks.deliveries(unit, found, before=None, limit=1)
            return delivery_line(newest)

        return self.change(visitor, name, "webhook_pinged", sent)

    def replay(
        self, visitor: Visitor, name: str, *, message: str, since_us: int | None
    ) -> int | Refusal:
        """Send one message, or all since an instant, once more; return how many."""

        def again(unit: Connection, found: Endpoint) -> int | Refusal:
            if message:
                one = self._hooks.replay(unit, found, message)
                return one if isinstance(one, Refusal) else 1
            return self._hooks.replay_since(unit, found, since_us or 0)

        return self.change(visitor, name, "webhook_replayed", again)

    def _note(self, unit: Connection, visitor: Visitor, what: str, about: Endpoint) -> None:
        self.base.accounts.audit.write(
            unit,
            what,
            who=visitor.account,
            about=about.endpoint,
            came_from=visitor.came_from,
        )


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
        after = ENDPOINTS.read(cursor)
        rows = [endpoint_line(one) for one in desk.endpoints(visitor_of(request))]
        rest = [one for one in rows if after is None or _key(one) > after]
        return ENDPOINTS.page(rest[: limit + 1], limit, _key)

    @app.post(
        PATH,
        **operation(
            "webhooks",
            "Register an endpoint",
            example=_MADE,
            status=201,
            refuses={
                404: "There is no such party of yours.",
                409: f"A party has {ENDPOINTS_MAX} endpoints at most.",
            },
            body=Body(form=NewEndpoint, example=_NEW),
        ),
    )
    async def add(request: Request) -> EndpointMade:
        """Register an endpoint for a party; its secret is told this once."""
        new, visitor = await asked(request, NewEndpoint), visitor_of(request)
        return _shown(await run_in_threadpool(desk.add, visitor, new.party, new.url, new.kinds))


def _one(app: FastAPI, desk: WebhookDesk) -> None:
    @app.post(
        PATH + "/{endpoint}/rotate",
        **operation("webhooks", "Give it a fresh secret", example=_MADE, refuses=_ABSENT),
    )
    def rotate(request: Request, endpoint: str) -> EndpointMade:
        """Give an endpoint a fresh secret; the former one signs beside it for 24 hours."""
        return _shown(desk.rotate(visitor_of(request), endpoint))

    @app.post(
        PATH + "/{endpoint}/resume",
        **operation("webhooks", "Send to it again", example=_LINE, refuses=_ABSENT),
    )
    def resume(request: Request, endpoint: str) -> EndpointLine:
        """Send to an endpoint again that failed or said it was gone."""
        return endpoint_line(_taken(desk.resume(visitor_of(request), endpoint)))

    @app.post(
        PATH + "/{endpoint}/remove",
        **operation("webhooks", "Forget it", example=None, status=204, refuses=_ABSENT),
    )
    def remove(request: Request, endpoint: str) -> None:
        """Forget an endpoint, its secrets and what was sent there."""
        _taken(desk.remove(visitor_of(request), endpoint))


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
        before = DELIVERIES.read(cursor)
        start = None if before is None else int(before[0])
        found = desk.deliveries(visitor_of(request), endpoint, start, limit + 1)
        _, rows = _taken(found)
        return DELIVERIES.page(rows, limit, lambda one: (one.number,))

    @app.post(
        PATH + "/{endpoint}/ping",
        **operation("webhooks", "Try it", example=_DELIVERY, status=202, refuses=_ABSENT),
    )
    def ping(request: Request, endpoint: str) -> DeliveryLine:
        """Send a `ping` to an endpoint, to see whether it hears."""
        return _taken(desk.ping(visitor_of(request), endpoint))

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
        return Replayed(messages=_taken(await run_in_threadpool(work, visitor, endpoint)))


def _shown(made: Shown | Refusal) -> EndpointMade:
    shown = _taken(made)
    return EndpointMade(endpoint=endpoint_line(shown.endpoint), secret=shown.secret)


_STATUS: Final = {
    HookReason.UNKNOWN_ENDPOINT: 404,
    HookReason.UNKNOWN_MESSAGE: 404,
    HookReason.TOO_MANY: 409,
}


def _taken(outcome: T | Refusal) -> T:
    """Return what was done; else end the request with why it was not."""
    if not isinstance(outcome, Refusal):
        return outcome
    assert isinstance(outcome.reason, HookReason)
    status = _STATUS.get(outcome.reason, 422)
    if status == 404:
        raise HTTPException(404)
    raise HTTPException(status, str(outcome))


def _key(line: EndpointLine) -> tuple[str, int, str]:
    return line.party, line.made_us, line.endpoint
