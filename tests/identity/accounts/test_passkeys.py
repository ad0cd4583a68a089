"""Passkeys: what signs in, and every way an answer can be another's, another site's or old."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.identity.accounts.authenticator import ATTESTED, PRESENT, VERIFIED, Authenticator
from tests.identity.accounts.conftest import ORIGIN

from opencarrier.identity.accounts.model import CHALLENGE_S, AccountReason, KeyKind, SignInKey
from opencarrier.identity.accounts.service import SignedIn
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.refusals import Refusal


def challenge_of(options) -> bytes:
    return urlsafe_b64decode(options["publicKey"]["challenge"] + "==")


@pytest.fixture
def phone() -> Authenticator:
    return Authenticator(str(ORIGIN), ORIGIN.rp_id)


@pytest.fixture
def add(unit, accounts, ada):
    def added(device: Authenticator, **lies):
        options = accounts.passkey_creation(unit, ORIGIN, ada)
        answer = device.create(challenge_of(options), ada.account.encode(), **lies)
        return accounts.add_passkey(unit, ORIGIN, ada.account, name="phone", response=answer)

    return added


@pytest.fixture
def sign_in(unit, accounts):
    def signed(answer):
        return accounts.sign_in_by_passkey(unit, ORIGIN, answer, came_from="")

    return signed


def asked(accounts) -> bytes:
    return challenge_of(accounts.passkey_request(ORIGIN))


def refused(outcome) -> None:
    assert isinstance(outcome, Refusal), outcome
    assert outcome.reason is AccountReason.NOT_SIGNED_IN
    assert outcome.detail == "this key does not sign in here"


def test_a_passkey_signs_in_once_it_was_added(unit, accounts, ada, phone, add, sign_in):
    refused(sign_in(phone.get(asked(accounts))))
    made = add(phone)
    assert isinstance(made, SignInKey)
    assert made.kind is KeyKind.PASSKEY
    assert "phone" not in repr(made)
    done = sign_in(phone.get(asked(accounts)))
    assert isinstance(done, SignedIn)
    assert done.account == ada.account
    found = accounts.sessions.find(unit, done.token)
    assert found is not None
    assert (found.account, found.key) == (ada.account, made.key)


def test_options_name_nobody(accounts):
    """Who asks without being signed in learns neither accounts nor keys."""
    options = accounts.passkey_request(ORIGIN)["publicKey"]
    assert not options.get("allowCredentials")
    assert options["rpId"] == "localhost"
    assert options["userVerification"] == "required"


def test_a_browser_makes_none_that_it_has(unit, accounts, ada, phone, add):
    add(phone)
    options = accounts.passkey_creation(unit, ORIGIN, ada)["publicKey"]
    assert [one["id"] for one in options["excludeCredentials"]] == [phone.get(b"c" * 32)["id"]]
    assert options["user"]["displayName"] == "Ada"


def test_an_answer_counts_once(accounts, phone, add, sign_in):
    add(phone)
    answer = phone.get(asked(accounts))
    assert isinstance(sign_in(answer), SignedIn)
    refused(sign_in(answer))
    # even a later signature over a challenge that was used is nothing
    challenge = asked(accounts)
    assert isinstance(sign_in(phone.get(challenge)), SignedIn)
    refused(sign_in(phone.get(challenge)))


@pytest.mark.parametrize(
    "lies",
    [
        {"origin": "http://localhost:8401"},
        {"origin": "https://localhost:8400"},
        {"origin": "http://evil.localhost:8400"},
        {"rp_id": "evil.example"},
        {"type": "webauthn.create"},
        {"flags": PRESENT},
        {"flags": VERIFIED},
        {"user": b"acct_somebody_else"},
        {"key": ec.derive_private_key(7, ec.SECP256R1())},
    ],
    ids=lambda lies: " ".join(lies),
)
def test_what_is_not_exactly_ours_is_refused(accounts, phone, add, sign_in, lies):
    """Another origin or rpId, another ceremony, nobody present, nobody verified, another's key."""
    add(phone)
    challenge = asked(accounts)
    refused(sign_in(phone.get(challenge, **lies)))
    assert isinstance(sign_in(phone.get(challenge)), SignedIn)


