"""Adjustments in a cleared month: positions with proofs, credit notes, every sum conserved."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from opencarrier.clearing import tree
from opencarrier.clearing.documents import CREDIT_NOTE, INVOICE, invoices
from opencarrier.clearing.dues import PART, WHOLE, due_part, flows_of, leaf_data, record_id
from opencarrier.clearing.month import Cleared, Order, clear
from opencarrier.clearing.netting import balances
from opencarrier.clearing.placed_positions import path_of
from opencarrier.clearing.rated_leaf import salt_of
from opencarrier.clearing.statement_files import text_of
from opencarrier.kernel.refusals import PeerError, Refusal
from opencarrier.spine.money import Due, Role
from opencarrier.spine.parties import PartyId

from .rated_months import SECRET, order, rate
from .test_dues import due

ASSET = "issuer/EUR"
PARTIES = {"op_0": "op_a", "op_1": "op_b", "protocol_1": "op_p", "tax_1": "tax_t"}


def adjusted(number: int, seller: int, protocol: int = 0, tax: int = 0) -> Due:
    """An adjustment of what op_a owes op_b, in the month's asset."""
    made = due(number, seller, protocol, tax)
    renamed = replace(made.adjustment, payer=PartyId("op_a"), seller=PartyId("op_b"), asset=ASSET)
    legs = tuple(
        replace(leg, party=PartyId(PARTIES[leg.party]), account=f"clearing/{PARTIES[leg.party]}")
        for leg in made.allocations
    )
    return Due(adjustment=replace(renamed, allocations=legs), exchange=None, allocations=legs)


DUES = (adjusted(1, -3_000, -40, -500), adjusted(2, 900, 10))


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> tuple[Order, Cleared, Cleared]:
    """One month cleared twice: with adjustments, and without."""
    plain = order(rate(tmp_path_factory.mktemp("month"), 12), statements="csv", post_at_us=1)
    made = replace(plain, out=plain.out.with_name("adjusted"), dues=DUES)
    return made, clear(made), clear(plain)


def test_each_partys_balance_moves_by_its_legs(months: tuple[Order, Cleared, Cleared]) -> None:
    _, cleared, plain = months
    with_them, without = (balances(item.obligations[ASSET]) for item in (cleared, plain))
    moved = Counter({party: with_them.get(party, 0) - without.get(party, 0) for party in with_them})
    assert {party: minor for party, minor in moved.items() if minor} == {
        "op_a": 3_540 - 910, "op_b": -3_000 + 900, "op_p": -40 + 10, "tax_t": -500,
    }  # fmt: skip
    told = cleared.as_mapping()
    assert (told["adjustments"], plain.as_mapping()["adjustments"]) == (2, 0)
    assert told["records"] == plain.as_mapping()["records"] + 5
    assert told["holds"] == plain.holds + 5


def test_an_adjustments_record_is_proven_by_reads_alone(
    months: tuple[Order, Cleared, Cleared],
) -> None:
    made, cleared, plain = months
    assert cleared.records_root != plain.records_root
    for item in DUES:
        for flow in flows_of(item):
            path = path_of(made.out, flow.record_id)
            assert not isinstance(path, Refusal)
            salt = salt_of(SECRET, flow.record_id)
            leaf = leaf_data(flow.record_id, tree.commit(PART, salt, due_part(item, flow.role)))
            assert tree.root_of_record(leaf, path) == cleared.records_root
            assert (path.debtor, path.creditor) == (flow.debtor, flow.creditor)
    missing = record_id(DUES[1].adjustment.adjustment_id, Role.TAX)
    assert isinstance(path_of(made.out, missing), Refusal)
    rows = pq.read_table(made.out / "positions.parquet").to_pylist()
    marked = [row["adjustment_id"] for row in rows if row["adjustment_id"] is not None]
    assert Counter(marked) == {
        DUES[0].adjustment.adjustment_id: 3,
        DUES[1].adjustment.adjustment_id: 2,
    }


def test_each_party_is_told_what_its_leaves_say(months: tuple[Order, Cleared, Cleared]) -> None:
    made, *_ = months
    found = {
        party: _lines(made.out / "parties" / party / "adjustments.jsonl")
        for party in ("op_a", "op_b", "op_p", "tax_t")
    }
    assert {party: len(lines) for party, lines in found.items()} == {
        "op_a": 2, "op_b": 5, "op_p": 2, "tax_t": 1,
    }  # fmt: skip
    assert not (made.out / "parties" / "op_c" / "adjustments.jsonl").exists()
    (tax,) = found["tax_t"]
    assert tax["part"]["role"] == int(Role.TAX)
    assert tax["part"]["inputs"] == "0x" + b"inputs".hex()
    assert tax["salt"] == "0x" + salt_of(SECRET, bytes.fromhex(tax["record_id"][2:])).hex()


def test_a_credit_is_a_note_of_the_sellers_below_zero(
    months: tuple[Order, Cleared, Cleared],
) -> None:
    made, cleared, _ = months
    bills = [one for one in invoices(cleared.positions, 1) if one.issuer == "op_b"]
    notes = [one for one in bills if one.title == CREDIT_NOTE]
    (note,) = notes
    assert (note.recipient, note.untaxed_minor, note.tax_minor) == ("op_a", -3_040, -500)
    assert next(iter(text_of(note))).startswith("Credit note 000001-")
    more = [
        one
        for one in bills
        if one.title == INVOICE and one.currency == "" and one.recipient == "op_a"
    ]
    assert sum(one.owed_minor for one in more) >= 910
    theirs, ours = (
        _statement(made.out / "parties" / party / "partners" / partner / "statement.csv")
        for party, partner in (("op_a", "op_b"), ("op_b", "op_a"))
    )
    assert [row | {"direction": ""} for row in theirs] == [row | {"direction": ""} for row in ours]
    owed = sum(
        int(row["owed_minor"]) * (1 if row["direction"] == "received" else -1) for row in theirs
    )
    edges = cleared.obligations[ASSET]
    assert owed == edges.get(("op_a", "op_b"), 0) - edges.get(("op_b", "op_a"), 0)


def test_an_adjustment_given_twice_is_refused(months: tuple[Order, Cleared, Cleared]) -> None:
    made, *_ = months
    again = replace(made, out=made.out.with_name("again"), dues=(*DUES, DUES[0]))
    with pytest.raises(PeerError, match="twice"):
        clear(again)
    assert not again.out.exists()


def test_a_month_of_adjustments_alone_is_cleared(tmp_path: Path) -> None:
    alone = clear(order(rate(tmp_path, 0), dues=DUES[:1]))
    assert [item.position.amount_minor for item in alone.positions] == [3_540, 40, 500]
    assert alone.positions[0].flow is not None
    assert alone.positions[0].flow.role == WHOLE
    assert sum(balances(alone.obligations[ASSET]).values()) == 0


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _statement(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
