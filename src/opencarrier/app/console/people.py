"""Pages of people: one's own keys and sessions, who else may what, the log, what waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from opencarrier.app.api import After, Cursor
from opencarrier.app.console.acts import Acts, Invited, grant_of
from opencarrier.app.console.catalogue import N_
from opencarrier.app.console.door import Door
from opencarrier.app.console.locales import words
from opencarrier.app.console.reading import form_of, json_of
from opencarrier.app.console.refusals import why
from opencarrier.app.console.views.people import After as PersonAfter
from opencarrier.app.console.views.people import approvals_view, audit_view, me_view, people_view
from opencarrier.app.console.visitor import visitor_of
from opencarrier.app.problems import problem
from opencarrier.identity.accounts.model import (
    NAME_MAX,
    AccountId,
    AccountReason,
    Grant,
)
from opencarrier.kernel.refusals import Refusal

ABSENT = frozenset(
    {
        AccountReason.UNKNOWN_ACCOUNT,
        AccountReason.UNKNOWN_KEY,
        AccountReason.UNKNOWN_SESSION,
        AccountReason.UNKNOWN_APPROVAL,
    }
)
SAID = {
    AccountReason.INVALID_NAME: N_("A name has 1 to 64 characters on one line."),
    AccountReason.LAST_KEY: N_("This is the only key: add another one first."),
    AccountReason.LAST_OWNER: N_("Somebody has to own the installation: make another owner first."),
    AccountReason.TOO_MANY: N_("There are as many as there may be; remove one first."),
    AccountReason.EXPIRED: N_("This request has expired; it is made again if it is still wanted."),
}

PEOPLE = Cursor("people", (str, str))

LINE_MAX = 2**63 - 1
"""The highest number a line of the log can have."""

Name = Annotated[str, Query(max_length=NAME_MAX)]
Line = Annotated[int | None, Query(ge=1, le=LINE_MAX)]


def people_routes(app: FastAPI, door: Door) -> None:
    """Add the pages and what their forms send."""
    _me(app, door)
    _my_keys(app, door)
    _people(app, door)
    _audit(app, door)
    _approvals(app, door)


def _me(app: FastAPI, door: Door) -> None:
    @app.get("/me", include_in_schema=False)
    def page(request: Request) -> Response:
        view = door.read(lambda unit: me_view(door.base, unit, visitor_of(request)))
        return door.shell.page(request, "people/me.html", view, title="You", section="me")

    @app.post("/me/name", include_in_schema=False)
    async def rename(request: Request) -> Response:
        name = (await form_of(request)).get("name", "")
        return _back(door, request, await _acts(door, request).rename(name), "/me")

    @app.post("/me/sessions/{session}/end", include_in_schema=False)
    async def end(request: Request, session: str) -> Response:
        return _back(door, request, await _acts(door, request).end_session(session), "/me")


def _my_keys(app: FastAPI, door: Door) -> None:
    @app.post("/me/keys/passkey/options", include_in_schema=False)
    def options(request: Request) -> dict[str, Any]:
        return _acts(door, request).passkey_options(door.origin(request))

    @app.post("/me/keys/passkey", include_in_schema=False)
    async def add_passkey(request: Request) -> Response:
        told = await json_of(request)
        name, response = str(told.get("name", "")), told.get("response")
        if not isinstance(response, dict):
            raise HTTPException(400, "not an answer of a passkey")
        added = await _acts(door, request).add_passkey(door.origin(request), name, response)
        return _told(request, added)

    @app.post("/me/keys/wallet/message", include_in_schema=False)
    async def message(request: Request) -> Response:
        address = str((await json_of(request)).get("address", ""))
        return message_told(_acts(door, request).wallet_message(door.origin(request), address))

    @app.post("/me/keys/wallet", include_in_schema=False)
    async def add_wallet(request: Request) -> Response:
        return _told(
            request, await _acts(door, request).add_wallet(request, await json_of(request))
        )

    @app.post("/me/keys/{key}/name", include_in_schema=False)
    async def rename(request: Request, key: str) -> Response:
        name = (await form_of(request)).get("name", "")
        return _back(door, request, await _acts(door, request).rename_key(key, name), "/me")

    @app.post("/me/keys/{key}/remove", include_in_schema=False)
    async def remove(request: Request, key: str) -> Response:
        return _back(door, request, await _acts(door, request).remove_key(key), "/me")


def _people(app: FastAPI, door: Door) -> None:
    @app.get("/people", include_in_schema=False)
    def page(request: Request, cursor: After = "", named: Name = "") -> Response:
        return _people_page(door, request, cursor=cursor, named=named)

    @app.post("/people", include_in_schema=False)
    async def invite(request: Request) -> Response:
        form = await form_of(request)
        made = await _acts(door, request).invite(form.get("name", "").strip(), _grant(form))
        return _link_page(door, request, made)

    @app.post("/people/{account}/link", include_in_schema=False)
    async def link(request: Request, account: str) -> Response:
        return _link_page(door, request, await _acts(door, request).link(AccountId(account)))

    @app.post("/people/{account}/remove", include_in_schema=False)
    async def remove(request: Request, account: str) -> Response:
        done = await _acts(door, request).remove(AccountId(account))
        return _back(door, request, done, "/people")

    @app.post("/people/{account}/give", include_in_schema=False)
    async def give(request: Request, account: str) -> Response:
        grant = _grant(await form_of(request))
        done = await _acts(door, request).give(AccountId(account), grant)
        return _back(door, request, done, "/people")

    @app.post("/people/{account}/take", include_in_schema=False)
    async def take(request: Request, account: str) -> Response:
        grant = _grant(await form_of(request))
        done = await _acts(door, request).take(AccountId(account), grant)
        return _back(door, request, done, "/people")


def _audit(app: FastAPI, door: Door) -> None:
    @app.get("/audit", include_in_schema=False)
    def page(request: Request, before: Line = None) -> Response:
        visitor = visitor_of(request)
        view = door.read(lambda unit: audit_view(door.base, unit, visitor, before=before))
        return door.shell.page(
            request, "people/audit.html", view, title="What was done", section="audit"
        )


def _approvals(app: FastAPI, door: Door) -> None:
    @app.get("/approvals", include_in_schema=False)
    def page(request: Request) -> Response:
        view = door.read(lambda unit: approvals_view(door.base, unit, visitor_of(request)))
        return door.shell.page(
            request, "people/approvals.html", view, title="Approvals", section="approvals"
        )

    @app.post("/approvals/{approval}/yes", include_in_schema=False)
    async def say_yes(request: Request, approval: str) -> Response:
        if not visitor_of(request).is_signed_in:
            raise HTTPException(404)
        return _back(door, request, await _acts(door, request).approve(approval), "/approvals")


# shared


def _people_page(
    door: Door, request: Request, *, cursor: str = "", named: str = "", link: str = ""
) -> Response:
    visitor, after = visitor_of(request), people_read(cursor)
    view = door.read(lambda unit: people_view(door.base, unit, visitor, after=after, named=named))
    further = "" if view.after is None else PEOPLE.write(view.after)
    return door.shell.page(
        request,
        "people/people.html",
        view,
        title="People",
        section="people",
        link=link,
        further=further,
    )


def people_read(cursor: str) -> PersonAfter | None:
    """Return the person to go on after; 422 for a cursor of no list of people."""
    key = PEOPLE.read(cursor)
    return None if key is None else (str(key[0]), str(key[1]))


def _acts(door: Door, request: Request) -> Acts:
    return Acts(door, visitor_of(request))


def _link_page(door: Door, request: Request, made: Invited | Refusal) -> Response:
    """Show an invitation once, on the page it was asked from."""
    if isinstance(made, Refusal):
        return _back(door, request, made, "/people")
    return _people_page(door, request, link=door.welcome(request, made.token))


def _grant(form: Mapping[str, str]) -> Grant:
    """Read `role party` as a form says it; 422 for what is none."""
    role, _, party = form.get("grant", "").partition(" ")
    grant = grant_of(role, party)
    if grant is None:
        raise HTTPException(422, "not a role at a party")
    return grant


def message_told(made: str | Refusal) -> Response:
    """Tell a wallet what to sign, or that it has no such address."""
    if isinstance(made, Refusal):
        return problem(422, made.code, made.detail)
    return JSONResponse({"message": made})


def _told(request: Request, refusal: Refusal | None) -> Response:
    """Tell our own script, which shows a person what is said."""
    if refusal is None:
        return JSONResponse({})
    assert isinstance(refusal.reason, AccountReason)
    says = SAID.get(refusal.reason, N_("It was not proven to be yours."))
    return problem(409, refusal.code, words(visitor_of(request).locale).gettext(says))


def _back(door: Door, request: Request, refusal: Refusal | None, path: str) -> Response:
    """Go back to a page, or say on one of its own why nothing was changed."""
    if refusal is None:
        return RedirectResponse(path, status_code=303)
    assert isinstance(refusal.reason, AccountReason)
    if refusal.reason in ABSENT:
        raise HTTPException(404)
    section = path.removeprefix("/")
    return door.shell.refused(request, why(refusal, SAID), path, section=section)