@pytest.mark.parametrize(
    "lies",
    [
        {"origin": "http://evil.example"},
        {"rp_id": "evil.example"},
        {"type": "webauthn.get"},
        {"flags": PRESENT | ATTESTED},
        {"flags": PRESENT | VERIFIED},
    ],
    ids=str,
)
def test_no_passkey_is_added_from_elsewhere(unit, accounts, ada, phone, add, lies):
    outcome = add(phone, **lies)
    assert isinstance(outcome, Refusal)
    assert outcome.reason is AccountReason.INVALID_KEY
    assert accounts.book.keys(unit, ada.account) == []


def test_a_challenge_is_for_one_thing_and_one_account(unit, accounts, ada, phone, add, sign_in):
    """One of sign-in adds no key, one of adding signs nobody in, one of Ada's is not Bob's."""
    bob = accounts.book.add(unit, "Bob")
    answer = phone.create(asked(accounts), ada.account.encode())
    for who in (ada, bob):
        outcome = accounts.add_passkey(unit, ORIGIN, who.account, name="x", response=answer)
        assert isinstance(outcome, Refusal)
    adas = challenge_of(accounts.passkey_creation(unit, ORIGIN, ada))
    answer = phone.create(adas, ada.account.encode())
    outcome = accounts.add_passkey(unit, ORIGIN, bob.account, name="x", response=answer)
    assert isinstance(outcome, Refusal)
    add(phone)
    refused(sign_in(phone.get(challenge_of(accounts.passkey_creation(unit, ORIGIN, ada)))))


def test_a_counter_that_goes_back_is_a_copy(unit, accounts, ada, phone, add, sign_in):
    """The same or a lower count is refused and noted; an authenticator without one is not."""
    add(phone)
    assert isinstance(sign_in(phone.get(asked(accounts), count=9)), SignedIn)
    refused(sign_in(phone.get(asked(accounts), count=9)))
    refused(sign_in(phone.get(asked(accounts), count=0)))
    assert [line.what for line in accounts.audit.page(unit)].count("key_copied") == 2
    assert isinstance(sign_in(phone.get(asked(accounts), count=10)), SignedIn)
    still = Authenticator(str(ORIGIN), ORIGIN.rp_id, seed=2)
    add(still)
    for _ in range(2):
        assert isinstance(sign_in(still.get(asked(accounts), count=0)), SignedIn)


def test_a_challenge_is_over_in_time(accounts, clock, phone, add, sign_in):
    add(phone)
    early, late = asked(accounts), asked(accounts)
    clock.set(clock.now_us() + (CHALLENGE_S - 1) * SECOND_US)
    assert isinstance(sign_in(phone.get(early)), SignedIn)
    clock.set(clock.now_us() + SECOND_US)
    refused(sign_in(phone.get(late)))


def test_one_passkey_is_of_one_account(unit, accounts, ada, phone, add):
    add(phone)
    again = add(phone)
    assert isinstance(again, Refusal)
    assert again.reason is AccountReason.KEY_TAKEN


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"id": "AA", "rawId": "AA", "type": "public-key", "response": {}},
        {"id": 1, "rawId": None, "response": "x"},
        {"id": "AA", "rawId": "AA", "response": {"clientDataJSON": "e30", "authenticatorData": ""}},
    ],
    ids=str,
)
def test_rubbish_is_refused_like_a_stranger(unit, accounts, ada, sign_in, answer):
    refused(sign_in(answer))
    outcome = accounts.add_passkey(unit, ORIGIN, ada.account, name="x", response=answer)
    assert isinstance(outcome, Refusal)


def test_guesses_at_one_passkey_are_bounded_known_or_not(accounts, phone, add, sign_in):
    """A stranger's passkey is refused in the same way after as many guesses."""
    add(phone)
    stranger = Authenticator(str(ORIGIN), ORIGIN.rp_id, seed=3)
    wrong = ec.derive_private_key(7, ec.SECP256R1())
    for device in (phone, stranger):
        told = [sign_in(device.get(asked(accounts), key=wrong)) for _ in range(12)]
        reasons = [outcome.reason for outcome in told]
        assert reasons == [AccountReason.NOT_SIGNED_IN] * 10 + [AccountReason.TOO_MANY] * 2


def test_a_long_id_takes_no_more_memory_than_a_short_one(accounts, phone, sign_in):
    answer = phone.get(asked(accounts), key=ec.derive_private_key(7, ec.SECP256R1()))
    long = urlsafe_b64encode(bytes(9_000)).decode()
    refused(sign_in({**answer, "id": long, "rawId": long}))
    assert {len(name) for name in accounts.credentials._counted} == {64}
