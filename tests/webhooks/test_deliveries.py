"""Endpoints, messages and deliveries: against a model, with a foreign library to verify."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from standardwebhooks import Webhook, WebhookVerificationError

from opencarrier.app.store import Store
from opencarrier.kernel.clock import SECOND_US, FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.notices import Notice, NoticeKind
from opencarrier.spine.parties import PartyId
from opencarrier.webhooks import rules, service
from opencarrier.webhooks.model import (
    DELAYS_S,
    ENDPOINTS_MAX,
    INSTALLATION,
    KEPT_S,
    OVERLAP_S,
    DeliveryState,
    HookReason,
    Outcome,
)
from opencarrier.webhooks.service import Shown, Webhooks
from opencarrier.webhooks.store import metadata

OURS, THEIRS = PartyId("op_" + "1" * 32), PartyId("host_" + "2" * 32)
URL = "https://books.example/in"
HEARD, FAILED, GONE = Outcome(status=204), Outcome(status=503, answer="no"), Outcome(status=410)


class Kept:
    """Secrets in memory."""

    def __init__(self) -> None:
        self.entropy, self.held = SeededEntropy(3), {}

    def octets(self, _, name, size):
        return self.held.setdefault(name, self.entropy.octets(name, size))

    def read(self, _, name):
        return self.held[name]

    def forget(self, _, name):
        del self.held[name]


class World:
    """The room over a database of its own."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root / "state.sqlite")
        self.clock = FixedClock(1_800_000_000_000_000)
        self.secrets = Kept()
        self.hooks = Webhooks(self.secrets, clock=self.clock, entropy=SeededEntropy(4))
        with self.store.write() as unit:
            metadata.create_all(unit)

    def add(self, party=OURS, kinds=(), url=URL) -> Shown:
        with self.store.write() as unit:
            made = self.hooks.add(unit, party, url, kinds, plain=False)
        assert isinstance(made, Shown), made
        return made

    def tell(self, number=1, kind=NoticeKind.CYCLE_SETTLED, parties=(OURS,)) -> None:
        about = {"cycle_id": f"0x{number:064x}", "sequence": number}
        notice = Notice(
            kind=kind, parties=frozenset(parties), about=about, at_us=self.clock.now_us()
        )
        with self.store.write() as unit:
            self.hooks.tell(unit, [notice])

    def attempt(self, endpoint):
        with self.store.read() as unit:
            return self.hooks.next(unit, endpoint.endpoint)

    def try_once(self, endpoint, outcome=HEARD):
        attempt = self.attempt(endpoint)
        if attempt is not None:
            with self.store.write() as unit:
                self.hooks.tried(unit, attempt, outcome)
        return attempt

    def deliveries(self, endpoint):
        with self.store.read() as unit:
            return list(self.hooks.deliveries(unit, endpoint, before=None, limit=100))

    def wait(self, seconds: int) -> None:
        self.clock.set(self.clock.now_us() + seconds * SECOND_US)


@contextmanager
def world():
    with TemporaryDirectory() as root:
        made = World(Path(root))
        yield made
        made.store.close()


@pytest.fixture
def here():
    with world() as made:
        yield made


# what is signed


def signed(attempt, at_s: int) -> dict[str, str]:
    message = attempt.message
    return {
        "webhook-id": message.message,
        "webhook-timestamp": str(at_s),
        "webhook-signature": rules.signature(attempt.secrets, message.message, at_s, message.body),
    }


def now_s() -> int:
    return int(datetime.now(UTC).timestamp())


