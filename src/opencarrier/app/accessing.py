"""What access and rating are told of the settings: the federation's names, what is held for."""

from __future__ import annotations

import re

from opencarrier.access.discovery.model import DiscoverySettings
from opencarrier.access.model import AccessSettings
from opencarrier.access.openroaming.attributes import BOLIVARS, RATES_MAX, Told
from opencarrier.access.openroaming.names import OperatorName, wbaid
from opencarrier.access.openroaming.obligations import FederationTerms
from opencarrier.access.openroaming.rcoi import SETTLED, SETTLEMENT_FREE
from opencarrier.access.wire.eap import EapType
from opencarrier.access.wire.tls_material import TlsLimits
from opencarrier.app.config import ConfigError, Settings
from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.desk import RatingSettings
from opencarrier.rating.exposure import ExposureSettings
from opencarrier.spine.access import Quote, Rate
from opencarrier.spine.records import Qos

TAGS_MAX = 8


def access_settings(settings: Settings) -> AccessSettings:
    """Read the settings of access and the federation; `ConfigError` names the one that is wrong."""
    financial = _member("clearing_provider", settings.clearing_provider)
    return AccessSettings(
        tls=TlsLimits(resumption_ttl_s=settings.eap_resumption_s),
        discovery=discovery_settings(settings),
        methods=_methods(settings),
        offering=offering(settings),
        own_bases=tuple(_base(word) for word in settings.rcoi_own.split()),
        federation=FederationTerms(
            name=_member("wbaid", settings.wbaid),
            financial_clearing=financial,
            data_clearing=_member("data_clearing_provider", settings.data_clearing_provider)
            or financial,
            location_required=settings.location_required == "yes",
            countries=frozenset(_country(word) for word in settings.roaming_countries.split()),
        ),
    )


def discovery_settings(settings: Settings) -> DiscoverySettings:
    """Return what is looked for in the DNS; `ConfigError` for too many service tags, or none."""
    tags = tuple(settings.discovery_tags.split())
    if not 0 < len(tags) <= TAGS_MAX:
        raise ConfigError(f"discovery_tags names 1 to {TAGS_MAX} services")
    accounting = tuple(settings.discovery_acct_tags.split()[:TAGS_MAX])
    private = settings.discovery_private == "yes"
    return DiscoverySettings(tags=tags, accounting_tags=accounting, private=private)


def offering(settings: Settings) -> Told:
    """Read what access points here offer others' subscribers: quality, rates, who clears."""
    words = settings.offered_rates.split()
    if len(words) > RATES_MAX:
        raise ConfigError(f"offered_rates names at most {RATES_MAX}")
    financial = _member("clearing_provider", settings.clearing_provider)
    data = _member("data_clearing_provider", settings.data_clearing_provider)
    return Told(
        qos=Qos[settings.offered_service.upper()] if settings.offered_service else Qos.NONE,
        financial_clearing=financial,
        data_clearing=data or financial,
        rates=tuple(Rate(index, _quote(word)) for index, word in enumerate(words)),
    )


def _quote(word: str) -> Quote:
    found = re.fullmatch(r"([A-Z]{3}):(\d{1,10})", word)
    if found is None or int(found[2]) >= 1 << 32 or found[1] == BOLIVARS:
        raise ConfigError(f"offered_rates is like USD:1900, not {word!r}")
    return Quote(found[1], int(found[2]))


def rating_settings(settings: Settings) -> RatingSettings:
    """Read how long money is held, and for what."""
    return RatingSettings(
        settlement_lag_s=settings.settlement_lag_s,
        exposure=ExposureSettings(
            foreign_line_octets_per_s=settings.foreign_line_octets_per_s,
            foreign_session_s=settings.foreign_session_s,
            free_plan=settings.free_plan,
        ),
    )


def _methods(settings: Settings) -> tuple[EapType, ...]:
    words = settings.eap_methods.lower().split()
    unknown = [word for word in words if word not in _METHODS]
    if unknown or len(words) != len(set(words)):
        raise ConfigError(f"eap_methods is some of {' '.join(_METHODS)}, each once")
    needs = {"tls": settings.eap_chain and settings.eap_roots, "ttls": settings.eap_chain}
    if not any(needs.get(word, "a SIM card") for word in words):
        raise ConfigError("eap_methods leaves nothing: tls needs eap_chain and eap_roots too")
    return tuple(_METHODS[word] for word in words)


_METHODS = {
    "tls": EapType.TLS,
    "ttls": EapType.TTLS,
    "aka'": EapType.AKA_PRIME,
    "aka": EapType.AKA,
}


def _member(name: str, value: str) -> OperatorName | None:
    try:
        return wbaid(value) if value else None
    except PeerError:
        raise ConfigError(f"{name} is like EXAMPLE:FR, not {value!r}") from None


def _base(word: str) -> bytes:
    if not re.fullmatch(r"[0-9A-Fa-f]{6}", word):
        raise ConfigError(f"rcoi_own is six hex digits an OUI, not {word!r}")
    base = bytes.fromhex(word)
    if base in (SETTLED, SETTLEMENT_FREE):
        raise ConfigError(f"rcoi_own: {word} is the federation's")
    return base


def _country(word: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2}", word):
        raise ConfigError(f"roaming_countries is two letters a country, not {word!r}")
    return word.upper()
