"""Idempotency-Key for every POST of the API (draft-ietf-httpapi-idempotency-key-header-07).

A key belongs to who asks and to the route. The same request gets the answer it got, marked
`Idempotency-Replayed`; another request under its key 422; one that still runs, or of which only the
outcome is unknown, 409. A dependency claims the key once the guard let the request through, and a
layer around the app keeps what was answered before it is sent.

A page's form carries its key in a field, drawn anew for each page. Pressed twice it is done once:
the second press waits for the first one's answer. Other content is another request, whatever its
key, so who goes back and corrects a field is not turned away; nor is a refusal kept. The same for
another target is nothing that a page of ours sends: 422.
"""

from __future__ import annotations

import re
from asyncio import sleep
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opencarrier.app.answers import Answer, Answers, Asking, KeyReason
from opencarrier.app.console.errors import LostError
from opencarrier.app.console.guard import TurnedAwayError
from opencarrier.app.console.reading import body_of, form_of
from opencarrier.app.console.visitor import visitor_of
from opencarrier.app.problems import problem
from opencarrier.app.store import beside
from opencarrier.kernel.crash import crashpoint
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import Refusal

PREFIX: Final = "/v1/"
KEY_MAX: Final = 255
BODY_OCTETS_MAX: Final = 1 << 20
"""Above the limit of any route's own."""

REPLAYED: Final = "Idempotency-Replayed"
KEPT_HEADERS: Final = ("content-type", "location", "cache-control", "link", "payment-response")
"""The others are made anew for every answer."""

PROOFS: Final = ("authorization", "payment-signature")
"""By what somebody is known whom the guard does not know."""

COME_AGAIN: Final = frozenset({402, 408, 425, 429, 503})
"""Answers that ask for the same request once more: under the same key, too."""

FORM: Final = "application/x-www-form-urlencoded"
FIELD: Final = "once"
"""Where a page's form has its key."""

LOOK_S: Final = 0.1
LOOKS_MAX: Final = 300
"""How often a second press looks whether the first has its answer."""

WAITING_MAX: Final = 64
WAITING_EACH_MAX: Final = 4
"""Second presses that wait at a time, of all and of each who asks; further ones come again."""

_STATUS: Final = {KeyReason.KEY_OF_ANOTHER: 422, KeyReason.TOO_MANY_KEYS: 429}
_WORDS: Final = {
    KeyReason.KEY_OF_ANOTHER: "this key was used for a request that said something else",
    KeyReason.STILL_RUNNING: "the same request is running: ask again for its answer",
    KeyReason.OUTCOME_UNKNOWN: (
        "the process ended while it did this: something was done, and the answer is lost; "
        "look what stands, and take another key if it is still wanted"
    ),
    KeyReason.ANSWER_NOT_KEPT: "this was done; its answer was too long to be kept",
    KeyReason.TOO_MANY_KEYS: "use fewer keys, or come again tomorrow",
}
_RETRY = {KeyReason.STILL_RUNNING: {"Retry-After": "1"}}


