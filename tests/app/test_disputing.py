"""Disputes between two installations: what is held, what comes of it, who is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from tests.app.test_exchange_daemons import CUT_US, entries
from tests.app.test_exchange_run import two  # noqa: F401 - a fixture

from opencarrier.app import disputing, exchanging
from opencarrier.app.exchanging import exchanges, read_entries, run
from opencarrier.app.http_exchange import exchange_routes
from opencarrier.clearing.disputes import wire
from opencarrier.clearing.disputes.rules import ANSWER_US, Move, MoveKind
from opencarrier.clearing.exchange.wire import OCTETS_MAX
from opencarrier.kernel.encoding import encode
from opencarrier.kernel.ids import derive
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.kernel.signatures import Address, KeySigner
from opencarrier.ledger import chart
from opencarrier.ledger import service as ledger
from opencarrier.ledger.model import Transfer

USAGE = derive("u", 5)
COLLATERAL = 500


@pytest.fixture
def case(two, monkeypatch):  # noqa: F811 - the fixture
    """A co-signed statement: the first owes for usage 5, which the second has ten times higher."""
    (one, debtor), (other, creditor), terms = two
    theirs = [
        replace(e, amount_minor=10_000) if e.usage_id == USAGE else e
        for e in entries(debtor, range(9))
    ]
    for base, own, given in ((one, debtor, entries(debtor, range(9))), (other, creditor, theirs)):
        with base.store.write() as unit:
            exchanges(base).open(unit, terms, own, given, cut_us=CUT_US)

    def post(url, octets, path=exchanging.PATH):
        if path == disputing.PATH:
            return disputing.take(other if url == "other" else one, octets)
        with other.store.write() as unit:
            return exchanges(other).answer(unit, octets)

    monkeypatch.setattr(exchanging, "post", post)
    monkeypatch.setattr(disputing, "post", post)
    assert run(one, terms.exchange_id, "other").complete
    return one, other, terms


def fund(base, terms):
    """Give an installation's operator collateral in its books; return its account."""
    with base.store.write() as unit:
        own = exchanges(base).find(unit, terms.exchange_id).own
        member = disputing.member_of(base, unit, own)
        names = (chart.collateral(member), chart.CUSTODY)
        ledger.ensure(unit, terms.asset, names)
        deposit = Transfer(
            transfer_id=derive("test/deposit", own),
            asset=terms.asset,
            debit=names[1],
            credit=names[0],
            amount_minor=COLLATERAL,
            code="deposit",
        )
        assert ledger.apply(unit, [deposit], 1) == [None]
    return names[0]


def free(base, terms, account):
    with base.store.read() as unit:
        return ledger.balance(unit, terms.asset, account).free_minor


def is_open(base, *usages):
    with base.store.read() as unit:
        return disputing.disputes(base).is_open(unit, usages, now_us=base.clock.now_us())


def test_a_claim_is_bonded_contested_agreed_and_flows_into_the_next_exchange(case, tmp_path):
    one, other, terms = case
    account = fund(other, terms)
    place = (terms.exchange_id, USAGE)
    assert not is_open(other, USAGE)
    opened = disputing.deliver(other, "one", *place, MoveKind.OPEN)
    assert is_open(other, derive("u", 1), USAGE)
    assert is_open(one, USAGE)
    assert not is_open(one, derive("u", 1))
    assert (opened["disputed_minor"], opened["bond_minor"]) == (9_000, 450)
    assert free(other, terms, account) == COLLATERAL - 450
    assert disputing.deliver(other, "one", *place, MoveKind.OPEN) == opened
    assert disputing.deliver(one, "other", *place, MoveKind.CONTEST)["stage"] == "contested"
    assert disputing.settle(one, *place).code == "wrong_stage"
    for base, to in ((one, "other"), (other, "one")):
        disputing.deliver(base, to, *place, MoveKind.AGREE, amount_minor=2_000)
    results = [disputing.settle(base, *place) for base in (one, other)]
    assert results[0] == results[1]
    assert not is_open(one, USAGE)
    assert not is_open(other, USAGE)
    told, lines = results[0]
    assert (told["stage"], told["award_minor"], told["forfeit_minor"]) == ("settled", 2_000, 0)
    assert free(other, terms, account) == COLLATERAL
    (tmp_path / "next").write_text(lines)
    following = replace(terms, sequence=2)
    for base in (one, other):
        with base.store.write() as unit:
            own = exchanges(base).find(unit, terms.exchange_id).own
            kept = read_entries(tmp_path / "next")
            exchanges(base).open(unit, following, own, kept, cut_us=1 << 60)
    statement = run(one, following.exchange_id, "other").statement
    assert (statement.first_owes_minor, statement.second_owes_minor) == (2_000, 0)


