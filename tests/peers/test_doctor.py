"""The doctor asks home servers that are not ours: FreeRADIUS over UDP, radsecproxy over TLS."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import closing
from pathlib import Path

import pytest
from tests.access.radsec import Pki, until
from tests.peers.test_access_hub import HOME_SECRET, MISSING, home, is_open
from tests.peers.test_access_radsec import free_port, radsecproxy

from opencarrier.app.bootstrap import open_installation
from opencarrier.app.config import Settings
from opencarrier.app.doctor.model import Finding, Health
from opencarrier.app.doctor.peers import peer_findings
from opencarrier.app.folder import Folder
from opencarrier.identity.routing import Wanted
from opencarrier.spine.parties import Route, RouteKind

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]


async def asked(folder: Path, server: Wanted, **named: Path) -> Finding:
    """What the doctor finds of one server, asked by an installation made for it."""
    names = {name: os.path.relpath(path, folder) for name, path in named.items()}
    settings = Settings(**names)  # type: ignore[arg-type]
    with closing(open_installation(Folder(folder), settings)) as base:
        with base.store.write() as unit:
            route = Route(pattern="home.example", kind=RouteKind.UPSTREAM, upstream="home")
            assert isinstance(base.identity.routing.add(unit, route, [server]), Route)
        (found,) = await asyncio.to_thread(lambda: list(peer_findings(base)))
    return found


async def test_freeradius_answers_whoever_has_the_secret(tmp_path: Path) -> None:
    pki = Pki(tmp_path, roots=1)
    files = pki.files(pki.end("home", dns_names=("home.example",)), "home")
    async with home(tmp_path / "home", files) as running:
        for secret, health in ((HOME_SECRET, Health.GOOD), ("another secret", Health.BROKEN)):
            server = Wanted(
                transport="udp", host="127.0.0.1", port=running.port, secret=secret.encode()
            )
            found = await asked(tmp_path / secret, server)
            assert found.health is health, found


async def test_radsecproxy_answers_whoever_has_a_certificate(tmp_path: Path) -> None:
    pki = Pki(tmp_path, roots=1)
    proxy = pki.files(pki.end("proxy", addresses=("127.0.0.1",)), "proxy")
    ours = pki.files(pki.end("aaa", addresses=("127.0.0.1",)), "ours")
    port = free_port(socket.SOCK_STREAM)
    blocks = (
        f"ListenTLS 127.0.0.1:{port}",
        "client us {\n host 127.0.0.1\n type TLS\n secret radsec\n}",
        "realm nobody.example {\n replymessage unknown\n}",
    )
    server = Wanted(transport="tls", host="127.0.0.1", port=port, secret=b"radsec")
    named = {"radsec_chain": ours.chain, "radsec_key": ours.key, "radsec_roots": ours.roots}
    async with radsecproxy(tmp_path, proxy, *blocks):
        await until(lambda: is_open(port))
        found = await asked(tmp_path / "right", server, **named)
        assert found.health is Health.GOOD, found
    found = await asked(tmp_path / "gone", server, **named)
    assert found.health is Health.BROKEN
    assert "certificates of both sides" in found.fix
