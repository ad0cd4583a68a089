"""A page per person: its link shows a QR code and the profiles, each made when it is asked for.

The token in the path is the only secret in an address. Nothing is logged or kept by a browser;
whoever has no link is told nothing, whatever the reason.
"""

from __future__ import annotations

from asyncio import Semaphore
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import segno
from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from opencarrier.app.console.catalogue import N_
from opencarrier.app.console.errors import wants_page
from opencarrier.app.console.shell import NO_STORE, Shell
from opencarrier.app.enrolling import PATH, Enrolling, Handed
from opencarrier.app.problems import problem
from opencarrier.identity.pki.issue import CSR_OCTETS_MAX
from opencarrier.kernel.refusals import Refusal

WAITING_MAX = 4
"""Profiles that may be made at once."""

_TITLE = N_("Wi-Fi profile")
_AGENTS = (
    ("Android", "android"),
    ("iPhone", "apple"),
    ("iPad", "apple"),
    ("Macintosh", "apple"),
    ("Windows", "windows"),
    ("Linux", "linux"),
)
_TITLES = {
    "apple": "iPhone, iPad, Mac",
    "android": "Android",
    "windows": "Windows",
    "linux": "Linux (wpa_supplicant)",
    "geteduroam": N_("geteduroam app"),
}
_KINDS = {
    "certificate": N_("with a certificate"),
    "password": N_("with a password"),
    "sim": N_("with a SIM"),
}


def enrol_routes(app: FastAPI, enrolling: Enrolling, shell: Shell) -> None:
    """Add the page and what it hands out."""
    places = Semaphore(WAITING_MAX)

    async def made(work: Callable[[], Handed | Refusal]) -> Response:
        if places.locked():
            return problem(503, "busy", "come again")
        async with places:
            found = await run_in_threadpool(work)
        return _file(found) if isinstance(found, Handed) else _nothing(found)

    @app.get(PATH + "{token}", include_in_schema=False)
    def page(token: str, request: Request) -> Response:
        offer = enrolling.offer(token)
        if isinstance(offer, Refusal):
            if wants_page(request):
                raise HTTPException(404)
            return _nothing(offer)
        own = platform_of(request.headers.get("user-agent", ""))
        link = enrolling.link(token)
        view = {
            "offer": offer,
            "link": link,
            "groups": _groups(offer.choices, own),
            "qr": qr_code(link),
        }
        return shell.page(request, "enrol/page.html", view, title=_TITLE)

    @app.get(PATH + "{token}/{platform}/{kind}", include_in_schema=False)
    async def profile(token: str, platform: str, kind: str) -> Response:
        return await made(lambda: enrolling.profile(token, platform, kind))

    @app.post(PATH + "{token}/certificate", include_in_schema=False)
    async def certificate(token: str, request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > CSR_OCTETS_MAX:
                return problem(413, "too large", f"a request has {CSR_OCTETS_MAX} octets at most")
        return await made(lambda: enrolling.certificate(token, bytes(body)))


def platform_of(agent: str) -> str:
    """Return which platform a browser says it is on, nothing where it says none that is known."""
    return next((platform for word, platform in _AGENTS if word in agent), "")


def of_this_machine(link: str) -> bool:
    """Return whether a link opens only where it is served: no phone gets there."""
    host = urlsplit(link).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def qr_code(link: str) -> str:
    """Return a link as a QR code in SVG, to be set into a page as it is."""
    drawn: str = segno.make(link, error="m", micro=False).svg_inline(
        scale=4, dark="#000", light="#fff", omitsize=True
    )
    return drawn


def _groups(choices: tuple[tuple[str, str], ...], own: str) -> list[dict[str, Any]]:
    """Group the choices by platform, the visitor's own first."""
    platforms = sorted({one for one, _ in choices}, key=lambda one: (one != own, one))
    return [
        {
            "title": _TITLES[platform],
            "own": platform == own,
            "links": [
                (f"{platform}/{kind}", _KINDS[kind]) for one, kind in choices if one == platform
            ],
        }
        for platform in platforms
    ]


def _file(found: Handed) -> Response:
    name = {"Content-Disposition": f'attachment; filename="{found.filename}"'}
    return Response(found.octets, media_type=found.content_type, headers={**NO_STORE, **name})


def _nothing(refusal: Refusal) -> Response:
    answer = problem(404, refusal.code, refusal.detail)
    answer.headers.update(NO_STORE)
    return answer
