"""Requests over HTTP as spans, by OpenTelemetry's conventions for servers.

A span is named by the route's template: never a path, a query, an address or a header of who asks.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from opencarrier.spine.spans import Asked, Kind, Root, Spans, Within

METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)
OTHER_METHOD: Final = "_OTHER"
PARENT_CHARACTERS_MAX: Final = 512
_PARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class HttpSpans:
    """Around the app: each request that is recorded is a span until its answer is sent."""

    def __init__(self, app: ASGIApp, spans: Spans) -> None:
        self._app = app
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note its route and status afterwards."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
        span = self._spans.begin(Root.HTTP, method, Kind.SERVER, asked_of(scope))
        if span is None:
            await self._app(scope, receive, send)
            return

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                span.note("http.response.status_code", message["status"])
                if message["status"] >= 500:
                    span.fail(str(message["status"]))
            await send(message)

        span.note("http.request.method", method)
        with Within(span):
            try:
                await self._app(scope, receive, noted)
            finally:
                route = getattr(scope.get("route"), "path", None)
                if route is not None:
                    span.note("http.route", route)
                    span.rename(f"{method} {route}")


def asked_of(scope: Scope) -> Asked | None:
    """Return the trace that a request says it belongs to; None where it says none, or not rightly.

    Later versions of the header are read as its first one is (W3C Trace Context section 3.2.4).
    """
    found = [value for name, value in scope["headers"] if name == b"traceparent"]
    if len(found) != 1 or len(found[0]) > PARENT_CHARACTERS_MAX:
        return None
    match = _PARENT.fullmatch(found[0])
    if match is None or match[1] == b"ff" or (match[1] == b"00" and match[5] is not None):
        return None
    trace_id, span_id = int(match[2], 16), int(match[3], 16)
    if not trace_id or not span_id:
        return None
    return Asked(trace_id, span_id, bool(int(match[4], 16) & 1))
