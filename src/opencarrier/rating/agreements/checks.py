"""What no agreement may say: two prices for one record, none for a while, a deal on no line.

Where two parts contradict each other both are named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, product
from typing import Final, TypeAlias, TypeVar

from opencarrier.kernel.clock import Window
from opencarrier.kernel.money import PPM
from opencarrier.rating.agreements.model import (
    Deal,
    ExchangeRate,
    Line,
    Pricing,
    RoamingAgreement,
)
from opencarrier.rating.agreements.places import shown
from opencarrier.rating.agreements.plans import Balanced, Discounted
from opencarrier.rating.terms import DocumentError, Place
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Qos, RcoiClass, Service

Key: TypeAlias = tuple[PartyId, PartyId, Service, Qos, RcoiClass]
"""What finds the line of a record, time aside."""

T = TypeVar("T")
_Span: TypeAlias = tuple[Window, Place]
_ADJOIN: Final = "end one where the other starts"


def check(agreement: RoamingAgreement) -> None:
    """Raise `DocumentError` for the first thing that contradicts another, naming both."""
    _check_parties(agreement)
    _check_names([line.line for line in agreement.lines], "lines", "line")
    _check_names([deal.deal for deal in agreement.deals], "deals", "deal")
    for at, line in enumerate(agreement.lines):
        _check_line(agreement, line, ("lines", at))
    _check_cover(agreement)
    _check_rates(agreement)
    _check_deals(agreement)


def keys_of(line: Line) -> Iterator[Key]:
    """Return everything a line is the price of, time aside."""
    direction = ((line.home,), (line.visited,))
    return product(*direction, line.services, line.qos, line.rcoi)


def clash(spans: Iterable[tuple[Window, T]]) -> tuple[T, T] | None:
    """Return what stands in two spans that share an instant, the first to begin in front."""
    order = sorted(spans, key=lambda span: (span[0].start_us, span[0].end_us))
    for before, after in pairwise(order):
        if before[0].overlaps(after[0]):
            return before[1], after[1]
    return None


def _check_parties(agreement: RoamingAgreement) -> None:
    names = [item.party for item in agreement.parties]
    if names != sorted(set(names)):
        both: list[Place] = [("parties", 0, "party"), ("parties", 1, "party")]
        raise DocumentError("parties are one or do not ascend", "order them by party", *both)


def _check_names(names: Sequence[str], list_name: str, field: str) -> None:
    first: dict[str, int] = {}
    for at, name in enumerate(names):
        if name in first:
            both: list[Place] = [(list_name, first[name], field), (list_name, at, field)]
            what = f"{shown(both[0])} and {shown(both[1])} are both {name!r}"
            raise DocumentError(what, "give each a name of its own", *both)
        first[name] = at


def _check_line(agreement: RoamingAgreement, line: Line, place: Place) -> None:
    _check_direction(agreement, line.home, line.visited, place)
    term = agreement.term
    if not (term.start_us <= line.window.start_us and line.window.end_us <= term.end_us):
        ends: Place = ("periods_us",)
        raise DocumentError(
            f"{shown(place)} reaches beyond the term", "keep it within", place, ends
        )
    if line.host_ppm + agreement.protocol_ppm > PPM:
        both: list[Place] = [(*place, "host_ppm"), ("protocol_ppm",)]
        what = f"{shown(both[0])} and protocol_ppm take more than the whole price"
        raise DocumentError(what, f"keep their sum at most {PPM}", *both)


def _check_direction(
    agreement: RoamingAgreement, home: PartyId, visited: PartyId, place: Place
) -> None:
    names = [item.party for item in agreement.parties]
    if home not in names or visited not in names or (home == visited) != (len(names) == 1):
        what = f"{shown(place)} is not between the parties"
        raise DocumentError(what, "home is one of them, visited the other", place, ("parties",))


def _check_cover(agreement: RoamingAgreement) -> None:
    """Check that whatever is priced at all is priced once at every instant of the term."""
    spans: defaultdict[Key, list[_Span]] = defaultdict(list)
    for at, line in enumerate(agreement.lines):
        for key in keys_of(line):
            spans[key].append((line.window, ("lines", at)))
    for key, found in spans.items():
        words = "/".join(item.name.lower() for item in key[2:])
        _check_tiling(found, agreement.term, words)


def _check_tiling(spans: Sequence[_Span], term: Window, words: str) -> None:
    found = clash(spans)
    if found is not None:
        first, second = found
        what = f"{shown(first)} and {shown(second)} are both in force for {words}"
        raise DocumentError(what, _ADJOIN, first, second)
    edges: list[_Span] = [(Window(term.start_us, term.start_us), ("periods_us", 0))]
    edges += sorted(spans, key=lambda span: span[0].start_us)
    edges.append((Window(term.end_us, term.end_us), ("periods_us",)))
    for (before, first), (after, second) in pairwise(edges):
        if before.end_us < after.start_us:
            gap = f"[{before.end_us}, {after.start_us})"
            what = f"between {shown(first)} and {shown(second)} nothing prices {words} in {gap}"
            raise DocumentError(what, _ADJOIN, first, second)


def _check_rates(agreement: RoamingAgreement) -> None:
    """Check that each foreign currency has one rate at every instant it is needed."""
    spans: defaultdict[str, list[_Span]] = defaultdict(list)
    for at, rate in enumerate(agreement.rates):
        spans[rate.currency].append((rate.window, ("rates", at)))
    if agreement.currency in spans:
        place = spans[agreement.currency][0][1]
        what = f"{shown(place)} is of the asset's own currency"
        raise DocumentError(what, "leave it out", place, ("currency",))
    for found in spans.values():
        both = clash(found)
        if both is not None:
            first, second = both
            what = f"{shown(first)} and {shown(second)} are both in force"
            raise DocumentError(what, _ADJOIN, first, second)
    for at, line in enumerate(agreement.lines):
        _check_rated(agreement, line.currency, line.window, ("lines", at, "currency"))
    for at, deal in enumerate(agreement.deals):
        _check_rated(agreement, deal.currency, agreement.term, ("deals", at, "currency"))


def _check_rated(agreement: RoamingAgreement, currency: str, window: Window, place: Place) -> None:
    if currency == agreement.currency:
        return
    at_us = window.start_us
    last: Place = ("rates",)
    for at, rate in _dated(agreement.rates, currency):
        if rate.window.holds(at_us):
            at_us, last = rate.window.end_us, ("rates", at)
    if at_us < window.end_us:
        what = f"{shown(place)} is {currency}, which has no rate at {at_us}"
        raise DocumentError(what, f"give its rate to {window.end_us}", place, last)


def _dated(rates: Sequence[ExchangeRate], currency: str) -> list[tuple[int, ExchangeRate]]:
    found = [(at, rate) for at, rate in enumerate(rates) if rate.currency == currency]
    return sorted(found, key=lambda item: item[1].window.start_us)


def _check_deals(agreement: RoamingAgreement) -> None:
    used: dict[tuple[str, str], Place] = {}
    lines = {line.line: line for line in agreement.lines}
    for at, deal in enumerate(agreement.deals):
        _check_direction(agreement, deal.home, deal.visited, ("deals", at))
        for number, pricing in enumerate(deal.pricings):
            place: Place = ("deals", at, "pricings", number)
            _check_pricing(lines, deal, pricing, place)
            for number_of_line, name in enumerate(pricing.lines):
                here = (*place, "lines", number_of_line)
                first = used.setdefault((pricing.measure, name), here)
                if first != here:
                    what = f"{shown(first)} and {shown(here)} both price {name!r}"
                    raise DocumentError(what, "leave it in one of them", first, here)


def _check_pricing(lines: dict[str, Line], deal: Deal, pricing: Pricing, place: Place) -> None:
    plan = pricing.plan
    if isinstance(plan, Balanced) != bool(pricing.reverse_lines):
        here = (*place, "reverse_lines")
        what = f"{shown(here)} and the plan do not belong together"
        raise DocumentError(what, "a balanced plan has them, no other", here, (*place, "plan"))
    if pricing.measure == "subscribers" and isinstance(plan, Balanced | Discounted):
        both: list[Place] = [(*place, "measure"), (*place, "plan")]
        what = f"{shown(place)} counts subscribers with a plan on use"
        raise DocumentError(what, "count usage, or take another plan", *both)
    forth = (deal.home, deal.visited, deal.currency)
    _check_same(lines, pricing.lines, forth, (*place, "lines"))
    back = (deal.visited, deal.home, None)
    _check_same(lines, pricing.reverse_lines, back, (*place, "reverse_lines"))
    named = [(name, (*place, "lines", at)) for at, name in enumerate(pricing.lines)]
    named += [
        (name, (*place, "reverse_lines", at)) for at, name in enumerate(pricing.reverse_lines)
    ]
    if pricing.measure == "usage":
        for (first, before), (second, after) in pairwise(named):
            if lines[first].unit != lines[second].unit:
                what = f"{shown(before)} and {shown(after)} count different units"
                raise DocumentError(what, "sum like with like", before, after)


def _check_same(
    lines: dict[str, Line],
    names: Sequence[str],
    wanted: tuple[PartyId, PartyId, str | None],
    place: Place,
) -> None:
    """Check that lines exist, each once, and are of a deal's direction and currency."""
    home, visited, currency = wanted
    seen: set[str] = set()
    for at, name in enumerate(names):
        here = (*place, at)
        line = lines.get(name)
        if line is None or name in seen:
            what = f"{shown(here)} names no line, or one that stands there already"
            raise DocumentError(what, "name each line once, by its `line`", here)
        seen.add(name)
        direction = (line.home, line.visited)
        if direction != (home, visited) or currency not in (None, line.currency):
            what = f"{shown(here)} is of another direction or currency than the deal"
            raise DocumentError(what, "a deal is one direction's, in one currency", here)
