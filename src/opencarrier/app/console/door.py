"""Signing in and out: by passkey, by wallet, by a link that counts once, in a demo as a guest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from opencarrier.app.api import operation
from opencarrier.app.bootstrap import Installation
from opencarrier.app.console.guests import GuestBook
from opencarrier.app.console.origins import Origins, drop_session, local_path, set_session
from opencarrier.app.console.reading import form_of, json_of
from opencarrier.app.console.shell import SECTIONS, Shell
from opencarrier.app.console.visitor import visitor_of
from opencarrier.app.contract_wallets import ContractWallets
from opencarrier.app.forms.settling import OWNER_LINK, OwnerLink
from opencarrier.app.problems import problem
from opencarrier.identity.accounts.model import AccountId, AccountReason, Role
from opencarrier.identity.accounts.service import Origin, SignedIn
from opencarrier.identity.accounts.siwe import Message
from opencarrier.identity.rules import read_address
from opencarrier.kernel.refusals import Refusal

T = TypeVar("T")


class Door:
    """What the routes of sign-in share."""

    def __init__(
        self,
        shell: Shell,
        base: Installation,
        origins: Origins,
        guests: GuestBook,
        wallets: ContractWallets,
    ) -> None:
        self.shell = shell
        self.base = base
        self.accounts = base.accounts
        self.origins = origins
        self.guests = guests
        self.wallets = wallets

    def origin(self, request: Request) -> Origin:
        """Return the origin a request came to; 403 where nobody signs in."""
        found = self.origins.of(request)
        if found is None:
            raise HTTPException(403, "nobody signs in here")
        return found

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Do something in a unit of its own, beside the loop."""

        def within() -> T:
            with self.base.store.write() as unit:
                return work(unit)

        return await run_in_threadpool(within)

    async def proven(
        self, request: Request, told: Mapping[str, Any], *, account: AccountId | None = None
    ) -> Message | Refusal:
        """Read a wallet's signed message, and see who signed it, beside the loop and any unit."""
        prove = partial(self.accounts.proven, account=account, by_contract=self.wallets.takes)
        text, signature = str(told.get("message", "")), octets_of(told.get("signature"))
        return await run_in_threadpool(prove, self.origin(request), text, signature)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Look at something."""
        with self.base.store.read() as unit:
            return work(unit)

    def welcome(self, request: Request, token: str) -> str:
        """Return the address that signs in by a link's token."""
        http = f"http://{request.headers.get('host', '')}"
        return self.origins.link(http, f"/welcome/{token}")

    def let_in(self, origin: Origin, done: SignedIn | Refusal, answer: Response) -> Response:
        """Sign a browser in with a fresh token, or say no in one way only."""
        if isinstance(done, Refusal):
            if done.reason is AccountReason.TOO_MANY:
                return problem(429, "too many attempts", "", {"Retry-After": done.detail})
            return problem(403, "not signed in", "this key does not sign in here")
        set_session(answer, origin, done.token)
        return answer


def door_routes(app: FastAPI, door: Door) -> None:
    """Add the page of sign-in and what its script asks for."""
    _passkeys(app, door)
    _wallets(app, door)
    _links(app, door)
    _guests(app, door)

    @app.get("/sign-in", include_in_schema=False)
    def sign_in(request: Request, next: str = "/") -> Response:  # noqa: A002 - its name outside
        origin = door.origins.of(request)
        view = {
            "next": local_path(next),
            "here": origin is not None,
            "named": door.origins.link(f"http://{request.headers.get('host', '')}", "/sign-in"),
            "passkeys": origin is not None and origin.rp_id not in ("127.0.0.1", "[::1]"),
            "guests": list(door.guests.cast.values()),
        }
        return door.shell.page(
            request, "people/sign-in.html", view, title="Sign in", section="sign-in"
        )

    @app.post("/sign-out", include_in_schema=False)
    async def sign_out(request: Request) -> Response:
        visitor, origin = visitor_of(request), door.origin(request)

        def end(unit: Connection) -> None:
            door.accounts.sessions.end(unit, visitor.account, visitor.session)
            door.accounts.audit.write(
                unit, "signed_out", who=visitor.account, about=visitor.session
            )

        await door.write(end)
        answer = RedirectResponse("/sign-in", status_code=303)
        drop_session(answer, origin)
        return answer


