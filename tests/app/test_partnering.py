"""Cards and partners: the same parties by the same ids on both sides, and who is refused."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace

import pytest
from tests.app.two_installations import ASSET, two_installations
from tests.clearing.rated_months import rate

from opencarrier.app.exchanging import month_entries
from opencarrier.app.partnering import CARD_OCTETS_MAX, add_partner, card, read_card, take_card
from opencarrier.clearing.exchange import partners
from opencarrier.identity.model import PartyKind
from opencarrier.kernel.refusals import PeerError, Refusal


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    with two_installations(tmp_path_factory.mktemp("partners")) as made:
        yield made


@pytest.fixture
def told(two):
    with two.borea.base.store.read() as unit:
        return json.loads(json.dumps(card(two.borea.base, unit, "Borea")))


def test_a_card_makes_the_same_parties_by_the_same_ids(two, told):
    """Where a name is another's here, the operator's is put after it."""
    lumen = two.lumen.base.identity.directory
    with two.lumen.base.store.read() as unit:
        operator = lumen.named(unit, PartyKind.OPERATOR, "Borea")
        tax = lumen.named(unit, PartyKind.TAX, "tax NO")
        protocol = lumen.named(unit, PartyKind.PROTOCOL, "opencarrier of Borea")
    assert (operator.party_id, operator.address) == (
        two.borea.own.party_id,
        two.borea.own.address,
    )
    assert tax.party_id == told["tax"]["party_id"]
    assert protocol.party_id == told["protocol"]["party_id"] == two.borea.base.hub.party_id


@pytest.mark.parametrize(
    ("part", "field", "value", "code"),
    [
        ("operator", "party_id", "op_" + "0" * 32, "exists_with_different_id"),
        ("operator", "party_id", "tax_" + "0" * 32, "invalid_party"),
        ("operator", "address", "0x" + "ab" * 20, "exists_with_different_address"),
        ("operator", "name", "Nova", "party_taken"),
        ("tax", "party_id", "tax_x", "invalid_party"),
    ],
)
def test_a_card_that_says_something_else_is_refused(two, told, part, field, value, code):
    other = deepcopy(told)
    other[part][field] = value
    if value == "Nova":
        other["operator"]["address"] = "0x" + "ab" * 20
    with two.lumen.base.store.write() as unit:
        outcome = take_card(two.lumen.base, unit, other)
    assert isinstance(outcome, Refusal)
    assert outcome.code == code


@pytest.mark.parametrize(
    "spoil",
    [
        lambda told: {**told, "more": 1},
        lambda told: {**told, "format": "opencarrier/card/v2"},
        lambda told: {**told, "tax": {"party_id": "tax_x"}},
        lambda told: {**told, "operator": {**told["operator"], "realms": [1]}},
        lambda told: {**told, "operator": {**told["operator"], "name": None}},
    ],
)
def test_what_is_no_card_is_not_read(told, spoil):
    assert read_card(json.dumps(told)) == told
    with pytest.raises(PeerError):
        read_card(json.dumps(spoil(told)))
    with pytest.raises(PeerError, match="too_long"):
        read_card(" " * (CARD_OCTETS_MAX + 1))


def test_a_partner_may_move_and_its_terms_stay(two, monkeypatch):
    base, given = two.lumen.base, {"own": two.lumen.own, "peer": two.lumen.peer, "asset": ASSET}
    with base.store.write() as unit:
        same = {**given, "tolerance_ppm": 30_000}
        assert add_partner(base, unit, **same, url="https://moved").url == "https://moved"
        (kept,) = partners.every(unit)
        assert kept.url == "https://moved"
        other = add_partner(base, unit, **given, tolerance_ppm=1, url="https://moved")
        assert other.code == "exists_with_different_terms"
        file = add_partner(base, unit, **same, url="file:///etc/passwd")
        assert file.code == "not_an_address"
        itself = {**same, "peer": two.lumen.own, "url": "https://moved"}
        assert add_partner(base, unit, **itself).code == "unknown_operator"
        monkeypatch.setattr(partners, "PARTNERS_MAX", 1)
        more = add_partner(base, unit, **{**same, "asset": "EUR"}, url="https://moved")
        assert more.code == "too_many_partners"
        partners.remove(unit, kept)
        assert partners.every(unit) == []
        assert not isinstance(add_partner(base, unit, **same, url="http://borea"), Refusal)


def test_a_rated_month_is_told_between_two_that_are_known(two, tmp_path):
    base, terms = two.lumen.base, two.lumen.partner.terms(1)
    assert month_entries(base, rate(tmp_path), terms) == []
    unknown = replace(terms, second="0x" + "ff" * 20)
    assert month_entries(base, tmp_path, unknown).code == "unknown_partner"
