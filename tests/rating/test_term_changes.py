"""Terms that change while a session runs: where it is to be cut, and what its parts cost."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from opencarrier.kernel.clock import SECOND_US, Window
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.ids import Id
from opencarrier.rating import discounts
from opencarrier.rating.changes import TermChanges
from opencarrier.rating.ports import NoSales
from opencarrier.rating.rules import v1
from opencarrier.rating.rules.versions import rerate
from opencarrier.rating.service import RatingService
from opencarrier.spine.access import Grant
from opencarrier.spine.money import Charge, Kind, Sale
from opencarrier.spine.parties import PartyId, Subscriber
from opencarrier.spine.usage import Stretch, Usage

from .worlds import (
    DAY_US,
    HOME,
    KIB,
    START_US,
    THIRD,
    VISITED,
    World,
    agreement,
    counters,
    plan,
    price,
    split,
    tariff,
    usage,
)

FIRST_US, NEXT_US = START_US + 10 * DAY_US, START_US + 20 * DAY_US
NEXT = tariff(window=Window(FIRST_US, NEXT_US), price_nano=3_000)
SESSION = Id(bytes(32))


class Selling(NoSales):
    """Everybody pays as it uses."""

    def payers(self, unit: Connection, subscribers: Collection[PartyId]) -> set[PartyId]:
        return set(subscribers)

    def sale(self, unit: Connection, subscriber: Subscriber, visited: PartyId) -> Sale | None:
        return Sale(seller=HOME, plan_id=subscriber.plan_id)

    def sold(self, unit: Connection, grant: Grant) -> None:
        assert grant.hold.minor == 0


def stretch(
    start_us: int,
    end_us: int,
    *,
    grant: Grant | None = None,
    session: bytes = SESSION,
    home: PartyId = HOME,
) -> Stretch:
    return Stretch(
        session_id=Id(session),
        authorisation_id=None if grant is None else grant.authorisation_id,
        home=home,
        visited=VISITED,
        start_us=start_us,
        end_us=end_us,
    )


def cut_at(world: World, *stretches: Stretch) -> dict[bytes, list[int]]:
    found = TermChanges().changes(world.unit, stretches)
    return {session: list(instants) for session, instants in found.items()}


@pytest.mark.parametrize(
    ("start_us", "end_us", "instants"),
    [
        (FIRST_US - 1, FIRST_US + 1, [FIRST_US]),
        (FIRST_US, FIRST_US + 1, []),
        (FIRST_US - 1, FIRST_US, []),
        (START_US, NEXT_US, [FIRST_US]),
        (START_US - 1, NEXT_US + 1, [START_US, FIRST_US, NEXT_US]),
        (NEXT_US + 1, NEXT_US + 2, []),
    ],
)
def test_a_session_is_cut_where_tariffs_begin_and_end(
    world: World, start_us: int, end_us: int, instants: list[int]
) -> None:
    assert world.agree(agreement(NEXT)) is None
    found = cut_at(world, stretch(start_us, end_us))
    assert found == ({SESSION: instants} if instants else {})


def test_another_pairs_tariffs_cut_nothing(world: World) -> None:
    other = stretch(START_US - 1, NEXT_US, home=THIRD, session=b"2" * 32)
    assert cut_at(world, stretch(START_US + 1, START_US + 9), other) == {}


def test_a_session_is_cut_where_the_lock_of_its_discount_ends(world: World) -> None:
    world.discount.value_ppm, world.discount.unlock_at_s = 250_000, START_US // SECOND_US + 100
    grant, unlock_us = world.granted(), START_US + 100 * SECOND_US
    whole = stretch(START_US, unlock_us + 1, grant=grant)
    assert cut_at(world, whole) == {SESSION: [unlock_us]}
    assert cut_at(world, stretch(START_US, unlock_us, grant=grant)) == {}
    assert cut_at(world, stretch(START_US, unlock_us + 1)) == {}


def test_use_after_the_lock_has_its_full_price(world: World) -> None:
    world.discount.value_ppm, world.discount.unlock_at_s = 250_000, START_US // SECOND_US + 100
    grant, unlock_us = world.granted(), START_US + 100 * SECOND_US
    parts = split(usage(grant=grant, after=counters(200 * KIB), closed=True), counters(150 * KIB))
    first, second = parts[0], _starting(parts[1], unlock_us)
    before = _starting(first, unlock_us - 1)
    made = {
        charge.usage_id: charge
        for charge in world.rate(before, second)[0]
        if charge.kind is Kind.RETAIL
    }
    assert made[before.usage_id].amount_minor == 225
    assert made[before.usage_id].stake is not None
    assert (made[second.usage_id].amount_minor, made[second.usage_id].stake) == (100, None)
    spent = discounts.by_authorisation(world.unit, [grant.authorisation_id])
    left = spent[grant.authorisation_id]
    assert (left.spent_minor, left.reserved_minor) == (300, 0)
    assert world.held() == 0
    world.check()


def test_who_pays_as_it_uses_keeps_its_discount(world: World) -> None:
    """A device signs for each slice at the price it was told; nothing is owed beyond that."""
    world.discount.value_ppm, world.discount.unlock_at_s = 250_000, START_US // SECOND_US + 100
    world.service = RatingService(
        directory=world.directory,
        usages=world.usages,
        entropy=SeededEntropy(9),
        discounts=world.discount,
        sales=Selling(),
    )
    grant, unlock_us = world.granted(), START_US + 100 * SECOND_US
    assert cut_at(world, stretch(START_US, unlock_us + 9, grant=grant)) == {}
    late = _starting(usage(grant=grant, closed=True), unlock_us + 1)
    made = {charge.kind: charge for charge in world.rate(late)[0]}
    assert made[Kind.RETAIL].amount_minor == 150


@pytest.mark.parametrize("ends", ["tariff", "plan"])
@pytest.mark.parametrize(
    ("left_us", "timeout_s"),
    [
        (600 * SECOND_US, 600),
        (600 * SECOND_US + 999_999, 600),
        (61 * SECOND_US, 61),
        (60 * SECOND_US, 60),
        (1, 60),  # the floor: what is used after the end is cut
        (3_600 * SECOND_US, 3_600),
        (9_999 * SECOND_US, 3_600),
    ],
)
def test_a_grant_ends_with_its_tariff_and_its_plan(
    empty: World, ends: str, left_us: int, timeout_s: int
) -> None:
    short, long = (Window(START_US, START_US + left) for left in (left_us, DAY_US))
    empty.agree(agreement(tariff(window=short if ends == "tariff" else long)))
    empty.offer(plan(price=price(window=short if ends == "plan" else long)))
    empty.top_up(100_000_000)
    empty.deposit(100_000_000)
    assert empty.granted().session_timeout_s == timeout_s


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 300 * KIB), min_size=1, max_size=5),
    st.integers(0, 900_000),
    st.booleans(),
    st.integers(1, 1 << 16),
)
def test_parts_under_equal_terms_cost_what_the_whole_does(
    octets: list[int], tax_ppm: int, included: bool, step: int
) -> None:
    """Each part is a difference of two prices of the session so far, by its own tariff."""
    world = World()
    terms = {"tax_ppm": tax_ppm, "tax_included": included, "step": step, "minimum_minor": 77}
    edges = [START_US + DAY_US * number for number in range(len(octets) + 1)]
    windows = [Window(start_us, end_us) for start_us, end_us in pairwise(edges)]
    tariffs = [tariff(window=window, **terms) for window in windows]
    assert world.agree(agreement(*tariffs)) is None
    points = [counters(sum(octets[: at + 1])) for at in range(len(octets))]
    item = usage(after=points[-1], start_us=START_US)
    parts = [
        _starting(part, window.start_us)
        for part, window in zip(split(item, *points[:-1]), windows, strict=True)
    ]
    charges, waiting = world.rate(*parts)
    assert not waiting
    assert [charge.tariff_hash for charge in sorted(charges, key=_order(parts))] == [
        one.hash for one in tariffs
    ]
    whole = v1.wholesale_legs(tariffs[0], 10_000, points[-1])
    assert sum(charge.amount_minor for charge in charges) == whole.amount_minor
    for charge in charges:
        again = rerate(charge.rule_version, charge.inputs)
        assert again.amount_minor == charge.amount_minor
    world.check()
    world.close()


def _starting(item: Usage, start_us: int) -> Usage:
    return replace(item, start_us=start_us, end_us=start_us + 1)


def _order(parts: Sequence[Usage]) -> Callable[[Charge], int]:
    place = {part.usage_id: number for number, part in enumerate(parts)}
    return lambda charge: place[charge.usage_id]
