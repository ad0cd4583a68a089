"""Disputes on the console: what differs is shown, each step is a form, others see nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import text
from tests.console import pseudo
from tests.console.people import Installation, installation

from opencarrier.app import disputing
from opencarrier.app.exchanging import exchanges
from opencarrier.clearing.disputes import wire
from opencarrier.clearing.disputes.rules import Move, MoveKind
from opencarrier.clearing.disputes.service import opened_query
from opencarrier.clearing.exchange.model import Entry, Terms
from opencarrier.clearing.exchange.party import Party
from opencarrier.kernel.ids import Id, derive, to_hex
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger

CUT_US = 1_000
USAGES = (derive("u", 5), derive("u", 6))
MISSING = "0x" + "0" * 64


@dataclass
class Disputed:
    """Two differences that a co-signed statement leaves; the peer's side is played from here."""

    home: Installation
    terms: Terms

    @property
    def party(self) -> str:
        return self.home.made.home.party_id

    def path(self, usage: Id = USAGES[0]) -> str:
        return f"/{self.party}/disputes/{to_hex(self.terms.exchange_id)}/{to_hex(usage)}"

    def answer(self, kind: MoveKind, *, amount_minor: int = 0, usage: Id = USAGES[0]) -> None:
        """Let the other side make a move, which arrives here."""
        peer = self.home.made.visited.address
        now_us = self.home.base.clock.now_us()
        move = Move(at_us=now_us, kind=kind, party=peer, amount_minor=amount_minor)
        octets = wire.seal(self.terms.exchange_id, usage, move, self._sign)
        assert disputing.take(self.home.base, octets) is None

    def _sign(self, digest: bytes):
        with self.home.base.store.read() as unit:
            return self.home.base.identity.notary.sign(unit, self.home.made.visited.address, digest)

    def free(self) -> int:
        with self.home.base.store.read() as unit:
            name = chart.collateral(self.home.made.home.party_id)
            return ledger.balance(unit, self.terms.asset, name).free_minor

    def begin(self) -> None:
        """Exchange nine entries of which two are ten times higher here, until both signed."""
        own, peer = self.home.made.home.address, self.home.made.visited.address
        theirs = [
            Entry(usage_id=derive("u", n), debtor=peer, end_us=n, amount_minor=1_000)
            for n in range(9)
        ]
        ours = [
            replace(one, amount_minor=10_000, octets_in=7) if one.usage_id in USAGES else one
            for one in theirs
        ]
        with self.home.base.store.write() as unit:
            exchanges(self.home.base).open(unit, self.terms, own, ours, cut_us=CUT_US)
        other = Party(self.terms, peer, theirs, cut_us=CUT_US, sign=self._sign)
        for _ in range(20):
            with self.home.base.store.write() as unit:
                answer = exchanges(self.home.base).answer(unit, other.say())
            other.receive(answer)
            if other.is_over:
                return
        raise AssertionError("they do not end")


def disputed(home: Installation) -> Disputed:
    """Let Home and Visited co-sign a statement that leaves two differences."""
    made = home.made
    first, second = sorted((made.home.address, made.visited.address))
    terms = Terms(
        domain="test",
        asset=made.place.manifest.asset,
        sequence=1,
        first=first,
        second=second,
        tolerance_ppm=30_000,
    )
    found = Disputed(home, terms)
    found.begin()
    return found


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Iterator[Disputed]:
    with installation(tmp_path_factory.mktemp("disputes")) as home:
        yield disputed(home)


def test_a_difference_is_looked_at_disputed_contested_and_agreed_on(case):
    """Each step is a form of the page; its bond is held meanwhile; the log has who made it."""
    browser, path, free = case.home.browser("operator"), case.path(), case.free()
    told = browser.ask(f"/v1/operators{path}").json()
    assert (told["stage"], told["disputed_minor"], told["may"]) == ("unopened", 9_000, ["open"])
    assert (told["ours"]["amount_minor"], told["theirs"]["amount_minor"]) == (10_000, 1_000)
    assert told["cause"] == "use"
    assert browser.ask(f"/v1/operators/{case.party}/disputes").json()["items"] == []
    assert "Dispute it" in browser.get(f"/operator{path}").text
    assert browser.form(f"/operator{path}", kind="open").status_code == 303
    assert browser.form(f"/operator{path}", kind="open").status_code == 409
    told = browser.ask(f"/v1/operators{path}").json()
    assert (told["stage"], told["may"]) == ("open", ["agree", "evidence"])
    assert free - case.free() == told["bond_minor"] == 450
    case.answer(MoveKind.CONTEST)
    proposed = browser.form(f"/operator{path}", kind="agree", amount="0.002")
    assert proposed.status_code == 303
    named = "ab" * 32
    assert browser.form(f"/operator{path}", kind="evidence", digest=named).status_code == 303
    page = browser.get(f"/operator{path}").text
    assert "Contested" in page
    assert f"0x{named}" in page
    case.answer(MoveKind.AGREE, amount_minor=2_000)
    told = browser.ask(f"/v1/operators{path}").json()
    assert (told["stage"], told["award_minor"], told["may"]) == ("settled", 2_000, [])
    assert [one["kind"] for one in told["moves"]] == [
        "open",
        "evidence",
        "contest",
        "agree",
        "agree",
    ]
    assert "is over" in browser.get(f"/operator{path}").text
    log = case.home.browser("owner").ask("/v1/audit").json()["items"]
    moved = [one["about"].split()[1] for one in log if one["what"] == "dispute_moved"]
    assert moved == ["evidence", "agree", "open"]


