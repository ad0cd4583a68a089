"""Charging sessions against a model in integers: hold, post, void, in whatever order they come.

The invariants are those of `charging/README.md`; the model knows prices only, and no ledger.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.app.charging_consumer import HAVE_MINOR, MIB, imsi_of, money, price_minor, subscribed
from tests.app.scene import SECOND_US, scene

from opencarrier.app.http_charging import charging_service
from opencarrier.charging.model import Answer, ChargingReason, ChargingSettings
from opencarrier.charging.wire import read_request
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import Refusal
from opencarrier.ledger import service as ledger

GROUPS = (1, 2)
SLICE, SLICE_MAX = 10 * MIB, 1 << 30
SESSIONS_MAX = 3
IMSI = imsi_of("machine")


@dataclass
class Session:
    """What the model knows of a session: what it used, may use, holds, and was charged."""

    path: str
    sequence: int
    last: tuple[str, bytes, str]
    created: bytes
    used: int = 0
    held: int = 0
    charged: int = 0
    grants: dict[int, int] = field(default_factory=dict)
    released: bool = False


@dataclass(frozen=True)
class Told:
    """What is reported of a group, and what is asked for; None asks for nothing."""

    up: int
    down: int
    more: int | None

    def body(self, group: int) -> dict[str, Any]:
        used = {"localSequenceNumber": 1, "uplinkVolume": self.up, "downlinkVolume": self.down}
        told: dict[str, Any] = {"ratingGroup": group, "usedUnitContainer": [used]}
        return told | ({} if self.more is None else {"requestedUnit": {"totalVolume": self.more}})


OCTETS = st.sampled_from([0, 1, 1_023, 1_024, MIB]) | st.integers(0, 1 << 30)
MUCH = 1 << 33
"""Octets whose wholesale price is near the home's collateral."""
REPORTS = st.dictionaries(
    st.sampled_from(GROUPS), st.builds(Told, OCTETS, OCTETS, st.none() | OCTETS), max_size=2
)
WANTS = st.dictionaries(
    st.sampled_from(GROUPS), st.builds(Told, st.just(0), st.just(0), OCTETS), max_size=2
)


