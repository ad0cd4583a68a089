"""What pages of people show and do, as JSON: the same views and the same acts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from opencarrier.app.api import INT64_MAX, LIMIT, After, Body, Cursor, Limit, Page, operation
from opencarrier.app.console.acts import Acts, Invited, grant_of
from opencarrier.app.console.door import Door
from opencarrier.app.console.people import ABSENT, PEOPLE, SAID, Name, message_told, people_read
from opencarrier.app.console.reading import asked
from opencarrier.app.console.views.people import (
    ApprovalsView,
    EntryLine,
    MeView,
    PartyLine,
    PersonLine,
    approvals_view,
    entries_before,
    me_view,
    people_after,
    roles_to_give,
)
from opencarrier.app.console.visitor import visitor_of
from opencarrier.app.forms import people as forms
from opencarrier.app.problems import problem
from opencarrier.identity.accounts.model import AccountId, AccountReason, Grant
from opencarrier.kernel.refusals import Refusal

LOG = Cursor("audit", (int,))

_NO_ROLE = "The role is none, or none at such a party."
_REFUSED = "What is asked for cannot be: `type` says why."
_NAMED = Body(form=forms.NameForm, example=forms.NAME)
_PASSKEY = Body(form=forms.PasskeyForm, example=forms.PASSKEY)
_SIGNED = Body(form=forms.SignedForm, example=forms.SIGNED)
_NOT_ADDED = {409: "It was not proven to be yours, or there is no room for another key."}
_GRANTED = Body(form=forms.GrantForm, example=forms.GRANT)


def people_api(app: FastAPI, door: Door) -> None:
    """Add the routes."""
    _lists(app, door)
    _people(app, door)
    _grants(app, door)
    _me(app, door)
    _my_keys(app, door)


def _lists(app: FastAPI, door: Door) -> None:
    @app.get("/v1/me", **operation("people", "One's own account", example=forms.ME))
    def me(request: Request) -> MeView:
        """Tell a signed-in person everything that is kept of its account."""
        return door.read(lambda unit: me_view(door.base, unit, visitor_of(request)))

    @app.get(
        "/v1/people", **operation("people", "Who may sign in", example=forms.page(forms.PERSON))
    )
    def people(request: Request, cursor: After = "", limit: Limit = LIMIT) -> Page[PersonLine]:
        """List who may sign in, by name: everybody to an owner, to others those at their own
        parties.
        """
        visitor, after = visitor_of(request), people_read(cursor)
        found = door.read(
            lambda unit: people_after(door.base, unit, visitor, after=after, limit=limit + 1)
        )
        return PEOPLE.page(found, limit, lambda person: (person.name, person.account))

    @app.get(
        "/v1/people/roles",
        **operation("people", "Roles one may give", example=[forms.PARTY]),
    )
    def roles(request: Request, named: Name = "") -> Sequence[PartyLine]:
        """List the roles that whoever asks may give, at its parties.

        An owner, who may give each at any, sees the first 20 operators and hosts from the name
        `named` on.
        """
        visitor = visitor_of(request)
        return door.read(lambda unit: roles_to_give(door.base, unit, visitor, named=named))

    @app.get("/v1/audit", **operation("people", "What was done", example=forms.page(forms.ENTRY)))
    def audit(request: Request, cursor: After = "", limit: Limit = LIMIT) -> Page[EntryLine]:
        """List who did what, the newest first; who it was, in an owner's eyes only."""
        visitor, key = visitor_of(request), LOG.read(cursor)
        before = None if key is None else int(key[0])
        if before is not None and not 0 < before <= INT64_MAX:
            raise HTTPException(422, "the cursor is none of this list")
        found = door.read(
            lambda unit: entries_before(door.base, unit, visitor, before=before, limit=limit + 1)
        )
        return LOG.page(found, limit, lambda entry: (entry.sequence,))

    @app.get(
        "/v1/approvals", **operation("people", "What waits for people", example=forms.APPROVALS)
    )
    def approvals(request: Request) -> ApprovalsView:
        """List what waits for several people to say yes, the oldest first; amounts in minor units
        of the asset that is settled in.
        """
        return door.read(lambda unit: approvals_view(door.base, unit, visitor_of(request)))


def _people(app: FastAPI, door: Door) -> None:
    @app.post(
        "/v1/people",
        **operation(
            "people",
            "Invite somebody",
            example=forms.INVITATION,
            model=forms.Invitation,
            body=Body(form=forms.InviteForm, example=forms.INVITE),
            status=201,
            refuses={404: "This role is not yours to give.", 409: _REFUSED, 422: _NO_ROLE},
        ),
    )
    async def invite(request: Request) -> Response:
        """Make an account with a role, and a link that signs in to it once, within three days."""
        form = await asked(request, forms.InviteForm)
        made = await _acts(door, request).invite(form.name.strip(), _grant(form))
        return _invitation(door, request, made, 201)

    @app.post(
        "/v1/people/{account}/link",
        **operation(
            "people",
            "Make a new link",
            example=forms.INVITATION,
            model=forms.Invitation,
            refuses={409: _REFUSED},
        ),
    )
    async def link(request: Request, account: str) -> Response:
        """Make another link for somebody who has no key yet."""
        return _invitation(door, request, await _acts(door, request).link(AccountId(account)), 200)

    @app.post(
        "/v1/people/{account}/remove",
        **operation("people", "Remove somebody", example=None, status=204, refuses={409: _REFUSED}),
    )
    async def remove(request: Request, account: str) -> Response:
        """Forget an account with its keys, roles and sessions; what it did stays in the log."""
        return _done(await _acts(door, request).remove(AccountId(account)))

    @app.post(
        "/v1/approvals/{approval}/yes",
        **operation(
            "people",
            "Approve something",
            example=None,
            status=204,
            refuses={409: "The question is over."},
        ),
    )
    async def say_yes(request: Request, approval: str) -> Response:
        """Say yes as the person who is signed in; the installation's token is no person."""
        if not visitor_of(request).is_signed_in:
            raise HTTPException(404)
        return _done(await _acts(door, request).approve(approval))