def test_the_foreign_library_takes_what_is_signed_and_nothing_else(here):
    shown = here.add()
    here.tell()
    attempt = here.attempt(shown.endpoint)
    headers, body = signed(attempt, now_s()), attempt.message.body
    told = Webhook(shown.secret).verify(body, headers)
    assert told["type"] == "cycle.settled"
    assert told["data"] == {"party": OURS, "cycle_id": "0x" + "0" * 63 + "1", "sequence": 1}
    assert told["timestamp"] == "2027-01-15T08:00:00.000000Z"
    other = here.add().secret
    stale = signed(attempt, now_s() - int(timedelta(minutes=6).total_seconds()))
    for secret, said, shown_as in (
        (other, body, headers),
        (shown.secret, body + b" ", headers),
        (shown.secret, body, stale),
        (shown.secret, body, {**headers, "webhook-id": "msg_other"}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(said, shown_as)


def test_a_rotation_overlaps_by_a_day_and_no_longer(here):
    old = here.add()
    here.tell()
    with here.store.write() as unit:
        new = here.hooks.rotate(unit, old.endpoint)
    assert new.secret != old.secret
    attempt = here.attempt(old.endpoint)
    headers = signed(attempt, now_s())
    for secret in (old.secret, new.secret):
        assert Webhook(secret).verify(attempt.message.body, headers)
    here.wait(OVERLAP_S)
    headers = signed(here.attempt(old.endpoint), now_s())
    assert Webhook(new.secret).verify(attempt.message.body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old.secret).verify(attempt.message.body, headers)
    with here.store.write() as unit:
        again = here.hooks.rotate(unit, new.endpoint)
    assert len(here.secrets.held) == 2, "what signs nothing any more is destroyed"
    with here.store.write() as unit:
        here.hooks.remove(unit, again.endpoint)
    assert not here.secrets.held


# who hears what


def test_a_party_hears_of_its_own_things_and_the_installation_of_all(here):
    mine, its, all_of_it = here.add(OURS), here.add(THEIRS), here.add(INSTALLATION)
    here.tell(1, parties=[OURS])
    here.tell(2, parties=[OURS, THEIRS])
    heard = {}
    for name, shown in (("mine", mine), ("its", its), ("all", all_of_it)):
        rows = here.deliveries(shown.endpoint)
        with here.store.read() as unit:
            attempts = [here.hooks.next(unit, shown.endpoint.endpoint)]
        heard[name] = len(rows)
        assert json.loads(attempts[0].message.body)["data"]["party"] == (
            None if name == "all" else shown.endpoint.party
        )
    assert heard == {"mine": 2, "its": 1, "all": 2}


def test_an_endpoint_hears_the_kinds_it_wants_and_each_fact_once(here):
    some = here.add(kinds=["dispute.opened"])
    here.tell(1)
    here.tell(2, NoticeKind.DISPUTE_OPENED)
    here.tell(2, NoticeKind.DISPUTE_OPENED)
    assert [row.kind for row in here.deliveries(some.endpoint)] == ["dispute.opened"]


def test_what_the_fact_is_rolled_back_with_is_never_told(here):
    shown = here.add()
    notice = Notice(kind=NoticeKind.CYCLE_SETTLED, parties=frozenset({OURS}), at_us=1)
    with suppress(ZeroDivisionError), here.store.write() as unit:
        here.hooks.tell(unit, [notice])
        _ = 1 // 0  # the fact did not come true
    assert here.deliveries(shown.endpoint) == []


@pytest.mark.parametrize(
    ("url", "kinds", "reason"),
    [
        ("http://a.example", [], HookReason.NOT_HTTPS),
        ("gopher://a.example", [], HookReason.INVALID_URL),
        (URL, ["cycle.settled", "no.such"], HookReason.UNKNOWN_KIND),
        (URL, ["ping"], HookReason.UNKNOWN_KIND),
    ],
)
def test_what_is_no_endpoint_is_not_registered(here, url, kinds, reason):
    with here.store.write() as unit:
        made = here.hooks.add(unit, OURS, url, kinds, plain=False)
    assert isinstance(made, Refusal)
    assert made.reason is reason


# limits


def test_a_party_has_so_many_endpoints(here):
    for _ in range(ENDPOINTS_MAX):
        here.add()
    with here.store.write() as unit:
        made = here.hooks.add(unit, OURS, URL, (), plain=False)
    assert isinstance(made, Refusal)
    assert made.reason is HookReason.TOO_MANY
    here.add(THEIRS)


def test_what_does_not_fit_the_queue_is_parked_and_can_be_replayed(here, monkeypatch):
    monkeypatch.setattr(service, "WAITING_MAX", 2)
    shown = here.add()
    for number in range(3):
        here.tell(number)
    newest, *rest = here.deliveries(shown.endpoint)
    assert newest.state is DeliveryState.PARKED
    assert {row.state for row in rest} == {DeliveryState.WAITING}
    with here.store.write() as unit:
        here.hooks.replay(unit, shown.endpoint, newest.message)
    assert {row.state for row in here.deliveries(shown.endpoint)} == {DeliveryState.WAITING}


def test_a_replay_since_an_instant_has_its_limit(here, monkeypatch):
    monkeypatch.setattr(service, "REPLAYED_MAX", 2)
    shown = here.add()
    since_us = here.clock.now_us()
    for number in range(3):
        here.tell(number)
        here.try_once(shown.endpoint)
    with here.store.write() as unit:
        assert [here.hooks.replay_since(unit, shown.endpoint, since_us) for _ in "abc"] == [2, 1, 0]


def test_a_month_later_it_is_forgotten_a_share_at_a_time(here, monkeypatch):
    monkeypatch.setattr(service, "SWEPT_MAX", 2)
    shown = here.add()
    for number in range(3):
        here.tell(number)
    here.wait(KEPT_S)
    with here.store.write() as unit:
        assert here.hooks.sweep(unit) == 0
    here.wait(1)
    with here.store.write() as unit:
        assert [here.hooks.sweep(unit) for _ in "abc"] == [2, 1, 0]
    assert here.deliveries(shown.endpoint) == []


# retries


def test_delays_grow_and_an_end_comes(here):
    shown = here.add()
    here.tell()
    waited = []
    while (row := here.deliveries(shown.endpoint)[0]).state is DeliveryState.WAITING:
        before_us = here.clock.now_us()
        while here.attempt(shown.endpoint) is None:
            here.wait(1 if here.clock.now_us() - before_us < 10 * SECOND_US else 60)
        waited.append((here.clock.now_us() - before_us) // SECOND_US)
        here.try_once(shown.endpoint, FAILED)
    assert (row.state, row.attempts, row.status) == (DeliveryState.PARKED, len(DELAYS_S) + 1, 503)
    assert waited[0] == 0
    assert all(a <= b for a, b in zip(DELAYS_S, waited[1:], strict=True))


def test_an_endpoint_that_is_gone_gets_nothing_until_it_is_resumed(here):
    shown = here.add()
    here.tell(1)
    here.try_once(shown.endpoint, GONE)
    here.tell(2)
    here.wait(100_000)
    assert here.attempt(shown.endpoint) is None
    with here.store.write() as unit:
        found = here.hooks.find(unit, shown.endpoint.endpoint, None)
        assert found.off == "gone"
        here.hooks.resume(unit, found)
    here.tell(3)
    assert here.attempt(shown.endpoint) is not None


def test_a_dead_endpoint_rests_and_others_do_not_wait_for_it(here):
    dead, alive = here.add(), here.add()
    for number in range(20):
        here.tell(number)
    here.try_once(dead.endpoint, FAILED)
    assert here.attempt(dead.endpoint) is None, "it rests as a whole"
    with here.store.read() as unit:
        assert here.hooks.due(unit) == [alive.endpoint.endpoint]
    for _ in range(20):
        assert here.try_once(alive.endpoint) is not None
    assert {row.state for row in here.deliveries(alive.endpoint)} == {DeliveryState.DELIVERED}


@given(st.lists(st.sampled_from([HEARD, FAILED, GONE]), max_size=14))
@settings(max_examples=25, deadline=None)
def test_a_delivery_ends_at_the_first_that_hears_or_is_gone_or_at_the_limit(outcomes):
    with world() as here:
        shown = here.add()
        here.tell()
        row = here.deliveries(shown.endpoint)[0]
        for now_us, outcome in enumerate(outcomes):
            if row.state is not DeliveryState.WAITING:
                break
            row = rules.after(row, outcome, now_us)
            assert row.next_us > now_us or row.state is not DeliveryState.WAITING
        tried = outcomes[: row.attempts]
        ended = bool(tried) and (tried[-1].heard or tried[-1].gone or len(tried) > len(DELAYS_S))
        assert (row.state is not DeliveryState.WAITING) == ended


class Machine(RuleBasedStateMachine):
    """One endpoint, messages that come, attempts that are heard, fail, or are lost by a crash.

    The model knows of each message whether it waits, was heard, or is parked, and how often it was
    heard: every message is heard at least once unless it is parked, and under one id.
    """

    def __init__(self) -> None:
        super().__init__()
        self._open = world()
        self.here = self._open.__enter__()
        self.endpoint = self.here.add().endpoint
        self.told = 0
        self.states: dict[str, DeliveryState] = {}
        self.attempts: dict[str, int] = {}
        self.heard: dict[str, int] = {}

    def teardown(self) -> None:
        self._open.__exit__(None, None, None)

    @rule()
    def happen(self) -> None:
        self.told += 1
        self.here.tell(self.told)
        (newest, *_) = self.here.deliveries(self.endpoint)
        assert newest.message not in self.states
        self.states[newest.message] = DeliveryState.WAITING
        self.attempts[newest.message] = 0

    @precondition(lambda self: self.told)
    @rule()
    def tell_again(self) -> None:
        self.here.tell(self.told)

    @rule(outcome=st.sampled_from([HEARD, FAILED, Outcome(status=0, answer="refused")]))
    def try_one(self, outcome: Outcome) -> None:
        attempt = self.here.try_once(self.endpoint, outcome)
        if attempt is None:
            return
        name = attempt.message.message
        assert self.states[name] is DeliveryState.WAITING
        self.attempts[name] += 1
        if outcome.heard:
            self.states[name] = DeliveryState.DELIVERED
            self.heard[name] = self.heard.get(name, 0) + 1
        elif self.attempts[name] > len(DELAYS_S):
            self.states[name] = DeliveryState.PARKED

    @rule()
    def heard_but_killed(self) -> None:
        """The endpoint has it, and nobody noted that: it comes again."""
        attempt = self.here.attempt(self.endpoint)
        if attempt is not None:
            name = attempt.message.message
            self.heard[name] = self.heard.get(name, 0) + 1

    @rule(seconds=st.sampled_from([1, 60, 40_000]))
    def wait(self, seconds: int) -> None:
        self.here.wait(seconds)

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.states)))
        with self.here.store.write() as unit:
            self.here.hooks.replay(unit, self.endpoint, name)
        self.states[name], self.attempts[name] = DeliveryState.WAITING, 0

    @invariant()
    def agrees(self) -> None:
        rows = {row.message: row for row in self.here.deliveries(self.endpoint)}
        assert {name: row.state for name, row in rows.items()} == self.states
        for name, state in self.states.items():
            assert rows[name].attempts == self.attempts[name]
            assert state is not DeliveryState.DELIVERED or self.heard[name] >= 1


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=6, stateful_step_count=20, deadline=None)
