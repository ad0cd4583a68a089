"""Which EAP methods a server offers, and what each machine is begun with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from opencarrier.access.model import AccessSettings
from opencarrier.access.wire.aka_prime import AkaPrime
from opencarrier.access.wire.eap import EapType, Method, Methods
from opencarrier.access.wire.tls_material import MaterialSource
from opencarrier.kernel.clock import Clock

if TYPE_CHECKING:
    from opencarrier.access.wire.tls_server import TlsServer

Factories = Mapping[EapType, Callable[[str], Method]]


def offered_methods(settings: AccessSettings, tls: TlsServer | None = None) -> Methods:
    """The methods of the settings, in their order, as far as this server has what they need."""
    factories = {**_factories(settings), **_tls_factories(tls)}
    offered = {int(kind): factories[kind] for kind in settings.methods if kind in factories}
    assert offered, "no EAP method is left to offer"
    return Methods(offered)


def tls_server(
    source: MaterialSource | None, clock: Clock, settings: AccessSettings
) -> TlsServer | None:
    """What TLS conversations share, None for a server without a certificate; loads OpenSSL."""
    if source is None:
        return None
    from opencarrier.access.wire.tls_server import TlsServer

    return TlsServer(source, clock, settings.tls)


def _factories(settings: AccessSettings) -> Factories:
    return {EapType.AKA_PRIME: lambda _: AkaPrime(network_name=settings.network_name)}


def _tls_factories(server: TlsServer | None) -> Factories:
    """EAP-TLS needs anchors to judge client certificates by, EAP-TTLS does not."""
    if server is None:
        return {}
    from opencarrier.access.wire.tls_method import EapTls
    from opencarrier.access.wire.ttls_method import EapTtls

    ttls: Factories = {EapType.TTLS: lambda client: EapTtls(server, client)}
    if not server.offers_certificates:
        return ttls
    return {EapType.TLS: lambda client: EapTls(server, client), **ttls}