def _grants(app: FastAPI, door: Door) -> None:
    whys = {409: _REFUSED, 422: _NO_ROLE}

    @app.post(
        "/v1/people/{account}/give",
        **operation("people", "Give a role", example=None, body=_GRANTED, status=204, refuses=whys),
    )
    async def give(request: Request, account: str) -> Response:
        """Let somebody do more."""
        grant = _grant(await asked(request, forms.GrantForm))
        return _done(await _acts(door, request).give(AccountId(account), grant))

    @app.post(
        "/v1/people/{account}/take",
        **operation("people", "Take a role", example=None, body=_GRANTED, status=204, refuses=whys),
    )
    async def take(request: Request, account: str) -> Response:
        """Let somebody do less; what it approved while it might counts no longer."""
        grant = _grant(await asked(request, forms.GrantForm))
        return _done(await _acts(door, request).take(AccountId(account), grant))


def _me(app: FastAPI, door: Door) -> None:
    @app.post(
        "/v1/me/name",
        **operation(
            "people",
            "Rename oneself",
            example=None,
            body=_NAMED,
            status=204,
            refuses={409: _REFUSED},
        ),
    )
    async def rename(request: Request) -> Response:
        """Call oneself otherwise; a name is one person's at a time."""
        name = (await asked(request, forms.NameForm)).name
        return _done(await _acts(door, request).rename(name))

    @app.post(
        "/v1/me/sessions/{session}/end",
        **operation("people", "Sign a browser out", example=None, status=204),
    )
    async def end(request: Request, session: str) -> Response:
        """End a session of one's own."""
        return _done(await _acts(door, request).end_session(session))


def _my_keys(app: FastAPI, door: Door) -> None:
    @app.post(
        "/v1/me/keys/passkey/options",
        **operation("people", "Begin to add a passkey", example=forms.PASSKEY_OPTIONS),
    )
    def options(request: Request) -> dict[str, Any]:
        """Return `publicKey` for `navigator.credentials.create` (WebAuthn Level 2 section 5.4); its
        challenge counts once, for five minutes, and for a browser at an origin of ours.
        """
        return _acts(door, request).passkey_options(door.origin(request))

    @app.post(
        "/v1/me/keys/passkey",
        **operation(
            "people", "Add a passkey", example=None, body=_PASSKEY, status=204, refuses=_NOT_ADDED
        ),
    )
    async def add_passkey(request: Request) -> Response:
        """Sign in by a passkey too: what the browser answered, octets in base64url."""
        form = await asked(request, forms.PasskeyForm)
        acts = _acts(door, request)
        return _done(await acts.add_passkey(door.origin(request), form.name, form.response))

    @app.post(
        "/v1/me/keys/wallet/message",
        **operation(
            "people",
            "Begin to add a wallet",
            example=forms.MESSAGE,
            model=forms.WalletMessage,
            body=Body(form=forms.WalletForm, example=forms.WALLET),
        ),
    )
    async def message(request: Request) -> Response:
        """Return the text a wallet signs (EIP-4361); it counts once, for five minutes."""
        form = await asked(request, forms.WalletForm)
        return message_told(_acts(door, request).wallet_message(door.origin(request), form.address))

    @app.post(
        "/v1/me/keys/wallet",
        **operation(
            "people", "Add a wallet", example=None, body=_SIGNED, status=204, refuses=_NOT_ADDED
        ),
    )
    async def add_wallet(request: Request) -> Response:
        """Sign in by a wallet too: the text and its signature (EIP-191, EIP-1271)."""
        form = await asked(request, forms.SignedForm)
        return _done(await _acts(door, request).add_wallet(request, asdict(form)))

    @app.post(
        "/v1/me/keys/{key}/name",
        **operation(
            "people", "Rename a key", example=None, body=_NAMED, status=204, refuses={409: _REFUSED}
        ),
    )
    async def rename_key(request: Request, key: str) -> Response:
        """Call a key of one's own otherwise."""
        name = (await asked(request, forms.NameForm)).name
        return _done(await _acts(door, request).rename_key(key, name))

    @app.post(
        "/v1/me/keys/{key}/remove",
        **operation("people", "Remove a key", example=None, status=204, refuses={409: _REFUSED}),
    )
    async def remove_key(request: Request, key: str) -> Response:
        """Sign in by a key no longer; the last one stays."""
        return _done(await _acts(door, request).remove_key(key))


def _acts(door: Door, request: Request) -> Acts:
    return Acts(door, visitor_of(request))


def _grant(form: forms.GrantForm) -> Grant:
    grant = grant_of(form.role, form.party)
    if grant is None:
        raise HTTPException(422, "not a role at a party")
    return grant


def _invitation(door: Door, request: Request, made: Invited | Refusal, status: int) -> Response:
    """Show an invitation: this once, it is kept nowhere."""
    if isinstance(made, Refusal):
        return _done(made)
    told = {"account": made.account, "url": door.welcome(request, made.token)}
    return JSONResponse(told, status_code=status)


def _done(refusal: Refusal | None) -> Response:
    """Say that it was done, or why nothing was changed."""
    if refusal is None:
        return Response(status_code=204)
    assert isinstance(refusal.reason, AccountReason)
    if refusal.reason in ABSENT:
        raise HTTPException(404)
    return problem(409, refusal.code, SAID.get(refusal.reason, refusal.detail))
