"""Choosing by price and quality: pure, in integers, and the same for whoever chooses again.

The value of a candidate is its price for a faultless octet: price / quality. The least wins; at
one value the higher quality, then the lower price, then the seller's id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cmp_to_key

from opencarrier.kernel.encoding import Value
from opencarrier.kernel.money import INT64_MAX, PPM
from opencarrier.kernel.refusals import PeerError
from opencarrier.routing.model import CANDIDATES_MAX, PLACE_MAX, Verdict
from opencarrier.spine.parties import PartyId
from opencarrier.spine.routing import Candidate, Choice, Demand


def verdict_of(candidate: Candidate, demand: Demand) -> Verdict:
    """Say whether a candidate may serve, else the first reason why not."""
    if candidate.currency != demand.currency:
        return Verdict.OTHER_CURRENCY
    if candidate.price_nano < candidate.floor_nano:
        return Verdict.BELOW_FLOOR
    if candidate.price_nano > demand.ceiling_nano:
        return Verdict.ABOVE_CEILING
    if candidate.quality_ppm < max(demand.quality_min_ppm, 1):
        return Verdict.LOW_QUALITY
    return Verdict.SERVES


def ranked(candidates: Iterable[Candidate], demand: Demand) -> list[Candidate]:
    """Return those that may serve, the best first."""
    serving = [item for item in candidates if verdict_of(item, demand) is Verdict.SERVES]
    return sorted(serving, key=cmp_to_key(_compare))


def shortlist(
    found: Iterable[Candidate], taken: Candidate, demand: Demand
) -> tuple[Candidate, ...]:
    """Return whom a session took and the best of the others, ascending by seller; at most sixteen.

    Who may not serve comes last, so that no number of them hides who may.
    """
    others = [item for item in found if item.seller != taken.seller]
    serving = ranked(others, demand)
    kept = [*serving, *(item for item in others if item not in serving)][: CANDIDATES_MAX - 1]
    return tuple(sorted([*kept, taken], key=lambda item: item.seller))


def is_better(best: Candidate, other: Candidate, margin_ppm: int) -> bool:
    """Say whether one is cheaper for a faultless octet than another by more than the margin."""
    cheaper = best.price_nano * other.quality_ppm * PPM
    return cheaper < other.price_nano * best.quality_ppm * (PPM - margin_ppm)


def better_near(choice: Choice) -> Candidate | None:
    """Return whom a session should rather use; None where what it took is good enough.

    Where what it took may not serve at all, anybody who may is better.
    """
    order = ranked(choice.candidates, choice.demand)
    if not order or order[0].seller == choice.taken:
        return None
    taken = next((item for item in order if item.seller == choice.taken), None)
    if taken is None or is_better(order[0], taken, choice.demand.margin_ppm):
        return order[0]
    return None


def read_choice(content: Value) -> Choice:
    """Read a choice's content; `PeerError` with reason `choice` for what no choice says."""
    match content:
        case {
            "place": str(place),
            "taken": str(taken),
            "demand": list(demand),
            "candidates": list(candidates),
            "refusals": int(refusals),
        } if len(candidates) <= CANDIDATES_MAX and _are_amounts(refusals):
            found = Choice(
                place=place,
                taken=PartyId(taken),
                demand=_demand(demand),
                candidates=tuple(_candidate(item) for item in candidates),
                refusals=refusals,
            )
            sellers = [item.seller for item in found.candidates]
            known = sellers == sorted(set(sellers)) and found.taken in sellers
            if known and 0 < len(place) <= PLACE_MAX and found.terms() == content:
                return found
    raise PeerError("choice", "out of form")


def _demand(fields: Sequence[Value]) -> Demand:
    match fields:
        case [str(currency), int(ceiling), int(quality), int(margin)] if _are_amounts(
            ceiling, quality, margin
        ):
            return Demand(
                currency=currency,
                ceiling_nano=ceiling,
                quality_min_ppm=quality,
                margin_ppm=margin,
            )
    raise PeerError("choice", "the demand is out of form")


def _candidate(fields: Value) -> Candidate:
    match fields:
        case [
            str(seller),
            bytes(advert),
            str(currency),
            int(price),
            int(quality),
            int(floor),
        ] if _are_amounts(price, quality, floor):
            return Candidate(
                seller=PartyId(seller),
                advert_hash=advert,
                currency=currency,
                price_nano=price,
                quality_ppm=quality,
                floor_nano=floor,
            )
    raise PeerError("choice", "a candidate is out of form")


def _are_amounts(*numbers: int) -> bool:
    return all(not isinstance(item, bool) and 0 <= item <= INT64_MAX for item in numbers)


def _compare(left: Candidate, right: Candidate) -> int:
    value = left.price_nano * right.quality_ppm - right.price_nano * left.quality_ppm
    if value:
        return value
    if left.quality_ppm != right.quality_ppm:
        return right.quality_ppm - left.quality_ppm
    if left.price_nano != right.price_nano:
        return left.price_nano - right.price_nano
    return -1 if left.seller < right.seller else int(left.seller > right.seller)
