"""Pages of webhooks: where one's machines hear what happens, and how each delivery stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from opencarrier.app.api import LIMIT, After
from opencarrier.app.console.catalogue import N_
from opencarrier.app.console.reading import form_of
from opencarrier.app.console.refusals import why
from opencarrier.app.console.shell import Shell
from opencarrier.app.console.views.webhooks import SAYS, EndpointMade, WebhookView
from opencarrier.app.console.visitor import visitor_of
from opencarrier.app.hooking import WebhookDesk
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Refusal
from opencarrier.webhooks.model import KEPT_S, URL_CHARACTERS_MAX, HookReason, Obstacle

PATH: Final = "/webhooks"
KIND: Final = "hear-"
"""What a form's field of a kind begins with."""

STATES: Final = {
    "waiting": ("wait", N_("waiting")),
    "delivered": ("good", N_("delivered")),
    "parked": ("act", N_("given up")),
}
"""How a delivery's state is coloured and called."""

REASONS: Final[Mapping[str, str]] = {
    Obstacle.ADDRESS: N_("The name leads to an address that may not be reached from here."),
    Obstacle.NAME: N_("There is no server of this name."),
    Obstacle.UNREACHED: N_("The server does not accept the connection."),
    Obstacle.NO_ANSWER: N_("No answer came within ten seconds."),
    Obstacle.EXPIRED: N_("The server’s certificate has expired, or is not valid yet."),
    Obstacle.OTHER_NAME: N_("The server’s certificate is for another name."),
    Obstacle.UNTRUSTED: N_("The server’s certificate is from nobody who is trusted here."),
    Obstacle.TLS: N_("The server does not speak TLS as it should."),
    Obstacle.NOT_HTTP: N_("What came back is not an HTTP answer."),
    Obstacle.CROWDED: N_("Too many messages wait here already: send it again later."),
    Obstacle.REDIRECTED: N_("It answered that it is elsewhere now; redirects are not followed."),
    Obstacle.GONE: N_("It answered that it wants nothing more."),
    Obstacle.REFUSED: N_("It answered that it did not take it."),
}
"""What was in the way, in a sentence."""

REFUSED: Final[Mapping[HookReason, str]] = {
    HookReason.INVALID_URL: N_("This is no address of a server: begin with https:// and a name."),
    HookReason.NOT_HTTPS: N_("Messages go over TLS only: begin with https://."),
    HookReason.UNKNOWN_KIND: N_("One of these events is not for this party."),
    HookReason.UNKNOWN_MESSAGE: N_("There is no such message any more."),
    HookReason.TOO_MANY: N_("There are as many as there may be; remove one first."),
}
BACK_S: Final = {
    "hour": (3_600, N_("the last hour")),
    "day": (86_400, N_("the last day")),
    "week": (7 * 86_400, N_("the last week")),
    "all": (KEPT_S, N_("the last 30 days")),
}
"""Since when everything can be sent again."""


def webhook_pages(app: FastAPI, shell: Shell, desk: WebhookDesk) -> None:
    """Add the pages and what their forms send."""
    pages = WebhookPages(shell, desk)
    _reading(app, pages)
    _changing(app, pages)
    _sending(app, pages)


class WebhookPages:
    """Draws the list, one endpoint, and why something was not done."""

    def __init__(self, shell: Shell, desk: WebhookDesk) -> None:
        self._shell = shell
        self.desk = desk

    def listed(
        self, request: Request, *, cursor: str = "", made: EndpointMade | None = None
    ) -> Response:
        """Draw the list; with a secret that is shown this once."""
        view = self.desk.view(visitor_of(request), cursor, LIMIT)
        return self._page(
            request,
            "webhooks/page.html",
            view,
            cursor=cursor,
            made=made,
            standing=self.desk.standing(visitor_of(request)),
            url_max=URL_CHARACTERS_MAX,
            field=KIND,
        )

    def one(self, request: Request, endpoint: str, *, cursor: str = "") -> Response:
        """Draw one endpoint with its deliveries."""
        view = self.view(request, endpoint, cursor)
        return self._page(request, "webhooks/endpoint.html", view, cursor=cursor)

    def now(self, request: Request, endpoint: str, cursor: str) -> Response:
        """Draw how its deliveries stand."""
        view = self.view(request, endpoint, cursor)
        return self._shell.fragment(
            request, "webhooks/now.html", view, cursor=cursor, **self._words()
        )

    def view(self, request: Request, endpoint: str, cursor: str) -> WebhookView:
        """Return an endpoint of the visitor's; 404 for others'."""
        found = self.desk.deliveries(visitor_of(request), endpoint, cursor, LIMIT)
        if isinstance(found, Refusal):
            raise HTTPException(404)
        return found

    def back(self, request: Request, done: object, path: str) -> Response:
        """Go back to a page, or say on one of its own why nothing was changed."""
        if not isinstance(done, Refusal):
            return RedirectResponse(path, status_code=303)
        if done.reason is HookReason.UNKNOWN_ENDPOINT:
            raise HTTPException(404)
        return self._shell.refused(request, why(done, REFUSED), path, section="webhooks")

    def _page(self, request: Request, template: str, view: object, **more: Any) -> Response:
        return self._shell.page(
            request, template, view, title="Webhooks", section="webhooks", **self._words(), **more
        )

    def _words(self) -> dict[str, Any]:
        return {"states": STATES, "reasons": REASONS, "says": SAYS, "back_s": BACK_S}


