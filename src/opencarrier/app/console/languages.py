"""Choosing a language: a browser remembers it for a year."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from opencarrier.app.console.catalogue import LOCALES
from opencarrier.app.console.door import Door
from opencarrier.app.console.origins import local_path
from opencarrier.app.console.reading import form_of
from opencarrier.app.console.visitor import LOCALE_COOKIE

YEAR_S = 31_536_000


def language_routes(app: FastAPI, door: Door) -> None:
    """Add what the choice at the end of each page sends."""

    @app.post("/language", include_in_schema=False)
    async def choose(request: Request) -> Response:
        form, origin = await form_of(request), door.origins.of(request)
        if form.get("locale") not in LOCALES:
            raise HTTPException(422, "there are no words for this language")
        answer = RedirectResponse(_came_from(request), status_code=303)
        answer.set_cookie(
            LOCALE_COOKIE,
            form["locale"],
            max_age=YEAR_S,
            path="/",
            httponly=True,
            secure=origin is not None and origin.scheme == "https",
            samesite="lax",
        )
        return answer


def _came_from(request: Request) -> str:
    """Return the page that the choice was made on: an error page says nothing of its address."""
    try:
        found = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return "/"
    return local_path(found.path + (f"?{found.query}" if found.query else ""))
