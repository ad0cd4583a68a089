"""Who asks, and whether a thing is theirs to see."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from opencarrier.app.console.locales import chosen_locale


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Whoever a page is drawn for."""

    name: str
    locale: str


def visitor_of(request: Request) -> Visitor:
    """Return who asks; before anybody can sign in it is the owner, on loopback."""
    return Visitor(
        name="",
        locale=chosen_locale(
            request.headers.get("accept-language", ""), request.cookies.get("locale", "")
        ),
    )
