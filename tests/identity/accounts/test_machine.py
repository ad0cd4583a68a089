"""Sessions, links and approvals against a model: whatever is done in whatever order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule
from tests.identity.accounts.conftest import START_US
from tests.memory import Memory

from opencarrier.identity.accounts.model import (
    LINKS_MAX,
    SESSION_IDLE_S,
    SESSION_S,
    SESSIONS_MAX,
    Account,
    AccountReason,
)
from opencarrier.identity.accounts.service import Accounts, SignedIn
from opencarrier.identity.accounts.store import metadata
from opencarrier.kernel.clock import SECOND_US, FixedClock
from opencarrier.kernel.entropy import SeededEntropy
from opencarrier.kernel.refusals import Refusal

LINK_S, APPROVAL_S = 600, 900
PEOPLE = st.integers(0, 1)


class Doors(RuleBasedStateMachine):
    """Two people; the model knows instants and sets only."""

    tokens, links = Bundle("tokens"), Bundle("links")

    def __init__(self) -> None:
        super().__init__()
        self.engine = Memory(metadata)
        self.unit = self.engine.connection
        self.clock = FixedClock(START_US)
        self.accounts = Accounts(self.clock, SeededEntropy(7))
        made = [self.accounts.book.add(self.unit, name) for name in ("Ada", "Bob")]
        self.who = [one.account for one in made if isinstance(one, Account)]
        self.live: dict[str, tuple[int, int, int, int]] = {}
        self.order = 0
        self.open: dict[str, tuple[int, int]] = {}
        self.yes: set[int] = set()
        self.asked_us: int | None = None

    def teardown(self) -> None:
        self.engine.dispose()

    @property
    def now(self) -> int:
        return self.clock.now_us()

    @rule(seconds=st.sampled_from([1, 60, 599, 600, 3_600, SESSION_IDLE_S - 1, 86_400]))
    def wait(self, seconds: int) -> None:
        self.clock.set(self.now + seconds * SECOND_US)

    def _lives(self, token: str) -> bool:
        if token not in self.live:
            return False
        _, made, seen, _ = self.live[token]
        idle = self.now - seen >= SESSION_IDLE_S * SECOND_US
        return not idle and self.now - made < SESSION_S * SECOND_US

    @rule(target=links, person=PEOPLE)
    def invite(self, person: int):
        self.open = {t: (p, end) for t, (p, end) in self.open.items() if end > self.now}
        full = sum(p == person for p, _ in self.open.values()) >= LINKS_MAX
        token = self.accounts.links.open(self.unit, self.who[person], ttl_s=LINK_S)
        assert isinstance(token, Refusal) == full
        if isinstance(token, Refusal):
            return multiple()
        self.open[token] = (person, self.now + LINK_S * SECOND_US)
        return token

    @rule(link=links)
    def preview(self, link: str) -> None:
        found = self.accounts.links.look(self.unit, link)
        person, end = self.open.get(link, (0, 0))
        assert found == self.who[person] if end > self.now else isinstance(found, Refusal)

    @rule(target=tokens, link=links)
    def follow(self, link: str):
        done = self.accounts.sign_in_by_link(self.unit, link, came_from="")
        person, end = self.open.pop(link, (0, 0))
        assert isinstance(done, SignedIn) == (end > self.now)
        if not isinstance(done, SignedIn):
            return multiple()
        mine = [t for t in self.live if self.live[t][0] == person and self._lives(t)]
        mine.sort(key=lambda token: (self.live[token][2], self.live[token][3]))
        if len(mine) < SESSIONS_MAX:
            mine.clear()
        for token in mine[:1]:
            # of those unused equally long, any may be the one that ends
            gone = [t for t in self.live if not self._found(t) and self._lives(t)]
            assert len(gone) == 1
            assert self.live[gone[0]][2] == self.live[token][2]
            del self.live[gone[0]]
        self.order += 1
        self.live[done.token] = (person, self.now, self.now, self.order)
        return done.token

    def _found(self, token: str) -> bool:
        return self.accounts.sessions.find(self.unit, token) is not None

    @rule(token=tokens)
    def use(self, token: str) -> None:
        found = self.accounts.sessions.find(self.unit, token)
        assert (found is not None) == self._lives(token)
        if found is not None and self.accounts.sessions.is_stale(found):
            self.accounts.sessions.seen(self.unit, found)
            person, made, _, order = self.live[token]
            self.live[token] = (person, made, self.now, order)

    @rule(token=tokens, person=PEOPLE)
    def sign_out(self, token: str, person: int) -> None:
        found = self.accounts.sessions.find(self.unit, token)
        if found is None:
            return
        refusal = self.accounts.sessions.end(self.unit, self.who[person], found.session)
        assert (refusal is None) == (self.live[token][0] == person)
        if refusal is None:
            del self.live[token]

    @rule(person=PEOPLE)
    def approve(self, person: int) -> None:
        approvals = self.accounts.approvals
        if self.asked_us is None or self.now >= self.asked_us + APPROVAL_S * SECOND_US:
            self.yes, self.asked_us = set(), self.now
        asked = approvals.ask(
            self.unit, kind="k", subject=bytes(32), detail="", needed=2, ttl_s=APPROVAL_S
        )
        assert len(asked.by) == len(self.yes)
        said = approvals.say_yes(self.unit, asked.approval, self.who[person])
        self.yes.add(person)
        assert not isinstance(said, Refusal)
        assert said.granted == (len(self.yes) == 2)

    @invariant()
    def nothing_waits_that_is_granted_or_over(self) -> None:
        over = self.asked_us is None or self.now >= self.asked_us + APPROVAL_S * SECOND_US
        waiting = self.accounts.approvals.waiting(self.unit)
        assert len(waiting) == int(not over and len(self.yes) < 2)

    @invariant()
    def the_log_holds(self) -> None:
        assert self.accounts.audit.broken_at(self.unit) is None


TestDoors = Doors.TestCase
TestDoors.settings = settings(max_examples=8, stateful_step_count=30)


def test_the_longest_unused_session_makes_room(unit, accounts, clock, ada):
    tokens = []
    for _ in range(SESSIONS_MAX):
        tokens.append(accounts.sessions.begin(unit, ada.account, key="k", came_from="")[0])
        clock.set(clock.now_us() + 60 * SECOND_US)
    used = accounts.sessions.find(unit, tokens[0])
    accounts.sessions.seen(unit, used)
    more, _ = accounts.sessions.begin(unit, ada.account, key="k", came_from="")
    lost = [token for token in tokens if accounts.sessions.find(unit, token) is None]
    assert lost == [tokens[1]]
    assert accounts.sessions.find(unit, more) is not None
    assert len(accounts.sessions.of(unit, ada.account)) == SESSIONS_MAX


def test_a_session_ends_idle_or_old(unit, accounts, clock, ada):
    token, _ = accounts.sessions.begin(unit, ada.account, key="k", came_from="")
    clock.set(START_US + SESSION_IDLE_S * SECOND_US - 1)
    found = accounts.sessions.find(unit, token)
    assert found is not None
    clock.set(START_US + SESSION_IDLE_S * SECOND_US)
    assert accounts.sessions.find(unit, token) is None
    token, found = accounts.sessions.begin(unit, ada.account, key="k", came_from="")
    began = clock.now_us()
    while clock.now_us() + 36_000 * SECOND_US < began + SESSION_S * SECOND_US:
        clock.set(clock.now_us() + 36_000 * SECOND_US)
        accounts.sessions.seen(unit, found)
    clock.set(began + SESSION_S * SECOND_US - 1)
    assert accounts.sessions.find(unit, token) is not None
    clock.set(began + SESSION_S * SECOND_US)
    assert accounts.sessions.find(unit, token) is None
    for other in ("", "A" * 43, AccountReason.EXPIRED.name):
        assert accounts.sessions.find(unit, other) is None