def _reading(app: FastAPI, pages: WebhookPages) -> None:
    @app.get(PATH, include_in_schema=False)
    def listed(request: Request, cursor: After = "") -> Response:
        return pages.listed(request, cursor=cursor)

    @app.get(PATH + "/{endpoint}", include_in_schema=False)
    def one(request: Request, endpoint: str, cursor: After = "") -> Response:
        return pages.one(request, endpoint, cursor=cursor)

    @app.get(PATH + "/{endpoint}/now", include_in_schema=False)
    def now(request: Request, endpoint: str, cursor: After = "") -> Response:
        return pages.now(request, endpoint, cursor)


def _changing(app: FastAPI, pages: WebhookPages) -> None:
    desk = pages.desk

    @app.post(PATH, include_in_schema=False)
    async def add(request: Request) -> Response:
        form, visitor = await form_of(request), visitor_of(request)
        kinds = [name.removeprefix(KIND) for name in form if name.startswith(KIND)]
        asked = (form.get("party", ""), form.get("url", "").strip(), kinds)
        made = await run_in_threadpool(desk.add, visitor, *asked)
        return _shown(pages, request, made)

    @app.post(PATH + "/{endpoint}/rotate", include_in_schema=False)
    def rotate(request: Request, endpoint: str) -> Response:
        return _shown(pages, request, desk.rotate(visitor_of(request), endpoint))

    @app.post(PATH + "/{endpoint}/pause", include_in_schema=False)
    def pause(request: Request, endpoint: str) -> Response:
        done = desk.pause(visitor_of(request), endpoint)
        return pages.back(request, done, f"{PATH}/{endpoint}")

    @app.post(PATH + "/{endpoint}/resume", include_in_schema=False)
    def resume(request: Request, endpoint: str) -> Response:
        done = desk.resume(visitor_of(request), endpoint)
        return pages.back(request, done, f"{PATH}/{endpoint}")

    @app.post(PATH + "/{endpoint}/remove", include_in_schema=False)
    def remove(request: Request, endpoint: str) -> Response:
        return pages.back(request, desk.remove(visitor_of(request), endpoint), PATH)


def _sending(app: FastAPI, pages: WebhookPages) -> None:
    desk = pages.desk

    @app.post(PATH + "/{endpoint}/ping", include_in_schema=False)
    def ping(request: Request, endpoint: str) -> Response:
        done = desk.ping(visitor_of(request), endpoint)
        return pages.back(request, done, f"{PATH}/{endpoint}")

    @app.post(PATH + "/{endpoint}/replay", include_in_schema=False)
    async def replay(request: Request, endpoint: str) -> Response:
        form, visitor = await form_of(request), visitor_of(request)
        message, back = form.get("message", ""), form.get("back", "")
        if not message and back not in BACK_S:
            raise HTTPException(422, "say a message, or since when")
        now_us = desk.base.clock.now_us()
        since_us = None if message else max(0, now_us - BACK_S[back][0] * SECOND_US)
        done = await run_in_threadpool(
            lambda: desk.replay(visitor, endpoint, message=message, since_us=since_us)
        )
        return pages.back(request, done, f"{PATH}/{endpoint}")


def _shown(pages: WebhookPages, request: Request, made: EndpointMade | Refusal) -> Response:
    """Show a secret once, on the page of the list."""
    if isinstance(made, Refusal):
        return pages.back(request, made, PATH)
    return pages.listed(request, made=made)
