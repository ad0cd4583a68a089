"""Keys and their answers: against a model, through crashes, to every limit."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import Column, Integer, MetaData, Table, func, insert, select

from opencarrier.app import answers as module
from opencarrier.app.answers import (
    ANSWER_OCTETS_MAX,
    KEPT_S,
    Answer,
    Answers,
    Asking,
    KeyReason,
    answers,
    forget,
    metadata,
    sweep,
)
from opencarrier.app.store import Store, beside
from opencarrier.kernel.clock import SECOND_US, FixedClock
from opencarrier.kernel.refusals import Refusal

effects = Table("effects", MetaData(), Column("number", Integer, primary_key=True))
SECRET = bytes(range(32))
ASKING = Asking(
    holder="acct_1",
    who="acct_1",
    route="POST /v1/x",
    key="key",
    fingerprint=b"f" * 32,
    repeatable=False,
)
ANSWER = Answer(status=200, headers=(("content-type", "application/json"),), body=b'{"a": 1}')


class World:
    """A database, the process that serves it, and whoever asks."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root / "state.sqlite")
        self.clock = FixedClock(1_800_000_000_000_000)
        with self.store.write() as unit:
            metadata.create_all(unit)
            effects.metadata.create_all(unit)
        self.start()

    def start(self) -> None:
        self.answers = Answers(self.store, self.clock, SECRET)

    def has_an_effect(self, asking: Asking) -> None:
        """Commit something, as a route does while a request runs."""
        noting = beside.set(lambda unit: self.answers.commit_beside(unit, asking))
        try:
            with self.store.write() as unit:
                unit.execute(insert(effects))
        finally:
            beside.reset(noting)

    def count(self, table: Table = effects) -> int:
        with self.store.read() as unit:
            return unit.scalar(select(func.count()).select_from(table)) or 0


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


def reason(outcome: object) -> KeyReason:
    assert isinstance(outcome, Refusal), outcome
    assert isinstance(outcome.reason, KeyReason)
    return outcome.reason


def test_the_same_request_is_done_once_and_has_its_answer_also_after_a_restart(here):
    assert here.answers.begin(ASKING) is None
    assert reason(here.answers.begin(ASKING)) is KeyReason.STILL_RUNNING
    here.has_an_effect(ASKING)
    assert reason(here.answers.begin(ASKING)) is KeyReason.STILL_RUNNING
    here.answers.keep(ASKING, ANSWER)
    assert here.answers.begin(ASKING) == ANSWER
    here.start()
    assert here.answers.begin(ASKING) == ANSWER


def test_what_is_about_somebody_is_forgotten_also_while_it_is_told(here):
    """Answered, or read and not answered yet: neither stays. What erases is not in its own way."""
    told, reading, erasing, others, own = (
        replace(ASKING, key=key, about=about, holder=holder)
        for key, about, holder in (
            ("told", "sub_1", "acct_1"),
            ("reading", "sub_1", "acct_1"),
            ("erasing", "sub_1", "acct_1"),
            ("others", "sub_2", "acct_1"),
            ("own", "", "acct_2"),
        )
    )
    for asking in (told, reading, erasing, others, own):
        assert here.answers.begin(asking) is None
    for asking in (told, others, own):
        here.answers.keep(asking, ANSWER)
    here.has_an_effect(reading)
    with here.store.write() as unit:
        forget(unit, "sub_1", ["acct_2"])
    for asking in (reading, erasing):
        here.answers.keep(asking, ANSWER)
    known = {
        asking.key: here.answers.begin(asking) for asking in (told, reading, erasing, others, own)
    }
    assert known == {
        "told": None,
        "reading": None,
        "erasing": ANSWER,
        "others": ANSWER,
        "own": None,
    }


def test_another_request_under_its_key_is_refused_while_it_runs_and_after(here):
    other = replace(ASKING, fingerprint=b"g" * 32)
    here.answers.begin(ASKING)
    assert reason(here.answers.begin(other)) is KeyReason.KEY_OF_ANOTHER
    here.answers.keep(ASKING, ANSWER)
    assert reason(here.answers.begin(other)) is KeyReason.KEY_OF_ANOTHER


@pytest.mark.parametrize("field", ["who", "route", "key"])
def test_a_key_belongs_to_who_asks_and_to_the_route(here, field):
    here.answers.begin(ASKING)
    here.answers.keep(ASKING, ANSWER)
    assert here.answers.begin(replace(ASKING, **{field: "another"})) is None


def test_a_database_alone_says_neither_key_nor_answer(here):
    secret = Answer(status=200, headers=(), body=b"shown once: whsec_abc")
    asking = replace(ASKING, key="a key of its owner's")
    here.answers.begin(asking)
    here.answers.keep(asking, secret)
    with here.store.read() as unit:
        row = unit.execute(select(answers)).one()
    held = b"".join(value for value in row if isinstance(value, bytes))
    assert b"whsec" not in held
    assert b"owner" not in held
    assert b"acct_1" not in held


