"""Errors: people's are pages that say what to do, programs' are problems (RFC 9457)."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from opencarrier.app.console.catalogue import N_
from opencarrier.app.console.locales import words
from opencarrier.app.console.security import HEADERS
from opencarrier.app.console.shell import Shell
from opencarrier.app.console.visitor import locale_of
from opencarrier.app.problems import invalid, problem, title_of

API = ("/v1/", "/nchf-convergedcharging/", "/rpc", "/metrics", "/healthz", "/readyz")
"""Where programs ask: an error there is a problem, whatever the asker accepts."""

_NOTHING = (
    N_("Nothing is here"),
    N_("The address may be mistyped, or what was here is not yours to see."),
)
_TOO_MUCH = (
    N_("That was too much at once"),
    N_("What was sent is longer than anything that is taken here: shorten it and send it again."),
)
_LOST = (
    N_("It is not known whether that was done"),
    N_("It was begun, and its answer was lost. Look at what stands before you send it again."),
)
_SHARED = (
    N_("That would take it from everybody"),
    N_(
        "Many people look at this demo, and what you asked for cannot be undone. "
        "Try it in an installation of your own."
    ),
)
_ERRORS = {
    400: (
        N_("That could not be read"),
        N_(
            "The address or the form was not whole: go back, load the page again, "
            "and try once more."
        ),
    ),
    401: (N_("Sign in first"), N_("You have to be signed in for this: sign in and come back.")),
    403: (
        N_("This was not done"),
        N_("The page may be too old: go back, load it again, and try once more."),
    ),
    404: _NOTHING,
    405: _NOTHING,
    409: (
        N_("Nothing was changed"),
        N_("It changed meanwhile: go back, load the page again, and look."),
    ),
    413: _TOO_MUCH,
    414: _TOO_MUCH,
    415: (
        N_("That could not be read"),
        N_("It was not sent in a form that is accepted here; use the form on the page."),
    ),
    422: (
        N_("Something in it does not fit"),
        N_(
            "A field or a part of the address is not as it has to be: go back, correct it, "
            "send again."
        ),
    ),
    429: (N_("Too many attempts"), N_("Wait a minute and try again.")),
    431: _TOO_MUCH,
    500: (
        N_("Something went wrong here"),
        N_("It was noted. What was saved stays saved; try again."),
    ),
    503: (N_("Busy just now"), N_("Try again in a moment.")),
}


class SaidError(HTTPException):
    """An error with texts of its own for people, and a title for programs."""

    def __init__(self, status: int, title: str, detail: str, texts: tuple[str, str]) -> None:
        super().__init__(status, detail)
        self.title = title
        self.texts = texts


class LostError(SaidError):
    """Something was sent before and begun, and nobody knows any more what came of it."""

    def __init__(self) -> None:
        detail = "it was begun, and its answer was lost: look at what stands"
        super().__init__(409, title_of(409), detail, _LOST)


class SharedError(SaidError):
    """A visitor of a demo wants what would take something from all the others."""

    def __init__(self) -> None:
        detail = "all visitors of this demo share what it would take away"
        super().__init__(403, "shared by visitors", detail, _SHARED)


def error_pages(app: FastAPI, shell: Shell) -> None:
    """Answer every error as a page or as a problem."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if not wants_page(request):
            title = error.title if isinstance(error, SaidError) else title_of(error.status_code)
            said = _told(request, error)
            return problem(error.status_code, title, said, error.headers)
        page = await _page(shell, request, error.status_code, _texts(error))
        page.headers.update(error.headers or {})
        return page

    @app.exception_handler(RequestValidationError)
    async def misfits(request: Request, error: RequestValidationError) -> Response:
        return await _page(shell, request, 422) if wants_page(request) else invalid(error)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        """Answer outside of every layer, whose headers are therefore added here; uvicorn logs."""
        answer = (
            _error(shell, request, 500)
            if wants_page(request)
            else problem(500, "failed", "it was noted; try again")
        )
        answer.headers.update(HEADERS)
        return answer


def wants_page(request: Request) -> bool:
    """Say whether a person looks: a browser that asks for a page, not for a part of one or the API.

    A part that is refused leaves the one of before in its place.
    """
    is_part = "hx-request" in request.headers
    is_page = not is_part and not request.url.path.startswith(API)
    return is_page and "text/html" in request.headers.get("accept", "")


def _texts(error: HTTPException) -> tuple[str, str] | None:
    if isinstance(error, SaidError):
        return error.texts
    return _ERRORS.get(error.status_code)


def _told(request: Request, error: HTTPException) -> str:
    """Say what to do in the language of a person: a script of our pages shows it; else in English.

    Programs are told exactly what it was.
    """
    is_plain = error.status_code == 404 or request.url.path.startswith(API)
    texts = None if is_plain else _texts(error)
    return str(error.detail) if texts is None else words(locale_of(request)).gettext(texts[1])


async def _page(
    shell: Shell, request: Request, status: int, texts: tuple[str, str] | None = None
) -> Response:
    """Draw an error for whoever asks: no route may have found out who that is."""
    if shell.know is not None:
        await shell.know(request)
    return _error(shell, request, status, texts)


def _error(
    shell: Shell, request: Request, status: int, texts: tuple[str, str] | None = None
) -> Response:
    """Draw a page that says what happened, what to do next, and nothing of the inside."""
    title, advice = texts or _ERRORS.get(status, _ERRORS[404 if status < 500 else 500])
    return shell.page(
        request, "errors/error.html", advice, title=title, status=status, number=status
    )
