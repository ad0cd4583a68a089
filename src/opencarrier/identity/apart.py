"""People kept apart from a copy of the rest: who each subscriber is, a line of JSON each.

A copy without this file holds ids that are nobody's; the file without a copy holds names without
any use. So an old copy tells nothing of whoever was erased since, where only the newest file is
kept. Keys of SIMs and passwords stay sealed; the first line has what their data keys are wrapped
in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, and_, delete, func, insert, select, update

from opencarrier.identity.model import PartyKind
from opencarrier.identity.store import certificates, credentials, data_keys, parties, passwords
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId

FORM = "opencarrier/people/1"

_TABLES = {"sims": credentials, "certificates": certificates, "passwords": passwords}
"""What a subscriber proves itself with; files made before there were logins have SIMs alone."""

TABLES = (parties, data_keys, *_TABLES.values())
"""Where the people of a copy are taken out and put back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """How many subscribers of an installation are somebody, and the ids of those who are not."""

    people: int
    nobody: tuple[PartyId, ...]


def lines(unit: Connection) -> Iterator[str]:
    """Yield the file's lines: what it is, then each subscriber, ascending by id."""
    keys = [_told(row) for row in unit.execute(select(data_keys)).mappings()]
    yield json.dumps({"form": FORM, "data_keys": keys})
    query = select(parties.c.party_id, parties.c.name).where(_IS_SUBSCRIBER)
    for party in unit.execute(query.order_by(parties.c.party_id)).all():
        told = {word: _rows(unit, table, party.party_id) for word, table in _TABLES.items()}
        yield json.dumps({"party_id": party.party_id, "name": party.name, **told})


def take_out(unit: Connection) -> None:
    """Leave nobody's name, no SIM and no login in a copy."""
    for table in _TABLES.values():
        unit.execute(delete(table))
    unit.execute(update(parties).where(_IS_SUBSCRIBER).values(name=parties.c.party_id))


def put_back(unit: Connection, given: Iterable[str]) -> None:
    """Say again who the subscribers of a copy are; whom it does not know is left out.

    `PeerError` for a file that is none.
    """
    read = iter(given)
    _put_keys(unit, next(read, ""))
    absent = set(unit.scalars(select(parties.c.party_id).where(_IS_NOBODY)))
    for row in map(_read, read):
        party = row["party_id"]
        if party in absent:
            named = update(parties).where(parties.c.party_id == party)
            unit.execute(named.values(name=row["name"]))
            for word, table in _TABLES.items():
                for one in row.get(word, ()):
                    unit.execute(insert(table).values(subscriber=party, **_untold(one)))


def known(unit: Connection) -> Known:
    """Tell who is somebody."""
    people = select(func.count()).select_from(parties).where(_IS_SUBSCRIBER, ~_IS_NOBODY)
    nobody = select(parties.c.party_id).where(_IS_NOBODY).order_by(parties.c.party_id)
    return Known(
        people=unit.execute(people).scalar_one(),
        nobody=tuple(PartyId(party) for party in unit.scalars(nobody)),
    )


def check_head(line: str) -> dict[str, Any]:
    """Read the first line; `PeerError` where the file is another."""
    head = _read(line)
    if head.get("form") != FORM:
        raise PeerError("not_people", "the first line does not say so")
    return head


def _put_keys(unit: Connection, line: str) -> None:
    keys = check_head(line)["data_keys"]
    here = set(unit.scalars(select(data_keys.c.number)))
    for key in keys:
        if key["number"] not in here:
            unit.execute(insert(data_keys).values(_untold(key)))


def _read(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        raise PeerError("not_people", "a line is no JSON") from None
    if not isinstance(found, dict):
        raise PeerError("not_people", "a line is no object")
    return found


def _rows(unit: Connection, table: Table, party: str) -> list[dict[str, Any]]:
    columns = [column for column in table.c if column.name != "subscriber"]
    chosen = select(*columns).where(table.c.subscriber == party).order_by(*table.primary_key)
    return [_told(row) for row in unit.execute(chosen).mappings()]


def _told(row: Any) -> dict[str, Any]:
    return {name: {"hex": v.hex()} if isinstance(v, bytes) else v for name, v in row.items()}


def _untold(row: dict[str, Any]) -> dict[str, Any]:
    return {name: bytes.fromhex(v["hex"]) if isinstance(v, dict) else v for name, v in row.items()}


_IS_SUBSCRIBER = parties.c.kind == PartyKind.SUBSCRIBER.value
_IS_NOBODY = and_(_IS_SUBSCRIBER, parties.c.name == parties.c.party_id)