class Charging(RuleBasedStateMachine):
    """One subscriber with some money, some sessions at once, cycles in between."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = ExitStack()
        folder = Path(self.kept.enter_context(TemporaryDirectory())) / "data"
        made = self.kept.enter_context(scene(folder, one_sided_window_s=0))
        self.made = replace(made, subscriber=subscribed(made, IMSI))
        chosen = ChargingSettings(rating_groups=frozenset(GROUPS))
        self.service = charging_service(made.place.base, chosen)
        self.numbers = count()
        self.have = HAVE_MINOR
        self.sessions: list[Session] = []

    # what a consumer does

    @precondition(lambda self: len(self.sessions) < SESSIONS_MAX)
    @rule(wants=WANTS)
    def create(self, wants: dict[int, Told]) -> None:
        body = self.body(0, wants, chargingId=next(self.numbers))
        before = money(self.made)
        answer = self.ask("create", body)
        if isinstance(answer, Refusal):
            if answer.reason is ChargingReason.DENIED:
                assert sum(session.used for session in self.sessions) > MUCH
                assert answer.detail == "insufficient_collateral"
            else:
                assert answer.reason is ChargingReason.OUT_OF_MONEY
                assert self.have < HAVE_MINOR or self.held
            assert money(self.made) == before
            return
        session = Session(answer.reference, 0, ("create", body, answer.body), body)
        self.sessions.append(session)
        self.take(session, wants, answer)

    @precondition(lambda self: self.open())
    @rule(data=st.data(), reports=REPORTS, action=st.sampled_from(["update"] * 3 + ["release"]))
    def report(self, data: st.DataObject, reports: dict[int, Told], action: str) -> None:
        session = data.draw(st.sampled_from(self.open()))
        sequence = session.sequence + data.draw(st.integers(1, 2))
        body, before = self.body(sequence, reports), money(self.made)
        answer = self.ask(action, body, session.path)
        if any(told.up + told.down and g not in session.grants for g, told in reports.items()):
            assert isinstance(answer, Refusal)
            assert answer.reason is ChargingReason.NOT_GRANTED
            assert money(self.made) == before
            return
        assert isinstance(answer, Answer), answer
        session.sequence, session.last = sequence, (action, body, answer.body)
        session.released = action == "release"
        self.take(session, reports, answer)

    @precondition(lambda self: self.sessions)
    @rule(data=st.data(), flag=st.booleans())
    def repeat(self, data: st.DataObject, flag: bool) -> None:
        """The same request again has the answer it had, octet by octet, and moves nothing."""
        session = data.draw(st.sampled_from(self.sessions))
        action, body, told = session.last
        if flag:
            body = json.dumps({**json.loads(body), "retransmissionIndicator": True}).encode()
        before = money(self.made)
        assert self.ask(action, body, session.path) == Answer(session.path, told)
        assert money(self.made) == before

    @precondition(lambda self: self.sessions)
    @rule(data=st.data(), back=st.integers(0, 1))
    def late(self, data: st.DataObject, back: int) -> None:
        """What others followed, what is out of sequence and what comes after the end is refused."""
        session = data.draw(st.sampled_from(self.sessions))
        before, wants = money(self.made), {1: Told(0, 0, MIB)}
        if session.last[0] != "create":
            refused(self.ask("create", session.created), ChargingReason.OUT_OF_SEQUENCE)
        body = self.body(max(0, session.sequence - back), wants, chargingId=next(self.numbers))
        reason = ChargingReason.OUT_OF_SEQUENCE
        if session.released:
            reason = ChargingReason.UNKNOWN_SESSION
        for action in ("update", "release"):
            refused(self.ask(action, body, session.path), reason)
        refused(self.ask("update", body, "nowhere"), ChargingReason.UNKNOWN_SESSION)
        assert money(self.made) == before

    # what else happens

    @rule(seconds=st.integers(0, 30))
    def tick(self, seconds: int) -> None:
        self.made.clock.set(self.made.clock.now_us() + seconds * SECOND_US)

    @rule()
    def close_cycle(self) -> None:
        """What was used is posted from the hold; a released session gives the rest back."""
        base, at_us = self.made.place.base, self.made.clock.now_us()
        with base.store.write() as unit:
            cycle_id = derive("machine", next(self.numbers))
            usages = base.usage.cut(unit, cycle_id=cycle_id, cut_us=at_us)
            base.rating.rate(unit, cycle_id=cycle_id, usages=usages, at_us=at_us)
        for session in self.sessions:
            due = price_minor(session.used) - session.charged
            paid = min(due, session.held)
            self.have -= paid
            session.charged += due
            session.held = 0 if session.released else session.held - paid

    @invariant()
    def what_is_held_is_what_may_be_used(self) -> None:
        """Money is where the model has it; none is held beyond what there is."""
        assert money(self.made) == (self.have, self.held)
        assert 0 <= self.held <= self.have

    def teardown(self) -> None:
        with self.made.place.base.store.read() as unit:
            assert set(ledger.sum_minor(unit).values()) <= {0}
        self.kept.close()

    # the model

    @property
    def held(self) -> int:
        return sum(session.held for session in self.sessions)

    def open(self) -> list[Session]:
        return [session for session in self.sessions if not session.released]

    def take(self, session: Session, reports: dict[int, Told], answer: Answer) -> None:
        """Count what was used; then what is granted is the most that money covers, and is held."""
        session.used += sum(told.up + told.down for told in reports.values())
        wanted = {g: o for g, o in session.grants.items() if g not in reports}
        kept = set(wanted)
        for group, told in sorted(reports.items()):
            if told.more is not None:
                wanted[group] = min(told.more or SLICE, SLICE_MAX)
        granted = granted_by(answer)
        assert set(granted) <= set(wanted) - kept
        left = self.have - self.held + session.held
        covers = left + session.charged
        if session.released:
            assert not granted
            total, session.grants = 0, dict.fromkeys(session.grants, 0)
        else:
            total = covered(session.used, sum(wanted.values()), covers)
            session.grants = dict.fromkeys(session.grants, 0) | dealt(wanted, kept, total)
            assert granted == {g: session.grants[g] for g in granted}
            assert all(not session.grants[g] for g in set(wanted) - kept - set(granted))
        cost = price_minor(session.used + total)
        session.held = max(0, min(cost - session.charged, left))

    def ask(self, action: str, body: bytes, path: str = "") -> Answer | Refusal:
        request, at_us = read_request(body), self.made.clock.now_us()
        with self.made.place.base.store.write() as unit:
            if action == "create":
                return self.service.create(unit, request, at_us=at_us)
            return getattr(self.service, action)(unit, path, request, at_us=at_us)

    def body(self, sequence: int, reports: dict[int, Told], **more: Any) -> bytes:
        told = {
            "subscriberIdentifier": f"imsi-{IMSI}",
            "nfConsumerIdentification": {
                "nFFqdn": self.made.node.nas_identifier,
                "nodeFunctionality": "SMF",
            },
            "invocationTimeStamp": "2026-01-05T10:00:00Z",
            "invocationSequenceNumber": sequence,
            "multipleUnitUsage": [told.body(group) for group, told in reports.items()],
        }
        return json.dumps(told | more).encode()


def covered(used: int, wanted: int, money_minor: int) -> int:
    """The most octets beyond what is used that some money pays, found from the price itself."""
    if price_minor(used + wanted) <= money_minor:
        return wanted
    least, beyond = -1, wanted
    while beyond - least > 1:
        middle = (least + beyond) // 2
        least, beyond = (
            (middle, beyond) if price_minor(used + middle) <= money_minor else (least, middle)
        )
    return max(0, least)


def dealt(wanted: dict[int, int], kept: set[int], octets: int) -> dict[int, int]:
    """What a group was granted before comes first, then those that ask, by number."""
    found = {}
    for group in [*sorted(kept), *sorted(set(wanted) - kept)]:
        found[group] = min(wanted[group], octets)
        octets -= found[group]
    return found


def granted_by(answer: Answer) -> dict[int, int]:
    units = json.loads(answer.body).get("multipleUnitInformation", [])
    return {u["ratingGroup"]: u["grantedUnit"]["totalVolume"] for u in units if "grantedUnit" in u}


def refused(answer: Answer | Refusal, reason: ChargingReason) -> None:
    assert isinstance(answer, Refusal), answer
    assert answer.reason is reason, answer


@pytest.fixture(autouse=True, scope="module")
def _model(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Set up once what every machine begins with a copy of."""
    with scene(tmp_path_factory.mktemp("model"), one_sided_window_s=0):
        pass


def play(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Charging,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_charging_is_as_the_model_says() -> None:
    play(3, 20)


@pytest.mark.deep
@pytest.mark.timeout(3_600)
def test_charging_is_as_the_model_says_for_long() -> None:
    play(400, 50)
