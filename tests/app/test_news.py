"""Every event from its fact to a machine that hears it: signed, its own, and nobody else's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook
from tests.app.scene import taken
from tests.console.people import Installation, installation
from tests.console.test_disputes import disputed

from opencarrier.app import news as module
from opencarrier.app import refunding
from opencarrier.app.bootstrap.installation import Real
from opencarrier.app.consenting import SettlementConsent
from opencarrier.app.courier import Courier
from opencarrier.app.erasing import Erased, Erasing
from opencarrier.app.errands import top_up
from opencarrier.app.news import News
from opencarrier.clearing.disputes.rules import MoveKind
from opencarrier.identity.model import Cause
from opencarrier.kernel.calendar import month_of
from opencarrier.kernel.clock import SECOND_US, FixedClock
from opencarrier.kernel.ids import derive
from opencarrier.rating import spent
from opencarrier.rating.caps import SpendCap
from opencarrier.spine.usage import Status
from opencarrier.webhooks import nodes
from opencarrier.webhooks.model import INSTALLATION, Outcome
from opencarrier.webhooks.nodes import SILENT_US, STEADY_US, Watched
from opencarrier.webhooks.service import Attempt

URL = "https://machine.example/in"


class Machines:
    """A machine of each party's, which verifies what it is sent as its own library does."""

    def __init__(self, home: Installation) -> None:
        self.home, self.base = home, home.base
        made = home.made
        self.news = News(made.place)
        self.parties = {
            "installation": INSTALLATION,
            "home": made.home.party_id,
            "visited": made.visited.party_id,
            "host": made.node.host,
            "subscriber": made.subscriber.party_id,
        }
        self.secrets, self.heard = {}, []
        for name, party in self.parties.items():
            with self.base.store.write() as unit:
                shown = self.base.webhooks.add(unit, party, URL, (), plain=False)
            self.secrets[shown.endpoint.endpoint] = (name, shown.secret)

    def deliver(self) -> list[tuple[str, dict]]:
        """Send all that waits; return who heard what, as told by the foreign library."""
        carrier, found = Courier(self.base, resolve=None), []

        async def asked(target, address, request: bytes) -> Outcome:
            head, _, body = request.partition(b"\r\n\r\n")
            lines = (line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
            found.append((dict(lines), body))
            return Outcome(status=204)

        async def carry() -> None:
            carrier._asked = asked
            carrier._address = lambda target, party: _settled("192.0.2.1")
            while True:
                await carrier.look()
                if not carrier._busy:
                    return
                await carrier.drain()

        names = []

        async def send(attempt: Attempt) -> Outcome:
            names.append(attempt.endpoint.endpoint)
            return await Courier.send(carrier, attempt)

        carrier.send = send
        asyncio.run(carry())
        told = []
        for name, (headers, body) in zip(names, found, strict=True):
            who, secret = self.secrets[name]
            told.append((who, Webhook(secret).verify(body, headers)))
        return told

    def wait(self, length_us: int) -> None:
        self.home.made.clock.set(self.home.made.clock.now_us() + length_us)

    def hears(self, kind: str, who: set[str], fact: Callable[[], object]) -> list[dict]:
        """Let a fact happen; exactly these hear of it, each message names its own party alone."""
        self.deliver()
        fact()
        told = [(name, body) for name, body in self.deliver() if body["type"] == kind]
        assert {name for name, _ in told} == who
        for name, body in told:
            assert body["data"]["party"] == (self.parties[name] or None)
            assert "minor" not in json.dumps(body)
            others = {one for one in self.parties.values() if one} - {self.parties[name]}
            assert name == "subscriber" or not any(one in json.dumps(body) for one in others)
        return [body["data"] for _, body in told]


async def _settled(value):
    return value


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    with installation(tmp_path_factory.mktemp("news")) as home:
        now_us = int(datetime.now(UTC).timestamp()) * SECOND_US
        home.base.real = Real(FixedClock(now_us), home.base.entropy)
        yield Machines(home)


BUSINESS = {"installation", "home"}


def test_a_deposit(here):
    made = here.home.made

    def fact():
        taken(made.errands.deposit(made.home, 1_000, reference="more"))

    here.hears("deposit.final", BUSINESS, fact)


def test_a_cycle_its_receipts_and_a_payout(here):
    """A cycle is of the operators; its receipts are the subscriber's; the payout is its host's."""
    made = here.home.made
    here.news.tick()
    made.use("told", octets=9_000_000, grant=made.authorise())
    here.hears("cycle.settled", {*BUSINESS, "visited", "host"}, made.settle)

    def look():
        here.news.tick()
        here.news.tick()

    (data,) = here.hears("receipt.ready", {"subscriber"}, look)
    assert data["receipts"] == 1
    with here.base.store.read() as unit:
        host = here.base.identity.directory.host(unit, made.node.host)

    here.wait(3 * SILENT_US)

    def withdraw():
        taken(made.errands.withdraw(host))
        made.errands.follow()

    here.hears("withdrawal.final", {"installation", "host"}, withdraw)


def test_receipts_of_many_are_told_in_parts_and_each_once(here, monkeypatch):
    made = here.home.made
    here.news.tick()
    made.use("parts", octets=1_000_000, grant=made.authorise())
    made.settle()
    monkeypatch.setattr(module, "PEOPLE_MAX", 1)

    def look():
        for _ in range(4):
            here.news.tick()

    assert len(here.hears("receipt.ready", {"subscriber"}, look)) == 1


def test_money_of_a_subscriber(here):
    """Each booking is told once, also where the same reference comes again."""
    made, base = here.home.made, here.base
    person, asset = made.subscriber, made.place.manifest.asset

    def booked(work, amount_minor, reference):
        def fact():
            for _ in range(2):
                with base.store.write() as unit:
                    work(unit, amount_minor, reference)

        return fact

    def pay(unit, amount_minor, reference):
        assert top_up(
            unit, asset, subscriber=person.party_id, home=person.home, amount_minor=amount_minor,
            reference=reference, at_us=made.clock.now_us(), announcer=base.webhooks,
        ) is None  # fmt: skip

    def refund(how):
        def work(unit, amount_minor, reference):
            asked = (unit, asset, person, amount_minor)
            more = {"reference": reference, "at_us": made.clock.now_us()}
            assert refunding.ask_back(*asked, **more) is None
            assert how(*asked, **more, announcer=base.webhooks) is None

        return work

    for kind, work in (
        ("payment.received", pay),
        ("refund.paid", refund(refunding.pay_back)),
        ("refund.kept", refund(refunding.keep)),
    ):
        told = here.hears(kind, {"subscriber"}, booked(work, 1_000, kind))
        assert len(told) == 1


def test_a_spending_limit(here):
    """80 percent as it is set so near, the whole as the cycle is rated; once for a limit."""
    made, base = here.home.made, here.base
    person, asset = made.subscriber, made.place.manifest.asset
    month_us = month_of(made.clock.now_us()).start_us
    grant = made.authorise()
    made.use("limit", octets=9_000_000, grant=grant)
    with base.store.read() as unit:
        paid_minor = spent.paid_minor(
            unit, person.party_id, seller=person.home, asset=asset, month_us=month_us
        )
    limit = SpendCap(
        subscriber=person.party_id,
        home=person.home,
        asset=asset,
        cap_minor=paid_minor + 1,
        changed_us=made.clock.now_us(),
    )

    def cap():
        for _ in range(2):
            with base.store.write() as unit:
                assert base.subscribers.put_cap(unit, limit) is None

    told = here.hears("spend.reached", {"subscriber"}, cap)
    told += here.hears("spend.reached", {"subscriber"}, made.settle)
    assert [one["percent"] for one in told] == [80, 100]
    with base.store.write() as unit:
        base.subscribers.lift_cap(unit, person.party_id)


def test_a_settlement_that_people_have_to_approve(here):
    base = here.base
    consent = SettlementConsent(
        base.accounts, base.webhooks, base.identity.directory.operators,
        people=2, above_minor=0, ttl_s=600,
    )  # fmt: skip

    def fact():
        for _ in range(2):
            with base.store.write() as unit:
                assert consent.objection(unit, settlement_id=derive("s", 1), net_minor=5)

    here.hears("approval.wanted", {*BUSINESS, "visited"}, fact)


def test_a_statement_and_its_dispute(here):
    cases = []
    found = here.hears("statement.ready", {*BUSINESS}, lambda: cases.append(disputed(here.home)))
    assert found[0]["sequence"] == 1
    (case,) = cases
    browser = here.home.browser("operator")
    here.hears(
        "dispute.opened",
        BUSINESS,
        lambda: browser.form(f"/operator{case.path()}", kind="open"),
    )
    here.hears("dispute.answered", BUSINESS, lambda: case.answer(MoveKind.CONTEST))


def test_a_node_falls_silent_and_comes_back(here, monkeypatch):
    """Once each; one that comes and goes within the hour is told of no more."""
    made, heard = here.home.made, {"installation", "visited", "host"}

    def report(name: str) -> None:
        made.use(name, octets=1_000, seconds=0, grant=None, status=Status.INTERIM)
        here.news.tick()

    def quiet() -> None:
        for _ in range(3):
            here.wait(SILENT_US)
            here.news.tick()

    report("before")
    here.wait(STEADY_US)
    report("first")
    (data, *_) = here.hears("node.silent", heard, quiet)
    assert data["node"] == made.node.node_id
    here.hears("node.alive", set(), lambda: report("flap"))
    here.hears("node.silent", set(), quiet)
    report("second")
    here.wait(STEADY_US)
    here.hears("node.alive", heard, lambda: report("third"))
    monkeypatch.setattr(module, "APART_MAX", 0)
    (data, *_) = here.hears("node.silent", heard, quiet)
    assert data["nodes"] == 1
    assert "node" not in data


def test_an_erasure_is_the_last_that_is_heard(here):
    """The address stays until it heard so; then nothing of the person's machines is left."""
    made, base = here.home.made, here.base
    party = made.subscriber.party_id
    made.settle()
    done = []

    def erase():
        done.append(Erasing(base).erase(party, cause=Cause.REQUEST, waive=True))

    here.hears("erasure.done", {"subscriber"}, erase)
    assert isinstance(done[0], Erased), done
    with base.store.read() as unit:
        assert list(base.webhooks.endpoints(unit, {party}, limit=10)) == []
        kept = base.identity.secrets.names(unit, "webhook/")
    assert len(kept) == len(here.parties) - 1


@given(st.lists(st.integers(1, 2 * SILENT_US), max_size=12))
@settings(max_examples=60, deadline=None)
def test_a_node_is_back_after_ten_minutes_in_which_it_was_never_silent(gaps):
    node, at_us, since = Watched(node_id="n", heard_us=0, silent_us=SILENT_US), SILENT_US, None
    for gap in gaps:
        since = at_us + gap if since is None or gap > SILENT_US else since
        at_us += gap
        node = nodes.heard(node, at_us)
        assert node.heard_us == at_us
        assert bool(node.silent_us) == (at_us - since < STEADY_US)
        if not node.silent_us:
            return
