"""Certificates and passwords: what is taken, what holds when, and what nobody can tell."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Connection, select

from opencarrier.identity import apart, cli, store
from opencarrier.identity.logins import Logins
from opencarrier.identity.model import IdentityReason, Login
from opencarrier.identity.people import IdentityPeople
from opencarrier.identity.pki import issue
from opencarrier.identity.pki.model import Algorithm, Branch, Holder, Role, Wanted
from opencarrier.identity.service import Identity
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.passwords import nt_hash
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.access import Credential, CredentialKind
from opencarrier.spine.parties import Operator, Subscriber
from opencarrier.spine.people import Person

from .conftest import START_US, World

REALM = "lumen.example"
PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def branch() -> Branch:
    return issue.branch(0, entropy=SeededEntropy(4), now_us=START_US, algorithm=Algorithm.EC)


def device(branch: Branch, name: str = "ada", valid_s: int = 3_600) -> Holder:
    wanted = Wanted(role=Role.SUBSCRIBER, common_name=name, nai=f"{name}@{REALM}", valid_s=valid_s)
    made = issue.issue(
        branch.issuing, wanted, algorithm=Algorithm.EC, entropy=SeededEntropy(9), now_us=START_US
    )
    assert isinstance(made, Holder)
    return made


@pytest.fixture
def ada(unit: Connection, identity: Identity, lumen: Operator) -> Subscriber:
    made = identity.subscriptions.add(unit, name="Ada", home=lumen.party_id, plan_id="prepaid")
    assert isinstance(made, Subscriber)
    return made


@pytest.fixture
def bob(unit: Connection, identity: Identity, lumen: Operator) -> Subscriber:
    made = identity.subscriptions.add(unit, name="Bob", home=lumen.party_id, plan_id="prepaid")
    assert isinstance(made, Subscriber)
    return made


def code(made: object) -> str:
    return made.code if isinstance(made, Refusal) else "done"


def _hash(logins: Logins, unit: Connection, user_name: str, realm: str) -> bytes:
    (found,) = logins.passwords(unit, [(user_name, realm)])
    return found


def later(world: World, seconds: int) -> None:
    world.clock.set(START_US + seconds * SECOND_US)


def test_a_certificate_lets_its_subscriber_on_until_it_expires_or_is_revoked(
    world: World, unit: Connection, identity: Identity, ada: Subscriber, branch: Branch
) -> None:
    holder = device(branch)
    made = identity.logins.add_certificate(
        unit, subscriber=ada.party_id, pem=holder.certificate_pem
    )
    assert isinstance(made, Login)
    assert made.expires_us == START_US + 3_600 * SECOND_US
    find = identity.directory.subscriber_by
    assert find(unit, made.credential) == ada
    later(world, 3_599)
    assert find(unit, made.credential) == ada
    later(world, 3_600)
    assert find(unit, made.credential) is None
    other = device(branch, "second", 7_200)
    again = identity.logins.add_certificate(
        unit, subscriber=ada.party_id, pem=other.certificate_pem
    )
    assert isinstance(again, Login)
    assert find(unit, again.credential) == ada
    revoked = identity.logins.revoke(unit, again.credential)
    assert isinstance(revoked, Login)
    assert find(unit, again.credential) is None
    later(world, 3_700)
    assert identity.logins.revoke(unit, again.credential) == revoked
    strange = Credential(CredentialKind.CERTIFICATE, "00" * 32)
    assert find(unit, strange) is None
    assert code(identity.logins.revoke(unit, strange)) == "unknown_credential"


def test_what_is_no_device_s_certificate_is_refused(
    world: World,
    unit: Connection,
    identity: Identity,
    ada: Subscriber,
    bob: Subscriber,
    branch: Branch,
) -> None:
    holder = device(branch)
    add = identity.logins.add_certificate
    pems = (b"", b"no PEM", branch.issuing.certificate_pem, holder.certificate_pem * 2)
    for pem in pems:
        assert code(add(unit, subscriber=ada.party_id, pem=pem)) == "invalid_certificate"
    stranger: Any = "sub_" + "0" * 32
    pem = holder.certificate_pem
    assert code(add(unit, subscriber=stranger, pem=pem)) == "unknown_subscriber"
    first = add(unit, subscriber=ada.party_id, pem=pem)
    assert add(unit, subscriber=ada.party_id, pem=pem) == first
    assert code(add(unit, subscriber=bob.party_id, pem=pem)) == "exists_with_different_subscriber"
    later(world, 3_600)
    assert code(add(unit, subscriber=ada.party_id, pem=pem)) == "invalid_certificate"


def test_a_password_is_compared_by_its_hash_and_a_stranger_s_looks_alike(
    world: World, unit: Connection, identity: Identity, ada: Subscriber
) -> None:
    logins = identity.logins
    made = logins.add_password(
        unit,
        subscriber=ada.party_id,
        user_name="ada",
        password=PASSWORD,
        expires_us=START_US + 60 * SECOND_US,
    )
    assert isinstance(made, Login)
    right = nt_hash(PASSWORD)
    assert _hash(logins, unit, "ada", REALM) == right
    assert identity.directory.subscriber_by(unit, made.credential) == ada
    sealed = unit.execute(select(store.passwords.c.hash_sealed)).scalar_one()
    assert right not in sealed
    for name, realm in (("nobody", REALM), ("ada", "else.example"), ("ada", "")):
        decoy = _hash(logins, unit, name, realm)
        assert len(decoy) == 16
        assert decoy != right
        assert _hash(logins, unit, name, realm) == decoy
    later(world, 60)
    assert _hash(logins, unit, "ada", REALM) != right
    assert identity.directory.subscriber_by(unit, made.credential) is None
    changed = logins.change_password(
        unit, ada.party_id, user_name="ada", password="another password"
    )
    assert isinstance(changed, Login)
    assert _hash(logins, unit, "ada", REALM) == nt_hash("another password")
    logins.revoke(unit, made.credential)
    assert _hash(logins, unit, "ada", REALM) != nt_hash("another password")


def test_another_home_s_realm_finds_no_password(
    unit: Connection, identity: Identity, ada: Subscriber, baobab: Operator
) -> None:
    identity.logins.add_password(unit, subscriber=ada.party_id, user_name="ada", password=PASSWORD)
    assert _hash(identity.logins, unit, "ada", baobab.realms[0]) != nt_hash(PASSWORD)


def test_passwords_that_are_refused(
    unit: Connection, identity: Identity, ada: Subscriber, bob: Subscriber
) -> None:
    def add(**change: Any) -> str:
        given = {"subscriber": ada.party_id, "user_name": "ada", "password": PASSWORD}
        return code(identity.logins.add_password(unit, **{**given, **change}))

    for name in ("", "Ada", "a@b", "a b", "a\\b", "x" * 65, "a\n"):
        assert add(user_name=name) == "invalid_user_name"
    for password in ("", "1234567", "x" * 257, "tab\tin it"):
        assert add(password=password) == "invalid_password"
    assert add(subscriber="sub_" + "0" * 32) == "unknown_subscriber"
    assert add(password="12345678") == "done"
    assert add(password="12345678") == "done"
    assert add() == "exists_with_different_secret"
    assert add(password="12345678", subscriber=bob.party_id) == "exists_with_different_subscriber"
    change = identity.logins.change_password
    for whom, name, reason in (
        (bob.party_id, "ada", IdentityReason.EXISTS_WITH_DIFFERENT_SUBSCRIBER),
        (ada.party_id, "none", IdentityReason.UNKNOWN_CREDENTIAL),
    ):
        refused = change(unit, whom, user_name=name, password=PASSWORD)
        assert isinstance(refused, Refusal)
        assert refused.reason is reason
    assert code(change(unit, ada.party_id, user_name="ada", password="short")) == "invalid_password"


def test_logins_are_told_rotated_kept_apart_and_erased(
    unit: Connection, identity: Identity, ada: Subscriber, branch: Branch
) -> None:
    logins = identity.logins
    logins.add_certificate(unit, subscriber=ada.party_id, pem=device(branch).certificate_pem)
    logins.add_password(unit, subscriber=ada.party_id, user_name="ada", password=PASSWORD)
    listed = cli.credential_list(identity, unit, ada.party_id)["credentials"]
    assert [one["kind"] for one in listed] == ["certificate", "password"]
    assert PASSWORD not in json.dumps(listed)
    identity.vault.rotate(unit)
    assert _hash(logins, unit, "ada", REALM) == nt_hash(PASSWORD)
    kept = list(apart.lines(unit))
    apart.take_out(unit)
    assert not logins.of(unit, ada.party_id)
    apart.put_back(unit, kept)
    assert _hash(logins, unit, "ada", REALM) == nt_hash(PASSWORD)
    people = IdentityPeople(identity.directory)
    held = people.held(unit, Person(party_id=ada.party_id, subjects=frozenset()))
    assert held["identity_password"][0]["user_name"] == "ada"
    assert "hash_sealed" not in held["identity_password"][0]
    people.erase(unit, Person(party_id=ada.party_id, subjects=frozenset()))
    assert not logins.of(unit, ada.party_id)
    assert _hash(logins, unit, "ada", REALM) != nt_hash(PASSWORD)


def test_a_name_for_a_credential() -> None:
    digits = "AB" * 32
    colons = ":".join(digits[n : n + 2] for n in range(0, 64, 2))
    for text in (digits, colons):
        assert cli.credential_named(text) == Credential(CredentialKind.CERTIFICATE, "ab" * 32)
    assert cli.credential_named("Ada") == Credential(CredentialKind.PASSWORD, "ada")
