"""Links: what they give, how often, how long, and that nothing of a token is kept."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from sqlalchemy import Connection, select
from tests.identity.conftest import World
from tests.memory import Memory

from opencarrier.identity import store
from opencarrier.identity.enrolment import OPEN_MAX, TTL_S_MAX, USES_MAX, Enrolment, EnrolmentReason
from opencarrier.identity.service import Identity
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import Operator, PartyId, Subscriber


@pytest.fixture
def anna(unit: Connection, identity: Identity, lumen: Operator) -> PartyId:
    return added(unit, identity, lumen, "anna")


def added(unit: Connection, identity: Identity, home: Operator, name: str) -> PartyId:
    made = identity.subscriptions.add(unit, name=name, home=home.party_id, plan_id="plan")
    assert isinstance(made, Subscriber)
    return made.party_id


def opened(unit: Connection, identity: Identity, who: PartyId, **terms: int) -> str:
    made = identity.enrolments.open(unit, who, **{"ttl_s": 60, "uses": 2, **terms})
    assert not isinstance(made, Refusal), made
    return made[0]


def reason(outcome: object) -> EnrolmentReason:
    assert isinstance(outcome, Refusal), outcome
    return EnrolmentReason(outcome.reason)


def test_a_link_gives_as_often_as_it_says_and_looking_costs_nothing(
    unit: Connection, identity: Identity, anna: PartyId
) -> None:
    token = opened(unit, identity, anna)
    for _ in range(3):
        found = identity.enrolments.find(unit, token)
        assert isinstance(found, Enrolment)
        assert (found.subscriber, found.uses_left) == (anna, 2)
    for _ in range(2):
        assert isinstance(identity.enrolments.use(unit, token), Enrolment)
    assert reason(identity.enrolments.use(unit, token)) is EnrolmentReason.UNKNOWN_TOKEN
    assert reason(identity.enrolments.find(unit, token)) is EnrolmentReason.UNKNOWN_TOKEN


def test_a_link_ends_at_its_instant(
    unit: Connection, identity: Identity, world: World, anna: PartyId
) -> None:
    token = opened(unit, identity, anna)
    world.clock.set(world.clock.now_us() + 60 * SECOND_US - 1)
    assert isinstance(identity.enrolments.find(unit, token), Enrolment)
    world.clock.set(world.clock.now_us() + 1)
    assert reason(identity.enrolments.use(unit, token)) is EnrolmentReason.UNKNOWN_TOKEN


def test_the_token_itself_is_kept_nowhere(
    unit: Connection, identity: Identity, anna: PartyId
) -> None:
    token = opened(unit, identity, anna)
    (row,) = unit.execute(select(store.enrolments)).all()
    assert len(token) == 43
    assert token.encode() not in b"|".join(str(one).encode() for one in row)
    assert len(row.token_sha256) == 32


@pytest.mark.parametrize("text", ["", "x" * 42, "x" * 43, "x" * 44, "../" * 14 + "x", "é" * 43])
def test_what_is_no_token_is_unknown(
    unit: Connection, identity: Identity, anna: PartyId, text: str
) -> None:
    opened(unit, identity, anna)
    assert reason(identity.enrolments.find(unit, text)) is EnrolmentReason.UNKNOWN_TOKEN


@pytest.mark.parametrize(
    ("ttl_s", "uses", "taken"),
    [
        (1, 1, True),
        (TTL_S_MAX, USES_MAX, True),
        (0, 1, False),
        (TTL_S_MAX + 1, 1, False),
        (1, 0, False),
        (1, USES_MAX + 1, False),
    ],
)
def test_terms_have_bounds(
    unit: Connection, identity: Identity, anna: PartyId, ttl_s: int, uses: int, taken: bool
) -> None:
    made = identity.enrolments.open(unit, anna, ttl_s=ttl_s, uses=uses)
    assert isinstance(made, Refusal) != taken


def test_a_subscriber_has_so_many_links_and_those_that_are_over_do_not_count(
    unit: Connection, identity: Identity, world: World, lumen: Operator, anna: PartyId
) -> None:
    tokens = [opened(unit, identity, anna) for _ in range(OPEN_MAX)]
    more = identity.enrolments.open(unit, anna, ttl_s=60, uses=1)
    assert reason(more) is EnrolmentReason.TOO_MANY
    opened(unit, identity, added(unit, identity, lumen, "bert"))
    for _ in range(2):
        identity.enrolments.use(unit, tokens[0])
    opened(unit, identity, anna)
    world.clock.set(world.clock.now_us() + 60 * SECOND_US)
    for _ in range(OPEN_MAX):
        opened(unit, identity, anna)
    nobody = identity.enrolments.open(unit, PartyId("sub_" + "0" * 32), ttl_s=60, uses=1)
    assert reason(nobody) is EnrolmentReason.UNKNOWN_SUBSCRIBER


class Links(RuleBasedStateMachine):
    """Links beside a model that counts."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.engine = Memory(store.metadata)
        self.unit = self.engine.connection
        self.identity = self.world.identity
        home = self.identity.register.add_operator(
            self.unit, name="Lumen", jurisdiction="FR", realms=["lumen.example"], plmns=[]
        )
        assert isinstance(home, Operator)
        self.who = added(self.unit, self.identity, home, "anna")
        self.model: dict[str, list[int]] = {}

    @rule(ttl_s=st.integers(1, 20), uses=st.integers(1, 3))
    def open(self, ttl_s: int, uses: int) -> None:
        now_us = self.world.clock.now_us()
        made = self.identity.enrolments.open(self.unit, self.who, ttl_s=ttl_s, uses=uses)
        live = [one for one in self.model.values() if one[0] > now_us and one[1] > 0]
        assert isinstance(made, Refusal) == (len(live) >= OPEN_MAX)
        if not isinstance(made, Refusal):
            self.model[made[0]] = [now_us + ttl_s * SECOND_US, uses]

    @rule(which=st.integers(0, 30))
    def use(self, which: int) -> None:
        if self.model:
            token = list(self.model)[which % len(self.model)]
            ends_us, left = self.model[token]
            gives = ends_us > self.world.clock.now_us() and left > 0
            assert isinstance(self.identity.enrolments.use(self.unit, token), Enrolment) == gives
            self.model[token][1] -= gives

    @rule(seconds=st.integers(1, 8))
    def wait(self, seconds: int) -> None:
        self.world.clock.set(self.world.clock.now_us() + seconds * SECOND_US)

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.engine.dispose()


TestLinks = Links.TestCase
TestLinks.settings = settings(max_examples=20, stateful_step_count=20)
