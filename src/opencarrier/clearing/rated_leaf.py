"""The leaf of a rated month's record: a sibling of `tree.leaf_data` with one part. Pure.

    leaf   encode(["opencarrier/record/monthly", usage_id, tree.commit("rated", salt, facts)])
    facts  amount, discount_ppm, seller, host, protocol, tax: signed, 8 octets each, little-endian
           as in Arrow; then line
    line   derive("line", agreement hash, place of the line, currency, rate, decimals)
    salt   HMAC-SHA256(the cycle's secret, usage_id)

The paths above it are those of every record (`tree.root_of_record`). Nothing in it names a person:
pseudonym and node stay with the usage record, which the id stands for. Who has neither secret nor
salt cannot try out what a leaf says.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opencarrier.clearing.tree import commit
from opencarrier.kernel.encoding import encode
from opencarrier.kernel.ids import ID_OCTETS, Id, derive

TAG: Final = "opencarrier/record/monthly"
SECRET_OCTETS: Final = 32
FIGURES: Final = (
    *("amount", "discount_ppm"),
    *("seller_minor", "host_minor", "protocol_minor", "tax_minor"),
)
FACTS: Final = struct.Struct(f"<{len(FIGURES)}q{ID_OCTETS}s")
PART: Final = "rated"


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedRecord:
    """A rated record as its leaf holds it; money is in minor units of the line's currency."""

    usage_id: Id
    line: Id
    amount: int
    discount_ppm: int
    seller_minor: int
    host_minor: int
    protocol_minor: int
    tax_minor: int


def line_id(line: Mapping[str, Any]) -> Id:
    """Name a line of an agreement at one exchange rate: the same on every side that has it."""
    names = ("agreement_hash", "place", "currency", "rate", "decimals")
    return derive("line", *(line[name] for name in names))


def salt_of(secret: bytes, usage_id: bytes) -> bytes:
    """Return a record's salt; who learns it learns no other record's."""
    return hmac.digest(secret, usage_id, "sha256")


def leaf_data(record: RatedRecord, salt: bytes) -> bytes:
    """Return what is hashed as a record's leaf."""
    figures = (getattr(record, name) for name in FIGURES)
    commitment = commit(PART, salt, FACTS.pack(*figures, record.line))
    return encode([TAG, record.usage_id, commitment])


def heads() -> tuple[bytes, bytes, bytes, bytes]:
    """Return the octets before id, commitment, salt and facts, as a fast path joins them.

    The first begins with the octet that makes it a leaf (RFC 9162 section 2.1.1).
    """
    blank = bytes(ID_OCTETS)
    head = encode(blank)[:-ID_OCTETS]
    leaf = b"\x00" + encode([TAG, blank, blank])
    facts = bytes(FACTS.size)
    part = encode(["opencarrier/part", PART, blank, facts])
    facts_head = encode(facts)[: -FACTS.size]
    return (
        leaf[: -2 * ID_OCTETS - len(head)],
        head,
        part[: -ID_OCTETS - len(facts_head) - FACTS.size],
        facts_head,
    )
