"""A rated month as entries: what a pair's records cost in both directions, and nobody else's."""

from __future__ import annotations

import pytest
from tests.clearing.rated_months import rate, rated_records

from opencarrier.clearing.exchange import month
from opencarrier.clearing.exchange.month import read_month
from opencarrier.kernel.refusals import PeerError

BETWEEN = {"op_a": "0x" + "aa" * 20, "op_b": "0x" + "bb" * 20}
LEGS = ("seller_minor", "host_minor", "protocol_minor", "tax_minor")


@pytest.fixture(scope="module")
def rated(tmp_path_factory):
    return rate(tmp_path_factory.mktemp("month"))


def test_each_record_of_the_pair_is_an_entry(rated):
    wanted = {
        record.usage_id: (BETWEEN[line["home"]], sum(getattr(record, leg) for leg in LEGS))
        for line, record in rated_records(rated)
        if {line["home"], line["visited"]} == set(BETWEEN)
    }
    found = list(read_month(rated, BETWEEN, "issuer/EUR"))
    assert {e.usage_id: (e.debtor, e.amount_minor) for e in found} == {
        usage: told for usage, told in wanted.items() if told[1]
    }
    assert len(found) > 8
    assert {entry.debtor for entry in found} == set(BETWEEN.values())


def test_a_currency_of_that_name_is_told_in_it(rated):
    pair = {"op_c": "0x" + "cc" * 20, "op_a": "0x" + "aa" * 20}
    in_currency = list(read_month(rated, pair, "EUR"))
    in_asset = list(read_month(rated, pair, "issuer/EUR"))
    assert {entry.debtor for entry in in_currency} == {pair["op_c"]}
    assert {entry.debtor for entry in in_asset} == {pair["op_a"]}
    assert list(read_month(rated, pair, "XOF")) == []


def test_what_is_no_month_or_more_than_an_exchange_takes_is_refused(rated, tmp_path, monkeypatch):
    with pytest.raises(PeerError, match="no rated month"):
        list(read_month(tmp_path, BETWEEN, "issuer/EUR"))
    count = len(list(read_month(rated, BETWEEN, "issuer/EUR")))
    monkeypatch.setattr(month, "ENTRIES_MAX", count)
    assert len(list(read_month(rated, BETWEEN, "issuer/EUR"))) == count
    monkeypatch.setattr(month, "ENTRIES_MAX", count - 1)
    with pytest.raises(PeerError, match="too_many"):
        list(read_month(rated, BETWEEN, "issuer/EUR"))
