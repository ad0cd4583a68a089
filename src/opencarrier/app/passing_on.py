"""What passing packets on needs of the machine: certificates, name servers, settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection

from opencarrier.access.dynamic import DynamicProxy
from opencarrier.access.hub.backward import WayBack
from opencarrier.access.hub.dialling import Dialler
from opencarrier.access.hub.passing import Passing
from opencarrier.access.radsec.trust import Trust
from opencarrier.access.service import AccessService
from opencarrier.app.bootstrap import Installation
from opencarrier.app.config import ConfigError, Settings
from opencarrier.spine.parties import Operator, Route, RouteKind
from opencarrier.spine.ports import CarriedPayments


@dataclass(frozen=True, slots=True)
class Roles:
    """What an installation does in a federation, as its routes and clients say."""

    identity_provider: bool
    access_network: bool
    hub: bool


def name_servers(settings: Settings) -> Sequence[tuple[str, int]]:
    """Return whom to ask: those that are set, else the machine's own."""
    from opencarrier.access.discovery.resolver import DNS_PORT, system_servers

    named = settings.dns_servers.split()
    if not named:
        return system_servers()
    found = []
    for text in named:
        host, colon, port = text.rpartition(":")
        bare = (host if colon else text).strip("[]")
        try:
            found.append((bare, int(port) if colon else DNS_PORT))
        except ValueError:
            raise ConfigError(f"dns_servers: {text!r} is not like 192.0.2.53:53") from None
    return found


def access_service(
    base: Installation,
    trust: Trust | None,
    way_back: WayBack | None = None,
    *,
    worker: int = 0,
    payments: CarriedPayments | None = None,
) -> AccessService:
    """Make the access service of a running process, which may pass packets on.

    Disconnect and CoA of homes that were asked over RadSec come back by `way_back`. `worker` is
    the process's number, the first one's where there is one.
    """
    from opencarrier.access.discovery.resolver import Resolver

    way_back = way_back or WayBack(base.entropy, port=base.settings.dynamic_port)
    servers = name_servers(base.settings)
    dynamic = DynamicProxy(way_back.find, allows=way_back.allows)
    dialler = Dialler(trust, clock=base.clock, entropy=base.entropy, dynamic=dynamic)
    return base.access(
        worker=worker if base.settings.workers > 1 else None,
        connect=dialler.connect,
        ask_dns=Resolver(servers, base.entropy).ask if servers else None,
        way_back=way_back,
        payments=payments,
    )


def roles_of(base: Installation, unit: Connection) -> Roles:
    """Say what the installation is: read from realms, routes and clients."""
    directory = base.identity.directory
    routes = directory.routes(unit)
    passes = [r for r in routes if r.kind in (RouteKind.UPSTREAM, RouteKind.DISCOVER)]
    realms = (name for o in directory.operators(unit) for name in (*o.realms, *_plmn_realms(o)))
    return Roles(
        identity_provider=any(directory.serves(unit, realm) for realm in realms),
        access_network=any(not route.inward for route in passes),
        hub=bool(passes) and any(one.carries for one in base.identity.clients.all(unit)),
    )


def _plmn_realms(operator: Operator) -> list[str]:
    return [f"wlan.mnc{plmn[3:]:0>3}.mcc{plmn[:3]}.3gppnetwork.org" for plmn in operator.plmns]


def route_lines(routes: Sequence[Route]) -> list[dict[str, Any]]:
    """Return routes as `status` and `route list` show them."""
    return [
        {"realm": r.pattern, "kind": r.kind.value, "servers_of": r.upstream, "inward": r.inward}
        for r in routes
    ]


def passing_status(passing: Passing | None, unit: Connection) -> dict[str, Any]:
    """Return where passing on stands: servers, what is owed, counters."""
    if passing is None:
        return {}
    state = passing.state(unit)
    return {
        "neighbours": [asdict(line) for line in state.neighbours],
        "owed": [asdict(line) for line in state.owed],
        "passed_on": state.metrics.passed_on,
        "refused": dict(state.metrics.refused),
        "delivered": state.metrics.delivered,
        "given_up": state.metrics.given_up,
    }
