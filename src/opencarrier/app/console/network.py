"""The first page: what the network is, does, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastapi import FastAPI, Request
from starlette.responses import Response

from opencarrier.app.bootstrap import Onchain
from opencarrier.app.console.shell import Shell
from opencarrier.app.console.views.network import STATES, NetworkView, network_view

TITLE = "Network"


def network_routes(
    app: FastAPI, shell: Shell, place: Onchain, story: Callable[[], Sequence[str]]
) -> None:
    """Add the page and the part of it that is drawn again when something happens."""

    def view() -> NetworkView:
        with place.base.store.read() as unit:
            return network_view(place, unit, story())

    @app.get("/", include_in_schema=False)
    def page(request: Request) -> Response:
        return shell.page(
            request, "network/page.html", view(), title=TITLE, section="network", states=STATES
        )

    @app.get("/network/now", include_in_schema=False)
    def now(request: Request) -> Response:
        return shell.fragment(request, "network/now.html", view(), states=STATES)
