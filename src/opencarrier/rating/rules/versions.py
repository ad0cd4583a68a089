"""Every rule version that ever rated a usage, by the name its charges carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from opencarrier.kernel.refusals import PeerError
from opencarrier.kernel.signatures import Address
from opencarrier.rating.rules import v1
from opencarrier.rating.rules.v1 import Priced
from opencarrier.rating.rules.v2 import VERSION as V2
from opencarrier.rating.rules.v2 import inputs as v2_inputs
from opencarrier.rating.rules.v2.charges import FreeTerms, LineTerms
from opencarrier.rating.rules.v2.charges import WholesaleInputs as LineInputs

VERSIONS: Final[Mapping[str, Callable[[bytes], Priced]]] = {
    v1.VERSION: v1.rerate,
    V2: v2_inputs.rerate,
}

WholesaleInputs: TypeAlias = v1.WholesaleInputs | LineInputs


def rerate(rule_version: str, inputs: bytes) -> Priced:
    """Rate again from what a charge says rating read, by the rules of its time.

    `PeerError` for an unknown version, and for inputs that rule version would not have written.
    """
    if rule_version not in VERSIONS:
        raise PeerError("unknown_rule_version", rule_version)
    return VERSIONS[rule_version](inputs)


def wholesale_inputs(rule_version: str, inputs: bytes) -> WholesaleInputs:
    """Read the inputs of a charge between operators; `PeerError` for those of anything else."""
    if rule_version == V2:
        return v2_inputs.decode_inputs(inputs)
    if rule_version != v1.VERSION:
        raise PeerError("unknown_rule_version", rule_version)
    found = v1.decode_inputs(inputs)
    if not isinstance(found, v1.WholesaleInputs):
        raise PeerError("inputs", "they are of a retail charge")
    return found


def signers(inputs: WholesaleInputs) -> tuple[Address, Address]:
    """Return whose keys sign the agreement: the home's and the visited operator's.

    `PeerError` for settlement-free use, which no agreement prices.
    """
    if isinstance(inputs, v1.WholesaleInputs):
        return inputs.head.home_address, inputs.head.visited_address
    if isinstance(inputs.terms, FreeTerms):
        raise PeerError("inputs", "settlement-free use has no agreement")
    assert isinstance(inputs.terms, LineTerms)
    return inputs.terms.signers
