"""Bans by chance: before each step a model says what comes of it, on the real contract."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opencarrier.app.banning import DAY_S
from opencarrier.app.venue import NODE_TERMS
from opencarrier.chain.contracts import Stage
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.nodes import chain_node_id

from .scene import scene
from .test_banning import BOND_MINOR, OTHER, Court

pytestmark = pytest.mark.deep

APPEAL_S, DECISION_S = NODE_TERMS["appeal_s"], NODE_TERMS["decision_s"]


@dataclass
class Model:
    """One node: its bond, and its last case as the contract's page says it."""

    bond: int
    stage: Stage = Stage.NONE
    ends_s: int = 0
    due_s: int = 0
    escrow: int = 0
    lost: int = 0

    def banned(self, now_s: int) -> bool:
        return now_s < self.ends_s and self.stage not in (Stage.NONE, Stage.LIFTED)

    def ban(self, now_s: int, days: int, slash: int) -> str:
        if self.banned(now_s):
            return "already_banned"
        self.stage, self.ends_s, self.due_s = Stage.OPEN, now_s + days * DAY_S, now_s + APPEAL_S
        self.escrow = min(slash, self.bond)
        self.bond -= self.escrow
        return ""

    def appeal(self, now_s: int) -> str:
        if self.stage is not Stage.OPEN:
            return "not_open"
        if now_s >= self.due_s:
            return "late"
        self.stage, self.due_s = Stage.APPEALED, now_s + DECISION_S
        return ""

    def decide(self, now_s: int, *, lifted: bool) -> str:
        if self.stage is not Stage.APPEALED:
            return "not_appealed"
        if now_s >= self.due_s:
            return "late"
        return self._end(lifted=lifted)

    def close(self, now_s: int) -> str:
        if self.stage not in (Stage.OPEN, Stage.APPEALED):
            return "not_open"
        if now_s < self.due_s:
            return "early"
        return self._end(lifted=self.stage is Stage.APPEALED)

    def _end(self, *, lifted: bool) -> str:
        self.stage = Stage.LIFTED if lifted else Stage.UPHELD
        if lifted:
            self.bond += self.escrow
        else:
            self.lost += self.escrow
        self.escrow = 0
        return ""


class Play:
    """The contract through our errands, beside a model of each node."""

    def __init__(self, court: Court) -> None:
        self.court = court
        court.bond(BOND_MINOR)
        self.models = {court.node_id: Model(BOND_MINOR), OTHER: Model(0)}

    def step(self, name: str, node: int, number: int) -> None:
        node_id = (self.court.node_id, OTHER)[node]
        model, bans, now_s = self.models[node_id], self.court.bans, self.now_s
        match name:
            case "wait":
                edges = [1, DAY_S, model.due_s - 1 - now_s, model.due_s - now_s]
                edges += [model.ends_s - 1 - now_s, model.ends_s - now_s]
                self.court.at(now_s + max(edges[number % len(edges)], 0))
                return
            case "ban":
                days, slash = 1 + number * 7 % 40, number * 700_000
                wish = self.court.wish(node_id=node_id, days=days, slash_minor=slash)
                expected, done = model.ban(now_s, days, slash), bans.begin(wish)
            case "appeal":
                expected, done = model.appeal(now_s), bans.appeal(node_id, "no")
            case "decide":
                lifted = number % 2 == 0
                expected = model.decide(now_s, lifted=lifted)
                done = bans.decide(node_id, lifted=lifted)
            case _:
                expected, done = model.close(now_s), bans.close(node_id)
        assert (done.code if isinstance(done, Refusal) else "") == expected, (name, node_id)

    @property
    def now_s(self) -> int:
        return self.court.made.clock.now_us() // SECOND_US

    def agrees(self) -> None:
        """The contract, what was followed of it, and the model say the same."""
        contract, client = self.court.contract, self.court.place.client
        for node_id, model in self.models.items():
            key, case = chain_node_id(node_id), self.court.case(node_id)
            assert contract.bond_of(key).ask(client) == model.bond
            if case is None:
                assert model.stage is Stage.NONE
                continue
            assert (case.stage, case.ends_s) == (model.stage, model.ends_s)
            told = contract.ban_of(case.ban_id).ask(client)
            assert (told.stage, told.escrow) == (model.stage, model.escrow)
            if case.is_undecided:
                assert (case.due_s, told.due_at) == (model.due_s, model.due_s)
            with self.court.place.base.store.read() as unit:
                banned = self.court.place.bans.service.banned(unit, [key], self.now_s)
            assert (key in banned) == model.banned(self.now_s)
        lost = sum(model.lost for model in self.models.values())
        assert contract.collectable().ask(client) == lost


@pytest.fixture(scope="module")
def play(tmp_path_factory):
    with scene(tmp_path_factory.mktemp("machine")) as made:
        yield Play(Court(made))


STEPS = st.tuples(
    st.sampled_from(["ban", "wait", "appeal", "wait", "decide", "close"]),
    st.integers(0, 1),
    st.integers(0, 11),
)


@settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, min_size=4, max_size=16))
def test_whatever_is_done_comes_out_as_the_model_says(play, steps):
    """Time only goes on, so each example begins where the one before it ended."""
    for step in steps:
        play.step(*step)
        play.agrees()
