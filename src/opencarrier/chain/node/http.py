"""JSON-RPC over HTTP for the embedded node: loopback, no keys; for wallets, `cast` and our page.

A page of another origin may not reach it unless its origin is named: requests carry
`application/json` (which makes a browser ask first, and only named origins are told yes), another
`Origin` is refused, and the `Host` must be one of ours, so that a name rebound to 127.0.0.1 gets
nothing. A page of this very host and port may. Sources: Fetch Standard (CORS).
"""

from __future__ import annotations

import json
from asyncio import Semaphore
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from opencarrier.chain.provider import SEND_RAW, Node

BODY_OCTETS_MAX = 1 << 20
BATCH_MAX = 100
BATCH_COSTLY_MAX = 20
"""Requests in one batch that may compute or search for long."""

COSTLY = frozenset(
    {"eth_call", "eth_estimateGas", "eth_sendRawTransaction", "eth_getLogs", "eth_feeHistory"}
)
WAITING_MAX = 16
"""Requests that may wait for the node at once; one more is told to come again."""

BRACKETS_MAX = 4_096
"""Opening brackets in a body: bounds how deep JSON can nest before it is parsed."""

PREFLIGHT_S = 600
"""How long a browser may remember that it may ask."""

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601


class ForReading:
    """A node that answers what its node answers, and takes no transaction."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def request(self, method: str, params: list[Any]) -> dict[str, Any]:
        """Answer one request; sending does not exist here."""
        if method == SEND_RAW or not method.startswith(("eth_", "net_", "web3_")):
            return _error(0, METHOD_NOT_FOUND, "this chain is served for reading")
        return self._node.request(method, params)


def rpc_app(
    node: Node,
    *,
    hosts: frozenset[str] = LOOPBACK_HOSTS,
    origins: frozenset[str] = frozenset(),
) -> Starlette:
    """Return an ASGI app that answers JSON-RPC on POST to its root, to be served alone.

    `hosts` are accepted Host names without port, `origins` whole Origin values.
    """
    return Starlette(routes=[rpc_route(node, "/", hosts=hosts, origins=origins)])


def rpc_route(
    node: Node,
    path: str = "/rpc",
    *,
    hosts: frozenset[str] = LOOPBACK_HOSTS,
    origins: frozenset[str] = frozenset(),
) -> Route:
    """Return the same as one route of a larger app: `app.router.routes.append(rpc_route(node))`."""
    methods = ["POST", "OPTIONS"] if origins else ["POST"]
    return Route(path, _endpoint(node, hosts, origins), methods=methods)


def _endpoint(
    node: Node, hosts: frozenset[str], origins: frozenset[str]
) -> Callable[[Request], Awaitable[Response]]:
    places = Semaphore(WAITING_MAX)

    async def endpoint(request: Request) -> Response:
        refusal = _turned_away(request, hosts, origins)
        if refusal is not None:
            return refusal
        answer = _permission() if request.method == "OPTIONS" else await answered(request)
        return _shared(answer, request, origins)

    async def answered(request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return _plain(413, f"a request has {BODY_OCTETS_MAX} octets at most")
        if places.locked():
            return _plain(503, "the node is busy; come again")
        async with places:
            answer = await run_in_threadpool(answer_body, node, body)
        return Response(status_code=204) if answer is None else JSONResponse(answer)

    return endpoint


def answer_body(node: Node, body: bytes) -> Any:
    """Answer a request or a batch; None where the batch held notifications only."""
    if body.count(b"[") + body.count(b"{") > BRACKETS_MAX:
        return _error(None, INVALID_REQUEST, "too many brackets")
    try:
        asked = json.loads(body)
    except ValueError:
        return _error(None, PARSE_ERROR, "parse error")
    if not isinstance(asked, list):
        return _answer(node, asked)
    if not asked or len(asked) > BATCH_MAX:
        return _error(None, INVALID_REQUEST, f"a batch holds 1 to {BATCH_MAX} requests")
    if sum(_is_costly(one) for one in asked) > BATCH_COSTLY_MAX:
        words = f"a batch holds {BATCH_COSTLY_MAX} of {', '.join(sorted(COSTLY))} at most"
        return _error(None, INVALID_REQUEST, words)
    answers = [_answer(node, one) for one in asked]
    return [one for one in answers if one is not None] or None


def _answer(node: Node, asked: Any) -> dict[str, Any] | None:
    if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
        return _error(None, INVALID_REQUEST, "invalid request")
    identity = asked.get("id")
    if not isinstance(identity, str | int | None):
        return _error(None, INVALID_REQUEST, "an id is a string or a number")
    params = asked.get("params")
    answer = node.request(asked["method"], [] if params is None else params)
    if "id" not in asked:
        return None
    return {**answer, "id": identity}


def _is_costly(asked: Any) -> bool:
    return isinstance(asked, dict) and str(asked.get("method")) in COSTLY


def _turned_away(
    request: Request, hosts: frozenset[str], origins: frozenset[str]
) -> Response | None:
    if _host_name(request.headers.get("host", "")) not in hosts:
        return _plain(403, "this host name is not served here")
    origin = request.headers.get("origin")
    own = f"{request.url.scheme}://{request.headers.get('host', '')}"
    if origin is not None and origin not in origins and origin != own:
        return _plain(403, "pages of other origins are not served here")
    if request.method == "OPTIONS":
        return None
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        return _plain(415, "a request is application/json")
    return None


def _permission() -> Response:
    """Tell a browser that asks first what a page of a named origin may send."""
    headers = {
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Allow-Headers": "content-type",
        "Access-Control-Max-Age": str(PREFLIGHT_S),
    }
    return Response(status_code=204, headers=headers)


def _shared(answer: Response, request: Request, origins: frozenset[str]) -> Response:
    """Let a page of a named origin read an answer."""
    origin = request.headers.get("origin")
    if origin in origins:
        answer.headers["Access-Control-Allow-Origin"] = str(origin)
        answer.headers["Vary"] = "Origin"
    return answer


def _host_name(host: str) -> str:
    """Return a Host header's name without its port, brackets of IPv6 kept."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()


async def _body(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_OCTETS_MAX:
            return None
    return bytes(body)


def _plain(status: int, words: str) -> Response:
    return Response(words + "\n", status_code=status, media_type="text/plain")


def _error(identity: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "error": {"code": code, "message": message}}