def test_nobody_is_told_of_a_day_ago_and_the_sweep_takes_it(here):
    here.answers.begin(ASKING)
    here.answers.keep(ASKING, ANSWER)
    here.clock.set(here.clock.now_us() + KEPT_S * SECOND_US - 1)
    assert here.answers.begin(ASKING) == ANSWER
    here.clock.set(here.clock.now_us() + 1)
    assert here.answers.begin(replace(ASKING, fingerprint=b"g" * 32)) is None
    here.answers.end(replace(ASKING, fingerprint=b"g" * 32))
    here.answers.begin(ASKING)
    here.answers.keep(ASKING, ANSWER)
    now_us = here.clock.now_us()
    with here.store.write() as unit:
        assert sweep(unit, now_us + KEPT_S * SECOND_US - 1) == 0
        assert sweep(unit, now_us + KEPT_S * SECOND_US) == 1
    assert here.count(answers) == 0


def test_the_sweep_takes_a_share_at_a_time(here, monkeypatch):
    monkeypatch.setattr(module, "SWEPT_MAX", 2)
    for number in range(3):
        here.answers.begin(replace(ASKING, key=str(number)))
    over_us = here.clock.now_us() + KEPT_S * SECOND_US
    with here.store.write() as unit:
        assert [sweep(unit, over_us) for _ in range(3)] == [2, 1, 0]


@pytest.mark.parametrize("over", [0, 1])
def test_an_answer_that_is_too_long_is_not_kept_and_the_request_not_done_twice(here, over):
    long = replace(ANSWER, body=b"x" * (ANSWER_OCTETS_MAX + over))
    here.answers.begin(ASKING)
    here.has_an_effect(ASKING)
    here.answers.keep(ASKING, long)
    again = here.answers.begin(ASKING)
    assert again == long if not over else reason(again) is KeyReason.ANSWER_NOT_KEPT


def test_one_has_so_many_keys_and_others_have_theirs(here, monkeypatch):
    monkeypatch.setattr(module, "KEYS_MAX", 2)
    for key in "ab":
        assert here.answers.begin(replace(ASKING, key=key)) is None
    assert reason(here.answers.begin(ASKING)) is KeyReason.TOO_MANY_KEYS
    assert reason(here.answers.begin(ASKING)) is KeyReason.TOO_MANY_KEYS, "and it is not running"
    assert here.answers.begin(replace(ASKING, holder="acct_2", who="acct_2")) is None


def test_where_the_same_content_is_the_same_thing_the_oldest_makes_room(here, monkeypatch):
    monkeypatch.setattr(module, "KEYS_MAX", 2)
    for key in "abc":
        asking = replace(ASKING, key=key, repeatable=True)
        assert here.answers.begin(asking) is None
        here.answers.keep(asking, ANSWER)
        here.clock.set(here.clock.now_us() + 1)
    assert here.count(answers) == 2
    assert here.answers.begin(replace(ASKING, key="c", repeatable=True)) == ANSWER
    assert here.answers.begin(replace(ASKING, key="a", repeatable=True)) is None


def test_a_repeatable_request_leaves_nothing_before_its_answer(here):
    asking = replace(ASKING, repeatable=True)
    assert here.answers.begin(asking) is None
    assert here.count(answers) == 0
    assert reason(here.answers.begin(asking)) is KeyReason.STILL_RUNNING
    here.answers.end(asking)
    assert here.answers.begin(asking) is None


class Machine(RuleBasedStateMachine):
    """One request under one key, a process that may die between any two steps.

    The model: whether it runs, whether it had its effect since it was begun, and what it answered.
    """

    def __init__(self) -> None:
        super().__init__()
        self._open = world()
        self.world = self._open.__enter__()
        self.runs = False
        self.had_effect = False
        self.lost = False
        self.answer: Answer | None = None

    def teardown(self) -> None:
        self._open.__exit__(None, None, None)

    @rule()
    def ask(self) -> None:
        outcome = self.world.answers.begin(ASKING)
        if self.answer is not None:
            assert outcome == self.answer
        elif self.runs:
            assert reason(outcome) is KeyReason.STILL_RUNNING
        elif self.lost:
            assert reason(outcome) is KeyReason.OUTCOME_UNKNOWN
        else:
            assert outcome is None
            self.runs = True

    @precondition(lambda self: self.runs and not self.had_effect)
    @rule()
    def do(self) -> None:
        self.world.has_an_effect(ASKING)
        self.had_effect = True

    @precondition(lambda self: self.runs)
    @rule(status=st.sampled_from([200, 404, 409]))
    def answered(self, status: int) -> None:
        self.answer = replace(ANSWER, status=status)
        self.world.answers.keep(ASKING, self.answer)
        self.runs = False

    @precondition(lambda self: self.runs)
    @rule()
    def fail(self) -> None:
        self.world.answers.end(ASKING)
        self.runs, self.lost = False, self.had_effect

    @rule()
    def crash(self) -> None:
        self.world.start()
        self.lost = self.lost or (self.runs and self.had_effect)
        self.runs = False

    @invariant()
    def nothing_is_done_twice(self) -> None:
        assert self.world.count() == (1 if self.had_effect else 0)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=6, stateful_step_count=15, deadline=None)
