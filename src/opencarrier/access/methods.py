"""Which EAP methods a server offers, and what each machine is begun with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from opencarrier.access.model import AccessSettings
from opencarrier.access.wire.aka_prime import AkaPrime
from opencarrier.access.wire.eap import EapType, Method, Methods


def offered_methods(settings: AccessSettings) -> Methods:
    """The methods of the settings, in their order, as far as this server has what they need."""
    factories = _factories(settings)
    offered = {int(kind): factories[kind] for kind in settings.methods if kind in factories}
    assert offered, "no EAP method is left to offer"
    return Methods(offered)


def _factories(settings: AccessSettings) -> Mapping[EapType, Callable[[], Method]]:
    return {EapType.AKA_PRIME: lambda: AkaPrime(network_name=settings.network_name)}
