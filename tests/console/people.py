"""An installation with people of every role, and browsers signed in as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route
from starlette.testclient import TestClient
from tests.app.scene import Scene, scene, taken

from opencarrier.access.model import Metrics
from opencarrier.app.console.guard import csrf_of
from opencarrier.app.http import Web, make_app
from opencarrier.identity.accounts.model import AccountId, Grant, KeyKind, Role
from opencarrier.spine.parties import Host

TOKEN = "the token"
ORIGIN = "http://localhost:8400"
COOKIE = "opencarrier-8400"
PAGE = {"Accept": "text/html"}


class Installation:
    """A scene with a door, and the accounts in it by name."""

    def __init__(self, made: Scene) -> None:
        self.made = made
        self.base = made.place.base
        self.accounts = self.base.accounts
        self.accounts.addresses._allowed = self.accounts.acts._allowed = 1_000_000
        with self.base.store.write() as unit:
            host = self.base.identity.register.add_host(unit, name="Elsewhere")
        assert isinstance(host, Host)
        self.host = host
        self.web = Web(made.place, Metrics, token=TOKEN)
        self.app = make_app(self.web)
        self.who: dict[str, AccountId] = {}
        grants = {
            "owner": Grant(Role.OWNER),
            "operator": Grant(Role.OPERATOR, made.home.party_id),
            "visited": Grant(Role.OPERATOR, made.visited.party_id),
            "host": Grant(Role.HOST, host.party_id),
            "subscriber": Grant(Role.SUBSCRIBER, made.subscriber.party_id),
            "auditor": Grant(Role.AUDITOR),
            "onlooker": Grant(Role.AUDITOR, made.home.party_id),
            "guest": None,
        }
        for name, grant in grants.items():
            self.add(name, grant)

    def add(self, name: str, grant: Grant | None, *, keys: int = 2) -> AccountId:
        book = self.accounts.book
        with self.base.store.write() as unit:
            account = taken(book.add(unit, name)).account
            if grant is not None:
                assert book.give(unit, account, grant) is None
            for number in range(keys):
                credential = f"{name} {number}".encode()
                taken(
                    book.add_key(
                        unit,
                        account,
                        kind=KeyKind.WALLET,
                        name=f"{name}'s key {number}",
                        credential=credential,
                    )
                )
        self.who[name] = account
        return account

    def browser(self, name: str = "", app: FastAPI | None = None) -> Browser:
        client = TestClient(app or self.app, base_url=ORIGIN, follow_redirects=False)
        return Browser(client, self, name)


class Browser:
    """A browser, signed in as somebody or nobody; its forms are of its own pages."""

    def __init__(self, client: TestClient, home: Installation, name: str) -> None:
        self.client, self.home, self.token = client, home, ""
        if name:
            with home.base.store.write() as unit:
                self.token, self.session = home.accounts.sessions.begin(
                    unit, home.who[name], key="k", came_from=""
                )
            client.cookies.set(COOKIE, self.token)

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers={**PAGE, **headers})

    def ask(self, path: str) -> Any:
        return self.client.get(path, headers={"Accept": "application/json"})

    def form(self, path: str, **fields: str) -> Any:
        told = {"csrf": csrf_of(self.token), **fields} if self.token else fields
        return self.client.post(path, data=told, headers={"Origin": ORIGIN, **PAGE})

    def script(self, path: str, body: Any, **headers: str) -> Any:
        meant = {"X-CSRF-Token": csrf_of(self.token)} if self.token else {}
        return self.client.post(path, json=body, headers={"Origin": ORIGIN, **meant, **headers})


@contextmanager
def installation(root: Path, **settings: object) -> Iterator[Installation]:
    with scene(root, one_sided_window_s=0, **settings) as made:
        yield Installation(made)


def routes(app: FastAPI) -> dict[str, Any]:
    """Every route of an app by method and path, those of routers included."""
    found: dict[str, Any] = {}
    for route in app.routes:
        inner = getattr(route, "original_router", None)
        for one in inner.routes if inner is not None else [route]:
            assert isinstance(one, Route) or hasattr(one, "methods")
            for method in one.methods or {"GET"}:
                found[f"{method} {one.path}"] = one
    return found
