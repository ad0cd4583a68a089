"""People kept apart from a copy of the rest: who each subscriber is, a line of JSON each.

A copy without this file holds ids that are nobody's; the file without a copy holds names without
any use. So an old copy tells nothing of whoever was erased since, where only the newest file is
kept. Keys of SIMs stay sealed; the first line has what their data keys are wrapped in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from opencarrier.identity.model import PartyKind
from opencarrier.identity.store import credentials, data_keys, parties
from opencarrier.kernel.refusals import PeerError
from opencarrier.spine.parties import PartyId

FORM = "opencarrier/people/1"

_SIM = ("imsi", "k_sealed", "opc_sealed", "sqn", "barred", "pseudonym")


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
        sims = select(*(credentials.c[name] for name in _SIM)).where(
            credentials.c.subscriber == party.party_id
        )
        told = [_told(row) for row in unit.execute(sims.order_by(credentials.c.imsi)).mappings()]
        yield json.dumps({"party_id": party.party_id, "name": party.name, "sims": told})


def take_out(unit: Connection) -> None:
    """Leave nobody's name and no SIM in a copy."""
    unit.execute(delete(credentials))
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
            for sim in row["sims"]:
                unit.execute(insert(credentials).values(subscriber=party, **_untold(sim)))


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


def _told(row: Any) -> dict[str, Any]:
    return {name: {"hex": v.hex()} if isinstance(v, bytes) else v for name, v in row.items()}


def _untold(row: dict[str, Any]) -> dict[str, Any]:
    return {name: bytes.fromhex(v["hex"]) if isinstance(v, dict) else v for name, v in row.items()}


_IS_SUBSCRIBER = parties.c.kind == PartyKind.SUBSCRIBER.value
_IS_NOBODY = and_(_IS_SUBSCRIBER, parties.c.name == parties.c.party_id)
