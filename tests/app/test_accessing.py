"""The settings of the federation, as access is told them."""

from __future__ import annotations

import pytest

from opencarrier.access.model import AccessSettings
from opencarrier.access.openroaming.names import wbaid
from opencarrier.access.wire.eap import EapType
from opencarrier.app.accessing import access_settings, offering, rating_settings
from opencarrier.app.config import ConfigError, Settings
from opencarrier.rating.desk import RatingSettings
from opencarrier.spine.access import Quote, Rate
from opencarrier.spine.records import Qos


def test_nothing_set_is_no_member_of_anything() -> None:
    assert access_settings(Settings()) == AccessSettings()


def test_access_points_offer_a_quality_and_rates() -> None:
    told = offering(Settings(offered_service="gold", offered_rates="USD:1900 EUR:1700"))
    assert told.qos is Qos.GOLD
    assert told.rates == (Rate(0, Quote("USD", 1_900)), Rate(1, Quote("EUR", 1_700)))


def test_rating_is_told_what_to_hold_for() -> None:
    assert rating_settings(Settings()) == RatingSettings()
    told = rating_settings(Settings(free_plan="free", foreign_session_s=60)).exposure
    assert (told.free_plan, told.foreign_session_s) == ("free", 60)


def test_a_member_names_itself_its_clearing_its_bases_and_countries() -> None:
    told = access_settings(
        Settings(
            wbaid="lumen:fr",
            clearing_provider="CLEAR:US",
            rcoi_own="A1B2C3 d4e5f6",
            roaming_countries="fr DE",
        )
    )
    assert told.own_bases == (bytes.fromhex("a1b2c3"), bytes.fromhex("d4e5f6"))
    assert told.federation.name == wbaid("LUMEN:FR")
    assert told.federation.data_clearing == told.federation.financial_clearing == wbaid("CLEAR:US")
    assert told.federation.countries == {"FR", "DE"}
    assert not told.federation.location_required
    assert access_settings(Settings(location_required="yes")).federation.location_required


def test_methods_are_offered_in_the_order_they_are_named() -> None:
    told = access_settings(Settings(eap_methods="AKA' TLS"))
    assert told.methods == (EapType.AKA_PRIME, EapType.TLS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"eap_methods": ""},
        {"eap_methods": "aka aka"},
        {"eap_methods": "peap"},
        {"eap_methods": "tls ttls"},
        {"wbaid": "nobody"},
        {"clearing_provider": "4CLEAR:US."},
        {"rcoi_own": "A1B2"},
        {"rcoi_own": "BAA2D0"},
        {"roaming_countries": "France"},
        {"offered_rates": "USD 1900"},
        {"offered_rates": "VES:1"},
        {"offered_rates": f"USD:{2**32}"},
        {"offered_rates": " ".join(["USD:1"] * 9)},
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, str]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigError, match=name):
        access_settings(Settings(**wrong))  # type: ignore[arg-type]
