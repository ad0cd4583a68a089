"""Who is asked by this installation: home servers, name servers, partners."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from opencarrier.access.discovery.model import Kind, Question
from opencarrier.access.discovery.resolver import Resolver
from opencarrier.access.hub.dialling import Dialler
from opencarrier.access.hub.neighbours import Address
from opencarrier.access.radsec.trust import Trust
from opencarrier.access.upstream.model import Lost, Reply
from opencarrier.access.wire.dictionary import Code
from opencarrier.app.bootstrap import Installation
from opencarrier.app.doctor.model import Finding, Findings, broken, doubtful, good
from opencarrier.app.folder import FolderError
from opencarrier.app.passing_on import name_servers
from opencarrier.app.radsec_trust import trust_of
from opencarrier.clearing.exchange import partners
from opencarrier.spine.parties import RadiusServer, Route, RouteKind

WAIT_S = 5.0
SERVERS_MAX = 64
"""How many are asked; all at once."""


def peer_findings(base: Installation) -> Findings:
    """Each server that a route leads to, asked for its status; name servers; partners."""
    with base.store.read() as unit:
        directory = base.identity.directory
        routes = directory.routes(unit)
        upstreams = sorted({route.upstream for route in routes if route.upstream})
        servers = [one for name in upstreams for one in directory.servers(unit, name)]
        known = partners.every(unit)
    try:
        trust = trust_of(base)
    except FolderError:
        trust = None  # told as a finding of the certificates
    yield from asyncio.run(_asked(base, trust, servers[:SERVERS_MAX]))
    yield from _names(base, routes)
    yield from (_partner(one) for one in known[:SERVERS_MAX])


async def _asked(
    base: Installation, trust: Trust | None, servers: Sequence[RadiusServer]
) -> list[Finding]:
    dialler = Dialler(trust, clock=base.clock, entropy=base.entropy)
    return list(await asyncio.gather(*(_status(dialler, one) for one in servers)))


async def _status(dialler: Dialler, server: RadiusServer) -> Finding:
    """Ask one server with Status-Server (RFC 5997), over the line that requests take."""
    part = f"server {server.upstream}"
    where = f"{server.transport}://{server.host}:{server.port}"
    neighbour = dialler.connect(Address(server))
    try:
        answer = await asyncio.wait_for(neighbour.request(Code.STATUS_SERVER, []), WAIT_S)
    except TimeoutError:
        answer = Lost.TIMEOUT
    finally:
        await neighbour.stop()
    if isinstance(answer, Reply):
        return good(part, f"{where} answers")
    secret = "the shared secret" if server.transport == "udp" else "the certificates of both sides"
    fix = f"see that it runs, that a firewall lets {server.port} through, and {secret}"
    return broken(part, f"{where}: {answer.value}", fix)


def _names(base: Installation, routes: Sequence[Route]) -> Findings:
    """The name servers, where a route has to find its servers by name."""
    if not any(route.kind is RouteKind.DISCOVER for route in routes):
        return
    servers = name_servers(base.settings)
    fix = "set dns_servers to name servers that this machine reaches"
    if not servers:
        yield broken("names", "no name server is known", fix)
        return
    question = Question("openroaming.org", Kind.NAPTR)
    answer = asyncio.run(Resolver(servers, base.entropy).ask(question))
    shown = " ".join(f"{host}:{port}" for host, port in servers)
    if answer.failed:
        yield broken("names", f"{shown}: {answer.failed}", fix)
    else:
        yield good("names", f"{shown} answer")


def _partner(partner: partners.Partner) -> Finding:
    part, host = f"partner {partner.peer}", urlsplit(partner.url).hostname
    if not partner.failures:
        return good(part, f"at {host}, spoken to without failure")
    found = f"at {host}, {partner.failures} failures in a row: {partner.note}"
    return doubtful(part, found, "see that its process runs and that its card is the newest")
