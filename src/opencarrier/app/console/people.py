"""Pages of people: one's own keys and sessions, who else may what, the log, what waits."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy import Connection
from starlette.exceptions import HTTPException

from opencarrier.app.console.catalogue import N_
from opencarrier.app.console.door import Door, octets_of
from opencarrier.app.console.locales import words
from opencarrier.app.console.reading import form_of, json_of
from opencarrier.app.console.views.people import (
    approvals_view,
    audit_view,
    may_give,
    me_view,
    people_view,
    sees,
)
from opencarrier.app.console.visitor import Visitor, visitor_of
from opencarrier.app.problems import problem
from opencarrier.identity.accounts import rules
from opencarrier.identity.accounts.model import (
    INVITATION_S,
    NAME_MAX,
    Account,
    AccountId,
    AccountReason,
    Grant,
    Role,
)
from opencarrier.identity.rules import read_address
from opencarrier.kernel.ids import from_hex
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import PartyId

ABSENT = frozenset(
    {
        AccountReason.UNKNOWN_ACCOUNT,
        AccountReason.UNKNOWN_KEY,
        AccountReason.UNKNOWN_SESSION,
        AccountReason.UNKNOWN_APPROVAL,
    }
)
_WORDS = {
    AccountReason.INVALID_NAME: N_("A name has 1 to 64 characters on one line."),
    AccountReason.NAME_TAKEN: N_("Somebody has this name already; choose another."),
    AccountReason.LAST_KEY: N_("This is the only key: add another one first."),
    AccountReason.LAST_OWNER: N_("Somebody has to own the installation: make another owner first."),
    AccountReason.TOO_MANY: N_("There are as many as there may be; remove one first."),
    AccountReason.EXPIRED: N_("This question is over; it is asked anew if it is still wanted."),
}

LINE_MAX = 2**63 - 1
"""The highest number a line of the log can have."""

Name = Annotated[str, Query(max_length=NAME_MAX)]
Line = Annotated[int | None, Query(ge=1, le=LINE_MAX)]


def people_routes(app: FastAPI, door: Door) -> None:
    """Add the pages and what their forms send."""
    _me(app, door)
    _my_keys(app, door)
    _people(app, door)
    _grants(app, door)
    _audit(app, door)
    _approvals(app, door)


def _me(app: FastAPI, door: Door) -> None:
    @app.get("/me", include_in_schema=False)
    def page(request: Request) -> Response:
        view = door.read(lambda unit: me_view(door.base, unit, visitor_of(request)))
        return door.shell.page(request, "people/me.html", view, title="You", section="me")

    @app.get("/v1/me", tags=["people"])
    def told(request: Request) -> dict[str, Any]:
        """Tell a signed-in person everything that is kept of its account."""
        return asdict(door.read(lambda unit: me_view(door.base, unit, visitor_of(request))))

    @app.post("/me/name", include_in_schema=False)
    async def rename(request: Request) -> Response:
        visitor, form = visitor_of(request), await form_of(request)
        name = form.get("name", "").strip()
        done = await door.write(lambda unit: door.accounts.book.rename(unit, visitor.account, name))
        return _back(door, request, done, "/me")

    @app.post("/me/sessions/{session}/end", include_in_schema=False)
    async def end(request: Request, session: str) -> Response:
        visitor = visitor_of(request)

        def ended(unit: Connection) -> Refusal | None:
            refusal = door.accounts.sessions.end(unit, visitor.account, session)
            return _noted(door, unit, visitor, refusal, "session_ended", session)

        return _back(door, request, await door.write(ended), "/me")


def _my_keys(app: FastAPI, door: Door) -> None:
    accounts = door.accounts

    @app.post("/me/keys/passkey/options", include_in_schema=False)
    def options(request: Request) -> dict[str, Any]:
        visitor, origin = visitor_of(request), door.origin(request)

        def made(unit: Connection) -> dict[str, Any]:
            account = accounts.book.find(unit, visitor.account)
            assert isinstance(account, Account), "who asks is signed in"
            return accounts.passkey_creation(unit, origin, account)

        return door.read(made)

    @app.post("/me/keys/passkey", include_in_schema=False)
    async def add_passkey(request: Request) -> Response:
        visitor, origin, told = visitor_of(request), door.origin(request), await json_of(request)
        name, response = str(told.get("name", "")), told.get("response")
        if not isinstance(response, dict):
            raise HTTPException(400, "not an answer of a passkey")

        def add(unit: Connection) -> Refusal | None:
            made = accounts.add_passkey(unit, origin, visitor.account, name=name, response=response)
            return _added(door, unit, visitor, made)

        return _told(request, await door.write(add))

    @app.post("/me/keys/wallet/message", include_in_schema=False)
    async def message(request: Request) -> Response:
        visitor, origin = visitor_of(request), door.origin(request)
        address = read_address(str((await json_of(request)).get("address", "")))
        if isinstance(address, Refusal):
            return problem(422, address.code, address.detail)
        text = accounts.wallet_message(origin, address, account=visitor.account)
        return JSONResponse({"message": text})

    @app.post("/me/keys/wallet", include_in_schema=False)
    async def add_wallet(request: Request) -> Response:
        visitor, origin, told = visitor_of(request), door.origin(request), await json_of(request)

        def add(unit: Connection) -> Refusal | None:
            made = accounts.add_wallet(
                unit,
                origin,
                visitor.account,
                name=str(told.get("name", "")),
                text=str(told.get("message", "")),
                signature=octets_of(told.get("signature")),
            )
            return _added(door, unit, visitor, made)

        return _told(request, await door.write(add))

    @app.post("/me/keys/{key}/name", include_in_schema=False)
    async def rename(request: Request, key: str) -> Response:
        visitor, name = visitor_of(request), (await form_of(request)).get("name", "").strip()
        done = await door.write(
            lambda unit: accounts.book.rename_key(unit, visitor.account, key, name)
        )
        return _back(door, request, done, "/me")

    @app.post("/me/keys/{key}/remove", include_in_schema=False)
    async def remove(request: Request, key: str) -> Response:
        visitor = visitor_of(request)

        def removed(unit: Connection) -> Refusal | None:
            refusal = accounts.book.remove_key(unit, visitor.account, key)
            return _noted(door, unit, visitor, refusal, "key_removed", key)

        return _back(door, request, await door.write(removed), "/me")


def _people(app: FastAPI, door: Door) -> None:
    accounts = door.accounts

    @app.get("/people", include_in_schema=False)
    def page(request: Request, after: Name = "") -> Response:
        return _people_page(door, request, after=after)

    @app.get("/v1/people", tags=["people"])
    def told(request: Request, after: Name = "") -> dict[str, Any]:
        """List who may sign in: everybody to an owner, to others those at their own parties."""
        visitor = visitor_of(request)
        return asdict(door.read(lambda unit: people_view(door.base, unit, visitor, after=after)))

    @app.post("/people", include_in_schema=False)
    async def invite(request: Request) -> Response:
        visitor, form = visitor_of(request), await form_of(request)
        grant = _grant(form.get("grant", ""))

        def invited(unit: Connection) -> str | Refusal:
            if not may_give(door.base, visitor, grant):
                return Refusal(AccountReason.UNKNOWN_ACCOUNT)
            made = accounts.book.add(unit, form.get("name", "").strip())
            if isinstance(made, Refusal):
                return made
            refusal = accounts.book.give(unit, made.account, grant)
            assert refusal is None, "what may be given is a grant"
            _noted(door, unit, visitor, None, "invited", made.account)
            return accounts.links.open(unit, made.account, ttl_s=INVITATION_S)

        return _link_page(door, request, await door.write(invited))

    @app.post("/people/{account}/link", include_in_schema=False)
    async def link(request: Request, account: str) -> Response:
        visitor, who = visitor_of(request), AccountId(account)

        def made(unit: Connection) -> str | Refusal:
            if not _looks_after(door, unit, visitor, who):
                return Refusal(AccountReason.UNKNOWN_ACCOUNT)
            _noted(door, unit, visitor, None, "link_made", account)
            return accounts.links.open(unit, who, ttl_s=INVITATION_S)

        return _link_page(door, request, await door.write(made))

    @app.post("/people/{account}/remove", include_in_schema=False)
    async def remove(request: Request, account: str) -> Response:
        visitor, who = visitor_of(request), AccountId(account)

        def removed(unit: Connection) -> Refusal | None:
            refusal = accounts.book.remove(unit, who)
            if refusal is None:
                accounts.approvals.forget(unit, who)
            return _noted(door, unit, visitor, refusal, "account_removed", account)

        return _back(door, request, await door.write(removed), "/people")


def _grants(app: FastAPI, door: Door) -> None:
    accounts = door.accounts

    async def changed(request: Request, account: str, *, give: bool) -> Response:
        visitor, who = visitor_of(request), AccountId(account)
        grant = _grant((await form_of(request)).get("grant", ""))

        def change(unit: Connection) -> Refusal | None:
            if not (sees(unit, door.base, visitor, who) and may_give(door.base, visitor, grant)):
                return Refusal(AccountReason.UNKNOWN_ACCOUNT)
            act = accounts.book.give if give else accounts.book.take
            refusal = act(unit, who, grant)
            if refusal is None and not give:
                accounts.approvals.forget(unit, who)
            what = "grant_given" if give else "grant_taken"
            about = f"{account} {grant.role} {grant.party or ''}".rstrip()
            return _noted(door, unit, visitor, refusal, what, about)

        return _back(door, request, await door.write(change), "/people")

    @app.post("/people/{account}/give", include_in_schema=False)
    async def give(request: Request, account: str) -> Response:
        return await changed(request, account, give=True)

    @app.post("/people/{account}/take", include_in_schema=False)
    async def take(request: Request, account: str) -> Response:
        return await changed(request, account, give=False)


def _audit(app: FastAPI, door: Door) -> None:
    @app.get("/audit", include_in_schema=False)
    def page(request: Request, before: Line = None) -> Response:
        visitor = visitor_of(request)
        view = door.read(lambda unit: audit_view(door.base, unit, visitor, before=before))
        return door.shell.page(
            request, "people/audit.html", view, title="What was done", section="audit"
        )

    @app.get("/v1/audit", tags=["people"])
    def told(request: Request, before: Line = None) -> dict[str, Any]:
        """List who did what, the newest first; `before` continues."""
        visitor = visitor_of(request)
        return asdict(door.read(lambda unit: audit_view(door.base, unit, visitor, before=before)))


def _approvals(app: FastAPI, door: Door) -> None:
    @app.get("/approvals", include_in_schema=False)
    def page(request: Request) -> Response:
        view = door.read(lambda unit: approvals_view(door.base, unit, visitor_of(request)))
        return door.shell.page(
            request, "people/approvals.html", view, title="Approvals", section="approvals"
        )

    @app.get("/v1/approvals", tags=["people"])
    def told(request: Request) -> dict[str, Any]:
        """List what waits for several people to say yes."""
        return asdict(door.read(lambda unit: approvals_view(door.base, unit, visitor_of(request))))

    @app.post("/approvals/{approval}/yes", include_in_schema=False)
    async def say_yes(request: Request, approval: str) -> Response:
        visitor = visitor_of(request)
        if not visitor.is_signed_in:
            raise HTTPException(404)

        def said(unit: Connection) -> Refusal | None:
            try:
                found = door.accounts.approvals.say_yes(unit, from_hex(approval), visitor.account)
            except ValueError:
                return Refusal(AccountReason.UNKNOWN_APPROVAL)
            refusal = found if isinstance(found, Refusal) else None
            return _noted(door, unit, visitor, refusal, "approved", approval)

        return _back(door, request, await door.write(said), "/approvals")


# shared


def _people_page(door: Door, request: Request, *, after: str = "", link: str = "") -> Response:
    visitor = visitor_of(request)
    view = door.read(lambda unit: people_view(door.base, unit, visitor, after=after))
    return door.shell.page(
        request, "people/people.html", view, title="People", section="people", link=link
    )


def _link_page(door: Door, request: Request, made: str | Refusal) -> Response:
    """Show an invitation once, on the page it was asked from."""
    if isinstance(made, Refusal):
        return _back(door, request, made, "/people")
    http = f"http://{request.headers.get('host', '')}"
    return _people_page(door, request, link=door.origins.link(http, f"/welcome/{made}"))


def _looks_after(door: Door, unit: Connection, visitor: Visitor, who: AccountId) -> bool:
    """Say whether a visitor may invite somebody again: all that one may do, the visitor may give.

    Whoever has a key signs in by it: nobody else gets a link to an account that is in use.
    """
    found = door.accounts.book.find(unit, who)
    if not isinstance(found, Account) or not sees(unit, door.base, visitor, who):
        return False
    if door.accounts.book.keys(unit, who):
        return False
    return all(may_give(door.base, visitor, grant) for grant in found.grants)


def _grant(text: str) -> Grant:
    """Read `role party` as a form says it; 422 for what is none."""
    role, _, party = text.partition(" ")
    try:
        grant = Grant(Role(role), PartyId(party) if party else None)
    except ValueError:
        grant = None
    if grant is None or rules.checked_grant(grant) is not None:
        raise HTTPException(422, "not a role at a party")
    return grant


def _added(door: Door, unit: Connection, visitor: Visitor, made: object) -> Refusal | None:
    refusal = made if isinstance(made, Refusal) else None
    return _noted(door, unit, visitor, refusal, "key_added", getattr(made, "key", ""))


def _noted(
    door: Door, unit: Connection, visitor: Visitor, refusal: Refusal | None, what: str, about: str
) -> Refusal | None:
    """Write to the log what was done, and pass on why it was not."""
    if refusal is None:
        door.accounts.audit.write(
            unit, what, who=visitor.account, about=about, came_from=visitor.came_from
        )
    return refusal


def _told(request: Request, refusal: Refusal | None) -> Response:
    """Tell our own script, which shows a person what is said."""
    if refusal is None:
        return JSONResponse({})
    assert isinstance(refusal.reason, AccountReason)
    says = _WORDS.get(refusal.reason, N_("It was not proven to be yours."))
    return problem(409, refusal.code, words(visitor_of(request).locale).gettext(says))


def _back(door: Door, request: Request, refusal: Refusal | None, path: str) -> Response:
    """Go back to a page, or say on one of its own why nothing was changed."""
    if refusal is None:
        return RedirectResponse(path, status_code=303)
    assert isinstance(refusal.reason, AccountReason)
    if refusal.reason in ABSENT:
        raise HTTPException(404)
    view = {"says": _WORDS.get(refusal.reason, refusal.code), "back": path}
    return door.shell.page(
        request, "people/refused.html", view, title="Nothing was changed", status=409
    )
