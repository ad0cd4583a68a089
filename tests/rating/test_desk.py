"""Requests that come together are answered as they would be one after the other."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.access import AuthorisationRequest, Grant, Offered
from opencarrier.spine.parties import PartyId, Subscriber
from opencarrier.spine.records import RcoiClass, Service

from .worlds import HOME, THIRD, VISITED, World, agreement, plan

PEOPLE = tuple(PartyId("sub_" + f"{number:032d}") for number in range(3))
OFFERS = (
    Offered(),
    Offered(rcoi=RcoiClass.SETTLEMENT_FREE),
    Offered(service=Service.VOICE),
)

asked = st.lists(
    st.tuples(
        st.sampled_from(PEOPLE),
        st.sampled_from((VISITED, THIRD)),
        st.sampled_from(OFFERS),
        st.sampled_from(("standard", "none")),
    ),
    max_size=6,
)


@given(
    asked=asked,
    balances=st.tuples(*[st.integers(0, 15_000_000)] * len(PEOPLE)),
    collateral_minor=st.integers(0, 40_000_000),
    discount=st.tuples(st.sampled_from((0, 250_000)), st.integers(0, 15_000_000)),
)
@settings(max_examples=25)
def test_a_batch_comes_to_what_its_requests_do_one_by_one(
    asked: list[tuple[PartyId, PartyId, Offered, str]],
    balances: tuple[int, ...],
    collateral_minor: int,
    discount: tuple[int, int],
) -> None:
    together, apart = (_world(balances, collateral_minor, discount) for _ in range(2))
    try:
        batch = together.service.authorise_all(
            together.unit, [_request(together, *words) for words in asked]
        )
        singly = [apart.service.authorise(apart.unit, _request(apart, *words)) for words in asked]
        assert list(map(_told, batch)) == list(map(_told, singly))
        assert _money(together) == _money(apart)
        for world in (together, apart):
            world.check()
            for grant in (answer for answer in batch if isinstance(answer, Grant)):
                assert world.service.grant(world.unit, grant.authorisation_id) == grant
    finally:
        together.close()
        apart.close()


def test_nobody_asked_is_nobody_answered(world: World) -> None:
    assert list(world.service.authorise_all(world.unit, [])) == []


def _world(balances: tuple[int, ...], collateral_minor: int, discount: tuple[int, int]) -> World:
    world = World()
    world.agree(agreement())
    world.offer(plan())
    world.deposit(collateral_minor + 1)
    for person, balance_minor in zip(PEOPLE, balances, strict=True):
        world.top_up(balance_minor + 1, person)
    world.discount.value_ppm, world.discount.cap_minor = discount
    return world


def _request(
    world: World, person: PartyId, visited: PartyId, offered: Offered, plan_id: str
) -> AuthorisationRequest:
    return AuthorisationRequest(
        subscriber=Subscriber(party_id=person, home=HOME, plan_id=plan_id),
        visited=visited,
        node=world.node,
        at_us=world.at_us,
        offered=offered,
    )


def _told(answer: Grant | Refusal) -> object:
    return (answer.reason, answer.detail) if isinstance(answer, Refusal) else answer


def _money(world: World) -> list[int]:
    return [world.free(person) for person in PEOPLE]
