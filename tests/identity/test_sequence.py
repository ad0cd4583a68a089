"""Sequence numbers: a USIM that follows TS 33.102 annex C takes every fresh vector, once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opencarrier.identity.sequence import (
    DELTA,
    PLACES,
    SEQ_MAX,
    acceptable,
    following,
    prime_keys,
    resynchronised,
)

VECTORS = Path(__file__).parents[1] / "vectors"
SQN = st.integers(0, (SEQ_MAX - 200) << 5)


class Usim:
    """The checks of annex C.2.2: one SEQ remembered per place, none too far ahead."""

    def __init__(self, highest_sqn: int = 0) -> None:
        self.places = [0] * PLACES
        self.places[highest_sqn % PLACES] = highest_sqn >> 5

    @property
    def highest_sqn(self) -> int:
        seq = max(self.places)
        return seq << 5 | self.places.index(seq)

    def takes(self, sqn: int) -> bool:
        seq, ind = sqn >> 5, sqn % PLACES
        if seq - max(self.places) > DELTA or seq <= self.places[ind]:
            return False
        self.places[ind] = seq
        return True


def issue(sqn: int, count: int) -> list[int]:
    issued = []
    for _ in range(count):
        after = following(sqn)
        assert after is not None
        sqn = after
        issued.append(sqn)
    return issued


@given(SQN, st.integers(1, 100))
def test_every_fresh_vector_is_taken_and_none_twice(start: int, count: int) -> None:
    usim = Usim(start)
    for sqn in issue(start, count):
        assert usim.takes(sqn)
        assert not usim.takes(sqn)


@given(SQN, st.data())
def test_vectors_of_one_round_are_taken_in_any_order(start: int, data: st.DataObject) -> None:
    usim = Usim(start)
    batch = issue(start, PLACES)
    shuffled = data.draw(st.permutations(batch))
    assert all(usim.takes(sqn) for sqn in shuffled)
    assert not any(usim.takes(sqn) for sqn in batch)


@given(home=SQN, usim_sqn=SQN)
def test_after_a_resynchronisation_the_next_vector_is_taken(home: int, usim_sqn: int) -> None:
    usim = Usim(usim_sqn)
    upcoming = following(resynchronised(home, usim.highest_sqn))
    assert upcoming is not None
    assert usim.takes(upcoming)


@given(start=SQN, used=st.integers(1, 90), then=st.integers(0, 90))
def test_an_old_auts_moves_nothing_back(start: int, used: int, then: int) -> None:
    issued = issue(start, used + then)
    old_sqn_ms, home = issued[used - 1], issued[-1]
    assert resynchronised(home, old_sqn_ms) == home


def test_a_home_too_far_ahead_comes_back() -> None:
    sqn_ms = 1000 << 5
    edge = (1000 + DELTA - 1) << 5
    assert resynchronised(edge, sqn_ms) == edge, "the next is exactly DELTA ahead"
    assert resynchronised(edge + 32, sqn_ms) == sqn_ms


def test_the_bounds_of_what_a_usim_surely_takes() -> None:
    assert not acceptable(7 << 5, 7 << 5)
    assert acceptable(8 << 5, 7 << 5)
    assert acceptable((7 + DELTA) << 5, 7 << 5)
    assert not acceptable((8 + DELTA) << 5, 7 << 5)


def test_the_last_sequence_number_has_none_after_it() -> None:
    last = following((SEQ_MAX - 1) << 5)
    assert last is not None
    assert last >> 5 == SEQ_MAX
    assert following(last) is None
    assert resynchronised(last, 5 << 5) == 5 << 5, "a resynchronisation leads out of the end"


@pytest.mark.parametrize("case", json.loads((VECTORS / "aka_prime.json").read_text())["cases"])
def test_ck_and_ik_are_bound_as_rfc_9048_has_it(case: dict[str, str]) -> None:
    ck_prime, ik_prime = prime_keys(
        bytes.fromhex(case["ck"]),
        bytes.fromhex(case["ik"]),
        network_name=case["network_name"].encode(),
        autn=bytes.fromhex(case["autn"]),
    )
    assert ck_prime.hex() == case["ck_prime"]
    assert ik_prime.hex() == case["ik_prime"]
