"""What other installations' homes agreed to of sessions here: what our own records are rated by.

The first word about an authorisation stands, so no later answer can change a price.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select

from opencarrier.kernel.ids import Id
from opencarrier.rating.tables import accepted as table
from opencarrier.rating.tables import authorisations, by_ids
from opencarrier.spine.access import Accepted, Offered, Quote
from opencarrier.spine.parties import PartyId
from opencarrier.spine.records import Qos, RcoiClass

LINES_MAX: Final = 1_000


class AcceptedBook:
    """Answers the port `AgreedTerms`; each call stands in the caller's unit."""

    def keep(self, unit: Connection, accepted: Accepted) -> bool:
        """Keep what was agreed; False where the same authorisation is kept with other terms."""
        key = accepted.authorisation_id
        known = find(unit, [key]).get(key)
        if known is not None:
            return known == accepted
        own = select(authorisations.c.home).where(authorisations.c.authorisation_id == key)
        if unit.scalar(own) is not None:
            return False
        unit.execute(insert(table), [_row(accepted)])
        return True

    def find(self, unit: Connection, authorisations: Iterable[bytes]) -> Mapping[bytes, Accepted]:
        """Return what was agreed under some authorisations, those that are known."""
        return find(unit, authorisations)

    def lines(self, unit: Connection, *, limit: int = LINES_MAX) -> Iterator[Accepted]:
        """Yield what was agreed, the newest grant first."""
        newest = (table.c.granted_us.desc(), table.c.authorisation_id)
        for row in unit.execute(select(table).order_by(*newest).limit(limit)):
            yield _accepted(row)


def find(unit: Connection, ids: Iterable[bytes]) -> dict[bytes, Accepted]:
    """Return what was agreed under some authorisations, those that are known."""
    rows = by_ids(unit, select(table), ids, table.c.authorisation_id)
    return {row.authorisation_id: _accepted(row) for row in rows}


def _row(item: Accepted) -> dict[str, Any]:
    quote = item.offered.quote
    return {
        "authorisation_id": item.authorisation_id,
        "home": item.home,
        "visited": item.visited,
        "nas_identifier": item.nas_identifier,
        "qos": int(item.offered.qos),
        "rcoi": int(item.offered.rcoi),
        "quoted_currency": None if quote is None else quote.currency,
        "quoted_nano_per_kib": None if quote is None else quote.nano_per_kib,
        "granted_us": item.granted_us,
        "expires_us": item.expires_us,
        "digest": item.digest,
        "signature": item.signature,
    }


def _accepted(row: Row[Any]) -> Accepted:
    quote = None
    if row.quoted_currency is not None:
        quote = Quote(row.quoted_currency, row.quoted_nano_per_kib)
    return Accepted(
        authorisation_id=row.authorisation_id,
        home=PartyId(row.home),
        visited=PartyId(row.visited),
        nas_identifier=row.nas_identifier,
        offered=Offered(qos=Qos(row.qos), rcoi=RcoiClass(row.rcoi), quote=quote),
        granted_us=row.granted_us,
        expires_us=row.expires_us,
        digest=Id(row.digest),
        signature=row.signature,
    )
