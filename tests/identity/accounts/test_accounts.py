"""Accounts, keys, grants, links, attempts, approvals, the log: what holds, at every limit."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from opencarrier.identity.accounts import approvals, attempts, challenges, people, rules, store
from opencarrier.identity.accounts.attempts import Attempts
from opencarrier.identity.accounts.challenges import Challenges
from opencarrier.identity.accounts.model import (
    CHALLENGE_S,
    GRANTS_MAX,
    INVITATION_S,
    KEYS_MAX,
    LINKS_MAX,
    NAME_MAX,
    NOBODY,
    OWNER_LINK_S,
    Account,
    AccountReason,
    Grant,
    KeyKind,
    Role,
    SignInKey,
)
from opencarrier.identity.accounts.service import SignedIn
from opencarrier.kernel.clock import SECOND_US
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.parties import PartyId
from opencarrier.spine.people import Person

OP, OTHER, HOST, SUB = (
    PartyId(f"{kind}_{'0' * 31}{n}") for kind, n in (("op", 1), ("op", 2), ("host", 3), ("sub", 4))
)
OWNER = Grant(Role.OWNER)


def reason(outcome: object) -> AccountReason:
    assert isinstance(outcome, Refusal), outcome
    return AccountReason(outcome.reason)


def key(unit, accounts, who: Account, name: str = "key", credential: bytes = b"") -> SignInKey:
    made = accounts.book.add_key(
        unit,
        who.account,
        kind=KeyKind.WALLET,
        name=name,
        credential=credential or f"{who.account}{name}".encode(),
    )
    assert isinstance(made, SignInKey), made
    return made


# names and grants


@pytest.mark.parametrize("name", ["", " Ada", "Ada ", "A\nda", "A\u202eda", "x" * (NAME_MAX + 1)])
def test_a_name_is_one_line_that_shows_as_it_is(unit, accounts, name):
    assert reason(accounts.book.add(unit, name)) is AccountReason.INVALID_NAME
    assert isinstance(accounts.book.add(unit, "x" * NAME_MAX), Account)


def test_a_name_tells_nobody_who_else_there_is(unit, accounts, ada):
    """Two may have one; a list goes on between them."""
    other = accounts.book.add(unit, "Ada")
    assert isinstance(other, Account)
    assert accounts.book.rename(unit, other.account, "Ada") is None
    pages, after = [], None
    while found := accounts.book.page(unit, after=after, limit=1):
        pages += [one.account for one in found]
        after = (found[-1].name, found[-1].account)
    assert sorted(pages) == sorted({ada.account, other.account})


@pytest.mark.parametrize(
    ("grant", "fits"),
    [
        (OWNER, True),
        (Grant(Role.OWNER, OP), False),
        (Grant(Role.AUDITOR), True),
        (Grant(Role.AUDITOR, HOST), True),
        (Grant(Role.AUDITOR, SUB), False),
        (Grant(Role.OPERATOR, OP), True),
        (Grant(Role.OPERATOR, HOST), False),
        (Grant(Role.OPERATOR), False),
        (Grant(Role.HOST, HOST), True),
        (Grant(Role.SUBSCRIBER, SUB), True),
        (Grant(Role.SUBSCRIBER, OP), False),
    ],
)
def test_a_role_is_at_a_party_of_its_kind(unit, accounts, ada, grant, fits):
    outcome = accounts.book.give(unit, ada.account, grant)
    assert (outcome is None) == fits
    assert (grant in store.grants_of(unit, ada.account)) == fits


@pytest.mark.parametrize(
    ("held", "grant", "may"),
    [
        ({OWNER}, OWNER, True),
        ({OWNER}, Grant(Role.SUBSCRIBER, SUB), True),
        ({Grant(Role.OPERATOR, OP)}, Grant(Role.OPERATOR, OP), True),
        ({Grant(Role.OPERATOR, OP)}, Grant(Role.AUDITOR, OP), True),
        ({Grant(Role.OPERATOR, OP)}, Grant(Role.OPERATOR, OTHER), False),
        ({Grant(Role.OPERATOR, OP)}, Grant(Role.HOST, HOST), False),
        ({Grant(Role.OPERATOR, OP)}, OWNER, False),
        ({Grant(Role.OPERATOR, OP)}, Grant(Role.AUDITOR), False),
        ({Grant(Role.AUDITOR)}, Grant(Role.AUDITOR), False),
        ({Grant(Role.AUDITOR, OP)}, Grant(Role.AUDITOR, OP), False),
        ({Grant(Role.SUBSCRIBER, SUB)}, Grant(Role.SUBSCRIBER, SUB), False),
        (set(), OWNER, False),
    ],
)
def test_who_may_give_what(held, grant, may):
    assert rules.may_give(held, grant) is may


def test_grants_have_their_most_and_are_given_once(unit, accounts, ada):
    for number in range(GRANTS_MAX):
        grant = Grant(Role.HOST, PartyId(f"host_{number:032x}"))
        assert accounts.book.give(unit, ada.account, grant) is None
        assert accounts.book.give(unit, ada.account, grant) is None
    more = Grant(Role.HOST, PartyId(f"host_{'f' * 32}"))
    assert reason(accounts.book.give(unit, ada.account, more)) is AccountReason.TOO_MANY


def test_somebody_always_owns_the_installation(unit, accounts, ada):
    """The last owner is neither removed nor loses the role; of two one may go."""
    book = accounts.book
    book.give(unit, ada.account, OWNER)
    assert reason(book.take(unit, ada.account, OWNER)) is AccountReason.LAST_OWNER
    assert reason(book.remove(unit, ada.account)) is AccountReason.LAST_OWNER
    bob = book.add(unit, "Bob")
    book.give(unit, bob.account, OWNER)
    assert book.take(unit, ada.account, OWNER) is None
    assert book.owners(unit) == [bob.account]
    assert reason(book.remove(unit, bob.account)) is AccountReason.LAST_OWNER


# keys


def test_the_last_key_stays_and_removing_one_ends_every_session(unit, accounts, ada):
    one, two = key(unit, accounts, ada, "one"), key(unit, accounts, ada, "two")
    tokens = [
        accounts.sessions.begin(unit, ada.account, key=used.key, came_from="")[0]
        for used in (one, two)
    ]
    assert accounts.book.remove_key(unit, ada.account, one.key) is None
    assert [accounts.sessions.find(unit, token) for token in tokens] == [None, None]
    refusal = accounts.book.remove_key(unit, ada.account, two.key)
    assert reason(refusal) is AccountReason.LAST_KEY


def test_others_keys_and_sessions_are_as_if_absent(unit, accounts, ada):
    bob = accounts.book.add(unit, "Bob")
    key(unit, accounts, bob)
    mine = key(unit, accounts, ada)
    _, session = accounts.sessions.begin(unit, ada.account, key=mine.key, came_from="")
    book, sessions = accounts.book, accounts.sessions
    for name in (mine.key, "key_of_nobody"):
        assert book.remove_key(unit, bob.account, name) == Refusal(AccountReason.UNKNOWN_KEY)
        assert book.rename_key(unit, bob.account, name, "x") == Refusal(AccountReason.UNKNOWN_KEY)
    for name in (session.session, "sess_of_nobody"):
        assert reason(sessions.end(unit, bob.account, name)) is AccountReason.UNKNOWN_SESSION
    assert book.rename_key(unit, ada.account, mine.key, "Phone") is None
    assert [one.name for one in book.keys(unit, ada.account)] == ["Phone"]


def test_keys_have_their_most(unit, accounts, ada):
    for number in range(KEYS_MAX):
        key(unit, accounts, ada, f"k{number}")
    more = accounts.book.add_key(
        unit, ada.account, kind=KeyKind.WALLET, name="more", credential=b"more"
    )
    assert reason(more) is AccountReason.TOO_MANY


# links


def test_the_first_owner_is_made_once_and_let_in_by_a_link_once(unit, accounts):
    first, second = (accounts.owner_link(unit) for _ in range(2))
    assert isinstance(first, str)
    assert isinstance(second, str)
    assert len(accounts.book.owners(unit)) == 1
    done = accounts.sign_in_by_link(unit, first, came_from="")
    assert isinstance(done, SignedIn)
    assert reason(accounts.sign_in_by_link(unit, first, came_from="")) is AccountReason.UNKNOWN_LINK
    assert isinstance(accounts.sign_in_by_link(unit, second, came_from=""), SignedIn)


def test_looking_at_a_link_uses_nothing_up(unit, accounts, ada):
    token = accounts.links.open(unit, ada.account, ttl_s=60)
    assert [accounts.links.look(unit, token) for _ in range(3)] == [ada.account] * 3
    assert accounts.links.use(unit, token) == ada.account


def test_who_made_a_link_stays_out_of_what_comes_after(unit, accounts, ada):
    """A key ends open links; a role ends what a link began, and leaves what a key began."""
    links, sessions = accounts.links, accounts.sessions
    spare = links.open(unit, ada.account, ttl_s=60)
    begun = accounts.sign_in_by_link(unit, links.open(unit, ada.account, ttl_s=60), came_from="")
    made = key(unit, accounts, ada)
    assert reason(links.use(unit, spare)) is AccountReason.UNKNOWN_LINK
    by_key, _ = sessions.begin(unit, ada.account, key=made.key, came_from="")
    assert sessions.find(unit, begun.token) is not None
    assert accounts.book.give(unit, ada.account, Grant(Role.HOST, HOST)) is None
    assert sessions.find(unit, begun.token) is None
    assert sessions.find(unit, by_key) is not None


def test_nothing_of_a_token_is_kept(unit, accounts, ada):
    link = accounts.links.open(unit, ada.account, ttl_s=60)
    session, _ = accounts.sessions.begin(unit, ada.account, key="k", came_from="")
    for table in (store.links, store.sessions):
        for row in unit.execute(select(table)):
            assert link.encode() not in repr(row).encode()
            assert session.encode() not in repr(row).encode()


def test_links_and_their_ends(unit, accounts, clock, ada):
    """Unknown, malformed and over are one answer; a link of a session is none."""
    token = accounts.links.open(unit, ada.account, ttl_s=OWNER_LINK_S)
    clock.set(clock.now_us() + OWNER_LINK_S * SECOND_US - 1)
    assert accounts.links.look(unit, token) == ada.account
    clock.set(clock.now_us() + 1)
    session, _ = accounts.sessions.begin(unit, ada.account, key="k", came_from="")
    told = {
        str(accounts.links.use(unit, one))
        for one in (token, "A" * 43, "", "x", session, "é" * 43, token + "\n")
    }
    assert told == {"unknown_link: this link leads nowhere (any more)"}
    for ttl_s in (0, INVITATION_S + 1):
        opened = accounts.links.open(unit, ada.account, ttl_s=ttl_s)
        assert reason(opened) is AccountReason.INVALID_TERMS


def test_links_have_their_most_and_make_room_when_over(unit, accounts, clock, ada):
    for _ in range(LINKS_MAX):
        assert isinstance(accounts.links.open(unit, ada.account, ttl_s=60), str)
    more = accounts.links.open(unit, ada.account, ttl_s=60)
    assert reason(more) is AccountReason.TOO_MANY
    clock.set(clock.now_us() + 60 * SECOND_US)
    assert isinstance(accounts.links.open(unit, ada.account, ttl_s=60), str)


# attempts and challenges


def test_attempts_end_and_begin_again(clock):
    tried = Attempts(clock, allowed=3, window_s=60)
    assert [tried.retry_after_s("a") for _ in range(4)] == [0, 0, 0, 60]
    assert tried.retry_after_s("b") == 0
    clock.set(clock.now_us() + 59 * SECOND_US)
    assert tried.retry_after_s("a") == 1
    clock.set(clock.now_us() + SECOND_US)
    assert tried.retry_after_s("a") == 0


def test_a_flood_of_addresses_neither_fills_memory_nor_clears_a_count(clock, monkeypatch):
    monkeypatch.setattr(attempts, "ORIGINS_MAX", 5)
    tried = Attempts(clock, allowed=2)
    while tried.retry_after_s("attacker") == 0:
        pass
    told = [tried.retry_after_s(f"address {number}") for number in range(50)]
    assert tried.retry_after_s("attacker") > 0
    assert len(tried) == 6
    assert told.count(0) == 4 + 2, "four had room, the others share one count"


def test_challenges_take_memory_only_when_they_are_used(clock, monkeypatch):
    monkeypatch.setattr(challenges, "USED_MAX", 3)
    made = Challenges(clock, SeededEntropy(1))
    several = [made.make("x") for _ in range(20)]
    assert len(made) == 0
    assert [made.take("x", one) for one in several[:4]] == [True, True, True, False]
    assert not made.take("x", several[0])
    assert not made.take("y", several[5])
    clock.set(clock.now_us() + CHALLENGE_S * SECOND_US)
    assert not made.take("x", several[6])
    assert made.take("x", made.make("x"))
    assert len(made) == 1
    other = Challenges(clock, SeededEntropy(2))
    assert not other.holds("x", made.make("x"))
    for broken in (b"", bytes(32), made.make("x")[:-1], made.make("x") + b"\x00"):
        assert not made.holds("x", broken)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2ff:3::4", "2001:db8:1:200::/56"),
        ("fe80::1%eth0", "fe80::/56"),
        ("127.0.0.1", "this machine"),
        ("::1", "this machine"),
        ("testclient", ""),
    ],
)
def test_where_from_is_a_network_not_a_device(address, told):
    assert rules.coarse(address) == told


# approvals


def ask(unit, accounts, **words):
    terms = {"kind": "settlement", "subject": b"s" * 32, "detail": "", "needed": 2, "ttl_s": 60}
    return accounts.approvals.ask(unit, **{**terms, **words})


def test_two_distinct_people_say_yes(unit, accounts, ada):
    """Who asked is one of them; the same person twice is one."""
    bob = accounts.book.add(unit, "Bob")
    asked = ask(unit, accounts, by=ada.account)
    assert asked.by == (ada.account,)
    assert ask(unit, accounts, by=ada.account) == asked
    again = accounts.approvals.say_yes(unit, asked.approval, ada.account)
    assert not again.granted
    assert accounts.approvals.waiting(unit) == [asked]
    done = accounts.approvals.say_yes(unit, asked.approval, bob.account)
    assert done.granted
    assert accounts.approvals.waiting(unit) == []
    found = accounts.approvals.about(unit, "settlement", b"s" * 32)
    assert found is not None
    assert found.granted


def test_nobody_and_the_installation_are_no_person(unit, accounts):
    assert ask(unit, accounts, by=NOBODY).by == ()


def test_another_content_or_kind_is_another_question(unit, accounts, ada):
    ask(unit, accounts, by=ada.account)
    assert ask(unit, accounts, subject=b"t" * 32).by == ()
    assert ask(unit, accounts, kind="withdrawal").by == ()


def test_a_question_is_over_in_time_and_asked_anew(unit, accounts, clock, ada):
    bob = accounts.book.add(unit, "Bob")
    asked = ask(unit, accounts, by=ada.account)
    clock.set(clock.now_us() + 60 * SECOND_US - 1)
    assert accounts.approvals.about(unit, "settlement", b"s" * 32) == asked
    clock.set(clock.now_us() + 1)
    late = accounts.approvals.say_yes(unit, asked.approval, bob.account)
    assert reason(late) is AccountReason.EXPIRED
    assert accounts.approvals.about(unit, "settlement", b"s" * 32) is None
    anew = ask(unit, accounts)
    assert anew.approval != asked.approval
    assert anew.by == ()
    unknown = accounts.approvals.say_yes(unit, bytes(32), bob.account)
    assert reason(unknown) is AccountReason.UNKNOWN_APPROVAL


def test_what_was_asked_of_one_waits_for_two_where_two_are_needed_by_now(unit, accounts, ada):
    """And what was asked of two waits for both where one would do by now."""
    assert ask(unit, accounts, needed=1, by=ada.account).granted
    raised = ask(unit, accounts, needed=2)
    assert (raised.needed, raised.granted) == (2, False)
    assert accounts.approvals.waiting(unit) == [raised]
    assert ask(unit, accounts, needed=1, by=ada.account) == raised
    bob = accounts.book.add(unit, "Bob")
    assert ask(unit, accounts, needed=2, by=bob.account).granted


def test_each_waiting_question_has_its_own_yes_in_their_order(unit, accounts, clock, ada):
    bob = accounts.book.add(unit, "Bob")
    asked = [ask(unit, accounts, subject=bytes([n]) * 32, needed=3) for n in range(3)]
    for one, voters in zip(asked, ((bob, ada), (), (ada,)), strict=True):
        for who in voters:
            accounts.approvals.say_yes(unit, one.approval, who.account)
            clock.set(clock.now_us() + 1)
    said = [one.by for one in accounts.approvals.waiting(unit)]
    assert said == [(bob.account, ada.account), (), (ada.account,)]


def test_several_accounts_are_read_as_each_is(unit, accounts, ada):
    bob = accounts.book.add(unit, "Bob")
    for grant in (Grant(Role.HOST, HOST), OWNER):
        assert accounts.book.give(unit, bob.account, grant) is None
    found = accounts.book.several(unit, [ada.account, bob.account, "acct_nobody"])
    assert found == {who.account: accounts.book.find(unit, who.account) for who in (ada, bob)}
    assert found[bob.account].grants == {Grant(Role.HOST, HOST), OWNER}
    assert found[ada.account].grants == frozenset()


def test_who_is_gone_no_longer_says_yes_to_what_waits(unit, accounts, ada):
    asked = ask(unit, accounts, by=ada.account)
    accounts.approvals.forget(unit, ada.account)
    bob = accounts.book.add(unit, "Bob")
    assert not accounts.approvals.say_yes(unit, asked.approval, bob.account).granted


def test_what_was_granted_hides_nothing_that_waits(unit, accounts, ada, monkeypatch):
    """However many stand granted until they are over, what waits is shown and can be taken back."""
    monkeypatch.setattr(approvals, "PAGE", 2)
    bob = accounts.book.add(unit, "Bob")
    for number in range(3):
        ask(unit, accounts, subject=bytes([number]) * 32, needed=1, by=bob.account)
    asked = ask(unit, accounts, by=ada.account)
    assert accounts.approvals.waiting(unit) == [asked]
    others = [ask(unit, accounts, subject=bytes([9, n]) * 16, by=ada.account) for n in range(3)]
    assert len(accounts.approvals.waiting(unit)) == 2
    accounts.approvals.forget(unit, ada.account)
    for one in (asked, *others):
        assert accounts.approvals.say_yes(unit, one.approval, bob.account).by == (bob.account,)


# the log


def test_the_log_is_a_chain_and_where_from_can_be_forgotten(unit, accounts, ada):
    log = accounts.audit
    for number in range(5):
        log.write(unit, "signed_in", who=ada.account, about=str(number), came_from="192.0.2.0/24")
    assert [entry.sequence for entry in log.page(unit)] == [5, 4, 3, 2, 1]
    assert [entry.sequence for entry in log.page(unit, before=3, limit=1)] == [2]
    assert log.length(unit) == 5
    store.forget(unit, ada.account)
    assert {entry.came_from for entry in log.page(unit)} == {""}
    assert log.broken_at(unit) is None
    unit.execute(update(store.audit).where(store.audit.c.sequence == 3).values(outcome="refused"))
    assert log.broken_at(unit) == 3
    unit.execute(store.audit.delete().where(store.audit.c.sequence == 2))
    assert log.broken_at(unit) == 2


# what is told and erased of a subscriber


def test_a_subscribers_account_is_told_and_goes_with_it(unit, accounts, ada):
    bob = accounts.book.add(unit, "Bob")
    accounts.book.give(unit, bob.account, Grant(Role.HOST, HOST))
    for who in (ada, bob):
        accounts.book.give(unit, who.account, Grant(Role.SUBSCRIBER, SUB))
        key(unit, accounts, who)
        accounts.sessions.begin(unit, who.account, key="k", came_from="192.0.2.0/24")
        accounts.audit.write(unit, "signed_in", who=who.account, came_from="192.0.2.0/24")
    person = Person(party_id=SUB)
    told = accounts.people.held(unit, person)
    assert {row["name"] for row in told["accounts_account"]} == {"Ada", "Bob"}
    assert len(told["accounts_key"]) == len(told["accounts_session"]) == 2
    assert not any("token" in name for row in told["accounts_session"] for name in row)
    accounts.people.erase(unit, person)
    assert [one.name for one in accounts.book.page(unit)] == ["Bob"]
    assert store.grants_of(unit, bob.account) == {Grant(Role.HOST, HOST)}
    assert all(not rows for rows in accounts.people.held(unit, person).values())
    assert {entry.came_from for entry in accounts.audit.page(unit) if entry.who == ada.account} == {
        ""
    }


def test_a_copy_has_no_subscribers_account_and_nobody_signed_in(unit, accounts, ada):
    bob = accounts.book.add(unit, "Bob")
    accounts.book.give(unit, bob.account, OWNER)
    for who in (ada, bob):
        accounts.book.give(unit, who.account, Grant(Role.SUBSCRIBER, SUB))
        key(unit, accounts, who)
        accounts.sessions.begin(unit, who.account, key="k", came_from="")
        accounts.links.open(unit, who.account, ttl_s=60)
    people.take_out(unit)
    assert [one.name for one in accounts.book.page(unit)] == ["Bob"]
    assert store.grants_of(unit, bob.account) == {OWNER}
    assert len(accounts.book.keys(unit, bob.account)) == 1
    assert [accounts.sessions.of(unit, who.account) for who in (ada, bob)] == [[], []]
    assert unit.execute(select(store.links)).all() == []
