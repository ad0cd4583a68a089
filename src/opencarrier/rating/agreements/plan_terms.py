"""Read a rating plan from a document: its kind says which other fields it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from opencarrier.kernel.money import INT64_MAX, PPM
from opencarrier.rating.agreements.plans import (
    TIERS_MAX,
    BackToFirst,
    Balanced,
    Discounted,
    DiscountTier,
    Flat,
    Linear,
    NotCharged,
    Plan,
    Tier,
    Tiered,
    ascending,
)
from opencarrier.rating.agreements.reading import Cursor
from opencarrier.rating.model import STEP_MAX

FIXED_MAX_MINOR: Final = 10**18


def read_plan_of(item: Cursor) -> Plan:
    """Read the terms of a rating plan."""
    kind = item.value.get("kind") if isinstance(item.value, dict) else None
    if not isinstance(kind, str) or kind not in _READERS:
        raise item.wrong("is of no known kind", f"give one of {', '.join(_READERS)}")
    return _READERS[kind](item)


def _not_charged(item: Cursor) -> Plan:
    item.keys("kind")
    return NotCharged()


def _flat(item: Cursor) -> Plan:
    return Flat(fixed_minor=_fixed(item.keys("kind", "fixed_minor")["fixed_minor"]))


def _linear(item: Cursor) -> Plan:
    fields = item.keys("kind", "step", "price_nano")
    return Linear(step=_step(fields["step"]), price_nano=_price(fields["price_nano"]))


def _back_to_first(item: Cursor) -> Plan:
    fields = item.keys("kind", "step", "tiers")
    return BackToFirst(step=_step(fields["step"]), tiers=_tiers(fields["tiers"]))


def _tiered(item: Cursor) -> Plan:
    fields = item.keys("kind", "step", "tiers")
    return Tiered(step=_step(fields["step"]), tiers=_tiers(fields["tiers"]))


def _balanced(item: Cursor) -> Plan:
    fields = item.keys("kind", "step", "balanced_price_nano", "unbalanced_price_nano")
    return Balanced(
        step=_step(fields["step"]),
        balanced_price_nano=_price(fields["balanced_price_nano"]),
        unbalanced_price_nano=_price(fields["unbalanced_price_nano"]),
    )


def _discounted(item: Cursor) -> Plan:
    fields = item.keys("kind", "whole", "tiers")
    tiers = []
    for one in fields["tiers"].items(1, TIERS_MAX):
        terms = one.keys("start_minor", "discount_ppm")
        start_minor = terms["start_minor"].integer(0, INT64_MAX)
        ppm = terms["discount_ppm"].integer(0, PPM)
        tiers.append(DiscountTier(start_minor=start_minor, discount_ppm=ppm))
    _check_order(fields["tiers"], [tier.start_minor for tier in tiers])
    return Discounted(whole=fields["whole"].boolean(), tiers=tuple(tiers))


def _tiers(item: Cursor) -> tuple[Tier, ...]:
    tiers = []
    for one in item.items(1, TIERS_MAX):
        fields = one.keys("start", "fixed_minor", "price_nano")
        start = fields["start"].integer(0, INT64_MAX)
        fixed_minor = _fixed(fields["fixed_minor"])
        price_nano = _price(fields["price_nano"])
        tiers.append(Tier(start=start, fixed_minor=fixed_minor, price_nano=price_nano))
    _check_order(item, [tier.start for tier in tiers])
    return tuple(tiers)


def _check_order(item: Cursor, starts: list[int]) -> None:
    if not ascending(starts):
        raise item.wrong("do not ascend", "each tier starts beyond the one before")


def _step(item: Cursor) -> int:
    return item.integer(1, STEP_MAX)


def _price(item: Cursor) -> int:
    return item.integer(0, INT64_MAX)


def _fixed(item: Cursor) -> int:
    return item.integer(0, FIXED_MAX_MINOR)


_READERS: Final[Mapping[str, Callable[[Cursor], Plan]]] = {
    "not_charged": _not_charged,
    "flat": _flat,
    "linear": _linear,
    "back_to_first": _back_to_first,
    "tiered": _tiered,
    "balanced": _balanced,
    "discounted": _discounted,
}
