"""An agreement's head as inputs carry it: what it says, and its lists named by their hashes."""

from __future__ import annotations

from typing import Final

from opencarrier.kernel.encoding import Value
from opencarrier.kernel.ids import ID_OCTETS, Id
from opencarrier.rating.agreements.documents import HEAD_KEYS, read_roaming_head
from opencarrier.rating.agreements.model import DEALS_MAX, LINES_MAX, RATES_MAX, RoamingHead
from opencarrier.rating.agreements.reading import Cursor

HASHES: Final = ("line_hashes", "rate_hashes", "deal_hashes")
HEAD_FIELDS: Final = ("head", *HASHES)


def head_fields(head: RoamingHead) -> dict[str, Value]:
    """Return the fields that `read_hashed_head` reads back."""
    return {"head": head.terms(), **{name: list(getattr(head, name)) for name in HASHES}}


def read_hashed_head(fields: dict[str, Cursor]) -> RoamingHead:
    """Read a head and its hashes; `DocumentError` for what is out of form."""
    return RoamingHead(
        **read_roaming_head(fields["head"].keys(*HEAD_KEYS)),
        line_hashes=_hashes(fields["line_hashes"], LINES_MAX),
        rate_hashes=_hashes(fields["rate_hashes"], RATES_MAX),
        deal_hashes=_hashes(fields["deal_hashes"], DEALS_MAX),
    )


def _hashes(item: Cursor, most: int) -> tuple[Id, ...]:
    found = [one.value for one in item.items(0, most)]
    if any(not isinstance(one, bytes) or len(one) != ID_OCTETS for one in found):
        raise item.wrong("are not hashes", "a hash has 32 octets")
    return tuple(Id(one) for one in found)