def _passkeys(app: FastAPI, door: Door) -> None:
    @app.post("/sign-in/passkey/options", include_in_schema=False)
    def options(request: Request) -> dict[str, Any]:
        return door.accounts.passkey_request(door.origin(request))

    @app.post("/sign-in/passkey", include_in_schema=False)
    async def passkey(request: Request) -> Response:
        origin, response = door.origin(request), await json_of(request)
        came_from = visitor_of(request).came_from
        done = await door.write(
            lambda unit: door.accounts.sign_in_by_passkey(
                unit, origin, response, came_from=came_from
            )
        )
        return door.let_in(origin, done, JSONResponse({}))


def _wallets(app: FastAPI, door: Door) -> None:
    @app.post("/sign-in/wallet/message", include_in_schema=False)
    async def message(request: Request) -> Response:
        address = read_address(str((await json_of(request)).get("address", "")))
        if isinstance(address, Refusal):
            return problem(422, address.code, address.detail)
        text = door.accounts.wallet_message(door.origin(request), address)
        return JSONResponse({"message": text})

    @app.post("/sign-in/wallet", include_in_schema=False)
    async def wallet(request: Request) -> Response:
        origin, told = door.origin(request), await json_of(request)
        came_from = visitor_of(request).came_from
        proven = await door.proven(request, told)
        done = await door.write(
            lambda unit: door.accounts.sign_in_by_wallet(unit, proven, came_from=came_from)
        )
        return door.let_in(origin, done, JSONResponse({}))


def _links(app: FastAPI, door: Door) -> None:
    @app.get("/welcome/{token}", include_in_schema=False)
    def welcome(request: Request, token: str) -> Response:
        """Show a button: whoever only looks, such as a preview, uses nothing up."""
        account = door.read(lambda unit: door.accounts.links.look(unit, token))
        if isinstance(account, Refusal) or door.origins.of(request) is None:
            raise HTTPException(404)
        found = door.read(lambda unit: door.accounts.book.find(unit, account))
        return door.shell.page(request, "people/welcome.html", found, title="Welcome")

    @app.post("/welcome/{token}", include_in_schema=False)
    async def enter(request: Request, token: str) -> Response:
        origin, came_from = door.origin(request), visitor_of(request).came_from
        done = await door.write(
            lambda unit: door.accounts.sign_in_by_link(unit, token, came_from=came_from)
        )
        if isinstance(done, Refusal):
            raise HTTPException(404)
        return door.let_in(origin, done, RedirectResponse("/me", status_code=303))

    @app.post(
        "/v1/owner-link",
        **operation(
            "people",
            "A link for the owner",
            example=OWNER_LINK,
            model=OwnerLink,
            refuses={409: "As many links are open as there may be."},
        ),
    )
    async def owner_link(request: Request) -> Response:
        """Make a link that signs in as the owner once, for who may read the data folder."""
        made = await door.write(door.accounts.owner_link)
        if isinstance(made, Refusal):
            return problem(409, made.code, made.detail)
        return JSONResponse({"url": door.welcome(request, made)})


def _guests(app: FastAPI, door: Door) -> None:
    @app.post("/sign-in/as", include_in_schema=False)
    async def look_as(request: Request) -> Response:
        guest = door.guests.cast.get((await form_of(request)).get("role", ""))
        if guest is None:
            raise HTTPException(404)
        origin, came_from = door.origin(request), visitor_of(request).came_from
        done = await door.write(partial(door.guests.enter, guest=guest, came_from=came_from))
        return door.let_in(origin, done, RedirectResponse(_section(guest.role), status_code=303))


def _section(role: Role) -> str:
    """Return where a role has a place of its own, else the first page."""
    return next((section.path for section in SECTIONS if section.key == role), "/")


def octets_of(text: object) -> bytes:
    """Return the octets of a signature as wallets write it, nothing where it is none."""
    try:
        return bytes.fromhex(str(text).removeprefix("0x"))
    except ValueError:
        return b""
