"""Rating rules, version 2: first and next steps, an amount per session, quotes in band."""

from opencarrier.rating.rules.v2.formula import (
    KIB,
    NOTHING,
    UNITS,
    VERSION,
    Amounts,
    Rated,
    Terms,
    beyond,
    cumulative,
    fits,
    price_of,
    quantity,
    rate,
    steps,
)
from opencarrier.spine.access import Quote

__all__ = [
    "KIB",
    "NOTHING",
    "UNITS",
    "VERSION",
    "Amounts",
    "Quote",
    "Rated",
    "Terms",
    "beyond",
    "cumulative",
    "fits",
    "price_of",
    "quantity",
    "rate",
    "steps",
]
