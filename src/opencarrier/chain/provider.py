"""The two ways web3.py reaches a chain: HTTP, and the embedded node in this very process.

web3.py and what it pulls are imported here and nowhere else in the room, when a client opens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from opencarrier.chain.errors import ChainUnavailableError

if TYPE_CHECKING:
    from web3 import Web3

SEND_RAW = "eth_sendRawTransaction"


class Node(Protocol):
    """What answers JSON-RPC requests in this process (`chain.node.EmbeddedNode`)."""

    def request(self, method: str, params: list[Any]) -> dict[str, Any]:
        """Answer one request with `result` or `error`; never raise for a bad request."""
        ...


Transport = Callable[[str, list[Any]], dict[str, Any]]


def in_process(node: Node) -> Web3:
    """Return a web3 whose provider hands each request to the node, no socket between."""
    from web3 import Web3
    from web3.providers.base import JSONBaseProvider

    class InProcessProvider(JSONBaseProvider):
        def make_request(self, method: Any, params: Any) -> Any:
            return node.request(str(method), list(params or []))

    return Web3(InProcessProvider())


def over_http(url: str, *, timeout_s: int) -> Web3:
    """Return a web3 over HTTP that never retries by itself: a retry is our decision."""
    from web3 import HTTPProvider, Web3

    provider = HTTPProvider(
        url, request_kwargs={"timeout": timeout_s}, exception_retry_configuration=None
    )
    return Web3(provider)


def transport(web3: Web3) -> Transport:
    """Return the request function of a web3's provider with its failures made ours."""
    provider: Any = web3.provider

    def send(method: str, params: list[Any]) -> dict[str, Any]:
        try:
            answer = provider.make_request(method, params)
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
