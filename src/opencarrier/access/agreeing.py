"""The use cases of terms in band: the home signs what it accepts, the visited side keeps it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from opencarrier.access import terms_token
from opencarrier.access.accounting import realm_of
from opencarrier.access.agreed import TermsReason, accepted
from opencarrier.access.openroaming.attributes import told
from opencarrier.access.server import Agree, Store
from opencarrier.access.wire.dictionary import Type
from opencarrier.kernel.clock import Clock
from opencarrier.kernel.refusals import Refusal
from opencarrier.spine.access import Accepted, Grant
from opencarrier.spine.parties import Operator
from opencarrier.spine.ports import AgreedTerms, Directory, Notary
from opencarrier.spine.usage import Observation

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class TermsDesk:
    """Keeps what homes elsewhere agreed to, and signs what homes here do; `unit` is the caller's.

    `refused` counts, by reason, the answers that are no agreement.
    """

    directory: Directory
    agreed: AgreedTerms | None
    notary: Notary | None
    clock: Clock
    refused: Counter[str]

    def signed(self, unit: Connection, grant: Grant) -> Grant:
        """Sign a grant's terms by the home's key, where a rate was accepted and the key is here."""
        home = None if grant.rate is None else self.directory.operator(unit, grant.home)
        if home is None or self.notary is None:
            return grant
        signature = self.notary.sign(unit, home.address, grant.terms)
        return grant if signature is None else replace(grant, signature=signature.octets)

    def keep(self, unit: Connection, agree: Agree) -> str:
        """Keep what a home agreed to; return why nobody is served by it, nothing where one is.

        Without a rate, or without `Class` that name the session, the agreement alone says the
        price: then a home that means something else, or is not known here, is in nobody's way.
        """
        realm = realm_of(agree.ticket.packet)
        home = None if realm is None else self.directory.home_of(unit, realm)
        if home is None or self.agreed is None:
            return ""
        terms = self._read(agree, home)
        if isinstance(terms, Accepted) and not self.agreed.keep(unit, terms):
            terms = Refusal(TermsReason.TERMS_OF_ANOTHER_SESSION)
        if isinstance(terms, Accepted):
            return ""
        self.refused[terms.code] += 1
        stands_apart = terms.reason is TermsReason.TERMS_WITHOUT_CLASS
        binds = agree.is_ours and not stands_apart and told(agree.answer).rates
        return terms.code if binds else ""

    def named(
        self, unit: Connection, stores: Sequence[Store], observations: Sequence[Observation]
    ) -> list[Observation]:
        """Say of reports which authorisation they are of, where a home elsewhere gave it."""
        names = [self._name(store, one) for store, one in zip(stores, observations, strict=True)]
        asked = {name for name in names if name is not None}
        if self.agreed is None or not asked:
            return list(observations)
        known = self.agreed.find(unit, asked)
        return [
            _of(one, known.get(name or b"")) for one, name in zip(observations, names, strict=True)
        ]

    def _name(self, store: Store, one: Observation) -> bytes | None:
        if one.authorisation_id is not None or store.relay is None:
            return None
        token = terms_token.read(store.ticket.packet.all(Type.CLASS))
        return None if token is None else token.authorisation_id

    def _read(self, agree: Agree, home: Operator) -> Accepted | Refusal:
        return accepted(agree.answer, agree.place, home, self.clock.now_us())


def _of(one: Observation, terms: Accepted | None) -> Observation:
    """Take a report as one of an authorisation, if it is of the place that was for."""
    place = (one.visited, one.nas_key)
    if terms is None or place != (terms.visited, terms.nas_identifier):
        return one
    return replace(one, authorisation_id=terms.authorisation_id, home=terms.home)
