"""The rules of rating, one folder per version: what an old cycle was rated by stays runnable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from opencarrier.kernel.refusals import PeerError
from opencarrier.rating.rules import v1
from opencarrier.rating.rules.v1 import Priced

VERSIONS: Final[Mapping[str, Callable[[bytes], Priced]]] = {v1.VERSION: v1.rerate}
"""Every rule version that ever rated a usage, by the name a charge carries."""


def rerate(rule_version: str, inputs: bytes) -> Priced:
    """Rate again from what a charge says rating read, by the rules of its time.

    `PeerError` for an unknown version, and for inputs that rule version would not have written.
    """
    if rule_version not in VERSIONS:
        raise PeerError("unknown_rule_version", rule_version)
    return VERSIONS[rule_version](inputs)
