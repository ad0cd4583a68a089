"""What each charge adds to a line of its agreement: what deals sum over a period.

Amounts are in the line's currency: an exchange rate is for what is settled, not for what is summed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from opencarrier.kernel.ids import derive
from opencarrier.rating.rules.v1 import WholesaleInputs as TariffInputs
from opencarrier.rating.rules.v2.charges import LineTerms
from opencarrier.rating.rules.versions import WholesaleInputs
from opencarrier.rating.tables import line_uses
from opencarrier.spine.usage import Usage

SUBJECT_OCTETS = 16


def insert(unit: Connection, items: Iterable[tuple[Usage, WholesaleInputs]]) -> None:
    """Keep what usages add to their lines; a tariff of version 1 has no deal that would ask."""
    rows = [
        _row(usage, inputs.terms, inputs.tariff_at_us)
        for usage, inputs in items
        if not isinstance(inputs, TariffInputs) and isinstance(inputs.terms, LineTerms)
    ]
    if rows:
        unit.execute(line_uses.insert(), rows)


def _row(usage: Usage, terms: LineTerms, at_us: int) -> dict[str, Any]:
    before, after = usage.counters_from, usage.counters_to
    legs = terms.legs_in_currency(after) - terms.legs_in_currency(before)
    return {
        "usage_id": usage.usage_id,
        "agreement_hash": terms.agreement_hash,
        "place": terms.head.line_hashes.index(terms.line.hash),
        "at_us": at_us,
        "subject": derive("usage/subject", usage.visited, usage.subject)[:SUBJECT_OCTETS],
        "amount": terms.amount(after) - terms.amount(before),
        **{name: getattr(legs, name) for name in legs.__slots__},
    }
