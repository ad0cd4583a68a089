"""Where a browser meets us, and the cookie it is signed in by."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from opencarrier.app.config import ConfigError
from opencarrier.identity.accounts.model import SESSION_S
from opencarrier.identity.accounts.service import Origin

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_CONSOLE_URL = re.compile(r"https://[a-z0-9.-]+(?::[0-9]{1,5})?/?")


class Origins:
    """The origins people sign in at: `console_url`, or else this machine alone.

    Anything else that a Host header names may be a site that passes requests on to us, whose
    visitors would sign what lets its owner in.
    """

    def __init__(self, console_url: str, *, chain_id: int, anywhere: bool) -> None:
        self._named = _named(console_url) if console_url else None
        self._chain_id = chain_id
        self._anywhere = anywhere

    @property
    def hosts(self) -> tuple[str, ...]:
        """The name that `console_url` adds to those the process answers to."""
        return () if self._named is None else (self._named.hostname or "",)

    def of(self, request: Request) -> Origin | None:
        """Return the origin a request came to, None where nobody signs in."""
        host = request.headers.get("host", "").lower()
        if self._named is not None:
            here = host == self._named.netloc.lower()
            return self._origin(self._named.scheme, host) if here else None
        if self._anywhere or _name(host) not in LOOPBACK:
            return None
        return self._origin("http", host)

    def cookie(self, port: int) -> str:
        """Return the name of the cookie that signed-in browsers show."""
        if self._named is not None:
            return cookie_name(self._origin("https", self._named.netloc))
        return cookie_name(self._origin("http", f"localhost:{port}"))

    def link(self, http: str, path: str) -> str:
        """Return an address to open in a browser; passkeys want a name, so no 127.0.0.1."""
        if self._named is not None:
            return f"{self._named.scheme}://{self._named.netloc}{path}"
        return http.replace("//127.0.0.1", "//localhost") + path

    def _origin(self, scheme: str, domain: str) -> Origin:
        return Origin(scheme=scheme, domain=domain, chain_id=self._chain_id)


def _named(console_url: str) -> SplitResult:
    """Read the setting as browsers write an origin: in lower case, without the port of https."""
    written = console_url.lower()
    if not _CONSOLE_URL.fullmatch(written):
        raise ConfigError(f"console_url is https:// and a name, not {console_url!r}")
    found = urlsplit(written)
    return found._replace(netloc=found.netloc.removesuffix(":443"))


def cookie_name(origin: Origin) -> str:
    """Return the cookie's name: bound to the host over TLS (RFC 6265bis), else to the port.

    Browsers keep one jar for all ports of a host.
    """
    if origin.scheme == "https":
        return "__Host-opencarrier"
    return f"opencarrier-{origin.domain.rpartition(':')[2]}"


def set_session(response: Response, origin: Origin, token: str) -> None:
    """Sign a browser in: no script reads the cookie, no other site's form sends it."""
    response.set_cookie(
        cookie_name(origin),
        token,
        max_age=SESSION_S,
        path="/",
        httponly=True,
        secure=origin.scheme == "https",
        samesite="lax",
    )


def drop_session(response: Response, origin: Origin) -> None:
    """Sign a browser out."""
    response.delete_cookie(
        cookie_name(origin),
        path="/",
        httponly=True,
        secure=origin.scheme == "https",
        samesite="lax",
    )


def local_path(text: str) -> str:
    """Return where to go next where it is a path of ours, else the first page."""
    fits = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable()
    return text if fits and "\\" not in text and len(text) <= 500 else "/"


def _name(host: str) -> str:
    return host if host.endswith("]") else host.rpartition(":")[0] or host
