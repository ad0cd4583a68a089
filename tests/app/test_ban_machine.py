"""Bans by chance: before each step a model says what comes of it, on the real contract."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opencarrier.app.banning import DAY_S
from opencarrier.app.venue import NODE_TERMS
from opencarrier.bans.model import CASES_MAX
from opencarrier.chain.contracts import Stage
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.nodes import chain_node_id

from .scene import scene
from .test_banning import BOND_MINOR, OTHER, Court

pytestmark = pytest.mark.deep

APPEAL_S, DECISION_S = NODE_TERMS["appeal_s"], NODE_TERMS["decision_s"]


@dataclass
class Trial:
    """One case as the contract's page says it."""

    ends_s: int
    due_s: int
    escrow: int
    stage: Stage = Stage.OPEN


@dataclass
class Model:
    """One node: its bond, what it lost, and its cases, the oldest first."""

    bond: int
    lost: int = 0
    trials: list[Trial] = field(default_factory=list)

    @property
    def undecided(self) -> list[Trial]:
        """First what silence ends first."""
        found = [one for one in self.trials if one.stage in (Stage.OPEN, Stage.APPEALED)]
        return sorted(found, key=lambda one: one.due_s)

    def banned(self, now_s: int) -> bool:
        return any(now_s < one.ends_s and one.stage is not Stage.LIFTED for one in self.trials)

    def ban(self, now_s: int, days: int, slash: int) -> str:
        if self.banned(now_s):
            return "already_banned"
        escrow = min(slash, self.bond)
        self.trials.append(Trial(now_s + days * DAY_S, now_s + APPEAL_S, escrow))
        self.bond -= escrow
        return ""

    def appeal(self, now_s: int) -> str:
        found = [one for one in self.undecided if one.stage is Stage.OPEN]
        for one in found:
            if now_s < one.due_s:
                one.stage, one.due_s = Stage.APPEALED, now_s + DECISION_S
                return ""
        return "late" if found else "not_open"

    def decide(self, now_s: int, *, lifted: bool) -> str:
        found = [one for one in self.undecided if one.stage is Stage.APPEALED]
        for one in found:
            if now_s < one.due_s:
                return self._end(one, lifted=lifted)
        return "late" if found else "not_appealed"

    def close(self, now_s: int) -> str:
        found = self.undecided
        for one in found:
            if now_s >= one.due_s:
                return self._end(one, lifted=one.stage is Stage.APPEALED)
        return "early" if found else "not_open"

    def _end(self, one: Trial, *, lifted: bool) -> str:
        one.stage = Stage.LIFTED if lifted else Stage.UPHELD
        if lifted:
            self.bond += one.escrow
        else:
            self.lost += one.escrow
        one.escrow = 0
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
                times = [t for one in model.trials[-2:] for t in (one.due_s, one.ends_s)]
                edges = [1, DAY_S, *(t - less - now_s for t in times for less in (1, 0))]
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
            key = chain_node_id(node_id)
            assert contract.bond_of(key).ask(client) == model.bond
            with self.court.place.base.store.read() as unit:
                cases = self.court.place.bans.service.cases(unit, key)
                banned = self.court.place.bans.service.banned(unit, [key], self.now_s)
            for case, trial in zip(cases, reversed(model.trials), strict=False):
                assert (case.stage, case.ends_s) == (trial.stage, trial.ends_s)
                told = contract.ban_of(case.ban_id).ask(client)
                assert (told.stage, told.escrow) == (trial.stage, trial.escrow)
                if case.is_undecided:
                    assert (case.due_s, told.due_at) == (trial.due_s, trial.due_s)
            assert len(cases) == min(len(model.trials), CASES_MAX)
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
