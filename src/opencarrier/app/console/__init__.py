"""The console: pages for people, server-rendered, with life added by a little script of ours."""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response

from opencarrier.app.console.assets import assets
from opencarrier.app.console.errors import error_pages
from opencarrier.app.console.events import Events, event_routes
from opencarrier.app.console.glossary import glossary, in_order
from opencarrier.app.console.locales import words
from opencarrier.app.console.network import network_routes
from opencarrier.app.console.security import Secured
from opencarrier.app.console.shell import Shell
from opencarrier.app.console.views.network import NetworkViews
from opencarrier.app.console.visitor import visitor_of

COMPRESSED_FROM_OCTETS = 1_024
COMPRESSION_LEVEL = 5


def console_routes(app: FastAPI, shell: Shell, events: Events, views: NetworkViews) -> None:
    """Add every page, what they are made of, and what all answers have in common."""
    frame_routes(app, shell, events)
    network_routes(app, shell, views)


def frame_routes(app: FastAPI, shell: Shell, events: Events) -> None:
    """Add what any page needs: headers, compression, errors, static files, events, words."""
    app.add_middleware(
        GZipMiddleware, minimum_size=COMPRESSED_FROM_OCTETS, compresslevel=COMPRESSION_LEVEL
    )
    app.add_middleware(Secured)
    error_pages(app, shell)
    app.router.routes.append(assets().route())
    event_routes(app, events)

    @app.get("/words", include_in_schema=False)
    def explained(request: Request) -> Response:
        language = words(visitor_of(request).locale)
        terms = in_order(glossary().values(), language.gettext)
        return shell.page(request, "words.html", terms, title="Words explained", section="words")
