"""Guessed passwords: slowed by name and client; no stranger keeps a subscriber out for long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.access.test_server import AUTH, Driver, only, reply

from opencarrier.access.guessing import Guess, Guesses, GuessLimits
from opencarrier.access.server import Need
from opencarrier.access.wire import eap
from opencarrier.access.wire.dictionary import Code, Type

PHONE, OTHER = b"02-00-00-00-00-01", b"02-00-00-00-00-02"


def guess(user: str = "alice@home.test", device: bytes = OTHER, client: str = "hub") -> Guess:
    return Guess(user, device, client)


def admitted(guesses: Guesses, one: Guess, seconds: range) -> int:
    return sum(guesses.admits(one, float(now_s)) for now_s in seconds)


def test_a_name_that_is_guessed_at_is_compared_ever_less_often() -> None:
    guesses = Guesses(GuessLimits())
    assert admitted(guesses, guess(), range(1)) == 1
    assert [guesses.admits(guess(), 0.0) for _ in range(6)] == [True] * 4 + [False] * 2
    assert admitted(guesses, guess(), range(1, 64)) == 5  # after 2, 4, 8, 16 and 32 seconds
    assert admitted(guesses, guess(), range(64, 64 + 3_600)) == 60
    assert guesses.admits(guess("bob@home.test"), 3_700.0)
    assert [guesses.admits(guess(), 9_000.0) for _ in range(6)] == [True] * 5 + [False]


def test_whoever_was_let_in_before_is_not_kept_out_by_a_stranger() -> None:
    """From a device of his, however long it goes on; from a new one within a minute."""
    guesses = Guesses(GuessLimits())
    mine = guess(device=PHONE)
    assert guesses.admits(mine, 0.0)
    guesses.was_right(mine)
    admitted(guesses, guess(), range(1_000))
    for _ in range(9):
        assert guesses.admits(mine, 1_000.0)
        guesses.was_right(mine)
    assert any(guesses.admits(guess(device=b"new"), 1_000.0 + n) for n in range(61))
    assert admitted(guesses, mine, range(1_000, 1_010)) < 10, "a device is bounded too"


def test_the_right_password_takes_the_wrong_ones_back() -> None:
    guesses = Guesses(GuessLimits(free=3))
    for now_s in range(20):
        assert guesses.admits(guess(), float(now_s))
        guesses.was_right(guess())


def test_one_client_cannot_try_a_password_with_every_name() -> None:
    guesses = Guesses(GuessLimits(client_burst=10, client_per_s=2.0))
    names = [guess(f"user{number}@home.test") for number in range(100)]
    assert sum(guesses.admits(one, 0.0) for one in names) == 10
    assert sum(guesses.admits(one, 5.0) for one in names[50:]) == 10
    assert sum(guesses.admits(one, 500.0) for one in names[:50]) == 10, "no more than a burst"
    assert guesses.admits(guess(client="another"), 500.0)


def test_names_that_are_not_even_tried_push_out_none_that_is_guessed_at() -> None:
    guesses = Guesses(GuessLimits(free=2, entries_max=8, client_burst=6, client_per_s=0.0))
    assert [guesses.admits(guess(), 0.0) for _ in range(3)] == [True, True, False]
    tried = [guesses.admits(guess(f"made-up-{number}"), 0.0) for number in range(99)]
    assert sum(tried) == 4
    assert not guesses.admits(guess(client="another"), 0.0)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9), st.sampled_from((PHONE, OTHER, b"")), st.booleans(), st.booleans()
        ),
        max_size=80,
    )
)
@settings(max_examples=40)
def test_however_it_is_used_its_room_is_bounded(steps: list[tuple[int, bytes, bool, bool]]) -> None:
    guesses = Guesses(GuessLimits(entries_max=4))
    for number, (user, device, right, client) in enumerate(steps):
        one = Guess(f"user{user}", device, str(client))
        if guesses.admits(one, number / 2) and right:
            guesses.was_right(one)
        assert len(guesses) <= 4 + 4 + 2


@dataclass
class Asking:
    """A method that wants a password, which has to be `right`."""

    proven: bool
    rounds_max: int = 9

    def start(self, identity: bytes, identifier: int) -> Any:
        return self, eap.NeedPassword("alice", "home.test", self.proven)

    def receive(self, response: eap.EapPacket, identifier: int) -> Any:
        raise AssertionError

    def answer(self, answer: eap.Answer, identifier: int) -> Any:
        if isinstance(answer, eap.Refused):
            return self, eap.Fail(answer.reason)
        assert isinstance(answer, eap.Secret)
        ask = eap.Ask(eap.encode_eap(eap.EapCode.REQUEST, identifier, eap.EapType.TTLS))
        return self, ask if answer.octets == b"right" else eap.Fail("password_wrong")


def attempt(driver: Driver, device: bytes, password: bytes) -> bool | None:
    """Whether the password was right; None where it was not even compared."""
    driver.more = ((int(Type.CALLING_STATION_ID), device),)
    identity = eap.encode_eap(eap.EapCode.RESPONSE, 1, eap.EapType.IDENTITY, b"x")
    request = driver.eap_request(identity)
    effects = driver.receive(AUTH, request)
    need = only(effects)
    if isinstance(need, Need):
        effects = driver.server.answer(need.ticket, eap.Secret(password), driver.now_s)
    right = reply(effects, request).code == Code.ACCESS_CHALLENGE
    return right if isinstance(need, Need) else None


@pytest.mark.parametrize("proven", [False, True])
def test_the_server_compares_no_password_that_comes_too_soon(proven: bool) -> None:
    """A resumed session is no guess: whose password changed is told so each time."""
    driver = Driver(guesses=GuessLimits(free=2))
    driver.server._methods = eap.Methods({21: lambda _: Asking(proven)})
    assert attempt(driver, PHONE, b"right") is True
    wrong = [attempt(driver, OTHER, b"wrong") for _ in range(4)]
    assert wrong == ([False] * 4 if proven else [False, False, None, None])
    assert attempt(driver, PHONE, b"right") is True
    assert attempt(driver, OTHER, b"right") is (True if proven else None)
    driver.now_s += 2
    assert attempt(driver, OTHER, b"right") is True
    slowed = driver.server.metrics.rejects["passwords_guessed"]
    assert slowed == (0 if proven else 3)
    assert driver.server.metrics.eap["ttls passwords_guessed"] == slowed
