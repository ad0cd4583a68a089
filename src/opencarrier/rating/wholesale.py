"""What a session's use costs its home operator, and while what: one way for every rule version.

An agreement of document version 1 prices by `rules/v1`, one of version 2 by `rules/v2`; what is
settlement-free costs nothing under either, or under none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from opencarrier.kernel.clock import Window
from opencarrier.kernel.ids import Id
from opencarrier.kernel.money import AssetId
from opencarrier.kernel.refusals import Refusal
from opencarrier.rating.agreements.model import RoamingAgreement
from opencarrier.rating.agreements.rows import AnyAgreement
from opencarrier.rating.model import Agreement, AgreementHead, Tariff
from opencarrier.rating.reasons import AccessReason
from opencarrier.rating.rules import v1
from opencarrier.rating.rules.v2 import VERSION as V2
from opencarrier.rating.rules.v2 import charges as v2
from opencarrier.rating.rules.v2 import inputs as v2_inputs
from opencarrier.rating.rules.v2.charges import FreeTerms, LineTerms
from opencarrier.rating.rules.v2.formula import price_of
from opencarrier.rating.rules.versions import WholesaleInputs
from opencarrier.spine.access import Offered, Rate
from opencarrier.spine.money import Charge
from opencarrier.spine.parties import PartyId
from opencarrier.spine.usage import Counters, Usage


@dataclass(frozen=True, slots=True)
class TariffTerms:
    """A tariff of a version 1 agreement: it is for whatever is offered."""

    head: AgreementHead
    tariff: Tariff

    @property
    def home(self) -> PartyId:
        """Who pays."""
        return self.head.home

    @property
    def visited(self) -> PartyId:
        """Who is paid."""
        return self.head.visited

    @property
    def asset(self) -> AssetId:
        """What is paid in."""
        return self.head.asset

    @property
    def unit(self) -> str:
        """What is counted."""
        return self.tariff.unit

    @property
    def tariff_hash(self) -> Id:
        """The tariff by its content."""
        return self.tariff.hash

    @property
    def window(self) -> Window:
        """When it is in force."""
        return self.tariff.window

    def fits(self, counters: Counters) -> bool:
        """Say whether a session's use lies within the guards of the formula."""
        return v1.fits(self.tariff, v1.quantity(self.tariff.unit, counters))

    def legs(self, counters: Counters) -> v1.WholesaleLegs:
        """Return what a session so far owes to whom."""
        return v1.wholesale_legs(self.tariff, self.head.protocol_ppm, counters)


Terms: TypeAlias = TariffTerms | LineTerms | FreeTerms


def terms_of(
    agreements: Iterable[AnyAgreement], *, home: PartyId, visited: PartyId, offered: Offered
) -> list[Terms]:
    """Return what prices such use between two operators, ascending by when it begins."""
    found: list[Terms] = []
    for item in agreements:
        if isinstance(item, Agreement):
            head = item.head
            found += [TariffTerms(head, tariff) for tariff in item.tariffs]
        else:
            found += _line_terms(item, home, visited, offered)
    return sorted(found, key=lambda terms: terms.window.start_us)


def in_force(dated: Sequence[Terms], at_us: int) -> Terms | None:
    """Return the terms in force at an instant, of some that ascend and do not overlap."""
    place = bisect_right(dated, at_us, key=lambda terms: terms.window.start_us) - 1
    return dated[place] if place >= 0 and dated[place].window.holds(at_us) else None


def accepted(terms: Terms, rates: Sequence[Rate]) -> Rate | Refusal | None:
    """Choose the cheapest rate that the agreement lets count; the first told of equal ones.

    None where rates do not count: none was offered, or the agreement alone says the price.
    Refused where all are above what was agreed or in another currency: such a session would end
    in a dispute about every record of it.
    """
    if not rates or not isinstance(terms, LineTerms) or not terms.line.in_band:
        return None
    agreed = [rate for rate in rates if price_of(terms.line, rate.quote)[1] is None]
    if not agreed:
        told = ", ".join(f"{rate.quote.nano_per_kib} nano {rate.quote.currency}" for rate in rates)
        most = f"{terms.line.price_nano} nano {terms.line.currency}"
        return Refusal(AccessReason.RATE_NOT_ACCEPTABLE, f"{told}; agreed is at most {most}")
    return min(agreed, key=lambda rate: rate.quote.nano_per_kib)


def inputs_of(terms: Terms, usage: Usage, *, at_us: int, host: PartyId) -> WholesaleInputs:
    """Gather what the charge of a usage is made from."""
    if isinstance(terms, TariffTerms):
        return v1.WholesaleInputs(
            head=terms.head,
            tariff=terms.tariff,
            tariff_at_us=at_us,
            host=host,
            counters_from=usage.counters_from,
            counters_to=usage.counters_to,
        )
    return v2.WholesaleInputs(
        terms=terms,
        tariff_at_us=at_us,
        host=host,
        counters_from=usage.counters_from,
        counters_to=usage.counters_to,
    )


def charge(usage: Usage, inputs: WholesaleInputs) -> Charge:
    """Make a usage's charge between operators by the rules its terms are of."""
    if isinstance(inputs, v1.WholesaleInputs):
        return v1.charge(usage, v1.rate(inputs), v1.encode_inputs(inputs))
    octets = v2_inputs.encode_inputs(inputs)
    return v1.charge(usage, v2.rate(inputs), octets, rule_version=V2)


def _line_terms(
    agreement: RoamingAgreement, home: PartyId, visited: PartyId, offered: Offered
) -> Iterator[LineTerms]:
    head = agreement.head
    for line in agreement.lines:
        is_for = offered.service in line.services and offered.qos in line.qos
        if (line.home, line.visited) != (home, visited) or not is_for:
            continue
        if offered.rcoi not in line.rcoi:
            continue
        rates = [item for item in agreement.rates if item.currency == line.currency]
        within = [item for item in rates if item.window.overlaps(line.window)]
        for exchange in within if line.currency != agreement.currency else (None,):
            yield LineTerms(head=head, line=line, exchange=exchange, offered=offered)