def test_without_collateral_there_is_no_dispute_and_who_may_not_is_refused(case):
    one, other, terms = case
    place = (terms.exchange_id, USAGE)
    short = disputing.deliver(other, "one", *place, MoveKind.OPEN)
    assert short.code == "short_of_collateral"
    assert disputing.deliver(one, "other", *place, MoveKind.OPEN).code == "not_yours_to_move"
    agreed = disputing.deliver(other, "one", terms.exchange_id, derive("u", 1), MoveKind.OPEN)
    assert agreed.code == "not_disputed"
    fund(other, terms)
    assert disputing.deliver(other, "one", *place, MoveKind.OPEN)["stage"] == "open"
    much = disputing.deliver(one, "other", *place, MoveKind.AGREE, amount_minor=9_001)
    assert much.code == "too_much"


def test_the_door_answers_a_move_by_what_it_is(case):
    """Taken 204, taken before 204, not a move 400, not in time for this stage 409."""
    one, other, terms = case
    fund(other, terms)
    app = FastAPI()
    exchange_routes(app, one)
    client = TestClient(app)
    _, octets = disputing.make(other, terms.exchange_id, USAGE, MoveKind.OPEN)
    answers = [client.post(disputing.PATH, content=body) for body in (octets, octets, b"no")]
    assert [answer.status_code for answer in answers] == [204, 204, 400]
    move = replace(wire.unseal(octets)[2], kind=MoveKind.CONTEST)
    with other.store.read() as unit:
        signer = other.identity.notary.signer(unit, move.party)
    wrong = wire.seal(terms.exchange_id, USAGE, move, signer.sign)
    assert client.post(disputing.PATH, content=wrong).json()["detail"] == "contest"
    assert client.post(disputing.PATH, content=bytes(OCTETS_MAX + 1)).status_code == 413


def test_to_a_third_an_exchange_is_as_one_that_is_not_there(case):
    """Its id follows from names and a number: who guesses it hears nothing by its own signature."""
    one, _, terms = case
    app, stranger = FastAPI(), KeySigner(b"\x09" * 32)
    exchange_routes(app, one)
    client, absent = TestClient(app), replace(terms, sequence=terms.sequence + 9)
    told = set()
    for known in (terms, absent):
        move = Move(at_us=one.clock.now_us(), kind=MoveKind.OPEN, party=Address(stranger.address))
        octets = wire.seal(known.exchange_id, USAGE, move, stranger.sign)
        moved = client.post(disputing.PATH, content=octets)
        body = encode([known.exchange_id, *[0] * 8])
        forged = client.post("/v1/exchange", content=encode([body, bytes(65)]))
        for answer in (moved, forged):
            told.add((answer.status_code, answer.text.replace(known.exchange_id.hex(), "ID")))
    assert sorted(status for status, _ in told) == [404, 409]


def test_a_move_of_another_time_or_hand_is_not_taken(case, monkeypatch):
    one, other, terms = case
    fund(other, terms)
    _, octets = disputing.make(other, terms.exchange_id, USAGE, MoveKind.OPEN)
    assert disputing.take(other, octets).code == "unknown_exchange"
    now_us = one.clock.now_us()
    monkeypatch.setattr(type(one.clock), "now_us", lambda _: now_us + 3_700_000_000)
    with pytest.raises(PeerError, match="not_now"):
        disputing.take(one, octets)
    monkeypatch.setattr(type(one.clock), "now_us", lambda _: now_us)
    assert disputing.take(one, octets) is None
    assert disputing.take(one, octets) is None
    monkeypatch.setattr(type(one.clock), "now_us", lambda _: now_us + ANSWER_US + 1_000_000)
    told, _ = disputing.settle(one, terms.exchange_id, USAGE)
    assert told["award_minor"] == 9_000
    assert not isinstance(disputing.settle(other, terms.exchange_id, USAGE), Refusal)
