"""What the federation demands of each side before paid service: pure rules, both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from opencarrier.access.openroaming.attributes import Told
from opencarrier.access.openroaming.location import Location
from opencarrier.access.openroaming.names import OperatorName
from opencarrier.kernel.refusals import Reason, Refusal
from opencarrier.spine.records import Qos, RcoiClass


class FederationReason(Reason):
    """Why a request of an access network, or an answer of a home, does not stand."""

    FINANCIAL_CLEARING_MISSING = 1
    SETTLED_SERVICE_NOT_CLEARED = 2
    LOCATION_MISSING = 3
    LOCATION_NOT_ALLOWED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationTerms:
    """What an installation is in the federation, and where it lets its subscribers roam.

    Without a clearing provider it takes no settled service. No countries are all countries.
    """

    name: OperatorName | None = None
    financial_clearing: OperatorName | None = None
    data_clearing: OperatorName | None = None
    location_required: bool = False
    countries: frozenset[str] = frozenset()


ALONE: Final = FederationTerms()
"""No member of any federation: what is settled is refused."""


def request_objection(
    said: Told, rcoi: RcoiClass, location: Location | None, terms: FederationTerms
) -> Refusal | None:
    """Say why a home does not serve a request as it stands, None where it may.

    Settled service needs a clearing provider on both sides (WBA RADIUS-VSA, sub-type 13).
    """
    if rcoi is RcoiClass.SETTLED:
        if said.financial_clearing is None:
            return Refusal(FederationReason.FINANCIAL_CLEARING_MISSING)
        if terms.financial_clearing is None:
            return Refusal(FederationReason.SETTLED_SERVICE_NOT_CLEARED)
    if location is None and (terms.location_required or terms.countries):
        return Refusal(FederationReason.LOCATION_MISSING)
    if terms.countries and location is not None and location.country not in terms.countries:
        return Refusal(FederationReason.LOCATION_NOT_ALLOWED, location.country or "a point")
    return None


def added(said: Told, rcoi: RcoiClass, own: Told) -> Told:
    """Return what an access network adds to what its access point told: only what is missing.

    Who clears is told of settled service alone, rates wherever use is paid for.
    """
    settled = rcoi is RcoiClass.SETTLED
    paid = settled or rcoi is RcoiClass.OWN
    nobody = said.financial_clearing is None
    return Told(
        qos=Qos.NONE if said.qos else own.qos,
        financial_clearing=own.financial_clearing if settled and nobody else None,
        data_clearing=own.data_clearing if settled and nobody else None,
        rates=own.rates if paid and not said.rates else (),
    )


def answer_objection(asked: Told, rcoi: RcoiClass, answered: Told) -> Refusal | None:
    """Say why an access network does not serve by a home's Access-Accept, None where it may.

    Settled service without the home's clearing provider would not be paid, and a rate that was
    not offered was not agreed.
    """
    if rcoi is RcoiClass.SETTLED and answered.financial_clearing is None:
        return Refusal(FederationReason.FINANCIAL_CLEARING_MISSING)
    if any(rate not in asked.rates for rate in answered.rates):
        return Refusal(FederationReason.SETTLED_SERVICE_NOT_CLEARED, "a rate nobody offered")
    return None