class Once:
    """The dependency: claims the key of a request, or answers what is known of it.

    `repeatable` says of which routes the same content is the same thing, `needed` which may not be
    asked without a key; both by method and path.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        repeatable: Callable[[str], bool],
        needed: Callable[[str], bool],
    ) -> None:
        self.answers = answers
        self._repeatable = repeatable
        self._needed = needed
        self._waiting: Counter[str] = Counter()

    async def __call__(self, request: Request) -> None:
        """Let a request through that is to be done, or end it with the answer that it has."""
        route = f"{request.method} {request.scope['route'].path}"
        if _is_form(request.scope):
            await self._press(request, route)
        if not _concerns(request.scope):
            return
        text = request.headers.get("idempotency-key")
        if text is None and not self._needed(route):
            return
        key = read_key(text or "")
        if key is None:
            detail = f"Idempotency-Key has 1 to {KEY_MAX} characters"
            raise TurnedAwayError(problem(400, "no key", detail))
        passage: Passage = request.scope["state"][_PASSAGE]
        body = await passage.whole_body()
        if body is None:
            detail = f"a body under a key has {BODY_OCTETS_MAX} octets at most"
            raise TurnedAwayError(problem(413, "too large", detail))
        asking = _asking(request, route, key, body, repeatable=self._repeatable(route))
        known = await run_in_threadpool(self.answers.begin, asking)
        if known is not None:
            raise TurnedAwayError(_told(known))
        passage.asking = asking
        crashpoint("once.begun")

    async def _press(self, request: Request, route: str) -> None:
        """Claim the key of a signed-in visitor's form, or wait for what its first press gets."""
        key = read_key((await form_of(request)).get(FIELD, "")) if _session(request) else None
        if key is None:
            return
        body = await body_of(request)
        key = f"{key} {sha256(body).hexdigest()}"
        asking = _asking(request, route, key, body, repeatable=False)
        known = await run_in_threadpool(self.answers.begin, asking)
        if _runs(known) and self._has_room(asking.who):
            known = await self._waited(asking)
        if known is not None:
            raise _pressed(known)
        request.scope["state"][_PASSAGE].asking = asking
        crashpoint("once.begun")

    async def _waited(self, asking: Asking) -> Answer | Refusal | None:
        """Return what becomes of a press that runs, as far as it comes in time."""
        self._waiting[asking.who] += 1
        try:
            for _ in range(LOOKS_MAX):
                await sleep(LOOK_S)
                known = await run_in_threadpool(self.answers.begin, asking)
                if not _runs(known):
                    break
            return known
        finally:
            self._waiting -= Counter({asking.who: 1})  # one that has none left is forgotten

    def _has_room(self, who: str) -> bool:
        waiting = self._waiting
        return waiting.total() < WAITING_MAX and waiting[who] < WAITING_EACH_MAX


def once_for(app: FastAPI, once: Once) -> None:
    """Put the layer around an app whose routes depend on `once`."""
    app.add_middleware(Layer, answers=once.answers)