def test_no_move_stands_without_its_line_in_the_log(case, monkeypatch):
    browser = case.home.browser("operator")
    with monkeypatch.context() as patch:
        patch.setattr(case.home.accounts.audit, "write", full)
        with pytest.raises(OSError, match="full"):
            browser.form(f"/operator{case.path(USAGES[1])}", kind="open")
    told = browser.ask(f"/v1/operators{case.path(USAGES[1])}").json()
    assert (told["stage"], told["moves"]) == ("unopened", [])


def full(*_: object, **__: object) -> None:
    raise OSError("the disk is full")


def test_disputes_are_walked_by_cursor_and_moved_in_by_json(case):
    browser, path = case.home.browser("operator"), f"/v1/operators{case.path(USAGES[1])}"
    answer = browser.script(f"{path}/moves", {"kind": "open"}, **{"Idempotency-Key": "one"})
    assert (answer.status_code, answer.json()["stage"]) == (200, "open")
    again = browser.script(f"{path}/moves", {"kind": "contest"}, **{"Idempotency-Key": "two"})
    assert (again.status_code, again.headers["content-type"]) == (409, "application/problem+json")
    listed = f"/v1/operators/{case.party}/disputes"
    whole = browser.ask(listed).json()["items"]
    assert {one["usage"] for one in whole} <= {to_hex(usage) for usage in USAGES}
    assert whole == sorted(whole, key=lambda one: one["dispute"])
    walked, cursor = [], ""
    while cursor is not None:
        part = browser.ask(f"{listed}?limit=1&cursor={cursor}").json()
        walked += part["items"]
        cursor = part["next"]
    assert walked == whole
    assert all(one["name"] == "Visited" for one in whole)


@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "nothing"},
        {"kind": "agree", "amount": "-1"},
        {"kind": "agree", "amount": "0.0000001"},
        {"kind": "agree", "amount": "1e99"},
        {"kind": "agree", "amount": "1E999999"},
        {"kind": "evidence"},
        {"kind": "evidence", "digest": "xy"},
        {"kind": "open", "digest": "ab" * 32},
    ],
)
def test_what_is_no_move_is_refused(case, asked):
    answer = case.home.browser("operator").form(f"/operator{case.path(USAGES[1])}", **asked)
    assert answer.status_code == 422


def test_an_operators_disputes_are_found_by_its_address(case):
    """However many others have: no table is read whole, and nothing is sorted aside."""
    with case.home.base.store.read() as unit:
        if unit.dialect.name != "sqlite":
            return  # a server may read a short table whole
        made = opened_query(case.home.made.home.address, after=b"", limit=3).compile()
        plan = unit.execute(text(f"EXPLAIN QUERY PLAN {made}"), made.params)
        lines = [line.detail for line in plan]
    assert all("SEARCH" in line for line in lines if "clearing_dispute" in line), lines
    assert any("ix_clearing_dispute_move_own_dispute_id" in line for line in lines)


def test_nobody_else_sees_or_moves(case):
    """Another operator, at its own address or at this one, finds what is not there."""
    visited = case.home.made.visited.party_id
    path = case.path(USAGES[1])
    other = case.home.browser("visited")
    absent = other.ask(f"/v1/operators/{visited}/disputes/{MISSING}/{MISSING}")
    for asked in (path, path.replace(case.party, visited)):
        answer = other.ask(f"/v1/operators{asked}")
        assert (answer.status_code, answer.text) == (404, absent.text)
        assert other.form(f"/operator{asked}", kind="open").status_code == 404
    assert other.ask(f"/v1/operators/{visited}/disputes").json()["items"] == []
    looks_on = case.home.browser("auditor")
    assert looks_on.ask(f"/v1/operators{path}").json()["may"] == []
    assert looks_on.form(f"/operator{path}", kind="agree", amount="1").status_code == 404


def test_no_page_has_a_text_that_no_catalogue_knows(case):
    browser = case.home.browser("operator")
    paths = [f"/{case.party}/disputes", *(case.path(usage) for usage in USAGES)]
    with pseudo.spoken(case.home.web.shell):
        found = {path: pseudo.bare(browser.get(f"/operator{path}").text) for path in paths}
    assert not {path: bare for path, bare in found.items() if bare}
