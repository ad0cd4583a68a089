"""An exchange between two installations in one process: what is kept, and a line that fails."""

from __future__ import annotations

import pytest
from tests.app.test_exchange_daemons import CUT_US, entries

from opencarrier.app import exchanging
from opencarrier.app.bootstrap import load_settings, open_installation
from opencarrier.app.exchanging import PeerUnavailableError, exchanges, run, state_of
from opencarrier.app.folder import Folder
from opencarrier.clearing.exchange.model import Terms
from opencarrier.identity import cli
from opencarrier.kernel.refusals import PeerError, Refusal


@pytest.fixture
def two(tmp_path):
    """Two installations, each with one operator, and the terms between them."""
    made = []
    for name in ("one", "two"):
        folder = Folder(tmp_path / name)
        base = open_installation(folder, load_settings(folder, {}).settings)
        with base.store.write() as unit:
            told = cli.operator_add(base.identity, unit, name=name, jurisdiction="FR")
        made.append((base, told["address"]))
    made.sort(key=lambda pair: pair[1])
    terms = Terms(
        domain="test",
        asset="EUR",
        sequence=1,
        first=made[0][1],
        second=made[1][1],
        tolerance_ppm=30_000,
    )
    yield *made, terms
    for base, _ in made:
        base.close()


def test_a_line_that_fails_now_and_then_leads_to_the_same_statement(two, monkeypatch):
    """The peer takes every message, but each second answer is lost; each run goes on."""
    (one, mine), (other, _), terms = two
    kept = (entries(mine, range(120)), entries(mine, range(60, 170), 900))
    for (base, own), given in zip(two[:2], kept, strict=True):
        with base.store.write() as unit:
            exchanges(base).open(unit, terms, own, given, cut_us=CUT_US)
    asked = []

    def post(url, octets):
        asked.append(octets)
        with other.store.write() as unit:
            answer = exchanges(other).answer(unit, octets)
        if len(asked) % 2:
            raise PeerUnavailableError("lost")
        return answer

    monkeypatch.setattr(exchanging, "post", post)
    party = None
    for _ in range(20):
        try:
            party = run(one, terms.exchange_id, "http://peer")
        except PeerUnavailableError:
            continue
        if party.is_over:
            break
    assert party is not None
    assert state_of(party) == "co_signed"
    with other.store.read() as unit:
        found = exchanges(other).find(unit, terms.exchange_id)
    assert found.complete
    assert found.statement == party.statement
    assert len(party.statement.differences) == 170
    assert len(asked) < 20
    before = len(asked)
    assert run(one, terms.exchange_id, "http://peer").complete
    assert len(asked) == before


def test_what_is_not_opened_or_not_ours_is_refused(two):
    (one, mine), (_, theirs), terms = two
    with one.store.write() as unit:
        service = exchanges(one)
        assert isinstance(service.find(unit, terms.exchange_id), Refusal)
        foreign = service.open(unit, terms, theirs, [], cut_us=1)
        assert foreign.code == "not_our_key"
        twice = service.open(unit, terms, mine, entries(mine, range(1)) * 2, cut_us=1)
        assert twice.code == "entry_twice"
        third = service.open(unit, terms, mine, entries("0x" + "ab" * 20, range(1)), cut_us=1)
        assert third.code == "foreign_debtor"
        assert service.known(unit) == []
        with pytest.raises(PeerError):
            service.answer(unit, b"")
