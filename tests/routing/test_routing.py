"""Adverts of hostile sellers, sessions sent elsewhere and served after all, choices proven."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.app.scene import SECOND_US, Scene, scene, taken

from opencarrier.app import advertising
from opencarrier.app.erasing import Erasing
from opencarrier.identity.model import Cause
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.receipts.verify import Verifier
from opencarrier.routing import model, store
from opencarrier.routing.document import OCTETS_MAX, read_advert, write_advert
from opencarrier.routing.measuring import USED_MAX, USED_MIN, measure, quality_ppm
from opencarrier.routing.model import Ceiling, SignedAdvert
from opencarrier.spine.access import AuthorisationRequest, Grant
from opencarrier.spine.parties import PartyId
from opencarrier.spine.routing import Advert
from opencarrier.spine.usage import Status

PLACE = "u09tvw"
HOUR_US = 3_600 * SECOND_US


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path / "data", steering_margin_ppm=100_000) as made:
        with made.place.base.store.write() as unit:
            store.put_place(unit, made.node.node_id, PLACE)
        yield made


def advertise(here: Scene, seller: PartyId, price_nano: int, **other: int) -> SignedAdvert:
    base = here.place.base
    made = advertising.advert_of(
        base, seller, place=PLACE, currency="EUR", price_nano=price_nano,
        quality_ppm=other.get("quality_ppm", 1_000_000), hours=other.get("hours", 24),
    )  # fmt: skip
    with base.store.read() as unit:
        signed = advertising.sign(base, unit, replace(made, **_fields(other)))
    assert signed is not None
    return signed


def _fields(other: dict[str, int]) -> dict[str, int]:
    return {name: other[name] for name in other if name in Advert.__slots__}


def take(here: Scene, signed: SignedAdvert) -> Refusal | None:
    told = advertising.take(here.place.base, write_advert(signed))
    return told if isinstance(told, Refusal) else None


def attach(here: Scene) -> Grant | Refusal:
    return attach_together(here, 1)[0]


def attach_together(here: Scene, count: int) -> Sequence[Grant | Refusal]:
    base = here.place.base
    request = AuthorisationRequest(
        subscriber=here.subscriber,
        visited=here.visited.party_id,
        node=here.node,
        at_us=here.clock.now_us(),
    )
    with base.store.write() as unit:
        return base.policy.authorise_all(unit, [request] * count)


def code(refusal: Refusal | Grant | None) -> str:
    assert isinstance(refusal, Refusal), refusal
    return refusal.code


def test_only_what_its_seller_signed_is_taken_and_the_newest_stands(here: Scene) -> None:
    visited, home = here.visited.party_id, here.home.party_id
    first = advertise(here, visited, 900)
    assert take(here, first) is None
    assert take(here, first) is None, "the same again is no replay"
    forged = replace(first, advert=replace(first.advert, price_nano=1))
    other = replace(first, advert=replace(first.advert, seller=home))
    stranger = replace(first, advert=replace(first.advert, seller=PartyId("op_" + "0" * 32)))
    assert [code(take(here, item)) for item in (forged, other, stranger)] == [
        "not_signed", "not_signed", "unknown_seller",
    ]  # fmt: skip
    here.clock.set(here.clock.now_us() + 1)
    second = advertise(here, visited, 800)
    assert take(here, second) is None
    assert code(take(here, first)) == "replayed"
    now_us = here.clock.now_us()
    assert code(take(here, advertise(here, visited, 1, valid_until_us=now_us))) == "expired"
    longest_us = now_us + model.ADVERT_DAYS_MAX * model.DAY_US
    late = advertise(here, home, 1, valid_until_us=longest_us + 1)
    assert code(take(here, late)) == "too_long"
    assert take(here, advertise(here, home, 1, valid_until_us=longest_us)) is None
    assert len(advertising.listed(here.place.base, PLACE)) == 2
    here.clock.set(now_us + 25 * HOUR_US)
    assert len(advertising.listed(here.place.base, PLACE)) == 1


def test_an_advert_that_was_replaced_is_a_replay_also_when_its_successor_is_over(
    here: Scene,
) -> None:
    """Anybody can post an advert again: also one that made its seller forget those over."""
    visited = here.visited.party_id
    long = advertise(here, visited, 900, hours=24 * 30)
    assert take(here, long) is None
    here.clock.set(here.clock.now_us() + 1)
    short = advertise(here, visited, 500, hours=1)
    assert take(here, short) is None
    here.clock.set(here.clock.now_us() + 2 * HOUR_US)
    elsewhere = replace(advertise(here, visited, 1).advert, place="u09tvx")
    base = here.place.base
    with base.store.read() as unit:
        signed = advertising.sign(base, unit, elsewhere)
    assert signed is not None
    assert take(here, signed) is None
    assert code(take(here, long)) == "replayed"
    here.clock.set(long.advert.valid_until_us)
    assert code(take(here, long)) == "expired"
    here.clock.set(short.advert.valid_until_us + model.ADVERT_DAYS_MAX * model.DAY_US)
    with base.store.write() as unit:
        store.drop_expired(unit, visited, here.clock.now_us())
        assert store.advert_of(unit, visited, PLACE) is None


def test_of_two_adverts_taken_at_once_the_later_stays(here: Scene) -> None:
    """The earlier was checked before the later was written, and is written after it."""
    visited = here.visited.party_id
    first, second = advertise(here, visited, 900), advertise(here, visited, 800, sequence=1 << 60)
    with here.place.base.store.write() as unit:
        for one in (first, second, first):
            store.put_advert(unit, one)
        assert store.advert_of(unit, visited, PLACE) == second


@pytest.mark.parametrize(
    "spoil",
    ["", "[]", "{}", "x" * (OCTETS_MAX + 1), "[" * 3_000, '{"format":"opencarrier-advert/1"}'],
    ids=["empty", "list", "bare", "long", "deep", "keys"],
)
def test_what_is_no_advert_is_a_peers_mistake(spoil: str) -> None:
    with pytest.raises(PeerError):
        read_advert(spoil)


def test_every_field_of_an_advert_is_read_strictly(here: Scene) -> None:
    sound = json.loads(write_advert(advertise(here, here.visited.party_id, 5)))
    assert read_advert(json.dumps(sound)).advert.price_nano == 5
    for name, value in [
        *((key, None) for key in sound),
        ("place", "U09"), ("place", "a" * 65), ("price_nano", True), ("price_nano", -1),
        ("price_nano", 1 << 63), ("quality_ppm", 1_000_001), ("currency", "eur"), ("more", 1),
        ("signature", {**sound["signature"], "octets": "0x00"}), ("seller", "op_x"),
    ]:  # fmt: skip
        with pytest.raises(PeerError):
            read_advert(json.dumps({**sound, name: value}))


def test_a_seller_has_so_many_places_and_no_more(here: Scene, monkeypatch) -> None:
    monkeypatch.setattr("opencarrier.routing.service.ADVERTS_PER_SELLER_MAX", 2)
    base, codes = here.place.base, []
    for place in ("a", "b", "c"):
        made = replace(advertise(here, here.visited.party_id, 5).advert, place=place)
        with base.store.read() as unit:
            codes.append(take(here, taken(advertising.sign(base, unit, made))))
    assert codes[:2] == [None, None]
    assert code(codes[2]) == "too_many"


def test_a_session_is_sent_to_the_better_one_a_few_times_and_then_served(here: Scene) -> None:
    assert take(here, advertise(here, here.visited.party_id, 1_000)) is None
    assert isinstance(attach(here), Grant), "nobody else serves here"
    assert take(here, advertise(here, here.home.party_id, 900)) is None
    assert isinstance(attach(here), Grant), "a tenth is not more than the margin"
    here.clock.set(here.clock.now_us() + 1)
    assert take(here, advertise(here, here.home.party_id, 899)) is None
    sent = [attach(here) for _ in range(3)]
    assert [code(item) for item in sent[:2]] == ["better_near", "better_near"]
    assert sent[0].detail == here.home.party_id  # type: ignore[union-attr]
    assert isinstance(sent[2], Grant), "nobody is stranded"
    here.clock.set(here.clock.now_us() + HOUR_US)
    assert code(attach(here)) == "better_near", "after the window it starts anew"


def test_sessions_that_come_together_are_sent_away_as_often_as_one_by_one(here: Scene) -> None:
    assert take(here, advertise(here, here.visited.party_id, 1_000)) is None
    assert take(here, advertise(here, here.home.party_id, 500)) is None
    *sent, served = attach_together(here, 3)
    assert [code(item) for item in sent] == ["better_near", "better_near"]
    assert isinstance(served, Grant), "nobody is stranded"


def test_ceiling_and_floor_hold_whoever_else_is_there(here: Scene) -> None:
    assert take(here, advertise(here, here.visited.party_id, 1_000)) is None
    with here.place.base.store.write() as unit:
        store.put_floor(unit, here.node.host, 1_001)
    assert code(attach(here)) == "below_floor"
    plan = here.subscriber.plan_id
    with here.place.base.store.write() as unit:
        store.put_floor(unit, here.node.host, 1_000)
        ceiling = Ceiling(
            home=here.home.party_id, plan_id=plan, currency="EUR", ceiling_nano=999,
            quality_min_ppm=0,
        )  # fmt: skip
        store.put_ceiling(unit, ceiling)
    assert code(attach(here)) == "above_ceiling"
    with here.place.base.store.write() as unit:
        store.put_ceiling(unit, replace(ceiling, ceiling_nano=1_000))
    assert isinstance(attach(here), Grant)


def test_who_serves_badly_stands_for_no_more_than_was_measured(here: Scene) -> None:
    base, seller = here.place.base, here.visited.party_id
    here.use("a", octets=1, grant=here.authorise())
    with base.store.write() as unit:
        (good,) = base.usage.cut(unit, cycle_id=bytes(32), cut_us=here.clock.now_us() + HOUR_US)
        bad = replace(good, weak=True)
        measure(unit, [good] * (USED_MIN - 1))
        assert quality_ppm(unit, seller) is None
        measure(unit, [bad])
        assert quality_ppm(unit, seller) == 950_000
        measure(unit, [replace(good, closed_by="rule")] * 20)
        assert quality_ppm(unit, seller) == 475_000
        measure(unit, [good] * (USED_MAX - 40))
        assert store.measure_of(unit, seller)[0] == USED_MAX
        measure(unit, [good])
        assert store.measure_of(unit, seller)[0] == (USED_MAX + 1) // 2
    assert take(here, advertise(here, seller, 1_000)) is None
    told = advertising.chosen(base, PLACE, here.home.party_id, here.subscriber.plan_id)
    assert 900_000 < told[0]["quality_ppm"] < 1_000_000


def test_a_receipt_shows_of_whom_a_session_was_chosen_also_of_an_erased_person(
    here: Scene,
) -> None:
    place, base = here.place, here.place.base
    assert take(here, advertise(here, here.visited.party_id, 1_000)) is None
    assert take(here, advertise(here, here.home.party_id, 100)) is None
    for _ in range(2):
        assert code(attach(here)) == "better_near"
    grant = taken(attach(here))
    here.use("chosen", octets=5_000_000, grant=grant, status=Status.STOP)
    here.use("plain", octets=1_000_000, grant=None, seconds=60)
    here.settle()
    here.settle()
    with base.store.read() as unit:
        usages = {usage.weak: usage.usage_id for usage in base.usage.every(unit)}
        before = {weak: taken(place.issuer.issue(unit, key)) for weak, key in usages.items()}
    verifier = Verifier(place.manifest, place.client)
    read = verifier.verify(before[False]).choice
    assert verifier.verify(before[True]).choice is None
    assert read is not None
    assert (read.best, read.choice.taken) == (here.home.party_id, here.visited.party_id)
    assert (read.choice.refusals, len(read.choice.candidates)) == (2, 2)
    spoilt = before[False].replace('"refusals": 2', '"refusals": 0')
    assert spoilt != before[False]
    with pytest.raises(PeerError):
        verifier.verify(spoilt)
    here.clock.set(here.clock.now_us() + 400 * 24 * HOUR_US)
    taken(Erasing(base).erase(here.subscriber.party_id, cause=Cause.REQUEST, waive=True))
    with base.store.read() as unit:
        assert store.choice_of(unit, grant.authorisation_id) is None
        assert store.steered_of(unit, here.subscriber.party_id) == []
        after = taken(place.issuer.issue(unit, usages[False]))
    assert verifier.verify(after).choice == read
