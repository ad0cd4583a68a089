"""An operator's statement of a cycle, as JSON and CSV: each position with its signatures.

It is written as it is read, some positions at a time, so its length is nobody's memory.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any, Final

from opencarrier.app.bootstrap import Onchain
from opencarrier.clearing.model import SignedPosition
from opencarrier.clearing.store import positions_of
from opencarrier.kernel.ids import Id, to_hex
from opencarrier.spine.parties import PartyId

CHUNK: Final = 200
"""Positions read at once."""

COLUMNS: Final = (
    *("direction", "position_id", "debtor", "creditor", "jurisdiction", "rung", "records"),
    *("asset", "amount_minor", "passed_on_minor", "signed_by"),
)


def csv_statement(place: Onchain, cycle_id: Id, party: PartyId) -> Iterator[str]:
    """Write a row for each position; `direction` is `owed` to the party or `owes`."""
    yield _line(COLUMNS)
    for signed in _positions(place, cycle_id, party):
        told = position_json(signed, party)
        told["passed_on_minor"] = sum(leg["amount_minor"] for leg in told["legs"])
        told["signed_by"] = " ".join(one["party"] for one in told["signatures"])
        yield _line(tuple(told[name] for name in COLUMNS))


def json_statement(
    place: Onchain, cycle_id: Id, party: PartyId, head: dict[str, Any]
) -> Iterator[str]:
    """Write an object: the fields of `head`, then `positions`."""
    yield json.dumps(head)[:-1] + ', "positions": ['
    for number, signed in enumerate(_positions(place, cycle_id, party)):
        yield (",\n" if number else "\n") + json.dumps(position_json(signed, party))
    yield "\n]}\n"


def position_json(signed: SignedPosition, party: PartyId) -> dict[str, Any]:
    """Put a position in JSON's terms: what is owed, its legs, and who signed it."""
    position = signed.position
    return {
        "direction": "owed" if position.creditor == party else "owes",
        "position_id": to_hex(position.position_id),
        "debtor": position.debtor,
        "creditor": position.creditor,
        "jurisdiction": position.jurisdiction,
        "rung": position.rung.name.lower(),
        "records": position.records,
        "asset": position.asset,
        "amount_minor": position.amount_minor,
        "pair_root": to_hex(position.pair_root),
        "legs": [
            {"role": leg.role.name.lower(), "party": leg.party, "amount_minor": leg.amount_minor}
            for leg in position.legs
        ],
        "signatures": [
            {"party": who, "address": signature.kid, "signature": to_hex(signature.octets)}
            for who, signature in signed.signatures
        ],
    }


def _positions(place: Onchain, cycle_id: Id, party: PartyId) -> Iterator[SignedPosition]:
    after: Id | None = None
    while True:
        with place.base.store.read() as unit:
            found = positions_of(unit, cycle_id, party, after=after, limit=CHUNK)
        yield from found
        if len(found) < CHUNK:
            return
        after = found[-1].position.position_id


def _line(values: tuple[object, ...]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerow(values)
    return written.getvalue()