class Layer:
    """Around the app: what a claimed request is answered is kept before it is sent."""

    def __init__(self, app: ASGIApp, answers: Answers) -> None:
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; one without a key passes as it is."""
        has_key = _concerns(scope) and "idempotency-key" in Headers(scope=scope)
        if not has_key and not _is_form(scope):
            await self._app(scope, receive, send)
            return
        passage = Passage(self._answers, receive, send, keeps_refusals=has_key)
        scope.setdefault("state", {})[_PASSAGE] = passage
        noting = beside.set(passage.commit_beside)
        try:
            await self._app(scope, passage.receive, passage.send)
        finally:
            beside.reset(noting)
            await passage.end()


class Passage:
    """One request on its way in, and its answer on the way out."""

    def __init__(
        self, answers: Answers, receive: Receive, send: Send, *, keeps_refusals: bool
    ) -> None:
        self.asking: Asking | None = None
        self._keeps_refusals = keeps_refusals
        self._answers = answers
        self._receive = receive
        self._send = send
        self._came: list[Message] = []
        self._given = 0
        self._octets = 0
        self._held: list[Message] = []

    async def receive(self) -> Message:
        """Give what came already, then what comes."""
        if self._given == len(self._came):
            message = await self._receive()
            if self._octets > BODY_OCTETS_MAX or message["type"] != "http.request":
                return message
            self._took(message)
        self._given += 1
        return self._came[self._given - 1]

    async def whole_body(self) -> bytes | None:
        """Return the body, which can still be read as if nobody had; None where it is too long."""
        while not self._came or self._came[-1].get("more_body", False):
            message = await self._receive()
            if message["type"] != "http.request":
                return None
            self._took(message)
            if self._octets > BODY_OCTETS_MAX:
                return None
        return b"".join(message.get("body", b"") for message in self._came)

    def _took(self, message: Message) -> None:
        self._came.append(message)
        self._octets += len(message.get("body", b""))

    async def send(self, message: Message) -> None:
        """Hold the answer of a claimed request until it is kept."""
        if self.asking is None:
            await self._send(message)
            return
        self._held.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            asking, self.asking = self.asking, None
            crashpoint("once.done")
            await run_in_threadpool(self._settle, asking)
            crashpoint("once.kept")
            for held in self._held:
                await self._send(held)

    async def end(self) -> None:
        """Where no answer came, say that none will."""
        if self.asking is not None:
            await run_in_threadpool(self._answers.end, self.asking)

    def commit_beside(self, unit: Any) -> None:
        """Note in a unit that the request committed something."""
        if self.asking is not None and not self.asking.repeatable:
            self._answers.commit_beside(unit, self.asking)

    def _settle(self, asking: Asking) -> None:
        start = self._held[0]
        status: int = start["status"]
        headers = Headers(raw=start["headers"])
        is_refused = 400 <= status < 500 and not self._keeps_refusals
        if status in COME_AGAIN or is_refused:
            self._answers.end(asking, undone=True)
        elif status >= 500 or (asking.repeatable and status >= 300):
            self._answers.end(asking)
        else:
            kept = tuple((name, headers[name]) for name in KEPT_HEADERS if name in headers)
            body = b"".join(held.get("body", b"") for held in self._held[1:])
            self._answers.keep(asking, Answer(status=status, headers=kept, body=body))


_PASSAGE = "idempotency"
_STRING = re.compile(r'"((?:[^"\\]|\\["\\])*)"')


def read_key(text: str) -> str | None:
    """Return the key in a header: a string of RFC 9651, or as most write it, without quotes."""
    quoted = _STRING.fullmatch(text)
    if quoted is not None:
        text = re.sub(r"\\(.)", r"\1", quoted[1])
    return text if 0 < len(text) <= KEY_MAX and text.isascii() and text.isprintable() else None


def _concerns(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "POST":
        return False
    path: str = scope["path"]
    return path.startswith(PREFIX)


def _is_form(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "POST" or scope["path"].startswith(PREFIX):
        return False
    return Headers(scope=scope).get("content-type", "").startswith(FORM)


def _session(request: Request) -> str:
    return visitor_of(request).session


def _runs(known: Answer | Refusal | None) -> bool:
    return isinstance(known, Refusal) and known.reason is KeyReason.STILL_RUNNING


def _pressed(known: Answer | Refusal) -> Exception:
    """Return what ends a second press: the first one's answer, or what is known of it."""
    if isinstance(known, Answer):
        return TurnedAwayError(_told(known))
    if known.reason in (KeyReason.OUTCOME_UNKNOWN, KeyReason.ANSWER_NOT_KEPT):
        return LostError()
    if known.reason is KeyReason.KEY_OF_ANOTHER:
        return HTTPException(422, known.code)
    return HTTPException(503 if _runs(known) else 429, known.code, {"Retry-After": "1"})


def _asking(request: Request, route: str, key: str, body: bytes, *, repeatable: bool) -> Asking:
    who = _who(request)
    said = derive("asked/said", request.url.path, request.url.query, sha256(body).digest())
    return Asking(
        holder=_holder(request, who) if not repeatable else "whoever proves it by what it sends",
        who=who,
        route=route,
        key=key,
        fingerprint=said,
        repeatable=repeatable,
        about=_about(request),
    )


def _about(request: Request) -> str:
    """Say which subscriber a request names, if any: what is answered may be that one's data."""
    named = (str(value) for value in request.path_params.values())
    return next((name for name in named if name.startswith("sub_")), "")


def _who(request: Request) -> str:
    """Say who asks: an account, the installation, or whoever shows the same proof again."""
    visitor = visitor_of(request)
    if visitor.is_signed_in:
        return visitor.account
    if visitor.is_owner:
        return "the installation"
    shown = [request.headers.get(name, "") for name in PROOFS]
    return derive("asked/proof", *shown).hex()


def _holder(request: Request, who: str) -> str:
    """Say whose keys are counted together: a stranger's are those of where it comes from."""
    visitor = visitor_of(request)
    known = visitor.is_signed_in or visitor.is_owner
    return who if known else f"a stranger from {visitor.came_from}"


def _told(known: Answer | Refusal) -> Response:
    if isinstance(known, Answer):
        headers = {**dict(known.headers), REPLAYED: "true"}
        return Response(known.body, status_code=known.status, headers=headers)
    reason = known.reason
    assert isinstance(reason, KeyReason)
    status = _STATUS.get(reason, 409)
    return problem(status, known.code, _WORDS[reason], _RETRY.get(reason))
