"""Rating rules, version 1: linear prices per begun step, exact, cumulative over the session."""

from opencarrier.rating.rules.v1.charges import (
    Priced,
    RetailInputs,
    WholesaleInputs,
    charge,
    ratable,
    rate,
    wholesale_allocations,
)
from opencarrier.rating.rules.v1.formula import (
    QUANTITY_MAX,
    VERSION,
    RetailLegs,
    WholesaleLegs,
    cumulative,
    fall,
    fits,
    quantity,
    retail_legs,
    wholesale_legs,
)
from opencarrier.rating.rules.v1.inputs import decode_inputs, encode_inputs, rerate

__all__ = [
    "QUANTITY_MAX",
    "VERSION",
    "Priced",
    "RetailInputs",
    "RetailLegs",
    "WholesaleInputs",
    "WholesaleLegs",
    "charge",
    "cumulative",
    "decode_inputs",
    "encode_inputs",
    "fall",
    "fits",
    "quantity",
    "ratable",
    "rate",
    "rerate",
    "retail_legs",
    "wholesale_allocations",
    "wholesale_legs",
]
