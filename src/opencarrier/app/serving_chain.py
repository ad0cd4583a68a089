"""A folder's chain, served for reading while nothing else of the installation runs."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence

import uvicorn

from opencarrier.app.bootstrap import Installation
from opencarrier.app.bootstrap.chains import embedded_node
from opencarrier.app.folder import FolderError
from opencarrier.app.output import CommandError, Exit
from opencarrier.chain.errors import NodeLockedError
from opencarrier.chain.node.http import ForReading, rpc_app

ORIGINS_MAX = 16
LOOPBACK = "127.0.0.1"
_ORIGIN = re.compile(r"https?://[a-z0-9.\[\]:-]{1,253}")


def serve_chain(
    base: Installation, *, port: int, origins: Sequence[str], ready: Callable[[str], None]
) -> None:
    """Answer JSON-RPC on loopback until SIGINT or SIGTERM; `ready` is told the address.

    Pages of `origins` may ask it too. `FolderError` where the folder has no chain, another process
    has it, or the port is taken.
    """
    if base.settings.chain != "embedded:" or not base.folder.chain.exists():
        raise FolderError(
            f"{base.folder.root} has no chain of its own", "ask a node of the chain it stands on"
        )
    with _listening(port) as listener:
        try:
            with embedded_node(base) as node:
                app = rpc_app(ForReading(node), origins=read_origins(origins))
                ready(f"http://{LOOPBACK}:{listener.getsockname()[1]}")
                config = uvicorn.Config(app, log_level="warning", lifespan="off", access_log=False)
                uvicorn.Server(config).run(sockets=[listener])
        except NodeLockedError:
            raise FolderError(
                f"another process has the chain of {base.folder.root}",
                "a running installation serves it itself: see `rpc` of opencarrier status",
            ) from None


def own_origins(base: Installation) -> list[str]:
    """Return where the installation's own pages come from."""
    here = [f"http://{name}:{base.settings.http_port}" for name in (LOOPBACK, "localhost")]
    named = base.settings.console_url.lower().rstrip("/").removesuffix(":443")
    return [named] if named else here


def read_origins(origins: Sequence[str]) -> frozenset[str]:
    """Return origins as browsers write them; `CommandError` for what is none, or too many."""
    odd = next((one for one in origins if _ORIGIN.fullmatch(one) is None), None)
    if odd is not None or len(origins) > ORIGINS_MAX:
        words = f"{len(origins)} origins" if odd is None else f"--origin {odd}"
        hint = f"up to {ORIGINS_MAX}, each scheme, name and port, as http://127.0.0.1:8400"
        raise CommandError(Exit.USAGE, words, hint)
    return frozenset(origins)


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server((LOOPBACK, port))
    except OSError as error:
        raise FolderError(
            f"port {port} of {LOOPBACK} cannot be had: {error.strerror}", "name another with --port"
        ) from None
