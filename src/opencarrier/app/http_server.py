"""What serves HTTP inside our loop; loaded when RADIUS is answered already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from opencarrier.app.http import Web, make_app


class HttpServer(uvicorn.Server):
    """Uvicorn; signals are ours."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def server_of(web: Web) -> HttpServer:
    """Return the server of all routes; who runs it hands it the open sockets."""
    return HttpServer(
        uvicorn.Config(make_app(web), log_level="warning", lifespan="off", access_log=False)
    )
