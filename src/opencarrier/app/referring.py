"""What is asked for at a contract under a reference: one reference, one amount, one lock.

The call has times and signatures in it, so the same wish makes another call each time: a digest of
the wish is kept beside the transaction instead. Versions before had the amount in the intent's id;
what they began is found by its call, goes on under that id, and its reference is taken too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from opencarrier.app.bootstrap import Onchain
from opencarrier.app.errands import ErrandRefusal
from opencarrier.app.venue import ERRANDS
from opencarrier.chain.contracts.base import Contract
from opencarrier.kernel.encoding import Value
from opencarrier.kernel.ids import Id, derive
from opencarrier.kernel.refusals import Refusal
from opencarrier.kernel.signatures import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Referred:
    """A wish: whose, how much or how long, by which of a contract's functions.

    `asked` has what a reference stands for, by the names of the function's arguments.
    """

    kind: str
    party: Address
    asked: Mapping[str, int]
    reference: str
    contract: Contract
    function: str

    @property
    def intent(self) -> Id:
        """Whatever is asked for under the reference."""
        return derive(self.kind, self.party, self.reference)

    @property
    def digest(self) -> Id:
        """All of the wish."""
        asked: list[Value] = [[name, value] for name, value in sorted(self.asked.items())]
        return derive("errand/asked", self.kind, self.party, asked, self.reference)

    def asked_of(self, data: bytes) -> dict[str, int]:
        """Read from a call what was asked for."""
        said = self.contract.artefact().read_call(self.function, data)
        return {name: said[name] for name in self.asked}

    def former(self, asked: Mapping[str, int]) -> Id:
        """Return the id that versions before gave the reference's intent."""
        return derive(self.kind, self.party, *asked.values(), self.reference)


def intent_of(place: Onchain, errand: Referred) -> Id | Refusal:
    """Return under which intent a wish is kept or may be; refuse the reference of another."""
    with place.base.store.read() as unit:
        known = place.work.manager.find(unit, errand.intent)
        if known is None:
            return _former(place, unit, errand)
    return errand.intent if known.asked == errand.digest else _another(errand)


def _former(place: Onchain, unit: Connection, errand: Referred) -> Id | Refusal:
    """Take up what a version before began under the reference; it may have begun several."""
    former = errand.former(errand.asked)
    manager = place.work.manager
    if manager.find(unit, former) is not None:
        return former
    selector = errand.contract.artefact().selector(errand.function)
    for intent, data in manager.named_alone(unit, errand.contract.address, selector, ERRANDS):
        if errand.former(errand.asked_of(data)) == intent:
            return _another(errand)
    return errand.intent


def _another(errand: Referred) -> Refusal:
    what = " or ".join("lock" if name == "lock_s" else name for name in errand.asked)
    return Refusal(ErrandRefusal.REFERENCE_OF_ANOTHER, f"it was used for another {what}")
