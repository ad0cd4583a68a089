"""The two ways to a chain: web3.py over HTTP, and the embedded node in this very process.

web3.py and what it pulls are imported here and nowhere else in the room, when a client opens over
HTTP; an embedded chain starts without it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from opencarrier.chain.errors import ChainUnavailableError
from opencarrier.spine.spans import current

if TYPE_CHECKING:
    from web3 import Web3

SEND_RAW = "eth_sendRawTransaction"


class Node(Protocol):
    """What answers JSON-RPC requests in this process (`chain.node.EmbeddedNode`)."""

    def request(self, method: str, params: list[Any]) -> dict[str, Any]:
        """Answer one request with `result` or `error`; never raise for a bad request."""
        ...


Transport = Callable[[str, list[Any]], dict[str, Any]]


class Road(Protocol):
    """One way to a chain."""

    @property
    def web3(self) -> Web3:
        """Return web3.py on this way, for tools that want one."""
        ...

    def ask(self, method: str, params: list[Any]) -> Any:
        """Carry one request there and its answer back; raise whatever goes wrong."""
        ...


class InProcess:
    """The node itself, no socket and no web3 between; who wants a web3 gets one that asks it."""

    def __init__(self, node: Node) -> None:
        self._node = node

    @cached_property
    def web3(self) -> Web3:
        """Return a web3 whose provider hands each request to the node."""
        from web3 import Web3
        from web3.providers.base import JSONBaseProvider

        class InProcessProvider(JSONBaseProvider):
            def make_request(self, method: Any, params: Any) -> Any:
                return road.ask(str(method), list(params or []))

        road = self
        return Web3(InProcessProvider())

    def ask(self, method: str, params: list[Any]) -> Any:
        """Let the node answer."""
        return self._node.request(method, params)


class OverHttp:
    """web3.py over HTTP; it never retries by itself: a retry is our decision."""

    def __init__(self, url: str, *, timeout_s: int) -> None:
        self._url = url
        self._timeout_s = timeout_s

    @cached_property
    def web3(self) -> Web3:
        """Return the web3 that carries our requests."""
        from web3 import HTTPProvider, Web3

        class TracedProvider(HTTPProvider):
            def get_request_headers(self) -> dict[str, str]:
                """Tell the node which trace a request belongs to, where that is recorded."""
                headers: dict[str, str] = super().get_request_headers()
                span = current.get()
                return headers if span is None else {**headers, "traceparent": span.traceparent}

        provider = TracedProvider(
            self._url,
            request_kwargs={"timeout": self._timeout_s},
            exception_retry_configuration=None,
        )
        return Web3(provider)

    def ask(self, method: str, params: list[Any]) -> Any:
        """Post the request and read what comes."""
        provider: Any = self.web3.provider
        return provider.make_request(method, params)


def transport(road: Road) -> Transport:
    """Return the request function of a road with its failures made ours."""

    def send(method: str, params: list[Any]) -> dict[str, Any]:
        try:
            answer = road.ask(method, params)
        except ChainUnavailableError:
            raise
        except Exception as error:
            raise _unavailable(method, error) from error
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            raise ChainUnavailableError(
                f"{method}: the endpoint does not speak JSON-RPC",
                outcome_unknown=method == SEND_RAW,
            )
        return dict(answer)

    return send


def _unavailable(method: str, error: Exception) -> ChainUnavailableError:
    """Say what a transport failure leaves open; the one place where any error may come up."""
    sent = method == SEND_RAW and not _never_left(error)
    return ChainUnavailableError(f"{method}: {type(error).__name__}", outcome_unknown=sent)


def _never_left(error: Exception) -> bool:
    """Say whether a request surely did not reach the endpoint, or was turned away whole."""
    from requests import ConnectTimeout, HTTPError
    from requests.exceptions import InvalidSchema, InvalidURL
    from urllib3.exceptions import NewConnectionError

    if isinstance(error, (ConnectTimeout, InvalidSchema, InvalidURL)):
        return True
    if isinstance(error, HTTPError):
        status = error.response.status_code if error.response is not None else 500
        return 400 <= status < 500
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError)
