"""Which EAP methods a server offers, and what each machine is begun with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from opencarrier.access.model import AccessSettings
from opencarrier.access.wire.aka import Aka, AkaHome
from opencarrier.access.wire.aka_profile import AKA, AKA_PRIME
from opencarrier.access.wire.aka_reauthentication import Reauthentications
from opencarrier.access.wire.dictionary import Type
from opencarrier.access.wire.eap import EAP_OCTETS_MAX, EapType, Link, Method, Methods
from opencarrier.access.wire.radius import Packet
from opencarrier.access.wire.tls_material import MaterialSource
from opencarrier.kernel.clock import Clock

if TYPE_CHECKING:
    from opencarrier.access.wire.tls_server import TlsServer

Factories = Mapping[EapType, Callable[[Link], Method]]

FRAMED_MTU_MIN = 256
"""A smaller Framed-MTU is not believed: links of EAP have 1,020 (RFC 3748 section 3.1)."""

EAPOL_OCTETS = 4
"""What stands before an EAP packet in a frame of IEEE 802.1X."""


def offered_methods(
    settings: AccessSettings, aka: AkaHome, tls: TlsServer | None = None
) -> Methods:
    """The methods of the settings, in their order, as far as this server has what they need."""
    factories = {**_sim_factories(settings, aka), **_tls_factories(tls)}
    offered = {int(kind): factories[kind] for kind in settings.methods if kind in factories}
    assert offered, "no EAP method is left to offer"
    return Methods(offered)


def remembered(settings: AccessSettings) -> Reauthentications | None:
    """Where SIM cards that may come back fast are remembered; None where none may."""
    if not settings.reauthentications_max:
        return None
    return Reauthentications(entries_max=settings.reauthentications_max)


def tls_server(
    source: MaterialSource | None, clock: Clock, settings: AccessSettings
) -> TlsServer | None:
    """What TLS conversations share, None for a server without a certificate; loads OpenSSL."""
    if source is None:
        return None
    from opencarrier.access.wire.tls_server import TlsServer

    return TlsServer(source, clock, settings.tls)


def octets_max(packet: Packet) -> int:
    """How long an EAP packet may be behind an access point (RFC 3579 section 2.4)."""
    mtu = packet.integer(Type.FRAMED_MTU)
    if mtu is None:
        return EAP_OCTETS_MAX
    return min(max(mtu, FRAMED_MTU_MIN) - EAPOL_OCTETS, EAP_OCTETS_MAX)


def _sim_factories(settings: AccessSettings, home: AkaHome) -> Factories:
    """In EAP-AKA a peer is told that EAP-AKA' would be liked better, where it stands before."""
    kinds = [kind for kind in settings.methods if kind in (EapType.AKA, EapType.AKA_PRIME)]
    liked = kinds[:1] == [EapType.AKA_PRIME]
    name = settings.network_name
    return {
        EapType.AKA: lambda _: Aka(home, AKA, network_name=None, prefer_aka_prime=liked),
        EapType.AKA_PRIME: lambda _: Aka(home, AKA_PRIME, network_name=name),
    }


def _tls_factories(server: TlsServer | None) -> Factories:
    """EAP-TLS needs anchors to judge client certificates by, EAP-TTLS does not."""
    if server is None:
        return {}
    from opencarrier.access.wire.tls_method import EapTls
    from opencarrier.access.wire.ttls_method import EapTtls

    ttls: Factories = {EapType.TTLS: lambda link: EapTtls(server, link)}
    if not server.offers_certificates:
        return ttls
    return {EapType.TLS: lambda link: EapTls(server, link), **ttls}
