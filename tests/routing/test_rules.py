"""The rule that chooses: limits hold, order decides nothing, nobody is moved for less than it."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.kernel.decoding import decode
from opencarrier.kernel.encoding import encode
from opencarrier.kernel.money import INT64_MAX, PPM
from opencarrier.kernel.refusals import PeerError
from opencarrier.routing.model import CANDIDATES_MAX, Verdict
from opencarrier.routing.rules import better_near, ranked, read_choice, shortlist, verdict_of
from opencarrier.spine.parties import PartyId
from opencarrier.spine.routing import Candidate, Choice, Demand

SELLERS = [PartyId(f"op_{number:032x}") for number in range(CANDIDATES_MAX)]
prices = st.integers(0, 5) | st.integers(0, INT64_MAX)
parts = st.sampled_from([0, 1, PPM // 2, PPM - 1, PPM]) | st.integers(0, PPM)


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    sellers = draw(st.lists(st.sampled_from(SELLERS), min_size=1, max_size=6, unique=True))
    candidates = tuple(
        Candidate(
            seller=seller,
            advert_hash=draw(st.sampled_from([b"", bytes(32)])),
            currency=draw(st.sampled_from(["EUR", "EUR", "XOF"])),
            price_nano=draw(prices),
            quality_ppm=draw(parts),
            floor_nano=draw(st.sampled_from([0, 0, 2])),
        )
        for seller in sorted(sellers)
    )
    demand = Demand(
        currency="EUR",
        ceiling_nano=draw(st.sampled_from([3, INT64_MAX])),
        quality_min_ppm=draw(st.sampled_from([0, PPM // 2])),
        margin_ppm=draw(st.sampled_from([0, 1, 100_000, PPM - 1])),
    )
    taken = draw(st.sampled_from(sellers))
    return Choice(place="u09", taken=taken, demand=demand, candidates=candidates, refusals=0)


def may_serve(item: Candidate, demand: Demand) -> bool:
    """The limits, said another way."""
    return (
        item.currency == demand.currency
        and item.floor_nano <= item.price_nano <= demand.ceiling_nano
        and item.quality_ppm >= max(1, demand.quality_min_ppm)
    )


@settings(max_examples=150)
@given(choice=choices(), seed=st.integers(0, 2**32))
def test_who_is_chosen_is_within_the_limits_and_the_cheapest_for_a_faultless_octet(
    choice: Choice, seed: int
) -> None:
    demand = choice.demand
    order = ranked(choice.candidates, demand)
    assert {item.seller for item in order} == {
        item.seller for item in choice.candidates if may_serve(item, demand)
    }
    values = [Fraction(item.price_nano, item.quality_ppm) for item in order]
    assert values == sorted(values)
    shuffled = list(choice.candidates)
    random.Random(seed).shuffle(shuffled)
    assert ranked(shuffled, demand) == order
    better, serving = better_near(choice), {item.seller: item for item in order}
    if better is None:
        assert not order or choice.taken in serving
    elif choice.taken in serving:
        own = serving[choice.taken]
        told = Fraction(better.price_nano, better.quality_ppm)
        kept = Fraction(own.price_nano, own.quality_ppm) * Fraction(PPM - demand.margin_ppm, PPM)
        assert told < kept


def test_no_number_of_others_hides_the_best_or_whom_a_session_took() -> None:
    """Sixteen cheap ones that may not serve, and twenty that may: the best is the last by id."""
    demand = Demand(currency="EUR", ceiling_nano=1_000, quality_min_ppm=0, margin_ppm=0)

    def offer(number: int, currency: str, price_nano: int) -> Candidate:
        return Candidate(
            seller=PartyId(f"op_{number:032x}"), advert_hash=b"", currency=currency,
            price_nano=price_nano, quality_ppm=PPM, floor_nano=0,
        )  # fmt: skip

    crowd = [offer(number, "XOF", 1) for number in range(16)]
    serving = [offer(100 + number, "EUR", 500 - number) for number in range(20)]
    taken = offer(50, "EUR", 999)
    kept = shortlist([*crowd, *serving, taken], taken, demand)
    assert len(kept) == CANDIDATES_MAX
    assert {taken, *serving[-15:]} == set(kept)
    choice = Choice(place="u", taken=taken.seller, demand=demand, candidates=kept, refusals=0)
    assert better_near(choice) == serving[-1]
    assert read_choice(decode(encode(choice.terms()))) == choice


@settings(max_examples=60)
@given(choice=choices())
def test_a_choice_reads_back_as_it_was_written(choice: Choice) -> None:
    assert read_choice(decode(encode(choice.terms()))) == choice


@pytest.mark.parametrize(
    "spoil",
    [
        {"taken": "op_stranger"},
        {"place": ""},
        {"refusals": True},
        {"demand": ["EUR", 1, 1]},
        {"demand": ["EUR", -1, 0, 0]},
        {"candidates": []},
        {"candidates": [[SELLERS[0], b"", "EUR", 1, PPM, 0]] * 2},
        {"candidates": [[SELLERS[0], "", "EUR", 1, PPM, 0]]},
        {"candidates": [[name, b"", "EUR", 1, PPM, 0] for name in [*SELLERS, "op_z"]]},
        {"more": 1},
    ],
    ids=str,
)
def test_what_no_choice_says_is_refused(spoil: dict[str, object]) -> None:
    sound = {
        "place": "u09",
        "taken": SELLERS[0],
        "demand": ["EUR", 5, 0, 0],
        "candidates": [[SELLERS[0], b"", "EUR", 1, PPM, 0]],
        "refusals": 0,
    }
    assert read_choice(sound).taken == SELLERS[0]
    with pytest.raises(PeerError):
        read_choice({**sound, **spoil})


@pytest.mark.parametrize(
    ("price_nano", "verdict"),
    [
        (1, Verdict.BELOW_FLOOR),
        (2, Verdict.SERVES),
        (9, Verdict.SERVES),
        (10, Verdict.ABOVE_CEILING),
    ],
)
def test_floor_and_ceiling_hold_on_both_sides(price_nano: int, verdict: Verdict) -> None:
    demand = Demand(currency="EUR", ceiling_nano=9, quality_min_ppm=0, margin_ppm=0)
    item = Candidate(
        seller=SELLERS[0], advert_hash=b"", currency="EUR", price_nano=price_nano,
        quality_ppm=PPM, floor_nano=2,
    )  # fmt: skip
    assert verdict_of(item, demand) is verdict
